//! A booking site in a temporary folder, whose minutes a test plays one by one.

use std::{path::PathBuf, sync::Arc};

use alerter::{Alerter, Config, OffTarget};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Request, StatusCode},
    response::IntoResponse,
    routing::{any, post},
};
use benches::rates::Rates;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use query::Engine;
use serde_json::{Value, json};
use store::{Clock, DatasetName, Store, Timestamp};
use tower::ServiceExt as _;

use crate::published;

/// 2026-11-20T12:00Z, a Friday.
pub(crate) const NOON: i64 = 29_919_600;
/// The signing secret of the test's webhook.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

#[derive(Debug)]
pub(crate) struct Hands(Mutex<Timestamp>);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// What the receiver answers next, and what it got.
#[derive(Debug, Clone)]
pub(crate) struct Receiver {
    pub(crate) status: Arc<Mutex<u16>>,
    got: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    /// What the pager and the chat took.
    pub(crate) pager: Arc<Mutex<Vec<Value>>>,
    pub(crate) chat: Arc<Mutex<Vec<Value>>>,
    /// True when the chat cannot load pictures.
    pub(crate) no_pictures: Arc<Mutex<bool>>,
    /// Change lines the pager was told of.
    pub(crate) lines: Arc<Mutex<Vec<Value>>>,
    /// What the flag system answers next, and what it was asked.
    pub(crate) off_status: Arc<Mutex<u16>>,
    offs: Arc<Mutex<Vec<Off>>>,
    address: String,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let receiver = Self {
            status: Arc::new(Mutex::new(200)),
            got: Arc::default(),
            pager: Arc::default(),
            chat: Arc::default(),
            lines: Arc::default(),
            no_pictures: Arc::default(),
            off_status: Arc::new(Mutex::new(200)),
            offs: Arc::default(),
            address,
        };
        let routes = Router::new()
            .route("/hook", post(take))
            .route("/pager/enqueue", post(take_event))
            .route("/pager/change/enqueue", post(take_change))
            .route("/chat", post(take_message))
            .route("/off/{*change}", any(take_off))
            .with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        receiver
    }

    /// Bodies taken with a success, of one type.
    pub(crate) fn taken(&self, kind: &str) -> Vec<Value> {
        self.got.lock().iter().filter(|(_, body)| body["type"] == kind).map(|(_, body)| body.clone()).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.got.lock().len()
    }

    /// The way to turn something off here, as a change declares it.
    pub(crate) fn off(&self, path: &str, body: Value) -> Value {
        json!({"url": format!("{}/off{path}", self.address), "method": "POST", "body": body})
    }

    /// Switching-offs asked for.
    pub(crate) fn offs(&self) -> Vec<Off> {
        self.offs.lock().clone()
    }

    pub(crate) fn last_headers(&self) -> HeaderMap {
        self.got.lock().last().unwrap().0.clone()
    }
}

/// A switching-off as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Off {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Off {
    /// Its `webhook-id`.
    pub(crate) fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    /// Checks the signature as a receiver of Standard Webhooks does.
    pub(crate) fn is_signed(&self) -> bool {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        use hmac::Mac as _;
        let key = STANDARD.decode(SECRET.trim_start_matches("whsec_")).unwrap();
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&key).unwrap();
        let timestamp = self.headers["webhook-timestamp"].to_str().unwrap();
        mac.update(format!("{}.{timestamp}.{}", self.id(), self.body).as_bytes());
        let given = self.headers["webhook-signature"].to_str().unwrap().trim_start_matches("v1,").to_owned();
        mac.verify_slice(&STANDARD.decode(given).unwrap()).is_ok()
    }
}

