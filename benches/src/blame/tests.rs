use super::*;

const NOON: i64 = 29_919_600;

fn worlds(court: Court, count: u32) -> Vec<World> {
    (0..count).map(|number| World::draw(court, 1, number, NOON)).collect()
}

#[test]
fn the_same_seed_draws_the_same_world() {
    let write = |world: &World| {
        let mut out = Vec::new();
        world.write(world.onset, &mut out);
        out
    };
    let (one, other) = (World::draw(Court::Mixed, 5, 3, NOON), World::draw(Court::Mixed, 5, 3, NOON));
    assert_eq!((one.lines.clone(), one.damage, write(&one)), (other.lines.clone(), other.damage, write(&other)));
    assert_ne!(write(&one), write(&World::draw(Court::Mixed, 6, 3, NOON)));
}

#[test]
fn causes_and_decoys_are_as_the_table_says() {
    let worlds = worlds(Court::Mixed, 400);
    let part = |cause: &str| {
        let of = |world: &&World| world.cause().starts_with(cause);
        f64::from(u32::try_from(worlds.iter().filter(of).count()).unwrap()) / 400.0
    };
    for (cause, expect) in
        [("no change", 0.25), ("experiment", 0.34), ("canary", 0.15), ("selector", 0.08), ("full-on", 0.18)]
    {
        assert!((part(cause) - expect).abs() < 0.07, "{cause}: {}", part(cause));
    }
    let decoys: usize = worlds.iter().map(|world| world.lines.len()).sum();
    // 20 a day for a day and an hour, the cause, and the twin in staging.
    let each = decoys as f64 / 400.0;
    assert!((20.0..23.5).contains(&each), "{each}");
}

#[test]
fn the_damage_is_a_fifth_to_60_percent_and_falls_on_those_reached() {
    for world in worlds(Court::Mixed, 40) {
        let count = |minute: i64| {
            let mut out = Vec::new();
            world.write(minute, &mut out);
            let text = String::from_utf8(out).unwrap();
            f64::from(
                u32::try_from(text.lines().filter(|line| line.contains("\"/pay\",\"status\":200")).count()).unwrap(),
            )
        };
        let before: f64 = (1..=10).map(|ago| count(world.onset - ago)).sum();
        // Rolling deploys are complete after three minutes.
        let after: f64 = (4..14).map(|later| count(world.onset + later)).sum();
        let lost = 1.0 - after / before;
        assert!((0.08..0.72).contains(&lost), "{} loses {lost}", world.cause());
    }
}

#[test]
fn a_faint_world_loses_a_twentieth_and_an_innocent_one_nothing() {
    for (court, expect) in [(Court::Faint, 0.05), (Court::Innocent, 0.0)] {
        let world = World::draw(court, 1, 0, NOON);
        let sum = |minutes: std::ops::Range<i64>| -> f64 {
            let paid = minutes.map(|minute| {
                let mut out = Vec::new();
                world.write(minute, &mut out);
                let text = String::from_utf8(out).unwrap();
                (
                    text.lines().filter(|line| line.contains("\"/pay\",\"status\":200")).count(),
                    world.rates.at(minute).total(),
                )
            });
            let (seen, drawn) = paid.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            1.0 - seen as f64 / f64::from(drawn)
        };
        assert!((sum(world.onset..world.onset + 10) - expect).abs() < 0.012, "{court:?}");
        assert_eq!(sum(world.onset - 10..world.onset), 0.0);
    }
}
