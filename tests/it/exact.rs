//! Every event comes back as it was sent, over HTTP, at each stage of its life: acknowledged, replayed, in files, merged
//! with other files, restarted.
//!
//! `YELLOWLINE_EXACT_SEED` (1) generates others; `YELLOWLINE_EXACT_EVENTS` (30) sets how many are generated.

use std::{collections::BTreeMap, net::SocketAddr, path::Path};

use benches::{client::Connection, hostile::Generator};
use serde_json::{Value, json, value::RawValue};

use crate::server::{DEADLINE, Server};

/// What happens to the data before everything is compared again.
type Stage = fn(Server, &Path) -> Server;

/// Append a stage here, and every event goes through it.
const STAGES: [(&str, Stage); 5] = [
    ("acknowledged", |server, _| server),
    ("replayed after a kill", |server, folder| {
        server.kill();
        Server::start(folder)
    }),
    ("in files, after a clean stop", |server, folder| {
        server.stop();
        Server::start(folder)
    }),
    ("in merged files", |server, folder| {
        server.stop();
        let merging = Server::start_with(folder, &["--listen", "127.0.0.1:0"], &MERGING);
        until_merged(&merging);
        merging
    }),
    ("in merged files, after a kill", |server, folder| {
        server.kill();
        Server::start(folder)
    }),
];

/// Settings under which two files of a day are merged at once.
const MERGING: [(&str, &str); 2] =
    [("YELLOWLINE_STORE__COMPACT_INTERVAL_S", "1"), ("YELLOWLINE_STORE__COMPACT_FILES_MIN", "2")];

/// Waits until the files of every dataset were merged.
fn until_merged(server: &Server) {
    let datasets = ORDERS.len() as u64 + 1;
    let mut connection = connect(server);
    let started = std::time::Instant::now();
    let merged = |text: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix("yellowline_store_compactions_total "));
        value.and_then(|value| value.parse::<f64>().ok()).is_some_and(|merges| merges >= datasets as f64)
    };
    while !merged(&connection.get("/metrics").unwrap().text()) {
        assert!(started.elapsed() < 5 * DEADLINE, "the files were not merged");
        std::thread::yield_now();
    }
}

/// Orders in which the same three values arrive under one key, each in a dataset of its own.
const ORDERS: [(&str, [&str; 4]); 6] = [
    ("int_float_text", ["10", "10.5", "\"text\"", "true"]),
    ("int_text_float", ["10", "\"text\"", "10.5", "true"]),
    ("float_int_text", ["10.5", "10", "true", "\"text\""]),
    ("float_text_int", ["10.5", "\"text\"", "true", "10"]),
    ("text_int_float", ["\"text\"", "10", "10.5", "true"]),
    ("bool_float_int", ["true", "10.5", "10", "\"text\""]),
];

/// The traps a generator would rarely make.
fn traps() -> Vec<String> {
    let nested = |depth: usize| format!("{}1{}", "{\"d\":".repeat(depth), "}".repeat(depth));
    let mut traps: Vec<String> = [
        r#"{"n":9223372036854775807,"m":-9223372036854775808}"#,
        r#"{"n":9223372036854775808,"m":18446744073709551615,"o":123456789012345678901234567890,"p":1e400}"#,
        r#"{"n":9007199254740993,"f":0.1,"g":5e-324,"h":1.7976931348623157e308,"z":-0.0}"#,
        r#"{"text":"größe 😀 \u0000 \ud83d\ude00 \"\\\/\b\f\n\r\t","":"empty key"}"#,
        r#"{"empty":"","list":[],"object":{},"none":null,"lists":[[],{}],"deep":{"list":[],"none":null}}"#,
        r#"{"tags":["a","","é",null],"sizes":[1,2,null],"shares":[0.5,1.0],"flags":[true,false],"mixed":[1,"a",null,{"b":[2.5]}]}"#,
        r##"{"Price":1,"price":2,"PRICE":3,"price#num":4,"price#text":"5","price~2":6,"a%b":7,"a b":8,"x,y;{}()=":9}"##,
        r#"{"a":{"b":1,"c":{"d":2}},"a.b":3,"a.c.d":4,"a.":5,".a":6,".":7}"#,
        r#"{"seq":1,"_source":"s","rest":{"r":1},"received_at":"x","event_id":"e","_day":1,"_incarnation":2,"time_error":3,"user:seq":4}"#,
        r#"{"messages":[{"level":"error","text":"a","args":[1]},{"level":"info"}],"probes":[{"section":"s","sql_ms":1.5}],"experiments":{"13":"A","a.b":"B"}}"#,
    ]
    .map(str::to_owned)
    .to_vec();
    traps.push(format!("{{\"sql\":\"{}\"}}", "SELECT ä, ".repeat(95_000)));
    traps.extend([30, 60].map(|depth| format!("{{\"deep\":{}}}", nested(depth))));
    traps
}