async fn take_off(
    State(receiver): State<Receiver>,
    method: axum::http::Method,
    uri: axum::http::Uri,
    headers: HeaderMap,
    body: String,
) -> impl IntoResponse {
    let off = Off { method: method.to_string(), path: uri.path().to_owned(), headers, body };
    receiver.offs.lock().push(off);
    let status = StatusCode::from_u16(*receiver.off_status.lock()).unwrap();
    (
        status,
        [("location", format!("{}/off/elsewhere", receiver.address))],
        if status.is_success() { "ok" } else { "no" },
    )
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> impl IntoResponse {
    let status = StatusCode::from_u16(*receiver.status.lock()).unwrap();
    if status.is_success() {
        receiver.got.lock().push((headers, serde_json::from_slice(&body).unwrap()));
    }
    status
}

/// Answers as PagerDuty does.
async fn take_event(State(receiver): State<Receiver>, body: Bytes) -> (StatusCode, String) {
    if let Err(wrong) = published::pagerduty_event(&body) {
        return (StatusCode::BAD_REQUEST, wrong);
    }
    receiver.pager.lock().push(serde_json::from_slice(&body).unwrap());
    (StatusCode::ACCEPTED, r#"{"status":"success","message":"Event processed"}"#.to_owned())
}

/// The same for change events.
async fn take_change(State(receiver): State<Receiver>, body: Bytes) -> (StatusCode, String) {
    if let Err(wrong) = published::pagerduty_change(&body) {
        return (StatusCode::BAD_REQUEST, wrong);
    }
    receiver.lines.lock().push(serde_json::from_slice(&body).unwrap());
    (StatusCode::ACCEPTED, r#"{"status":"success","message":"Change event processed"}"#.to_owned())
}

/// Answers as Slack does.
async fn take_message(State(receiver): State<Receiver>, body: Bytes) -> (StatusCode, String) {
    if let Err(wrong) = published::slack_message(&body) {
        return (StatusCode::BAD_REQUEST, wrong);
    }
    if *receiver.no_pictures.lock() && String::from_utf8_lossy(&body).contains("\"image_url\"") {
        return (StatusCode::BAD_REQUEST, "invalid_blocks".to_owned());
    }
    receiver.chat.lock().push(serde_json::from_slice(&body).unwrap());
    (StatusCode::OK, "ok".to_owned())
}

/// The site.
pub(crate) struct World {
    pub(crate) root: tempfile::TempDir,
    pub(crate) clock: Arc<Hands>,
    pub(crate) store: Store,
    pub(crate) engine: Engine,
    pub(crate) alerter: Alerter,
    pub(crate) receiver: Receiver,
    pub(crate) rates: Rates,
    /// The next minute to play.
    pub(crate) minute: i64,
}

/// How a minute goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Play {
    /// Share of the bookings that succeed.
    pub(crate) success: f64,
    /// False when nothing of any kind arrives.
    pub(crate) alive: bool,
}

pub(crate) const NORMAL: Play = Play { success: 1.0, alive: true };

impl World {
    /// Starts at noon with one metric and one webhook, `per_minute` bookings expected.
    pub(crate) async fn start(per_minute: f64) -> Self {
        Self::start_with(per_minute, &metric("")).await
    }

    pub(crate) async fn start_with(per_minute: f64, definitions: &str) -> Self {
        let root = tempfile::tempdir().unwrap();
        let receiver = Receiver::start().await;
        let folder = root.path().join("metrics");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("hook.key"), SECRET).unwrap();
        std::fs::write(folder.join("pager.key"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let address = &receiver.address;
        let channels = format!(
            "[[channel]]\nname = \"hook\"\nkind = \"webhook\"\nurl = \"{address}/hook\"\nsecret_file = \"hook.key\"\n\
             [[channel]]\nname = \"pager\"\nkind = \"pagerduty\"\nurl = \"{address}/pager/enqueue\"\nrouting_key_file = \"pager.key\"\nchanges = true\n\
             [[channel]]\nname = \"chat\"\nkind = \"slack\"\nurl = \"{address}/chat\"\n"
        );
        std::fs::write(folder.join("channels.toml"), channels).unwrap();
        std::fs::write(folder.join("shop.toml"), definitions).unwrap();
        let clock = Arc::new(Hands(Mutex::new(at(NOON, 0))));
        let (store, engine, alerter) = open(root.path().to_owned(), clock.clone(), address).await;
        let rates = Rates::with_rate_at(7, NOON, per_minute);
        Self { root, clock, store, engine, alerter, receiver, rates, minute: NOON }
    }

    /// Closes everything and opens it again, as a restart of the process does, `down` minutes later.
    pub(crate) async fn restart(self, down: i64) -> Self {
        self.store.close().await.unwrap();
        let Self { root, clock, store, engine, alerter, receiver, rates, minute } = self;
        drop((store, engine, alerter));
        *clock.0.lock() = at(minute + down, 20);
        let (store, engine, alerter) = open(root.path().to_owned(), clock.clone(), &receiver.address).await;
        Self { root, clock, store, engine, alerter, receiver, rates, minute: minute + down }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("metrics").join(name)
    }

    /// Loads weeks of minute counts up to now.
    pub(crate) async fn import_weeks(&self, weeks: i64) {
        self.import(weeks, self.minute).await;
    }

    /// Loads weeks of payments that failed, one in fifty, of all that were tried.
    pub(crate) async fn import_failures(&self, weeks: i64) {
        let mut csv = String::from("time,count,denominator\n");
        for minute in self.minute - weeks * 10_080..self.minute {
            let tried = self.rates.at(minute).total();
            let failed = (1..=tried).filter(|number| !succeeds(*number, 0.98)).count();
            csv.push_str(&format!("{},{failed},{tried}\n", minute * 60));
        }
        let imported = self.alerter.import("failures", None, csv.as_bytes()).await.unwrap().unwrap();
        assert!(imported.rejected.is_empty(), "{imported:?}");
    }

    /// Loads weeks of minute counts up to three days ago.
    pub(crate) async fn import_weeks_before(&self, weeks: i64) {
        self.import(weeks, NOON - 3 * 1440).await;
    }

    async fn import(&self, weeks: i64, until: i64) {
        self.import_as("bookings", weeks, until).await;
    }

    /// Loads weeks of the same counts into another metric.
    pub(crate) async fn import_into(&self, metric: &str, weeks: i64) {
        self.import_as(metric, weeks, self.minute).await;
    }

    async fn import_as(&self, metric: &str, weeks: i64, until: i64) {
        let mut csv = String::from("time,count\n");
        for minute in until - weeks * 10_080..until {
            csv.push_str(&format!("{},{}\n", minute * 60, self.rates.at(minute).total()));
        }
        let imported = self.alerter.import(metric, None, csv.as_bytes()).await.unwrap().unwrap();
        assert_eq!((imported.imported, imported.rejected.len()), (usize::try_from(weeks * 10_080).unwrap(), 0));
    }

    /// Sends the events of some minutes, an hour's at a time.
    pub(crate) async fn events(&self, minutes: std::ops::Range<i64>, play: Play) {
        if !play.alive {
            return;
        }
        for hour in minutes.clone().step_by(60) {
            let end = minutes.end.min(hour + 60);
            let now = self.clock.now().max(at(end - 1, 55));
            *self.clock.0.lock() = now;
            let events: Vec<Value> = (hour..end).flat_map(|minute| self.events_of(minute, play)).collect();
            self.store.append_values(&shop(), &events).await.unwrap();
        }
    }

    /// A search, and each booking of the minute, paid or failed.
    fn events_of(&self, minute: i64, play: Play) -> Vec<Value> {
        let booked = self.rates.at(minute);
        let mut events =
            vec![json!({"time": at(minute, 1).to_rfc3339(), "environment": "production", "route": "/search"})];
        let mut number = 0_u32;
        for (market, count) in booked.bookings.iter().enumerate() {
            for _ in 0..*count {
                number += 1;
                events.push(json!({
                    "time": at(minute, i64::from(number) % 60).to_rfc3339(),
                    "environment": "production",
                    "route": "/pay",
                    "status": if succeeds(number, play.success) { 200 } else { 500 },
                    "country": benches::markets::MARKETS[market].country,
                }));
            }
        }
        events
    }

    /// Plays minutes one after the other; the alerter looks after each.
    pub(crate) async fn play(&mut self, minutes: i64, play: Play) {
        for _ in 0..minutes {
            *self.clock.0.lock() = at(self.minute, 55);
            self.events(self.minute..self.minute + 1, play).await;
            self.minute += 1;
            self.look(11).await;
        }
    }

    /// Sets the clock to a second of a minute.
    pub(crate) fn clock_at(&self, minute: i64, second: i64) {
        *self.clock.0.lock() = at(minute, second);
    }

    /// Lets the alerter look, some seconds after the last minute played.
    pub(crate) async fn look(&self, seconds: i64) {
        let now = at(self.minute, seconds);
        *self.clock.0.lock() = now;
        self.alerter.step(now).await;
    }

    pub(crate) async fn change(&self, id: &str, kind: &str, environment: &str, minute: i64) {
        self.change_with(id, kind, minute, json!({"environment": environment})).await;
    }

    /// A change of production with further fields.
    pub(crate) async fn change_with(&self, id: &str, kind: &str, minute: i64, more: Value) {
        let mut row = json!({
            "id": format!("{id}/1"), "change_id": id, "revision": 1, "kind": kind, "status": "succeeded",
            "title": format!("{kind} {id}"), "time": at(minute, 0).to_rfc3339(), "environment": "production",
            "experiment": (kind == "experiment").then_some(id), "target": id, "actor": "j.doe", "inferred": false,
            "version": (kind == "deploy").then_some("64fd32f"), "service": (kind == "deploy").then_some("web"),
        });
        for (key, value) in more.as_object().unwrap() {
            // Stored as ingest does: free-form, so as text.
            row[key] = if key == "off" { json!(value.to_string()) } else { value.clone() };
        }
        self.store.append_values(&DatasetName::system("changes"), &[row]).await.unwrap();
    }

    /// Sets the clock to a minute without playing those between.
    pub(crate) fn set_clock(&self, minute: i64) {
        *self.clock.0.lock() = at(minute, 0);
    }

    /// Asks for something that is no JSON.
    pub(crate) async fn bytes(&self, path: &str) -> (StatusCode, Vec<u8>) {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        let response = alerter::routes(self.alerter.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        (status, http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes().to_vec())
    }

    /// Asks over HTTP.
    pub(crate) async fn http(&self, method: &str, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let body = body.map_or(Body::empty(), |body| Body::from(body.to_string()));
        let request = Request::builder().method(method).uri(path).header("x-request-id", "r1").body(body).unwrap();
        let response = alerter::routes(self.alerter.clone()).oneshot(request).await.unwrap();
        let status = response.status();
        let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.http("GET", path, None).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Rows of a query of text columns, their cells joined by a space.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let batches = self.engine.rows(sql, None).await.unwrap();
        let cell = |batch: &arrow::array::RecordBatch, column: usize, row: usize| {
            let text = arrow::compute::cast(batch.column(column), &arrow::datatypes::DataType::Utf8).unwrap();
            arrow::array::AsArray::as_string::<i32>(&text).iter().nth(row).flatten().unwrap_or_default().to_owned()
        };
        let row = |batch: &arrow::array::RecordBatch, row: usize| {
            (0..batch.num_columns()).map(|column| cell(batch, column, row)).collect::<Vec<_>>().join(" ")
        };
        batches
            .iter()
            .flat_map(|batch| (0..batch.num_rows()).map(|index| row(batch, index)).collect::<Vec<_>>())
            .collect()
    }

    pub(crate) async fn state(&self) -> String {
        self.get("/api/v1/metrics").await["metrics"][0]["state"].as_str().unwrap().to_owned()
    }
}

/// Draws lines without a ledger of changes, which these tests have not.
#[derive(Debug)]
struct Drawn(Store);

impl alerter::change::Lines for Drawn {
    fn draw(&self, row: Value) -> BoxFuture<'_, Result<(), String>> {
        Box::pin(async move {
            let stored = self.0.append_values(&DatasetName::system("changes"), &[row]).await;
            stored.map(drop).map_err(|error| error.to_string())
        })
    }
}

/// A share of all numbers, evenly spread.
fn succeeds(number: u32, share: f64) -> bool {
    f64::from(number) * 0.618_034 % 1.0 < share
}

async fn open(root: PathBuf, clock: Arc<Hands>, address: &str) -> (Store, Engine, Alerter) {
    let config = store::Config { folder: root.join("data"), ..store::Config::default() };
    let store = Store::open(config, clock.clone()).await.unwrap();
    let engine = Engine::new(query::Config::default(), store.clone(), clock.clone()).unwrap();
    let off = OffTarget { url: format!("{address}/off"), secret_file: Some("hook.key".into()), secret_env: None };
    let public_url = "https://yellowline.example".to_owned();
    let config = Config { folder: root.join("metrics"), off_targets: vec![off], public_url, ..Config::default() };
    let alerter = Alerter::new(config, engine.clone(), store.clone(), clock, Arc::new(Drawn(store.clone()))).unwrap();
    (store, engine, alerter)
}

/// The definition of bookings, with more lines at its end.
pub(crate) fn metric(more: &str) -> String {
    format!(
        "[[metric]]\nname = \"bookings\"\ntitle = \"Bookings\"\nunit = \"bookings\"\ndataset = \"shop\"\n\
         environment = \"production\"\nfilter = \"route = '/pay' AND status = 200\"\nslices = [\"country\"]\n\
         zone = \"Europe/Amsterdam\"\nchannels = [\"hook\"]\nbudget_share = 0.005\nowner = \"checkout-team\"\n{more}\n"
    )
}

pub(crate) fn shop() -> DatasetName {
    DatasetName::from_user("shop").unwrap()
}

pub(crate) fn at(minute: i64, second: i64) -> Timestamp {
    Timestamp::from_minutes(minute).plus_seconds(second)
}
