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
