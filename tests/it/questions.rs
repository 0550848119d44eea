//! The questions engineers ask, each one statement over the events of the demo's site, posted over HTTP: the answer is the planted truth.

use benches::{
    machine,
    rates::Rates,
    site::{ONE_STEP_EXTRA_MS, Profile, Site, Traffic},
    story::{Environment, Service, Story},
};
use serde_json::{Value, json};

use crate::server::Server;

const MINUTE: i64 = 60_000_000;
const SEED: u64 = 13;
/// Minutes of traffic before and after the activation of experiment 13.
const BEFORE: i64 = 6;
const AFTER: i64 = 8;
/// Events in one request.
const BATCH: u32 = 4_000;

/// A server that holds the incident, and the release that shipped the code of experiment 13.
struct Shop {
    server: Server,
    release: String,
    activation: i64,
    _folder: tempfile::TempDir,
}

impl Shop {
    async fn open() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path());
        let activation = (machine::now() / MINUTE - 60) * MINUTE;
        let mut story = Story::past(SEED, activation - 1_440 * MINUTE, activation - 75 * MINUTE);
        story.busy_hour(activation);
        story.activate(activation, None);
        let (site, rates) = (Site::new(SEED, Profile::Live), Rates::with_rate_at(SEED, activation / MINUTE, 67.0));
        let release = story.release(Environment::Production, Service::Web, 7, activation).rollout.clone();
        let shop = Self { server, release, activation, _folder: folder };
        for change in story.changes() {
            let (status, answer) = shop.server.post("/changes", &serde_json::to_value(change).unwrap()).await;
            assert!(matches!(status, 200 | 201), "{answer}");
        }
        // A few minutes of the release before, then those around the activation.
        let minute = activation / MINUTE;
        for minutes in [minute - 40..minute - 37, minute - BEFORE..minute + AFTER] {
            let mut traffic = Traffic::between(&site, &rates, minutes.start, minutes.end);
            let mut body = Vec::new();
            while traffic.write_until(&story, i64::MAX, BATCH, &mut body).events > 0 {
                shop.post(std::mem::take(&mut body)).await;
            }
        }
        shop
    }

    async fn post(&self, body: Vec<u8>) {
        let request = self.server.http.post(self.server.path("/events/shop?import=true"));
        let request = request.header("content-type", "application/x-ndjson").body(body);
        let (status, answer) = crate::server::answer(request).await;
        assert_eq!((status, answer["rejected"].as_array().map(Vec::len)), (200, Some(0)), "{answer}");
    }

    /// Rows as objects.
    async fn ask(&self, sql: &str) -> Vec<Value> {
        let (status, answer) = self.server.post("/sql", &json!({"sql": sql, "timeout_ms": 600_000})).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        let names: Vec<String> = answer["columns"]
            .as_array()
            .unwrap()
            .iter()
            .map(|column| column["name"].as_str().unwrap().to_owned())
            .collect();
        let object = |row: &Value| names.iter().cloned().zip(row.as_array().unwrap().iter().cloned()).collect();
        answer["rows"].as_array().unwrap().iter().map(object).collect()
    }
}

fn texts<'a>(rows: &'a [Value], column: &str) -> Vec<&'a str> {
    rows.iter().filter_map(|row| row[column].as_str()).collect()
}

#[tokio::test]
async fn each_question_is_one_statement_and_finds_the_planted_truth() {
    let shop = Shop::open().await;
    let release = &shop.release;
    messages_of_one_variant(&shop, release).await;
    messages_of_a_release(&shop, release).await;
    cost_of_a_cache(&shop).await;
    latency_of_one_step(&shop, release).await;
    the_cut(&shop).await;
    the_arms_and_the_state(&shop).await;
    a_trace(&shop).await;
}

