//! The page: one, true, with the right suspect.

use crate::world::{NOON, NORMAL, Play, World, at, metric};

const HALF: Play = Play { success: 0.45, alive: true };

#[tokio::test(flavor = "multi_thread")]
async fn a_drop_at_an_activation_pages_once_and_names_it_among_decoys() {
    let definition = metric("").replace("[\"hook\"]", "[\"hook\", \"pager\", \"chat\"]");
    let mut world = World::start_with(60.0, &definition).await;
    world.import_weeks(4).await;
    world.play(90, NORMAL).await;
    assert_eq!(world.receiver.count(), 0, "a quiet hour pages nobody");
    assert_eq!(world.state().await, "ok");

    let onset = world.minute;
    world.change("deploy-web", "deploy", "production", onset - 47).await;
    world.change("pay.timeout", "config", "production", onset - 22).await;
    world.change("21", "experiment", "production", onset - 3).await;
    world.change("99", "experiment", "staging", onset).await;
    world.change("13", "experiment", "production", onset).await;
    world.play(5, HALF).await;
    world.change("7", "deploy", "production", world.minute).await;
    world.play(15, HALF).await;

    let pages = world.receiver.taken("alert.triggered");
    assert_eq!((pages.len(), world.receiver.count()), (1, 1), "exactly one page");
    let alert = &pages[0]["data"];
    let began = alert["onset"].as_str().unwrap();
    assert!(
        (at(onset - 1, 0).to_rfc3339().as_str()..=at(onset + 1, 0).to_rfc3339().as_str()).contains(&began),
        "{began}"
    );
    let sentence = alert["sentence"].as_str().unwrap();
    assert!(sentence.contains(" at the yellow activation line of experiment 13"), "{sentence}");
    assert!(!sentence.contains("99"), "another environment is never a suspect: {sentence}");
    assert_eq!(alert["suspects"][0]["change"]["id"], "13");
    assert_eq!(alert["suspects"][0]["wording"], "began at");
    assert!(alert["unknown_share"].as_f64().unwrap() > 0.0);
    let explanation = alert["explanation"].as_str().unwrap();
    assert!(explanation.starts_with("According to observed growth and data from last week"), "{explanation}");
    assert!(explanation.contains("owned by checkout-team"), "{explanation}");

    // The page came within the first minutes, and the API has it with everything.
    let open = world.get("/api/v1/alerts?state=open").await;
    let shown = &open["alerts"][0];
    assert_eq!(open["alerts"].as_array().unwrap().len(), 1);
    assert_eq!(shown["id"], alert["id"]);
    assert_eq!(shown["notifications"][0]["state"], "delivered");
    let missed = shown["missed"].as_f64().unwrap();
    let minutes = f64::from(u32::try_from(world.minute - onset).unwrap());
    assert!((20.0 * minutes..45.0 * minutes).contains(&missed), "{missed} in {minutes} minutes");
    assert!(shown["missed_low"].as_f64().unwrap() < missed && missed < shown["missed_high"].as_f64().unwrap());
    assert!(shown["budget_share"].as_f64().unwrap() > 0.0);
    assert_eq!(world.state().await, "firing");

    // Once it is over the same key ends it, and nobody is paged again by the windows that remember.
    world.play(70, NORMAL).await;
    let ended = world.receiver.taken("alert.resolved");
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0]["data"]["dedup_key"], alert["dedup_key"]);
    world.play(150, NORMAL).await;
    assert_eq!(world.receiver.count(), 2, "page and end, nothing else");
    let events = world.receiver.pager.lock().clone();
    let actions: Vec<&str> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["trigger", "resolve"]);
    assert!(events.iter().all(|event| event["dedup_key"] == alert["dedup_key"]), "{events:?}");
    assert_eq!(events[0]["payload"]["summary"], alert["sentence"]);
    let messages = world.receiver.chat.lock().clone();
    assert_eq!(messages.len(), 2);
    assert!(messages[1]["text"].as_str().unwrap().starts_with("Resolved: Bookings"), "{messages:?}");
    assert_eq!(world.state().await, "ok");
    assert!(NOON < onset);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_change_near_the_page_says_so_and_slices_explain() {
    let mut world = World::start(60.0).await;
    // A day of raw events, so that slices have a past of their own.
    world.change("old", "deploy", "production", NOON - 700).await;
    world.events(NOON - 3 * 1440..NOON, NORMAL).await;
    world.import_weeks_before(3).await;
    world.play(60, NORMAL).await;
    world.play(12, HALF).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1);
    let sentence = pages[0]["data"]["sentence"].as_str().unwrap();
    assert!(sentence.ends_with("no change near."), "{sentence}");
    let open = world.get("/api/v1/alerts?state=open").await;
    let children = open["alerts"][0]["children"].as_array().unwrap();
    assert!(children.iter().any(|child| child["slice"] == "country=NL"), "{children:?}");
    let total: f64 = children.iter().map(|child| child["share"].as_f64().unwrap()).sum();
    assert!(total <= 1.0 + 1e-9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rise_of_a_share_pages_in_its_own_words() {
    let definition = "[[metric]]\nname = \"failures\"\ntitle = \"Failed payments\"\nunit = \"payments\"\ndataset = \"shop\"\n\
        environment = \"production\"\nkind = \"ratio\"\ndirection = \"up\"\nfilter = \"status = 500\"\n\
        denominator = \"route = '/pay'\"\nchannels = [\"hook\"]\nbudget_share = 0.01\n";
    let mut world = World::start_with(60.0, definition).await;
    world.import_failures(4).await;
    let usual = Play { success: 0.98, alive: true };
    world.play(60, usual).await;
    assert_eq!(world.receiver.count(), 0);
    world.play(10, Play { success: 0.8, alive: true }).await;
    let pages = world.receiver.taken("alert.triggered");
    assert_eq!(pages.len(), 1);
    let alert = &pages[0]["data"];
    let sentence = alert["sentence"].as_str().unwrap();
    assert!(
        sentence.starts_with("We would expect failed payments to be ") && sentence.contains(" %, but see "),
        "{sentence}"
    );
    assert_eq!(alert["direction"], "up");
    let share = alert["expected_share"].as_f64().unwrap();
    assert!((0.01..0.03).contains(&share), "{share}");
    let metrics = world.get("/api/v1/metrics").await;
    let last = metrics["metrics"][0]["last"]["expected"].as_f64().unwrap();
    assert!((0.01..0.03).contains(&last), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn people_acknowledge_judge_and_silence() {
    let mut world = World::start(60.0).await;
    world.import_weeks(4).await;
    world.play(30, NORMAL).await;
    let until = at(world.minute + 20, 0).to_rfc3339();
    let silence = serde_json::json!({"metric": "bookings", "until": until, "actor": "j.doe", "reason": "maintenance"});
    let (status, created) = world.http("POST", "/api/v1/silences", Some(silence)).await;
    assert_eq!(status, 201, "{created}");
    world.play(15, HALF).await;
    assert_eq!(world.receiver.count(), 0, "silenced");
    let open = world.get("/api/v1/alerts?state=open").await;
    assert_eq!(open["alerts"][0]["silenced_by"], created["id"], "recorded all the same");
    world.play(6, HALF).await;
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1, "the silence is over and it still burns");

    let id = open["alerts"][0]["id"].as_str().unwrap().to_owned();
    let by = serde_json::json!({"actor": "a.turing", "note": "on it"});
    let (status, taken) = world.http("POST", &format!("/api/v1/alerts/{id}/acknowledge"), Some(by)).await;
    assert_eq!((status.as_u16(), &taken["state"]), (200, &serde_json::json!("acknowledged")));
    world.play(1, HALF).await;
    let told = world.receiver.taken("alert.acknowledged");
    assert_eq!(told[0]["data"]["acknowledged_by"], "a.turing");
    let verdict = serde_json::json!({"verdict": "false", "actor": "a.turing", "note": "a sale ended"});
    let (status, judged) = world.http("POST", &format!("/api/v1/alerts/{id}/feedback"), Some(verdict)).await;
    assert_eq!((status.as_u16(), &judged["feedback"]["verdict"]), (200, &serde_json::json!("false")));

    let world = world.restart(1).await;
    let after = world.get(&format!("/api/v1/alerts/{id}")).await;
    assert_eq!((&after["acknowledged_by"], &after["feedback"]["note"]), (&"a.turing".into(), &"a sale ended".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_make_no_sense_are_refused_in_the_shared_shape() {
    let world = World::start(60.0).await;
    world.look(11).await;
    let check = async |method: &str, path: &str, body: Option<&str>, status: u16, code: &str| {
        let body = body.map(|body| serde_json::from_str(body).unwrap());
        let (got, answer) = world.http(method, path, body).await;
        assert_eq!((got.as_u16(), answer["error"]["code"].as_str()), (status, Some(code)), "{method} {path}: {answer}");
        assert_eq!(answer["error"]["request_id"], "r1");
    };
    check("GET", "/api/v1/alerts/none", None, 404, "alert_not_found").await;
    check("GET", "/api/v1/alerts?state=shut", None, 400, "invalid_request").await;
    check("POST", "/api/v1/alerts/none/acknowledge", Some("{}"), 404, "alert_not_found").await;
    check(
        "POST",
        "/api/v1/silences",
        Some(r#"{"metric":"none","until":"2026-11-20T13:00:00Z"}"#),
        404,
        "metric_not_found",
    )
    .await;
    check("POST", "/api/v1/silences", Some(r#"{"metric":"*","until":"soon"}"#), 400, "invalid_request").await;
    check(
        "POST",
        "/api/v1/silences",
        Some(r#"{"metric":"*","untill":"2026-11-20T13:00:00Z"}"#),
        400,
        "invalid_request",
    )
    .await;
    check("DELETE", "/api/v1/silences/none", None, 404, "silence_not_found").await;
    check("GET", "/api/v1/metrics/none/points", None, 404, "metric_not_found").await;
    check("GET", "/api/v1/metrics/bookings/points?step_s=90", None, 400, "invalid_request").await;
    check(
        "GET",
        "/api/v1/metrics/bookings/points?from=2026-01-01T00:00:00Z&to=2026-11-01T00:00:00Z",
        None,
        400,
        "too_many_points",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lasts_for_a_day_is_the_new_normal() {
    let mut world = World::start(30.0).await;
    world.import_weeks(4).await;
    world.play(20, NORMAL).await;
    // From 13:20 local time on through the whole of Saturday.
    for hours in [1, 33] {
        world.events(world.minute..world.minute + hours * 60, HALF).await;
        world.minute += hours * 60;
        world.look(11).await;
    }
    assert_eq!(world.receiver.taken("alert.triggered").len(), 1);
    assert_eq!(world.receiver.count(), 1, "it is still open");
    world.play(60, HALF).await;
    let ended = world.receiver.taken("alert.resolved");
    assert_eq!(ended.len(), 1, "the new level is expected now");
    assert!(ended[0]["data"]["level_shifted_at"].is_string());
    world.play(60, HALF).await;
    assert_eq!(world.receiver.count(), 2);
    let metrics = world.get("/api/v1/metrics").await;
    let expected = metrics["metrics"][0]["last"]["expected"].as_f64().unwrap();
    let actual_rate = 0.45 * world.rates.rate(world.minute);
    assert!((0.75..1.3).contains(&(expected / actual_rate)), "{expected} against {actual_rate}");
}
