//! `yellowline incident show` and `incident export` against a real server, as on-call uses them.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    time::Instant,
};

use serde_json::{Value, json};

use crate::server::{DEADLINE, Server, run, yellowline};

const RULE: &str = r#"
[[rule]]
name = "failed_payments"
title = "Failed payments"
unit = "failures"
dataset = "shop"
environment = "production"
kind = "static"
sql = "SELECT count(*) AS value FROM events WHERE status = 500 AND time >= $from AND time < $to"
above = 20
window_minutes = 10
owner = "payments-team"
runbook = "https://wiki.example/failed-payments"
"#;

/// An open incident of a plain rule: its events came before its definition, so it fires at its first look. `change` is made a minute
/// before them.
async fn incident(server: &Server, data: &Path, mut change: Value) -> Value {
    let now = server.rows("select now() - interval '3 minutes', now() - interval '4 minutes'").await[0].clone();
    change["time"] = now[1].clone();
    let (status, answer) = server.post("/changes", &change).await;
    assert_eq!(status, 201, "{answer}");
    let failed = json!({"time": now[0], "environment": "production", "route": "/pay", "status": 500});
    let (status, answer) = server.post("/events/shop", &json!(vec![failed; 40])).await;
    assert_eq!((status, &answer["accepted"]), (200, &json!(40)), "{answer}");
    std::fs::write(data.join("metrics/rules.toml"), RULE).unwrap();
    let end = Instant::now() + DEADLINE;
    loop {
        let (_, open) = server.get("/alerts?state=open").await;
        if let Some(alert) = open["alerts"].as_array().and_then(|alerts| alerts.first()) {
            return alert.clone();
        }
        assert!(Instant::now() < end, "no incident");
    }
}

#[tokio::test]
async fn an_incident_is_shown_and_exported_by_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("metrics")).unwrap();
    let quick = [("YELLOWLINE_ALERTER__REREAD_INTERVAL_S", "1")];
    let server = Server::start_with(&data, &["--listen", "127.0.0.1:0"], &quick);
    let deploy = json!({"kind": "deploy", "environment": "production", "service": "pay", "version": "2.1", "actor": "j.doe",
        "url": "https://ci.example/runs/7"});
    let alert = incident(&server, &data, deploy).await;
    let id = alert["id"].as_str().unwrap();
    let (status, answer) =
        server.post(&format!("/alerts/{id}/acknowledge"), &json!({"actor": "a.turing", "note": "looking"})).await;
    assert_eq!(status, 200, "{answer}");

    let server_flags = ["--server", &server.url];
    let (code, text, err) = run(yellowline().args(["incident", "show", id]).args(server_flags));
    assert_eq!(code, 0, "{err}");
    let has = |text: &str, parts: &[&str]| {
        for part in parts {
            assert!(text.contains(part), "{part:?} not in\n{text}");
        }
        assert!(!text.contains("+0.0") && !text.contains("000Z"), "noise in\n{text}");
    };
    let sentence = "Failed payments: 40 failures in 10 minutes, above 20.";
    has(
        &text,
        &[
            &format!("{id}  acknowledged\n{sentence}"),
            "%  deploy pay 2.1 (by j.doe; bits: timing +",
            "%  unknown cause",
            "  change        deploy pay 2.1 (deploy, by j.doe)\n",
            &format!("  alert         opened, nobody told: {sentence}"),
            "  alert         acknowledged by a.turing: looking\n",
            &format!("  console   {}/alerts/{id}\n", server.url),
            "  runbook   https://wiki.example/failed-payments\n",
        ],
    );

    let file = folder.path().join("case.md");
    let (code, said, err) =
        run(yellowline().args(["incident", "export", id, "--output"]).arg(&file).args(server_flags));
    assert_eq!(code, 0, "{err}");
    let picture = file.with_extension("png");
    assert_eq!(said, format!("wrote {} and {}\n", file.display(), picture.display()));
    assert!(std::fs::read(&picture).unwrap().starts_with(b"\x89PNG\r\n\x1a\n"));
    has(
        &std::fs::read_to_string(&file).unwrap(),
        &[
            "# Failed payments: 40 failures in 10 minutes, above 20\n",
            "](case.png)\n",
            "| Owner | payments-team |",
            "| deploy pay 2.1 (deploy, by j.doe) |",
            "| suspect | share | timing, bits | prior, bits |\n",
            "- Acknowledged by a.turing at ",
            "- [deploy pay 2.1](<https://ci.example/runs/7>)\n",
        ],
    );
    let (code, text, _) = run(yellowline().args(["incident", "export", id, "--format", "json"]).args(server_flags));
    assert_eq!((code, &serde_json::from_str::<Value>(&text).unwrap()["id"]), (0, &json!(id)));

    let (code, _, err) = run(yellowline().args(["incident", "show", "none"]).args(server_flags));
    assert_eq!((code, err.contains("there is no alert none")), (1, true), "{err}");
}

/// A flag system that says yes to one call.
fn flag_system() -> (String, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/13", listener.local_addr().unwrap());
    let one_call = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut call = Vec::new();
        while !call.ends_with(b"{\"share\":0}") {
            let mut part = [0; 4096];
            let length = stream.read(&mut part).unwrap();
            assert!(length > 0, "the call ended early");
            call.extend_from_slice(&part[..length]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").unwrap();
    });
    (url, one_call)
}

#[tokio::test]
async fn an_off_that_the_flag_system_reports_too_is_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("metrics")).unwrap();
    std::fs::write(data.join("metrics/flags.key"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let (url, one_call) = flag_system();
    let config = folder.path().join("y.toml");
    let off_target = format!("[[alerter.off_targets]]\nurl = \"{url}\"\nsecret_file = \"flags.key\"\n");
    std::fs::write(&config, format!("[alerter]\nreread_interval_s = 1\n{off_target}")).unwrap();
    let flags = ["--listen", "127.0.0.1:0", "--config", config.to_str().unwrap()];
    let server = Server::start_with(&data, &flags, &[]);
    let activation = json!({"experiment": "13", "variant": "B", "share": 0.5, "environment": "production",
        "off": {"url": url, "body": {"share": 0}}});
    let alert = incident(&server, &data, activation).await;
    let change = alert["suspects"][0]["change"]["id"].as_str().unwrap();
    let order = json!({"change": change, "confirm": alert["offers"][0]["confirm"], "actor": "a.turing"});
    let (status, answer) = server.post(&format!("/alerts/{}/off", alert["id"].as_str().unwrap()), &order).await;
    assert_eq!((status, &answer["called"]), (200, &json!(true)), "{answer}");
    one_call.join().unwrap();
    let offs = "select id, actor from system.changes where share = 0 and status <> 'merged'";
    assert_eq!(server.rows(offs).await, [json!([format!("off-{change}"), "a.turing"])]);

    let report = json!({"experiment": "13", "share": 0, "environment": "production", "actor": "flag-system"});
    let (status, reported) = server.post("/changes", &report).await;
    assert_eq!(status, 201, "{reported}");
    assert_eq!(server.rows(offs).await, [json!([reported["id"], "flag-system"])]);
    let (_, ours) = server.get(&format!("/changes/off-{change}")).await;
    assert_eq!((&ours["status"], &ours["merged_into"]), (&json!("merged"), &reported["id"]), "{ours}");
}