/// P16: all messages in variant B of a rollout that never appear in variant A.
async fn messages_of_one_variant(shop: &Shop, release: &str) {
    let sql = format!(
        "SELECT * FROM messages_only_in('13', 'B', versus => 'A', release => '{release}', filter => 'environment = ''production''') \
         WHERE verdict = 'only here' ORDER BY template"
    );
    let rows = shop.ask(&sql).await;
    assert_eq!(
        texts(&rows, "template"),
        ["checkout form shown in one step", "payment form not ready: {field} missing"]
    );
    for row in &rows {
        assert!(row["chance_of_luck"].as_f64().unwrap() < 1e-4, "{row}");
        let share = row["exposure_share"].as_f64().unwrap();
        assert!((0.3..0.9).contains(&share), "{row}");
        let id = row["example_event_ids"][0].as_str().unwrap();
        let (status, event) = shop.server.get(&format!("/events/shop/{id}")).await;
        assert_eq!((status, &event["experiments"]["13"]), (200, &json!("B")), "the raw event");
    }
}

/// P17: what messages appear since a rollout that did not appear before.
async fn messages_of_a_release(shop: &Shop, release: &str) {
    let sql = format!(
        "SELECT * FROM new_messages('{release}', filter => 'environment = ''production''') WHERE verdict = 'only here' ORDER BY template"
    );
    let rows = shop.ask(&sql).await;
    let found = texts(&rows, "template");
    assert!(found.contains(&"checkout form shown in one step"), "{found:?}");
    assert!(found.contains(&"payment form not ready: {field} missing"), "{found:?}");
    assert!(found.iter().all(|template| !template.contains("rooms for hotel")), "{found:?}");
    let broken = rows.iter().find(|row| row["template"].as_str().unwrap().contains("not ready")).unwrap();
    let first =
        chrono::DateTime::parse_from_rfc3339(broken["first_seen"].as_str().unwrap()).unwrap().timestamp_micros();
    assert!((shop.activation..shop.activation + 4 * MINUTE).contains(&first), "{broken}");
    assert!(broken["example_text"].as_str().unwrap().starts_with("payment form not ready: "), "{broken}");
}

/// P18 and P20: the two-level cache of experiment 21 runs 1.5 statements instead of 2.5 in 0.7 of the time: each takes 7/6 as long;
/// and the statements themselves, those of one side marked.
async fn cost_of_a_cache(shop: &Shop) {
    let rows =
        shop.ask("SELECT * FROM compare_variants('21', 'sql_ms', filter => 'environment = ''production''')").await;
    let number = |row: &Value, name: &str| row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"));
    let row = &rows[0];
    assert!(number(row, "ratio_low") < 7.0 / 6.0 && number(row, "ratio_high") > 7.0 / 6.0, "{row}");
    assert!((number(row, "ratio") - 7.0 / 6.0).abs() < 0.15, "{row}");
    let whole = number(row, "cost_effect") + number(row, "mix_effect");
    assert!((whole - number(row, "estimate")).abs() < 1e-6, "the parts are the whole: {row}");

    let rows = shop
        .ask("SELECT * FROM compare_sections('21', 'sql_ms', by => 'statement', filter => 'environment = ''production''') ORDER BY statement")
        .await;
    assert_eq!(texts(&rows, "presence"), ["only in B", "only in A"], "{rows:?}");
    assert!(rows[0]["statement"].as_str().unwrap().starts_with("SELECT payload FROM rate_cache WHERE hotel_id = <*>"));
    assert!(
        rows[1]["example_statement"]
            .as_str()
            .unwrap()
            .starts_with("SELECT room_type, plan, price, rooms FROM rates WHERE hotel_id = ")
    );
    let parts: f64 = rows.iter().map(|row| number(row, "cost_effect") + number(row, "mix_effect")).sum();
    assert!((parts - whole).abs() < 1e-6, "{parts} against {whole}");
}

