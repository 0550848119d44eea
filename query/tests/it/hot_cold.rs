//! The same answers wherever the events are: in memory, in files, or in both, and in both halves of a self-join.

use crate::house::House;

const QUESTIONS: &[&str] = &[
    "SELECT count(*), sum(n), min(time), max(time), count(DISTINCT event_id) FROM events",
    "SELECT * FROM events ORDER BY n",
    "SELECT time_bucket('1 minute', time) AS m, count(*), avg(price) FROM events GROUP BY m ORDER BY m",
    "SELECT a.n, b.n FROM events a JOIN events b ON a.n = b.n - 1 WHERE a.price > 20 ORDER BY a.n",
    "SELECT n FROM events WHERE price >= 25 OR tag IS NULL ORDER BY n",
    "SELECT n FROM events ORDER BY time DESC LIMIT 7",
    "SELECT _day, count(*) FROM events GROUP BY _day ORDER BY _day",
    "SELECT level, text, n FROM messages ORDER BY n, text",
    "SELECT n, late FROM events WHERE late IS NOT NULL ORDER BY n",
    "SELECT n FROM events WHERE price IS NULL ORDER BY n",
    "SELECT seq, n FROM events WHERE seq BETWEEN 10 AND 12 ORDER BY seq",
];

/// Events over two days, with columns that come and go and change their type.
fn events() -> Vec<String> {
    let event = |n: usize| {
        let (day, minute, second) = (19 + n / 30, n % 20, n % 60);
        let price = match n % 4 {
            0 => format!(",\"price\":{n}"),
            1 => format!(",\"price\":{n}.25"),
            2 => ",\"price\":\"none\"".to_owned(),
            _ => String::new(),
        };
        let tag = if n.is_multiple_of(3) { format!(",\"tag\":\"t{n}\"") } else { String::new() };
        let late = if n > 40 { format!(",\"late\":{{\"key\":{n}}},\"late\":\"x{n}\"") } else { String::new() };
        let message = format!(r#","messages":[{{"level":"info","text":"m{n}"}}]"#);
        format!(
            r#"{{"time":"2026-11-{day}T13:{minute:02}:{second:02}Z","id":"e{n}","n":{n}{price}{tag}{late}{message}}}"#
        )
    };
    (0..60).map(event).collect()
}

async fn answers(house: &House) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for question in QUESTIONS {
        answers.push(house.rows(question).await.unwrap_or_else(|error| panic!("{question}: {error:?}")));
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_depend_on_where_events_are() {
    let events = events();
    let hot = House::new().await;
    hot.send("shop", &events).await;
    let expect = answers(&hot).await;
    hot.store.flush().await.unwrap();
    assert_eq!(answers(&hot).await, expect, "all in files");

    let mixed = House::new().await;
    for (at, part) in events.chunks(17).enumerate() {
        mixed.send("shop", part).await;
        if at % 2 == 0 {
            mixed.store.flush().await.unwrap();
        }
    }
    assert_eq!(answers(&mixed).await, expect, "some in files, some in memory");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_self_join_sees_one_snapshot_while_events_arrive_and_files_are_written() {
    let house = std::sync::Arc::new(House::new().await);
    house.send("shop", &[r#"{"n":0}"#]).await;
    let writer = tokio::spawn({
        let house = std::sync::Arc::clone(&house);
        async move {
            for n in 1..60 {
                house.send("shop", &[format!(r#"{{"n":{n}}}"#)]).await;
                if n % 15 == 0 {
                    house.store.flush().await.unwrap();
                }
            }
        }
    });
    let mut last = 0;
    loop {
        let row = house
            .row("SELECT count(*), count(a.n), count(b.n) FROM events a FULL JOIN events b ON a.seq = b.seq")
            .await;
        let counts: Vec<u64> = row.split(" | ").map(|count| count.parse().unwrap()).collect();
        assert!(counts[0] == counts[1] && counts[1] == counts[2] && counts[0] >= last, "{row} after {last}");
        last = counts[0];
        if writer.is_finished() && last == 60 {
            break;
        }
    }
    writer.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_beyond_a_files_columns_are_found_in_rest() {
    let house = House::new().await;
    let event = |n: usize| {
        let keys: Vec<String> = (0..300).map(|k| format!("\"k{}\":{}", k + n * 300, k + n)).collect();
        format!(r#"{{"id":"e{n}","common":{n},{}}}"#, keys.join(","))
    };
    let events: Vec<String> = (0..6).map(event).collect();
    house.send("wide", &events).await;
    let question = "SELECT common, k1501#int, k7, k1501 + 1 FROM events WHERE k1501 = 6 OR k7 > 5 ORDER BY common";
    let expect = vec!["0 | NULL | 7 | NULL".to_owned(), "5 | 6 | NULL | 7".to_owned()];
    assert_eq!(house.rows(question).await.unwrap(), expect, "hot");
    house.store.flush().await.unwrap();
    assert_eq!(house.rows(question).await.unwrap(), expect, "flushed");
    let wide = house.rows("SELECT * FROM events").await.unwrap();
    assert_eq!(wide.len(), 6);
    assert_eq!(house.row("SELECT count(k3), count(k1799) FROM events").await, "1 | 1");
}

/// Users of two arms with messages, probes and a planted fault, over two days; all times of SQL are multiples of a quarter, so that
/// sums are the same in any order.
fn story() -> Vec<String> {
    let event = |n: usize| {
        let (variant, day, minute, second) =
            (if n.is_multiple_of(3) { "A" } else { "B" }, 19 + n / 120, n / 6 % 60, n % 60);
        let country = ["nl", "de", "jp"][n % 7 % 3];
        let status = if country == "jp" && variant == "B" { 500 } else { 200 };
        let release = if day == 19 { "r1" } else { "r2" };
        let only =
            if variant == "B" { format!(r#",{{"level":"warn","text":"cache {n} cold"}}"#) } else { String::new() };
        let new = if day == 20 { r#",{"level":"info","text":"fell back"}"# } else { "" };
        let table = if variant == "B" { "cache" } else { "rates" };
        format!(
            r#"{{"time":"2026-11-{day}T13:{minute:02}:{second:02}Z","id":"e{n}","status":{status},"rollout":"{release}","country":"{country}","service":{{"name":"web"}},"user":{{"id":"u{}"}},"sample_rate":{},"duration_ms":{}.25,"experiments":{{"13":"{variant}"}},"messages":[{{"level":"info","text":"shown {n}"}}{only}{new}],"probes":[{{"section":"pay","experiment":"13","variant":"{variant}","count":{},"sql_ms":{}.5,"sql":"SELECT a FROM {table} WHERE id = {n}"}},{{"section":"list","experiment":"13","variant":"{variant}","count":1,"sql_ms":2.25,"sql":"SELECT b FROM list"}}]}}"#,
            n % 80,
            1 + n % 2,
            n % 40,
            1 + n % 3,
            4 + n % 5
        )
    };
    (0..240).map(event).collect()
}

/// The ramp their arms were dealt by.
fn ramp() -> serde_json::Value {
    serde_json::json!({"id":"c1","revision":1,"kind":"experiment","status":"succeeded","title":"13 at 66 %","time":"2026-11-18T00:00:00Z",
        "experiment":"13","variant":"B","share":0.6666})
}

/// One call of every table function and view, and joins of them with themselves and with events.
const ASKED: &[&str] = &[
    "SELECT * FROM messages_only_in('13', 'B', versus => 'A')",
    "SELECT * FROM new_messages('r2')",
    "SELECT * FROM compare_variants('13', 'sql_ms')",
    "SELECT * FROM compare_variants('13', 'duration_ms', method => 'fixed')",
    "SELECT * FROM compare_sections('13', 'sql_ms', by => 'statement')",
    "SELECT * FROM explain_diff('status >= 500', 'status < 500')",
    "SELECT * FROM srm_check('13')",
    "SELECT * FROM state_at('2026-11-20T14:00:00Z')",
    "SELECT * FROM state_diff('2026-11-17T00:00:00Z', '2026-11-20T14:00:00Z')",
    "SELECT * FROM minimum_detectable_effect('13', 'status = 200', effect => 0.1)",
    "SELECT * FROM message_templates",
    "SELECT * FROM exposures",
    "SELECT section, variant, sum(sql_ms), sum(count), min(\"event.event_id\") FROM probes GROUP BY section, variant",
    "SELECT experiments['13'], mann_whitney_u(duration_ms, country = 'jp'), weighted_sum(duration_ms), weighted_count() FROM events GROUP BY 1",
    "SELECT a.template, b.units FROM messages_only_in('13', 'B') AS a JOIN messages_only_in('13', 'B') AS b ON a.template_id = b.template_id",
    "SELECT x.predicate, e.event_id, e.status FROM (SELECT predicate, unnest(example_event_ids) AS id FROM explain_diff('status >= 500')) AS x \
     JOIN events AS e ON e.event_id = x.id",
    "SELECT count(*) FROM messages AS a JOIN messages AS b ON a.event_id = b.event_id AND a.template_id <> b.template_id",
];

/// Sorted, since only some have an order of their own.
async fn asked(house: &House) -> Vec<Vec<String>> {
    let mut answers = Vec::new();
    for sql in ASKED {
        let mut rows = house.rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error} {error:?}"));
        rows.sort();
        answers.push(rows);
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_have_one_answer_in_memory_in_files_and_in_merged_files() {
    let house = House::new().await;
    house.own("changes", &[ramp()]).await;
    let events = story();
    house.send("shop", &events).await;
    let expect = asked(&house).await;
    for (sql, rows) in ASKED.iter().zip(&expect) {
        assert!(!rows.is_empty(), "{sql}");
    }
    house.store.flush().await.unwrap();
    let check = |found: Vec<Vec<String>>, state: &str| {
        for ((sql, found), expect) in ASKED.iter().zip(found).zip(&expect) {
            assert_eq!(&found, expect, "{state}: {sql}");
        }
    };
    check(asked(&house).await, "flushed");

    let parts = House::new().await;
    parts.own("changes", &[ramp()]).await;
    // Late ones first, and the last in memory.
    for (at, part) in events.rchunks(11).enumerate() {
        parts.send("shop", part).await;
        if at < 20 {
            parts.store.flush().await.unwrap();
        }
    }
    let files =
        |house: &House| house.store.snapshot(&store::DatasetName::from_user("shop").unwrap()).unwrap().files.len();
    let before = files(&parts);
    check(asked(&parts).await, "in many files and in memory");
    parts.store.flush().await.unwrap();
    parts.store.compact().await.unwrap();
    assert!(files(&parts) < before, "{} of {before} files", files(&parts));
    check(asked(&parts).await, "merged");
}

/// Every function of the help is asked above: a new one has to be added.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_table_function_is_asked_hot_and_cold() {
    let house = House::new().await;
    let batches = query::routes(house.engine.clone());
    let help = crate::http::get(&batches, "/functions").await.json();
    for one in
        help["functions"].as_array().unwrap().iter().filter(|one| one["kind"] == "table" || one["kind"] == "view")
    {
        let name = one["name"].as_str().unwrap();
        assert!(ASKED.iter().any(|sql| sql.contains(name)), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_ten_thousand_keys_comes_back_as_sent() {
    let house = House::new().await;
    let event = |n: usize| {
        let keys: Vec<String> = (0..10_000).map(|k| format!("\"k{k}\":{}", k + n)).collect();
        format!(r#"{{"id":"e{n}",{}}}"#, keys.join(","))
    };
    let events: Vec<String> = (0..3).map(event).collect();
    house.send("wide", &events).await;
    let sent = |n: usize| serde_json::from_str::<serde_json::Value>(&events[n]).unwrap();
    let found = async |id: &str| house.engine.event("wide", id).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found("e1").await.unwrap()).unwrap(), sent(1), "hot");
    house.store.flush().await.unwrap();
    house.send("wide", &[r#"{"id":"small","k1":1}"#]).await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&found("e2").await.unwrap()).unwrap(), sent(2), "flushed");
    assert_eq!(found("small").await.unwrap(), r#"{"k1":1,"id":"small"}"#);
    assert_eq!(found("nobody").await.unwrap_err().code(), "event_not_found");
}
