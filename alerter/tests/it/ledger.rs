//! The evidence ledger over raw events: the control convicts and acquits, finds what the forecast cannot see, and an off is learnt from.

use serde_json::{Value, json};
use store::DatasetName;

use crate::world::{World, at, shop};

/// An experiment of a test: on since a minute for every second person; variant B loses a part of its payments.
struct Trial {
    name: &'static str,
    since: i64,
    off: Option<i64>,
    lost: f64,
}

impl Trial {
    /// Tells of the experiment's activation, or of its off at share 0.
    async fn declare(&self, world: &World, id: &str, minute: i64, share: f64) {
        let row = json!({
            "id": format!("{id}/1"), "change_id": id, "revision": 1, "kind": "experiment", "status": "succeeded",
            "title": format!("experiment {} at {share}", self.name), "time": at(minute, 0).to_rfc3339(),
            "environment": "production", "experiment": self.name, "target": self.name, "variant": "B", "share": share,
            "actor": "j.doe", "inferred": false,
        });
        world.store.append_values(&DatasetName::system("changes"), &[row]).await.unwrap();
    }

    fn variant(&self, user: u64, minute: i64) -> Option<&'static str> {
        let is_on = minute >= self.since && self.off.is_none_or(|off| minute < off);
        let salt = self.name.len() as u64 * 7;
        is_on.then(|| if (user / 2 + salt).count_ones().is_multiple_of(2) { "B" } else { "A" })
    }
}

/// Plays minutes in which each person searches and pays; the search carries the variants, the payment does not.
async fn play(world: &mut World, minutes: i64, trials: &[&Trial]) {
    for _ in 0..minutes {
        let minute = world.minute;
        let mut events = Vec::new();
        for number in 0..u64::from(world.rates.at(minute).total()) {
            let user = minute.unsigned_abs() * 10_000 + number * 3;
            let variants: serde_json::Map<String, Value> = trials
                .iter()
                .filter_map(|trial| Some((trial.name.to_owned(), json!(trial.variant(user, minute)?))))
                .collect();
            let lost = trials.iter().filter(|trial| trial.variant(user, minute) == Some("B"));
            let lost: f64 = lost.map(|trial| trial.lost).sum();
            let paid = number as f64 * 0.618_034 % 1.0 >= lost;
            let event = |route: &str, status: u16| {
                json!({"time": at(minute, (number % 60) as i64).to_rfc3339(), "environment": "production", "route": route,
                    "status": status, "user": {"id": format!("u{user}")}})
            };
            let mut search = event("/search", 200);
            search["experiments"] = Value::Object(variants);
            events.extend([search, event("/pay", if paid { 200 } else { 500 })]);
        }
        world.clock_at(minute, 55);
        world.store.append_values(&shop(), &events).await.unwrap();
        world.minute += 1;
        world.look(11).await;
    }
}

const LEDGER: &str = "SELECT change_id || ' ' || verdict || ' ' || coalesce(outcome, '-') FROM system.suspect_changes \
                      WHERE rank IS NOT NULL ORDER BY rank";

