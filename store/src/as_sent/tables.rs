//! Known traps, each with the columns it must give.

use std::sync::Arc;

use super::{Dataset, NOW, row_of};
use crate::{
    Timestamp,
    decode::{DecodeOptions, Limits, decode},
    schema::{Class, Kind},
};

/// Stores events one after another; the columns of the last one, and whether it needed `_source`.
fn check(events: &[&str], columns: &[&str], needs_source: bool) {
    let mut dataset = Dataset::new();
    for event in events {
        dataset.store(&[event]);
    }
    assert_eq!(dataset.last_row(), columns, "{events:?}");
    let frozen = dataset.memtable.freeze();
    let source = frozen[0].batch.column_by_name("_source").unwrap().clone();
    assert_eq!(arrow::array::Array::is_valid(&source, events.len() - 1), needs_source, "{events:?}");
    dataset.check();
}

#[test]
fn objects_become_dotted_columns() {
    check(
        &[r#"{"cart":{"price":10,"items":{"n":2}},"ok":true}"#],
        &["cart.price: 10", "cart.items.n: 2", "ok: true"],
        false,
    );
    check(&[r#"{"service.name":"web"}"#], &[r#"service.name: "web""#], false);
    check(
        &[r#"{"experiments":{"13":"B","checkout.new":true,"9":2}}"#],
        &[r#"experiments.13: "B""#, "experiments.checkout.new: true", "experiments.9: 2"],
        false,
    );
    check(&[r#"{"a":null,"b":{"c":1,"d":null}}"#], &["b.c: 1"], false);
    check(&["{}"], &[], false);
}

#[test]
fn types_get_siblings_in_order_of_occurrence() {
    check(&[r#"{"x":10}"#, r#"{"x":10.5}"#], &["x#float: 10.5"], false);
    check(&[r#"{"x":10.5}"#, r#"{"x":10}"#], &["x#int: 10"], false);
    check(&[r#"{"x":"text"}"#, r#"{"x":10}"#, r#"{"x":10.5}"#], &["x#float: 10.5"], false);
    check(&[r#"{"x":10}"#, r#"{"x":true}"#, r#"{"x":"text"}"#], &[r#"x#text: "text""#], false);
    check(&[r#"{"x":[1]}"#, r#"{"x":1}"#], &["x#int: 1"], false);
    check(&[r#"{"x":1}"#, r#"{"x":[{"y":1}]}"#], &[r#"x#json: [{"y":1}]"#], false);
    check(&[r#"{"x":1}"#, r#"{"x":{"y":1}}"#], &["x.y: 1"], false);
}

#[test]
fn the_first_value_fixes_the_class() {
    let mut dataset = Dataset::new();
    dataset.store(&[r#"{"x":null}"#, r#"{"x":[]}"#, r#"{"x":10}"#, r#"{"x":"text"}"#, r#"{"x":10.5}"#]);
    dataset.memtable.freeze();
    let schema = dataset.catalog.schema();
    let column = schema.column("x").unwrap();
    let kinds: Vec<(Kind, u64)> = column.variants.iter().map(|variant| (variant.kind, variant.values)).collect();
    assert_eq!(column.class, Class::Number);
    assert_eq!(kinds, [(Kind::Int, 1), (Kind::Text, 1), (Kind::Float, 1)]);
}

#[test]
fn arrays_of_scalars_become_lists() {
    check(&[r#"{"x":[1,null,3]}"#], &["x: [1,null,3]"], false);
    check(&[r#"{"x":[1,2.5]}"#], &["x: [1.0,2.5]"], false);
    check(&[r#"{"x":["a","b"]}"#], &[r#"x: ["a","b"]"#], false);
    check(&[r#"{"x":[true,null]}"#], &["x: [true,null]"], false);
    check(&[r#"{"x":[9007199254740993,0.5]}"#], &["x: [9007199254740992.0,0.5]"], true);
    check(&[r#"{"x":["a"]}"#, r#"{"x":[ ]}"#], &["x: []"], false);
    check(&[r#"{"x":1}"#, r#"{"x":["a"]}"#, r#"{"x":[1]}"#, r#"{"x":[]}"#], &["x#texts: []"], false);
}

/// Stores events one after another; `rest` of the last one.
fn check_rest(events: &[&str], rest: &str, needs_source: bool) {
    check(events, &[], needs_source);
    let mut dataset = Dataset::new();
    for event in events {
        dataset.store(&[event]);
    }
    let frozen = dataset.memtable.freeze();
    let column = arrow::array::AsArray::as_string::<i32>(frozen[0].batch.column_by_name("rest").unwrap()).clone();
    assert_eq!(column.iter().last().unwrap().unwrap_or_default(), rest, "{events:?}");
}

#[test]
fn values_without_a_type_go_to_rest_where_their_name_tells_the_nesting() {
    check_rest(&[r#"{"x":[],"y":{}}"#], r#"{"x":[],"y":{}}"#, false);
    check_rest(&[r#"{"x":[null],"y":{"a":null}}"#], r#"{"x":[null],"y":{"a":null}}"#, false);
    check_rest(&[r#"{"messages":[]}"#], r#"{"messages":[]}"#, false);
    check_rest(&[r#"{"messages":[{},{"x":null}]}"#], r#"{"messages":[{},{"x":null}]}"#, false);
    check_rest(&[r#"{"a":{"b":1}}"#, r#"{"a":{"b":[]}}"#], r#"{"a.b":[]}"#, false);
    check_rest(&[r#"{"a.b":1}"#, r#"{"a":{"b":[]}}"#], "", true);
    check_rest(&[r#"{"a.b":[1]}"#, r#"{"a":{"b":[]}}"#], "", true);
    check_rest(&[r#"{"a":{"b":{}}}"#], "", true);
    check_rest(&[r#"{"a.b":{}}"#], "", true);
    check_rest(&[r#"{"rest":{}}"#], "", true);
    check_rest(&[r#"{"rest":1}"#, r#"{"rest":{}}"#], r#"{"user:rest":{}}"#, false);
    check_rest(&[r#"{"id":{}}"#], "", true);
}

#[test]
fn ids_used_as_keys_stop_making_columns() {
    let mut dataset = Dataset::new();
    for user in 0..6_000 {
        dataset.store(&[&format!(r#"{{"users":{{"u{user}":{{"visits":{user}}},"all":{{"n":1}}}},"ok":1}}"#)]);
    }
    let schema = dataset.catalog.schema();
    assert!(schema.columns.len() < 210, "{}", schema.columns.len());
    assert_eq!(schema.collapsed().collect::<Vec<_>>(), ["users"]);
    assert_eq!(dataset.last_row(), ["ok: 1"]);
}

#[test]
fn keys_below_a_collapsed_prefix_come_back_as_sent() {
    let mut dataset = Dataset::new();
    for cart in 0..210 {
        dataset.store(&[&format!(r#"{{"cart":{{"c{cart}":{{"price":{cart}.5}}}}}}"#)]);
    }
    assert!(dataset.catalog.schema().is_below_collapsed("cart.c1.never_seen"));
    dataset.store(&[
        r#"{"cart":{"new":{"price":1.25,"n":7,"name":"a\u00e9\"","list":[1,null,3],"texts":["x"],"mixed":[1,"a"],"yes":true}}}"#,
        r#"{"cart":{"c1":{"price":2.5,"fresh":1},"d.o.t":1,"none":null,"empty":{},"bare":[]}}"#,
        r#"{"cart.flat":1,"cart":{"flat":2}}"#,
        r#"{"cart":{"new":"another type"},"beside":{"x":1}}"#,
    ]);
    assert_eq!(dataset.last_row(), ["beside.x: 1"]);
}

#[test]
fn other_arrays_are_json_text() {
    check(&[r#"{"x":[1,"a"]}"#], &[r#"x: [1,"a"]"#], false);
    check(&[r#"{"x":[{"a":[1, 2]},{}]}"#], &[r#"x: [{"a":[1, 2]},{}]"#], false);
    check(&[r#"{"x":[[1],[2]]}"#], &["x: [[1],[2]]"], false);
    check(&[r#"{"messages":["a",{"text":"b"}]}"#], &[r#"messages: ["a",{"text":"b"}]"#], false);
}

#[test]
fn messages_become_parallel_lists() {
    check(
        &[r#"{"messages":[{"level":"info","text":"a","time_ms":1},{"text":"b"},{"time_ms":2.5}]}"#],
        &[
            r#"messages.level: ["info",null,null]"#,
            r#"messages.text: ["a","b",null]"#,
            "messages.time_ms: [1.0,null,2.5]",
        ],
        false,
    );
    check(&[r#"{"probes":[{"sql":{"ms":1}},{},{"sql":{"ms":2}}]}"#], &["probes.sql.ms: [1,null,2]"], false);
    check(&[r#"{"messages":[{"x":1},{"x":"a"},{"x":true}]}"#], &[r#"messages.x: ["1","a","true"]"#], true);
    check(&[r#"{"messages":[{"x":[1]},{"x":"[1]"}]}"#], &[r#"messages.x: ["[1]","[1]"]"#], true);
    check(&[r#"{"messages":[{"x":{}}]}"#], &[], true);
    check(&[r#"{"messages":{"text":"a"}}"#], &[r#"messages.text: "a""#], false);
    check(&[r#"{"messages":{"text":["a"]}}"#], &[r#"messages.text: ["a"]"#], true);
    check(&[r#"{"messages":[{"x":1,"x":2}]}"#], &["messages.x: [2]"], true);
    check(&[r#"{"deep":{"messages":[{"x":1}]}}"#], &[r#"deep.messages: [{"x":1}]"#], false);
}

#[test]
fn what_columns_cannot_tell_stays_in_source() {
    check(&[r#"{"a":{"b":{}}}"#], &[], true);
    check(&[r#"{"a":1,"a":2}"#], &["a: 2"], true);
    check(&[r#"{"a":{"b":1,"c":1},"a":{"b":2}}"#], &["a.b: 2"], true);
    check(&[r#"{"a":1,"a":null}"#], &[], true);
    check(&[r#"{"a":{"b":1},"a.b":2}"#], &["a.b: 1"], true);
    check(&[r#"{"a.b":2,"a":{"b":"x"}}"#], &["a.b: 2"], true);
    check(&[r#"{"a":{"b":1}}"#, r#"{"a.b":2}"#], &["a.b: 2"], true);
    check(&[r#"{"a":{"b":1}}"#, r#"{"a.b":"x","a":{"b":3}}"#], &["a.b: 3"], true);
    check(&[r#"{"x":"\ud800"}"#], &["x: \"\u{fffd}\""], true);
    check(&[r#"{"\udc00":1}"#], &["\u{fffd}: 1"], true);
}

#[test]
fn numbers_keep_their_digits() {
    check(
        &[r#"{"x":9223372036854775807,"y":-9223372036854775808}"#],
        &["x: 9223372036854775807", "y: -9223372036854775808"],
        false,
    );
    check(&[r#"{"x":9223372036854775808}"#], &["x: 9.223372036854776e18"], true);
    check(&[r#"{"x":0.1000000000000000055}"#], &["x: 0.1"], true);
    check(&[r#"{"x":0.10000000000000001}"#], &["x: 0.1"], false);
    check(&[r#"{"x":1e999}"#], &[], true);
    check(&[r#"{"x":-0}"#], &["x: -0.0"], false);
}

#[test]
fn keys_that_feed_or_pose_as_system_columns_come_back() {
    check(
        &[r#"{"seq":1,"rest":"r","_source":2,"user:seq":3}"#],
        &["user:seq: 1", r#"user:rest: "r""#, "user:_source: 2"],
        true,
    );
    check(&[r#"{"Time":1,"SEQ":2}"#], &["Time~2: 1", "SEQ~2: 2"], false);
    check(&[r#"{"rest":{"a":1},"id":{"x":1}}"#], &["rest.a: 1", "id.x: 1"], false);
    check(
        &[r#"{"price#int":1,"price~2":2,"":3,"a b":4}"#],
        &["price%23int: 1", "price%7E2: 2", "%empty: 3", "a%20b: 4"],
        false,
    );
    check(
        &[r#"{"price":1,"Price":2,"price~2":3,"PRICE":4.5}"#],
        &["price: 1", "Price~2: 2", "price%7E2: 3", "PRICE~3: 4.5"],
        false,
    );
}

#[test]
fn ids_are_event_ids() {
    check(&[r#"{"id":"order-17"}"#], &[], false);
    check(&[r#"{"id":17}"#], &["user:id: 17"], false);
    check(&[r#"{"id":""}"#], &[r#"user:id: """#], false);
    check(&[r#"{"id":true}"#], &["user:id: true"], false);
    check(&[r#"{"id":18446744073709551615}"#], &["user:id: 1.8446744073709552e19"], true);
    // a ULID of another maker, and one of our own that comes back as an id
    check(&[r#"{"id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#], &[], false);
    let mut dataset = Dataset::new();
    dataset.store(&["{}"]);
    let own = event_ids(&mut dataset)[0].clone();
    dataset.store(&[&format!(r#"{{"id":"{own}"}}"#), r#"{"id":17}"#, r#"{"id":"order-17"}"#]);
    assert_eq!(event_ids(&mut dataset), [own.as_str(), own.as_str(), "17", "order-17"]);
    dataset.check();
}

fn event_ids(dataset: &mut Dataset) -> Vec<String> {
    let mut ids = Vec::new();
    for hot in dataset.memtable.freeze() {
        let column = arrow::array::AsArray::as_string::<i32>(hot.batch.column_by_name("event_id").unwrap()).clone();
        ids.extend(column.iter().map(|id| id.unwrap().to_owned()));
    }
    ids
}

/// Stores one event; its time and its `time_error`.
fn check_time(event: &str, import: bool, time: Timestamp, error: Option<&str>) {
    let mut dataset = Dataset::new();
    let options = DecodeOptions { import, ..DecodeOptions::default() };
    let rows = decode(&dataset.catalog, &[event.as_bytes()], NOW, &options);
    assert_eq!(rows.rejects(), []);
    dataset.insert(&rows);
    assert_eq!(rows.row(0).time, time, "{event}");
    assert_eq!(rows.row(0).time_error.as_deref(), error, "{event}");
    assert_eq!(rows.row(0).needs_source, error.is_some(), "{event}");
    dataset.check();
}

#[test]
fn times_are_taken_or_the_reason_is_told() {
    let minute_ago = Timestamp(NOW.0 - 60_000_000);
    let not_a_time = Some("neither RFC 3339 nor a number since 1970");
    check_time("{}", false, NOW, None);
    check_time(r#"{"time":null}"#, false, NOW, None);
    check_time(r#"{"time":"2026-11-20T14:09:00Z"}"#, false, minute_ago, None);
    check_time(r#"{"time":"2026-11-20T16:09:00.000+02:00"}"#, false, minute_ago, None);
    check_time(r#"{"time":1795183740}"#, false, minute_ago, None);
    check_time(r#"{"time":1795183740000}"#, false, minute_ago, None);
    check_time(r#"{"time":1795183740000000}"#, false, minute_ago, None);
    check_time(r#"{"time":1795183740000000999}"#, false, minute_ago, None);
    check_time(r#"{"time":"2026-11-20T14:10:00Z"}"#, false, NOW, None);
    check_time(r#"{"time":"yesterday"}"#, false, NOW, not_a_time);
    check_time(r#"{"time":[1]}"#, false, NOW, not_a_time);
    check_time(r#"{"time":{"a":1}}"#, false, NOW, not_a_time);
    check_time(r#"{"time":1e300}"#, false, NOW, not_a_time);
    check_time(r#"{"time":"2020-01-01T00:00:00Z"}"#, false, NOW, Some("more than 400 days before received_at"));
    check_time(r#"{"time":"2026-11-22T00:00:00Z"}"#, false, NOW, Some("more than 1 days after received_at"));
    check_time(r#"{"time":"2026-11-22T00:00:00Z"}"#, true, NOW, Some("more than 1 days after received_at"));
    check_time(r#"{"time":"2020-01-01T00:00:00Z"}"#, true, Timestamp(1_577_836_800_000_000), None);
    check_time(r#"{"time":-62135596801}"#, true, NOW, Some("before the year 1"));
}

#[test]
fn times_in_another_spelling_are_kept_beside() {
    let usual = r#"{"time":"2026-11-20T14:09:00.123Z"}"#;
    check(&[usual, r#"{"time":"2026-11-20T14:09:01.000Z"}"#], &[], false);
    check(&[usual, r#"{"time":"2026-11-20T14:09:01Z"}"#], &[r#"user:time: "2026-11-20T14:09:01Z""#], false);
    check(&[usual, r#"{"time":1795183740}"#], &["user:time: 1795183740"], false);
    check(&[usual, r#"{"time":"2026-11-20T14:10:00.000Z"}"#], &[r#"user:time: "2026-11-20T14:10:00.000Z""#], false);
}

fn check_refused(event: &[u8], limits: Limits, code: &str, message: &str) {
    let dataset = Dataset::new();
    let options = DecodeOptions { limits, ..DecodeOptions::default() };
    let rows = decode(&dataset.catalog, &[br#"{"ok":1}"#, event, br#"{"ok":2}"#], NOW, &options);
    let rejects: Vec<_> =
        rows.rejects().iter().map(|reject| (reject.index, reject.code, reject.message.as_str())).collect();
    assert_eq!(rejects, [(1, code, message)], "{}", String::from_utf8_lossy(event));
    assert_eq!(rows.len(), 2);
    assert_eq!((rows.raw(0), rows.raw(1)), (br#"{"ok":1}"#.as_slice(), br#"{"ok":2}"#.as_slice()));
    assert_eq!((rows.cells(0).len(), rows.cells(1).len()), (1, 1));
}

#[test]
fn refusals_name_the_reason_and_the_byte() {
    let limits = Limits::default();
    for (event, code, message) in [
        (r#"{"a":1 "b":2}"#, "malformed_json", "expected `,` or `}` at byte 8, found '\"'"),
        (r#"{"a":}"#, "malformed_json", "expected a value at byte 6, found '}'"),
        (r#"{"a":1,}"#, "malformed_json", "expected a key in quotes at byte 8, found '}'"),
        (r#"{a:1}"#, "malformed_json", "expected a key in quotes at byte 2, found 'a'"),
        (r#"{"a" 1}"#, "malformed_json", "expected `:` at byte 6, found '1'"),
        (r#"{"a":1"#, "malformed_json", "expected `,` or `}` at byte 7, found the end of the event"),
        (r#"{"a":"x"#, "malformed_json", "the string that starts at byte 6 does not end"),
        (r#"{"a":"\x"}"#, "malformed_json", "unknown escape at byte 7"),
        ("{\"a\":\"\n\"}", "malformed_json", "control character 0x0a inside a string at byte 7: write it as an escape"),
        (r#"{"a":NaN}"#, "malformed_json", "expected a value at byte 6, found 'N'"),
        (r#"{"a":01}"#, "malformed_json", "expected a digit at byte 7, found '1'"),
        (r#"{"a":1} x"#, "malformed_json", "expected the end of the event at byte 9, found 'x'"),
        ("", "malformed_json", "expected a JSON object at byte 1, found the end of the event"),
        ("[1]", "not_an_object", "expected a JSON object at byte 1, found '['"),
        ("\"é\"", "not_an_object", "expected a JSON object at byte 1, found '\"'"),
    ] {
        check_refused(event.as_bytes(), limits, code, message);
    }
    check_refused(b"{\"a\":\"\xff\"}", limits, "invalid_utf8", "no UTF-8 at byte 7");
    let long_id = format!(r#"{{"id":"{}"}}"#, "x".repeat(257));
    check_refused(long_id.as_bytes(), limits, "id_too_long", "`id` at byte 7 has 257 bytes, limit is 256");
    let deep = format!(r#"{{"ok":{}1{}}}"#, "[".repeat(100), "]".repeat(100));
    check_refused(deep.as_bytes(), limits, "too_deep", "objects and arrays are nested too deeply at byte 106");
}

#[test]
fn limits_are_exact() {
    let limits = Limits {
        event_bytes_max: 40,
        depth_max: 3,
        keys_max: 3,
        key_bytes_max: 5,
        cell_bytes_max: 5,
        ..Limits::default()
    };
    for (event, refused) in [
        (r#"{"a":{"b":{"c":1}}}"#, None),
        (r#"{"a":{"b":{"c":{}}}}"#, Some(("too_deep", "objects and arrays are nested too deeply at byte 16"))),
        (r#"{"a":[[[1]]]}"#, Some(("too_deep", "objects and arrays are nested too deeply at byte 8"))),
        (r#"{"a":1,"b":2,"c":3}"#, None),
        (r#"{"a":1,"b":2,"c":3,"d":4}"#, Some(("too_many_keys", "more than 3 keys at byte 20"))),
        (r#"{"a":"12345"}"#, None),
        (r#"{"a":"123456"}"#, Some(("cell_too_large", "value at byte 7 has 6 bytes, limit is 5"))),
        (r#"{"a":[[1,2]]}"#, Some(("cell_too_large", "value at byte 6 has 7 bytes, limit is 5"))),
        (r#"{"abc":{"d":1}}"#, None),
        (r#"{"abcd":{"e":1}}"#, Some(("key_too_long", "key at byte 10 has 6 bytes with those above it, limit is 5"))),
        (r#"{"a":              "12345","b":"12345"}"#, None),
        (r#"{"a":                 "12345","b":"12345"}"#, Some(("event_too_large", "event has 42 bytes, limit is 40"))),
    ] {
        if let Some((code, message)) = refused {
            check_refused(event.as_bytes(), limits, code, message);
        }
        // what was accepted once is accepted on replay, whatever the limits are by then
        for replay in [false, true] {
            let options = DecodeOptions { limits, replay, import: false };
            let rows = decode(&Dataset::new().catalog, &[event.as_bytes()], NOW, &options);
            assert_eq!(rows.rejects().is_empty(), refused.is_none() || replay, "{event}");
        }
    }
}

#[test]
fn large_and_wide_events_come_back() {
    let mut dataset = Dataset::new();
    let sql = "SELECT 'ü\\n' ".repeat(90_000);
    let wide: Vec<String> = (0..10_000).map(|key| format!("\"key_{key}\":{key}")).collect();
    let pretty = "{\n  \"a\": [\n    {\"b\": 1}\n  ],\r\n  \"c\": \"\\n\"\n}";
    dataset.store(&[
        &format!(r#"{{"sql":"{sql}"}}"#),
        &format!("{{{}}}", wide.join(",")),
        pretty,
        r#"{"sql":"short"}"#,
    ]);
    dataset.check();
    assert!(!dataset.sent[2].contains('\n'));
}

#[test]
fn ever_other_keys_in_elements_do_not_multiply() {
    let elements: Vec<String> = (0..5_000).map(|key| format!("{{\"k{key}\":{key}}}")).collect();
    let mut dataset = Dataset::new();
    dataset.store(&[&format!(r#"{{"messages":[{}]}}"#, elements.join(","))]);
    assert_eq!(dataset.last_row().len(), 1);
    dataset.check();
}

#[test]
fn rows_that_arrive_while_chunks_are_closed_are_in_the_next_batches() {
    let mut dataset = Dataset::new();
    dataset.store(&[r#"{"n":1}"#, r#"{"n":2}"#]);
    let cut = dataset.memtable.cut(true);
    dataset.store(&[r#"{"n":3}"#]);
    assert_eq!(dataset.memtable.rows(), 3, "counted while they are closed");
    let batches = crate::memtable::Closer::new(Arc::clone(&dataset.catalog)).close(cut);
    dataset.memtable.add(batches);
    let rows = |batches: &[crate::HotBatch]| batches.iter().map(|hot| hot.batch.num_rows()).collect::<Vec<_>>();
    assert_eq!((rows(dataset.memtable.frozen()), dataset.memtable.rows()), (vec![2], 3));
    assert_eq!(dataset.memtable.take().1, 2);
    assert_eq!((dataset.memtable.rows(), rows(&dataset.memtable.freeze())), (1, vec![1]));
}

#[test]
fn snapshots_do_not_change_and_leave_few_batches() {
    let mut dataset = Dataset::new();
    let mut first = Vec::new();
    for number in 0..12_000_u32 {
        dataset.store(&[&format!(r#"{{"n":{number},"only_{}":"x"}}"#, number % 7)]);
        if number % 10 == 0 {
            let frozen = dataset.memtable.freeze();
            assert!(frozen.len() <= 20, "{} batches", frozen.len());
            if number == 100 {
                first = frozen;
            }
            // As after each snapshot.
            while let Some(pair) = dataset.memtable.small() {
                let merged = crate::memtable::merge(&pair[0], &pair[1]).unwrap();
                assert!(dataset.memtable.replace(&pair, merged));
            }
        }
    }
    assert_eq!(first.iter().map(|hot| hot.batch.num_rows()).sum::<usize>(), 101);
    let last = first.last().unwrap();
    assert!(row_of(&dataset.catalog.schema(), &last.batch, last.batch.num_rows() - 1).contains(&"n: 100".to_owned()));
    assert_eq!(dataset.memtable.rows(), 12_000);
    dataset.check();
}

#[test]
fn only_kept_rows_are_numbered() {
    let mut dataset = Dataset::new();
    let rows = dataset.decode(&[r#"{"a":1}"#, r#"{"a":2}"#, r#"{"a":3}"#]);
    dataset.memtable.insert(&rows, Some(&[true, false, true]), &super::stamp(1));
    dataset.sent = vec![r#"{"a":1}"#.to_owned(), r#"{"a":3}"#.to_owned()];
    dataset.check();
}

#[test]
fn first_sights_are_reported_once() {
    let mut dataset = Dataset::new();
    let event = r#"{"service":{"name":"web","version":"1.0"},"environment":"production","deployment.id":"d1","experiments":{"13":"A","9":true}}"#;
    dataset.store(&[event, event]);
    dataset.store(&[r#"{"service.name":"web","service.version":"1.0","rollout":"r2","deployment.id":"d2","deployment.environment":"production"}"#]);
    dataset.store(&[r#"{"service.name":"web","service.version":"1.0","experiments":{"13":"B"}}"#]);
    let sights: Vec<String> = dataset
        .sights
        .iter()
        .map(|sight| {
            let scope = (sight.environment.as_deref().unwrap_or("-"), sight.service.as_deref().unwrap_or("-"));
            format!("{} {} {} {}={}", scope.0, scope.1, sight.dimension, sight.target, sight.value)
        })
        .collect();
    assert_eq!(
        sights,
        [
            "production web version service.version=1.0",
            "production web rollout rollout=d1",
            "production web experiment 13=A",
            "production web experiment 9=true",
            "production web rollout rollout=r2",
            "- web version service.version=1.0",
            "- web experiment 13=B",
        ]
    );
}

#[test]
fn files_are_split_by_day_and_described() {
    let mut dataset = Dataset::new();
    dataset.store(&[
        r#"{"time":"2026-11-20T14:09:00.000999Z","n":1}"#,
        r#"{"time":"2026-11-19T23:59:59.999999Z","n":2}"#,
        r#"{"time":"2026-11-20T00:00:00Z","n":3,"m":1}"#,
    ]);
    let frozen = dataset.memtable.freeze();
    let options = crate::parquet::ParquetOptions::default();
    let files =
        crate::parquet::encode(&frozen, &dataset.catalog, &options, &|| true, &mut |_day| Ok(Vec::new())).unwrap();
    assert_eq!(files.iter().map(|(file, _)| file.day).collect::<Vec<_>>(), [20_776, 20_777]);
    let stats: serde_json::Value = serde_json::from_str(&files[1].0.stats).unwrap();
    let expected = serde_json::json!({
        "numRecords": 2,
        "minValues": {"time": "2026-11-20T00:00:00.000Z", "received_at": "2026-11-20T14:10:00.000Z", "seq": 1},
        "maxValues": {"time": "2026-11-20T14:09:00.001Z", "received_at": "2026-11-20T14:10:00.000Z", "seq": 3},
        "nullCount": {"time": 0, "received_at": 0, "seq": 0},
    });
    assert_eq!(stats, expected);
    assert_eq!(files[1].0.tags["yellowline.values"], "2,1,1");
    let batch = crate::parquet::read(bytes::Bytes::from(files[0].1.clone()), Some(&["seq", "absent"]))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!((batch.num_columns(), batch.num_rows()), (1, 1));
    dataset.check();
}

/// What a file says about one column: bloom filter, dictionary, encodings.
fn column_layout(bytes: &[u8], name: &str) -> (bool, bool, Vec<parquet::basic::Encoding>) {
    use parquet::file::reader::FileReader as _;
    let file = bytes::Bytes::copy_from_slice(bytes);
    let reader = parquet::file::serialized_reader::SerializedFileReader::new(file).unwrap();
    let group = reader.metadata().row_group(0);
    let column = group.columns().iter().find(|column| column.column_path().parts()[0] == name).unwrap();
    let encodings = column.encodings().collect();
    (column.bloom_filter_offset().is_some(), column.dictionary_page_offset().is_some(), encodings)
}

#[test]
fn near_unique_ids_get_bloom_filters_and_repeating_values_dictionaries() {
    use parquet::basic::Encoding;
    let mut dataset = Dataset::new();
    for number in 0..1_000_u32 {
        let trace = format!("{:08x}", number.wrapping_mul(2_654_435_761));
        let sql = format!("SELECT {number} -- {}", "x".repeat(80));
        dataset.store(&[&format!(
            r#"{{"trace_id":"{trace}","user":{{"id":"u{}"}},"route":"/pay","ms":{}.5,"n":{number},"sql":"{sql}","x":[{number}]}}"#,
            number % 100,
            number.wrapping_mul(2_654_435_761),
        )]);
    }
    let frozen = dataset.memtable.freeze();
    let options = crate::parquet::ParquetOptions::default();
    let files =
        crate::parquet::encode(&frozen, &dataset.catalog, &options, &|| true, &mut |_day| Ok(Vec::new())).unwrap();
    let layout = |name| column_layout(&files[0].1, name);
    for (name, has_bloom, has_dictionary, encoding) in [
        ("event_id", true, false, Encoding::DELTA_BYTE_ARRAY),
        ("trace_id", true, false, Encoding::DELTA_BYTE_ARRAY),
        ("user.id", false, true, Encoding::RLE_DICTIONARY),
        ("route", false, true, Encoding::RLE_DICTIONARY),
        ("ms", false, false, Encoding::PLAIN),
        ("n", false, false, Encoding::DELTA_BINARY_PACKED),
        ("time", false, false, Encoding::DELTA_BINARY_PACKED),
    ] {
        let (bloom, dictionary, encodings) = layout(name);
        assert_eq!((bloom, dictionary), (has_bloom, has_dictionary), "{name}");
        assert!(encodings.contains(&encoding), "{name}: {encodings:?}");
    }
    assert!(!layout("sql").0);
}