/// An event of the generator that has no `id` of its own.
fn generated(generator: &mut Generator) -> String {
    loop {
        let event = generator.event();
        if !members(&event).is_some_and(|members| members.contains_key("id")) {
            return event;
        }
    }
}

fn members(event: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(event).ok()
}

struct Sent {
    dataset: &'static str,
    id: String,
    text: String,
}

impl Sent {
    fn new(dataset: &'static str, number: usize, event: &str) -> Self {
        let id = format!("event-{number}");
        let inside = event.trim_start().strip_prefix('{').unwrap();
        let comma = if inside.trim_start().starts_with('}') { "" } else { "," };
        Self { dataset, text: format!("{{\"id\":\"{id}\"{comma}{inside}"), id }
    }
}

fn everything(seed: u64, count: u64) -> Vec<Sent> {
    let mut generator = Generator::new(seed);
    let mut events: Vec<(&'static str, String)> = traps().into_iter().map(|event| ("shop", event)).collect();
    events.extend((0..count).map(|_| ("shop", generated(&mut generator))));
    let keys: Vec<String> = (0..10_000).map(|n| format!("\"key_{n}\":{n}")).collect();
    events.push(("wide", format!("{{{}}}", keys.join(","))));
    for (dataset, values) in ORDERS {
        events.extend(values.map(|value| (dataset, format!("{{\"x\":{value}}}"))));
    }
    events.iter().enumerate().map(|(number, (dataset, event))| Sent::new(dataset, number, event)).collect()
}

/// Equal as promised: null members are absent, the order of keys and the spelling of numbers are free, the rest is exact.
fn same(sent: &str, given: &str) -> bool {
    let (sent, given) = (sent.trim(), given.trim());
    match (sent.as_bytes().first(), given.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => match (members(sent), members(given)) {
            (Some(mut sent), Some(mut given)) => {
                sent.retain(|_, value| value.get() != "null");
                given.retain(|_, value| value.get() != "null");
                let pairs = sent.iter().zip(&given);
                sent.len() == given.len() && { pairs }
                    .all(|(sent, given)| sent.0 == given.0 && same(sent.1.get(), given.1.get()))
            }
            // Keys with half of a surrogate pair: serde_json does not take them.
            _ => sent == given,
        },
        (Some(b'['), Some(b'[')) => {
            let parse = |text| serde_json::from_str::<Vec<Box<RawValue>>>(text).unwrap();
            let (sent, given) = (parse(sent), parse(given));
            sent.len() == given.len() && sent.iter().zip(&given).all(|(sent, given)| same(sent.get(), given.get()))
        }
        (Some(b'"'), Some(b'"')) => match (serde_json::from_str::<String>(sent), serde_json::from_str::<String>(given))
        {
            (Ok(sent), Ok(given)) => sent == given,
            _ => sent == given,
        },
        (Some(b'-' | b'0'..=b'9'), Some(b'-' | b'0'..=b'9')) => same_number(sent, given),
        _ => sent == given,
    }
}

/// Integers by their value, which in a list with fractions comes back as a double (`1.0`); others by the double, which must be one.
fn same_number(sent: &str, given: &str) -> bool {
    let is_integer = !sent.contains(['.', 'e', 'E']);
    let double = |text: &str| text.parse::<f64>().unwrap();
    let is_exact = !is_integer || double(sent).abs() <= EXACT_INTEGER_MAX;
    sent == given || is_exact && double(sent).is_finite() && double(sent) == double(given)
}

/// Up to 2^53 every integer is a double of its own.
const EXACT_INTEGER_MAX: f64 = 9_007_199_254_740_992.0;

#[expect(clippy::disallowed_methods, reason = "the settings of a test run, not of the server")]
fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().unwrap())
}