#[tokio::test(flavor = "multi_thread")]
async fn the_control_convicts_acquits_and_an_off_confirms() {
    let mut world = World::start(150.0).await;
    world.import_weeks(4).await;
    let decoy = Trial { name: "21", since: world.minute, off: None, lost: 0.0 };
    play(&mut world, 22, &[&decoy]).await;
    let onset = world.minute;
    decoy.declare(&world, "decoy", onset - 1, 0.5).await;
    let mut broken = Trial { name: "1003", since: onset, off: None, lost: 0.7 };
    broken.declare(&world, "broken", onset, 0.5).await;
    play(&mut world, 9, &[&decoy, &broken]).await;

    let alert = world.get("/api/v1/alerts?state=open").await["alerts"][0].clone();
    let best = &alert["suspects"][0];
    assert_eq!(
        (best["change"]["id"].as_str(), best["wording"].as_str()),
        (Some("broken"), Some("by concurrent control"))
    );
    assert!(best["share"].as_f64() > Some(0.95), "{best}");
    let control = &best["control"];
    assert_eq!(control["basis"], "units");
    assert!((0.2..0.45).contains(&control["ratio"].as_f64().unwrap()), "{control}");
    assert!((0.7..1.3).contains(&control["explanatory_power"].as_f64().unwrap()), "{control}");
    assert_eq!(world.rows(LEDGER).await, ["broken suspect -", "decoy acquitted -"]);

    broken.off = Some(world.minute);
    broken.declare(&world, "off", world.minute, 0.0).await;
    play(&mut world, 13, &[&decoy, &broken]).await;
    assert_eq!(world.rows(LEDGER).await[0], "broken suspect confirmed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_control_finds_what_the_forecast_cannot_see_and_ends_with_the_change() {
    let mut world = World::start(400.0).await;
    world.import_weeks(4).await;
    let sound = Trial { name: "21", since: world.minute, off: None, lost: 0.0 };
    sound.declare(&world, "sound", world.minute, 0.5).await;
    play(&mut world, 5, &[&sound]).await;
    let mut faint = Trial { name: "1003", since: world.minute, off: None, lost: 0.16 };
    faint.declare(&world, "faint", world.minute, 0.5).await;
    play(&mut world, 25, &[&sound, &faint]).await;
    let open = world.get("/api/v1/alerts?state=open").await;
    let alert = &open["alerts"][0];
    assert_eq!((open["alerts"].as_array().unwrap().len(), &alert["cause"]), (1, &json!("control")), "{open}");
    assert_eq!((&alert["found_by"], &alert["suspects"][0]["change"]["id"]), (&json!("faint"), &json!("faint")));
    let part = alert["deficit_per_minute"].as_f64().unwrap() / alert["expected_per_minute"].as_f64().unwrap();
    assert!((0.04..0.12).contains(&part), "half of the people lose a sixth: {part}");

    // It is there after a restart, once, and ends with the change.
    let mut world = world.restart(1).await;
    play(&mut world, 2, &[&sound, &faint]).await;
    assert_eq!(world.get("/api/v1/alerts?state=open").await["alerts"].as_array().unwrap().len(), 1);
    faint.off = Some(world.minute);
    faint.declare(&world, "off", world.minute, 0.0).await;
    play(&mut world, 3, &[&sound, &faint]).await;
    let all = world.get("/api/v1/alerts?state=all").await;
    assert_eq!((all["alerts"].as_array().unwrap().len(), &all["alerts"][0]["state"]), (1, &json!("resolved")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_control_found_first_stays_one_incident_when_the_forecast_sees_it_too() {
    let mut world = World::start(400.0).await;
    world.import_weeks(4).await;
    let mut faint = Trial { name: "1003", since: world.minute, off: None, lost: 0.16 };
    faint.declare(&world, "faint", world.minute, 0.5).await;
    play(&mut world, 25, &[&faint]).await;
    let found = world.get("/api/v1/alerts?state=open").await["alerts"][0].clone();
    assert_eq!(found["cause"], "control", "{found}");

    faint.lost = 0.8;
    play(&mut world, 6, &[&faint]).await;
    let alerts = world.get("/api/v1/alerts?state=all").await["alerts"].clone();
    assert_eq!(alerts.as_array().unwrap().len(), 1, "{alerts}");
    assert_eq!((&alerts[0]["id"], &alerts[0]["cause"]), (&found["id"], &json!("deviation")));

    // From here on the forecast ends it, once all is well again, after a restart as well.
    let mut world = world.restart(1).await;
    faint.lost = 0.0;
    play(&mut world, 20, &[&faint]).await;
    let alerts = world.get("/api/v1/alerts?state=all").await["alerts"].clone();
    assert_eq!((alerts.as_array().unwrap().len(), &alerts[0]["state"]), (1, &json!("resolved")), "{alerts}");
}
