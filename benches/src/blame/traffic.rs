//! The visits of a world as events: those who look, and those who pay.

use std::io::Write as _;

use super::{HOSTS, Line, MINUTE, Random, Reach, World, draw::COUNTRIES, hash, in_variant_b};

/// Visits that only look, per payment.
const LOOKERS: u32 = 1;
/// People per payment of a minute: about one visit in ten is by somebody seen within the last hour.
const PEOPLE_PER_RATE: f64 = 600.0;
/// Share of the payments that are declined on an ordinary day.
const DECLINED: f64 = 0.03;

/// Somebody who looks or pays.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visitor {
    pub(super) user: u64,
    pub(super) host: u32,
    pub(super) country: &'static str,
}

pub(super) fn write(world: &World, minute: i64, out: &mut Vec<u8>) -> u32 {
    let mut events = 0;
    let people = (world.rates.expected(minute) * PEOPLE_PER_RATE).max(1_000.0);
    let paying = world.rates.at(minute).total();
    for visit in 0..paying * (1 + LOOKERS) {
        let mut random = Random::of(world.seed, 61, (minute.cast_unsigned() << 20) ^ u64::from(visit));
        let visitor = visitor(world, people, &mut random);
        let time = minute * MINUTE + i64::from(random.below(60_000_000));
        event(world, &visitor, time, "/search", 200, out);
        events += 1;
        if visit >= paying {
            continue;
        }
        let harm = world.damage.filter(|damage| {
            time >= damage.from
                && random.unit() < damage.harm
                && damage.line.is_none_or(|at| world.reaches(&world.lines[at], &visitor, time))
        });
        // The payments that are counted come on top of those declined.
        if random.chance(DECLINED) {
            event(world, &visitor, time + 200_000, "/pay", 402, out);
            events += 1;
        }
        match harm {
            Some(harm) if !harm.fails => {}
            harmed => {
                let status = if harmed.is_some() { 500 } else { 200 };
                event(world, &visitor, (time + 1_000_000).min((minute + 1) * MINUTE - 1), "/pay", status, out);
                events += 1;
            }
        }
    }
    events
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of people")]
fn visitor(world: &World, people: f64, random: &mut Random) -> Visitor {
    // Some come often.
    let user = (random.unit().powf(1.6) * people) as u64 ^ (u64::from(world.number) << 32);
    let mut draw = crate::random::unit(hash(user));
    let mut country = COUNTRIES[COUNTRIES.len() - 1].0;
    for (name, share) in COUNTRIES {
        if draw < share {
            country = name;
            break;
        }
        draw -= share;
    }
    Visitor { user, host: random.below(HOSTS), country }
}

fn event(world: &World, visitor: &Visitor, time: i64, route: &str, status: u16, out: &mut Vec<u8>) {
    let Visitor { user, host, country } = visitor;
    let version = world.version(*host, time);
    // Writing to memory does not fail.
    drop(write!(
        out,
        r#"{{"time":{time},"environment":"{}","route":"{route}","status":{status},"country":"{country}","user":{{"id":"u{user}"}},"host":{{"name":"web-{host}"}},"service":{{"name":"web","version":"{version}"}},"experiments":{{"#,
        world.environment
    ));
    let mut comma = "";
    for line in &world.lines {
        if let Some((experiment, variant)) = tag(line, *user, time, route) {
            drop(write!(out, r#"{comma}"{experiment}":"{variant}""#));
            comma = ",";
        }
    }
    out.extend_from_slice(b"}}\n");
}

/// Experiment and variant, if a page evaluates it.
fn tag(line: &Line, user: u64, time: i64, route: &str) -> Option<(u32, &'static str)> {
    let Reach::Variant { experiment, share, on_payment } = line.reach else { return None };
    if time < line.time || (route == "/pay") != on_payment {
        return None;
    }
    Some((experiment, if in_variant_b(experiment, share, user) { "B" } else { "A" }))
}