/// P19: the latency that variant B of experiment 13 adds, since the release.
async fn latency_of_one_step(shop: &Shop, release: &str) {
    let sql = format!(
        "SELECT * FROM compare_variants('13', 'duration_ms', release => '{release}', \
         filter => 'route = ''/checkout'' AND environment = ''production'' AND time >= TIMESTAMP ''{}''')",
        chrono::DateTime::from_timestamp_micros(shop.activation).unwrap().to_rfc3339()
    );
    let rows = shop.ask(&sql).await;
    let number = |name: &str| rows[0][name].as_f64().unwrap_or_else(|| panic!("{name}: {rows:?}"));
    assert!(number("ci_low") < ONE_STEP_EXTRA_MS && number("ci_high") > ONE_STEP_EXTRA_MS, "{rows:?}");
    assert_eq!(rows[0]["verdict"], "higher", "{rows:?}");
}

/// P21: what is different about the failing ones, as SQL and as a request.
async fn the_cut(shop: &Shop) {
    let rows = shop.ask("SELECT * FROM explain_diff('status = 500', 'status < 500', except => ['booking.*'])").await;
    let first = &rows[0];
    let same = |row: &Value| {
        std::iter::once(row["predicate"].as_str().unwrap())
            .chain(row["equivalents"].as_array().unwrap().iter().filter_map(Value::as_str))
            .any(|cut| cut.contains("\"experiments.13\" = 'B'") && cut.contains("\"route\" = '/checkout/pay'"))
    };
    assert!(same(first), "{rows:?}");
    let id = first["example_event_ids"][0].as_str().unwrap();
    let (_, event) = shop.server.get(&format!("/events/shop/{id}")).await;
    assert_eq!((&event["status"], &event["experiments"]["13"]), (&json!(500), &json!("B")));

    let body = json!({"selection": "status = 500", "baseline": "status < 500", "except": ["booking.*"]});
    let (status, answer) = shop.server.post("/explain-diff", &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["rows"][0][0], first["predicate"]);

    let healthy = shop
        .ask("SELECT * FROM explain_diff('event_id LIKE ''%0''', on => ['country', 'os', 'route', 'experiments.*'])")
        .await;
    assert!(healthy.is_empty(), "{healthy:?}");
}

/// The declared share is the one the arms have; the release and the ramp are part of the state.
async fn the_arms_and_the_state(shop: &Shop) {
    let rows = shop.ask("SELECT variant, expected_share, verdict FROM srm_check('13', filter => 'environment = ''production''') ORDER BY variant").await;
    assert_eq!(texts(&rows, "verdict"), ["ok", "ok"], "{rows:?}");
    assert!((rows[1]["expected_share"].as_f64().unwrap() - 0.8).abs() < 1e-9, "{rows:?}");
    let instant = |micros: i64| chrono::DateTime::from_timestamp_micros(micros).unwrap().to_rfc3339();
    let sql = format!(
        "SELECT before, after FROM state_diff('{}', '{}', environment => 'production') WHERE kind = 'experiment' AND target = '13'",
        instant(shop.activation - MINUTE),
        instant(shop.activation + MINUTE)
    );
    let rows = shop.ask(&sql).await;
    assert_eq!(texts(&rows, "after"), ["B 80.0 %"], "{rows:?}");
}

/// A payment is one tree: the page, below it the payment service.
async fn a_trace(shop: &Shop) {
    let rows = shop.ask("SELECT trace_id FROM events WHERE service.name = 'payments' LIMIT 1").await;
    let id = rows[0]["trace_id"].as_str().unwrap();
    let (status, trace) = shop.server.get(&format!("/traces/{id}")).await;
    assert_eq!((status, trace["events"].as_array().map(Vec::len)), (200, Some(2)), "{trace}");
    let event = |at: usize| (trace["events"][at]["service"].as_str().unwrap(), trace["events"][at]["depth"].as_u64());
    assert_eq!([event(0), event(1)], [("web", Some(0)), ("payments", Some(1))], "{trace}");
    assert_eq!(shop.server.get("/traces/none").await.0, 404);
}
