//! `yellowline demo`: the real server with a booking site beside it, and an incident to find.
//!
//! Nothing here reaches into the server: the site posts its events, history and changes over HTTP as any app would, and pages
//! arrive at a webhook. The site itself (rates, guests, changes) is the `benches` library.
//!
//! What happens: past changes are declared, some days of raw events and eight weeks of minute counts are loaded, then live
//! traffic runs. Two minutes later experiment 13 goes to 80 %, and its variant B breaks the payment form for most of its guests.

mod definitions;
mod director;
mod history;
mod pager;
mod screen;
mod traffic;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
    time::Duration,
};

use anyhow::{Context, bail};
use benches::{
    client::Connection,
    machine,
    rates::Rates,
    site::{Profile, Site},
    story::Story,
};
use tokio_util::sync::CancellationToken;

use crate::{config::Config, serve};
use screen::Screen;

/// Options of `yellowline demo`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Options {
    /// Data folder: new or empty, and kept. Without it a temporary one is used and removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Keep the temporary data folder.
    #[arg(long, conflicts_with = "data")]
    keep: bool,
    /// Address to listen on; a free port is taken when 7300 is in use and none was named.
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
    /// Days of raw events to load, as far as 45 seconds allow.
    #[arg(long, value_name = "DAYS", default_value_t = 2.0)]
    days: f64,
    /// Seconds of calm before experiment 13 goes to 80 %.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    calm_s: u64,
    /// Seed of the site: the same one draws the same guests, rates and changes.
    #[arg(long, value_name = "N", default_value_t = 13)]
    seed: u64,
}

/// Bookings per minute at the start, whatever the hour.
const BOOKINGS_PER_MINUTE: f64 = 67.0;
/// Days of past changes.
const STORY_DAYS: i64 = 9;
/// Dataset of the site.
const DATASET: &str = "shop";
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// The activation is planned this long after the start, until it is known how long preparing takes.
const PLANNED_AFTER: i64 = 3 * MINUTE + 30 * SECOND;
/// Longest wait for an answer of the server.
const TIMEOUT: Duration = Duration::from_secs(60);

/// What all parts of the demo share.
struct Stage {
    options: Options,
    folder: PathBuf,
    server: SocketAddr,
    /// Where pages and switches arrive.
    pager: SocketAddr,
    site: Site,
    rates: Rates,
    story: RwLock<Story>,
    screen: Screen,
    /// First minute (since 1970) that the live traffic answers for; everything before is history.
    first_minute: i64,
    stop: CancellationToken,
    counts: traffic::Counts,
    pages: pager::Pages,
}

/// Runs until Ctrl-C.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let interrupted = stop.clone();
    tokio::spawn(async move {
        // Without a handler Ctrl-C ends the process anyway.
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.cancel();
        }
    });
    let folder = Folder::make(&options)?;
    let outcome = play(options, &folder.path, stop).await;
    folder.clean_up();
    outcome
}

async fn play(options: Options, folder: &Path, stop: CancellationToken) -> anyhow::Result<()> {
    let door = pager::Door::open(folder).await?;
    let running = start_server(&options, folder, door.address).await?;
    let now = machine::now();
    let first_minute = now.div_euclid(MINUTE);
    let mut story = Story::past(options.seed, now - STORY_DAYS * 24 * 60 * MINUTE, now - 75 * MINUTE);
    story.busy_hour(now + PLANNED_AFTER);
    let stage = Arc::new(Stage {
        site: Site::new(options.seed, Profile::Live),
        rates: Rates::with_rate_at(options.seed, first_minute, BOOKINGS_PER_MINUTE),
        story: RwLock::new(story),
        screen: Screen::new(),
        folder: folder.to_owned(),
        server: running.addr,
        pager: door.address,
        first_minute,
        stop: stop.clone(),
        counts: traffic::Counts::default(),
        pages: pager::Pages::default(),
        options,
    });
    let pager = tokio::spawn(door.answer(stage.clone()));
    let live = spawn(&stage, traffic::run);
    let directed = spawn(&stage, director::run);
    // Each part ends when all are told to stop; one that fails stops the others.
    let (live, directed) = tokio::join!(live, directed);
    stop.cancel();
    pager.await.context("the pager panicked")??;
    stage.screen.line("stopping");
    running.stop().await?;
    live.and(directed)
}

/// Runs a part on a thread of its own and stops the others if it fails.
async fn spawn(stage: &Arc<Stage>, part: fn(&Stage) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let own = stage.clone();
    let outcome = tokio::task::spawn_blocking(move || part(&own)).await.context("a part of the demo panicked");
    let outcome = outcome.and_then(|outcome| outcome);
    if outcome.is_err() {
        stage.stop.cancel();
    }
    outcome
}

/// The real server, on embedded defaults but for its folder, its port, that metric files are noticed within two seconds, and that it may
/// turn experiments off.
async fn start_server(options: &Options, folder: &Path, flags: SocketAddr) -> anyhow::Result<serve::Running> {
    let mut config = Config { data: folder.to_owned(), ..Config::default() };
    config.store.folder = folder.to_owned();
    config.alerter.folder = definitions::folder(folder);
    config.alerter.reread_interval_s = 2;
    config.alerter.off_targets = vec![definitions::off_target(flags)];
    if let Some(listen) = options.listen {
        config.listen = listen;
        return serve::start(config).await;
    }
    let is_free = tokio::net::TcpListener::bind(config.listen).await.is_ok();
    if !is_free {
        config.listen.set_port(0);
    }
    serve::start(config).await
}

impl Stage {
    fn connection(&self) -> Connection {
        Connection::new(self.server, TIMEOUT)
    }

    fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits, but not beyond the end of the demo.
    fn pause(&self, pause: Duration) {
        let end = std::time::Instant::now() + pause;
        while !self.is_stopping() {
            let left = end.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(Duration::from_millis(100)));
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.server)
    }

    /// Uses the story; a part that panicked while it held the lock left it whole, since every change is one call.
    fn story(&self) -> std::sync::RwLockReadGuard<'_, Story> {
        self.story.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn change_story<T>(&self, change: impl FnOnce(&mut Story) -> T) -> T {
        change(&mut self.story.write().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Where the data lies, and whether it goes at the end.
struct Folder {
    path: PathBuf,
    is_kept: bool,
}

impl Folder {
    fn make(options: &Options) -> anyhow::Result<Self> {
        let path = match &options.data {
            Some(path) => path.clone(),
            None => std::env::temp_dir().join(format!("yellowline-demo-{}", std::process::id())),
        };
        std::fs::create_dir_all(&path).with_context(|| format!("could not make the data folder {}", path.display()))?;
        let mut entries =
            std::fs::read_dir(&path).with_context(|| format!("could not read the data folder {}", path.display()))?;
        if entries.next().is_some() {
            bail!(
                "the folder {0} is not empty: name a new one with --data, or look at what is in it with \
                 `yellowline serve --data {0}`",
                path.display()
            );
        }
        Ok(Self { path, is_kept: options.keep || options.data.is_some() })
    }

    fn clean_up(self) {
        let path = self.path.display();
        if self.is_kept {
            Screen::new().line(&format!("the data is kept; look at it again with `yellowline serve --data {path}`"));
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(%error, "could not remove the data folder {path}");
        }
    }
}

#[cfg(test)]
mod tests;
