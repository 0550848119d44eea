//! The site's side against a small server of the test's own.

use std::{collections::BTreeMap, sync::Mutex};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    routing::post,
};
use clap::Parser;
use serde_json::{Value, json};

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// What the server got.
#[derive(Debug, Default)]
struct Taken {
    /// Bodies by Idempotency-Key; a key sent twice must carry the same body.
    bodies: BTreeMap<String, String>,
    imported: usize,
    refused: usize,
    changes: Vec<Value>,
}

type Shared = Arc<Mutex<Taken>>;

/// Refuses every other request once, as a busy server does.
async fn take_events(
    State(taken): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: String,
) -> (StatusCode, Json<Value>) {
    let mut taken = taken.lock().unwrap();
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    let is_new = taken.bodies.insert(key, body.clone()).inspect(|before| assert_eq!(*before, body)).is_none();
    if is_new && taken.bodies.len() % 2 == 1 {
        taken.refused += 1;
        return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({})));
    }
    taken.imported += usize::from(query.contains_key("import")) * body.lines().count();
    (StatusCode::OK, Json(json!({"accepted": body.lines().count(), "duplicates": 0, "rejected": []})))
}

async fn take_change(State(taken): State<Shared>, Json(change): Json<Value>) -> (StatusCode, Json<Value>) {
    taken.lock().unwrap().changes.push(change.clone());
    (StatusCode::CREATED, Json(change))
}

async fn server() -> (SocketAddr, Shared) {
    let taken = Shared::default();
    let routes = Router::new()
        .route("/api/v1/events/shop", post(take_events))
        .route("/api/v1/changes", post(take_change))
        .with_state(taken.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (address, taken)
}

fn stage(server: SocketAddr, days: &str) -> Arc<Stage> {
    let options = Line::parse_from(["demo", "--days", days]).options;
    let first_minute = machine::now() / MINUTE;
    let mut story = Story::past(1, first_minute * MINUTE - 24 * 60 * MINUTE, first_minute * MINUTE - 75 * MINUTE);
    story.busy_hour(first_minute * MINUTE);
    Arc::new(Stage {
        site: Site::new(1, Profile::Live),
        rates: Rates::with_rate_at(1, first_minute, 20.0),
        story: RwLock::new(story),
        screen: Screen::new(),
        folder: PathBuf::new(),
        server,
        pager: server,
        first_minute,
        stop: CancellationToken::new(),
        counts: traffic::Counts::default(),
        pages: pager::Pages::default(),
        options,
    })
}

async fn on_thread<T: Send + 'static>(stage: &Arc<Stage>, part: fn(&Stage) -> T) -> T {
    let stage = stage.clone();
    tokio::task::spawn_blocking(move || part(&stage)).await.unwrap()
}

fn bookings(taken: &Taken) -> usize {
    let lines = taken.bodies.values().flat_map(|body| body.lines());
    lines
        .filter(|line| line.contains(r#""booking":{"made":true"#) && line.contains(r#""environment":"production""#))
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn loaded_raw_events_hold_the_bookings_of_the_rate_model() {
    let (address, taken) = server().await;
    let stage = stage(address, "0.08");
    let (minutes, events) = on_thread(&stage, history::load_raw).await.unwrap();
    let taken = taken.lock().unwrap();
    assert_eq!(minutes, 120);
    assert_eq!(taken.imported as u64, events);
    assert!(taken.refused > 0);
    let expected: u32 =
        (stage.first_minute - minutes..stage.first_minute).map(|minute| stage.rates.at(minute).total()).sum();
    assert_eq!(bookings(&taken), expected as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_traffic_is_sent_again_when_refused_and_ends_when_told() {
    let (address, taken) = server().await;
    let stage = stage(address, "1");
    let live = on_thread(&stage, traffic::run);
    let watch = async {
        while taken.lock().unwrap().bodies.len() < 3 {
            tokio::task::yield_now().await;
        }
        stage.stop.cancel();
    };
    let (outcome, ()) = tokio::join!(live, watch);
    outcome.unwrap();
    let taken = taken.lock().unwrap();
    assert_eq!(stage.counts.retries.load(std::sync::atomic::Ordering::Relaxed), taken.refused as u64);
    assert!(taken.bodies.values().all(|body| body.ends_with('\n')));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_declared_once_and_not_before_its_time() {
    let (address, taken) = server().await;
    let stage = stage(address, "1");
    let now = machine::now();
    stage.change_story(|story| story.activate(now + 3_600 * SECOND, None));
    let declare = |stage: &Stage| {
        let mut declared = director::Declared::new(stage);
        [declared.declare_due(stage).unwrap().len(), declared.declare_due(stage).unwrap().len()]
    };
    let [first, second] = on_thread(&stage, declare).await;
    let taken = taken.lock().unwrap();
    assert!(first > 5 && second == 0);
    assert_eq!(taken.changes.len(), first);
    assert!(taken.changes.iter().all(|change| change["experiment"] != "13"));
}
