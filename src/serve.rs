//! Wiring: the stages in the order data flows, started and stopped.

use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use axum::{middleware, routing::get};
use futures::future::BoxFuture;
use store::{Clock, Store, Timestamp};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;

use crate::{
    backup,
    config::{self, Config, say},
    deletions::{self, Deletions},
    guard::{self, Guard},
    keys::Keys,
    listen,
    status::{self, Status},
};

/// The machine's clock: the only place that reads it.
#[derive(Debug)]
pub(crate) struct WallClock {
    started: Instant,
}

impl WallClock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        Timestamp(chrono::Utc::now().timestamp_micros())
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// Lines of the alerter go where declared changes go, so that both are merged.
#[derive(Debug)]
struct OwnLines(ingest::Changes);

impl alerter::change::Lines for OwnLines {
    fn draw(&self, row: serde_json::Value) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move { self.0.turned_off(row).await.map_err(|error| error.to_string()) })
    }
}

/// A server that runs; `stop` ends it in the order data flows.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it listens, port 0 resolved.
    pub(crate) addr: SocketAddr,
    shutdown: CancellationToken,
    alerter: JoinHandle<()>,
    deletions: JoinHandle<()>,
    listener: JoinHandle<()>,
    store: Store,
}

/// `yellowline serve`: runs until SIGINT or SIGTERM.
pub(crate) async fn run(config: Config) -> anyhow::Result<()> {
    let running = start(config).await?;
    // Watched before anybody is told that the server is up: whoever reads that line may stop it at once.
    let mut terminate = signal(SignalKind::terminate()).context("could not watch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("could not watch SIGINT")?;
    if running.store.is_read_only() {
        say("read-only: events and changes are refused, nobody is paged, nothing is written")?;
    }
    say(&format!("listening on http://{}", running.addr))?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    tracing::info!("stopping");
    running.stop().await
}

/// Opens the data folder, recovers, and serves; returns once requests are answered.
pub(crate) async fn start(config: Config) -> anyhow::Result<Running> {
    let clock: Arc<dyn Clock> = Arc::new(WallClock::new());
    let shutdown = CancellationToken::new();
    // Bound first: a taken port must not cost a recovery.
    let listener = TcpListener::bind(config.listen).await.map_err(|error| in_use(config.listen, error))?;
    let addr = listener.local_addr().context("could not read the listening address")?;
    let public_url = config.public_url(addr);

    let store = Store::open(config.store.clone(), clock.clone()).await?;
    let read_only = store.is_read_only();
    let keys = Keys::open(&config.data, clock.clone())?;
    if !addr.ip().is_loopback() && !read_only {
        announce_admin_key(&keys)?;
    }
    let changes = ingest::Changes::open(&config.ingest, store.clone(), clock.clone())?;
    // A crash may have come between an event and the line it draws.
    changes.sighted(store.recovered_first_sights()).await?;
    let lines = Arc::new(OwnLines(changes.clone()));
    let intake = ingest::Intake::new(config.ingest, store.clone(), changes, clock.clone());
    let engine = query::Engine::new(config.query, store.clone(), clock.clone())?;
    let alerter_config =
        alerter::Config { public_url: public_url.clone(), environment: config::environment(), ..config.alerter };
    let alerts = alerter::Alerter::new(alerter_config, engine.clone(), store.clone(), clock.clone(), lines)?;

    let deletions = Deletions::new(store.clone(), engine.clone(), clock.clone());
    let status = Arc::new(Status::new(store.clone(), intake.clone(), engine.clone(), alerts.clone(), clock.clone()));
    let guard =
        Guard { keys, hosts: own_hosts(&config.hosts, &public_url), clock: clock.clone(), listen: addr, read_only };
    let routes = ingest::routes(intake)
        .merge(query::routes(engine))
        .merge(alerter::routes(alerts.clone()))
        .merge(status::routes(status))
        .merge(backup::routes(store.clone()))
        .merge(deletions::routes(Arc::clone(&deletions)))
        .route("/api/{*path}", get(guard::no_such_route).fallback(guard::no_such_route))
        .fallback_service(dashboards::routes());
    let routes =
        routes.layer(CompressionLayer::new()).layer(middleware::from_fn_with_state(Arc::new(guard), guard::guard));

    let (alerter, deletions) = if read_only {
        // Two nodes that watch the same metrics would page twice.
        alerts.show(clock.now()).await;
        (tokio::spawn(async {}), tokio::spawn(async {}))
    } else {
        (tokio::spawn(alerts.run(shutdown.clone())), tokio::spawn(deletions.run(shutdown.clone())))
    };
    let listener = tokio::spawn(listen::listen(listener, routes, config.connections_max, shutdown.clone()));
    Ok(Running { addr, shutdown, alerter, deletions, listener, store })
}

impl Running {
    /// Stops taking requests, ends the alerter, then flushes and syncs the store.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        self.listener.await.context("the listener panicked")?;
        self.alerter.await.context("the alerter panicked")?;
        self.deletions.await.context("the task of deletions panicked")?;
        self.store.close().await.context("could not close the store")
    }
}

fn in_use(listen: SocketAddr, error: std::io::Error) -> anyhow::Error {
    let text = match error.kind() {
        std::io::ErrorKind::AddrInUse => {
            format!("{listen} is in use: stop the other process, or choose another with --listen")
        }
        std::io::ErrorKind::AddrNotAvailable => {
            format!("{listen} is no address of this machine: choose another with --listen")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("{listen} may not be used by this user: choose a port above 1023 with --listen")
        }
        _ => format!("could not listen on {listen}"),
    };
    anyhow::Error::new(error).context(text)
}

fn announce_admin_key(keys: &Keys) -> anyhow::Result<()> {
    if let Some(key) = keys.ensure_admin()? {
        say(&format!(
            "no API key existed, so one was made. It is shown this once; send it as `Authorization: Bearer <key>`:\n{key}"
        ))?;
    }
    Ok(())
}

/// Names under which people reach us: configured ones and the one in the public address.
fn own_hosts(configured: &[String], public_url: &str) -> HashSet<String> {
    let authority = public_url.split_once("://").map_or(public_url, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    configured.iter().map(String::as_str).chain([name]).map(str::to_ascii_lowercase).collect()
}
