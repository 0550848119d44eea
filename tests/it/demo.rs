//! `yellowline demo`, whole: from an empty folder to the page, the switch, and a clean end.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, sync_channel},
    time::{Duration, Instant},
};

use benches::client::Connection;
use serde_json::{Value, json};

use crate::server::{DEADLINE, yellowline};

/// Preparing, up to a minute of calm, two minutes to see the loss, a quarter of an hour until the incident is over, and room for a
/// loaded machine in the dev profile.
const PATIENCE: Duration = Duration::from_secs(1800);

/// The demo's process and its lines as they come.
struct Demo {
    child: Child,
    lines: Receiver<String>,
}

impl Demo {
    fn start(data: &std::path::Path) -> Self {
        let mut child = yellowline()
            .args(["demo", "--listen", "127.0.0.1:0", "--days", "0.1", "--calm-s", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = sync_channel(10_000);
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { child, lines }
    }

    /// The next line that holds a text.
    fn line_with(&self, text: &str) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(end.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|error| panic!("no line with {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Already ended when the test passed: both errors are expected then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn address_in(line: &str) -> SocketAddr {
    let rest = line.split("http://").nth(1).unwrap_or_default();
    let end = rest.find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}

fn get(server: SocketAddr, path: &str) -> Value {
    let answer = Connection::new(server, DEADLINE).get(path).unwrap();
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

fn rows(server: SocketAddr, sql: &str) -> Vec<Value> {
    let answer = Connection::new(server, DEADLINE).post_json("/api/v1/sql", &json!({ "sql": sql })).unwrap();
    assert_eq!(answer.status, 200, "{sql}: {}", answer.text());
    answer.json()["rows"].as_array().unwrap().clone()
}

#[test]
#[ignore = "takes about twenty minutes of real time: the incident has to be seen, and its end"]
fn the_demo_pages_for_experiment_13_and_recovers_when_it_is_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut demo = Demo::start(folder.path());
    let server = address_in(&demo.line_with("server listens on"));
    demo.line_with("forecast ready");
    demo.line_with("experiment 13 (one-step checkout)");
    assert_eq!(get(server, "/api/v1/alerts?state=all")["alerts"], json!([]), "nothing pages before the activation");
    demo.line_with("PAGE triggered");

    let alerts = get(server, "/api/v1/alerts?state=open");
    let alert = alerts["alerts"].as_array().unwrap().iter().find(|alert| alert["metric"] == "bookings").unwrap();
    let sentence = alert["sentence"].as_str().unwrap();
    assert!(sentence.contains("yellow activation line of experiment 13"), "{sentence}");
    let suspects = alert["suspects"].as_array().unwrap();
    assert_eq!(suspects[0]["change"]["experiment"], "13");
    assert_eq!(suspects[0]["wording"], "by concurrent control", "{}", suspects[0]);
    let ratio = suspects[0]["control"]["ratio"].as_f64().unwrap();
    assert!((0.1..0.6).contains(&ratio), "of variant B a third pays: {ratio}");
    assert!(suspects.iter().all(|suspect| suspect["change"]["environment"] == "production"), "{suspects:?}");
    let loss = alert["deficit_per_minute"].as_f64().unwrap() / alert["expected_per_minute"].as_f64().unwrap();
    assert!((0.35..0.75).contains(&loss), "a loss of {loss}");

    let sql = "SELECT \"experiments.13\" AS variant, count(*) FILTER (WHERE status >= 500) AS broken FROM shop.events \
               WHERE route = '/checkout/pay' AND environment = 'production' GROUP BY 1 ORDER BY 1";
    let variants = rows(server, sql);
    assert_eq!((&variants[0][0], &variants[0][1]), (&json!("A"), &json!(0)));
    assert!(variants[1][0] == "B" && variants[1][1].as_u64() > Some(20), "{variants:?}");

    // Turned off as the console does it, the damage ends, and the incident says so.
    let id = alert["id"].as_str().unwrap();
    let order = json!({"change": alert["off"]["change"], "confirm": alert["off"]["confirm"], "actor": "on-call"});
    let answer = Connection::new(server, DEADLINE).post_json(&format!("/api/v1/alerts/{id}/off"), &order).unwrap();
    assert_eq!((answer.status, &answer.json()["called"]), (200, &json!(true)), "{}", answer.text());
    demo.line_with("the flag system sets experiment 13 to 0 %");
    let line = get(server, &format!("/api/v1/changes/off-{}", alert["off"]["change"].as_str().unwrap()));
    assert_eq!((&line["experiment"], &line["share"], &line["actor"]), (&json!("13"), &json!(0.0), &json!("on-call")));
    let end = Instant::now() + PATIENCE;
    while get(server, &format!("/api/v1/alerts/{id}"))["off_outcome"].is_null() {
        assert!(Instant::now() < end, "no word on whether it recovered");
        std::thread::sleep(Duration::from_secs(1));
    }
    demo.line_with("PAGE resolved");
    let over = get(server, &format!("/api/v1/alerts/{id}"));
    assert_eq!((&over["state"], &over["off_outcome"]), (&json!("resolved"), &json!("recovered")));
    assert!(over["sentence"].as_str().unwrap().ends_with("recovered after off."), "{}", over["sentence"]);

    let id = demo.child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    demo.line_with("the data is kept");
    assert!(demo.child.wait().unwrap().success());
}