fn connect(server: &Server) -> Connection {
    let address: SocketAddr = server.url.strip_prefix("http://").unwrap().parse().unwrap();
    Connection::new(address, DEADLINE)
}

/// One at a time and in batches.
fn send<'a>(server: &Server, sent: impl Iterator<Item = &'a Sent>) {
    let sent: Vec<&Sent> = sent.collect();
    let mut connection = connect(server);
    let headers = [("content-type", "application/json")];
    for (number, batch) in
        sent.chunk_by(|left, right| left.dataset == right.dataset).flat_map(|one| one.chunks(7)).enumerate()
    {
        let texts: Vec<&str> = batch.iter().map(|event| event.text.as_str()).collect();
        let bodies = if number % 2 == 0 {
            vec![format!("[{}]", texts.join(","))]
        } else {
            texts.iter().map(ToString::to_string).collect()
        };
        let path = format!("/api/v1/events/{}", batch[0].dataset);
        let answers = bodies.iter().map(|body| connection.send("POST", &path, &headers, body.as_bytes()).unwrap());
        let accepted: u64 = answers
            .map(|answer| answer.json()["accepted"].as_u64().unwrap_or_else(|| panic!("{}", answer.text())))
            .sum();
        assert_eq!(accepted, batch.len() as u64, "{texts:?}");
    }
}

fn compare(server: &Server, sent: &[Sent], stage: &str, seed: u64) {
    let mut connection = connect(server);
    for Sent { dataset, id, text } in sent {
        let answer = connection.get(&format!("/api/v1/events/{dataset}/{id}")).unwrap();
        let given = answer.text();
        assert!(answer.status == 200 && same(text, &given), "{stage}, seed {seed}\n sent: {text}\ngiven: {given}");
    }
    for (dataset, values) in ORDERS {
        let class_is_number = values[0].starts_with('1');
        let plain = if class_is_number { "sum(x)" } else { "20.5" };
        let sql = format!("SELECT sum(\"x#num\"), {plain}, count(*), count(\"x#text\") FROM {dataset}.events");
        let answer = connection.post_json("/api/v1/sql", &json!({ "sql": sql })).unwrap();
        let row: &Value = &answer.json()["rows"][0];
        assert_eq!(row, &json!([20.5, 20.5, 4, 4]), "{stage}, {dataset}: {}", answer.text());
    }
}

#[test]
fn hostile_events_come_back_as_sent_at_each_stage_of_their_life() {
    let seed = setting("YELLOWLINE_EXACT_SEED", 1);
    println!("replay with YELLOWLINE_EXACT_SEED={seed}");
    let folder = tempfile::tempdir().unwrap();
    let sent = everything(seed, setting("YELLOWLINE_EXACT_EVENTS", 30));
    let mut server = Server::start(folder.path());
    // In two files of a day each, so that there is something to merge.
    let (first, second): (Vec<_>, Vec<_>) = sent.iter().enumerate().partition(|(number, _)| number % 2 == 0);
    send(&server, first.into_iter().map(|(_, sent)| sent));
    server.stop();
    server = Server::start(folder.path());
    send(&server, second.into_iter().map(|(_, sent)| sent));
    for (name, stage) in STAGES {
        server = stage(server, folder.path());
        compare(&server, &sent, name, seed);
    }
    server.stop();
}
