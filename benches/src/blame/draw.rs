//! Draws the changes of a world and what breaks.

use serde_json::json;

use super::{Court, Damage, HOSTS, Line, MINUTE, Random, Rates, Reach, SECOND, World, rfc3339};

/// Minutes of a day.
const DAY: i64 = 1_440;
/// Decoys a day.
const DECOYS_PER_DAY: f64 = 20.0;
/// Mean minutes until a setting takes effect.
const SETTING_LAG: f64 = 3.0;
/// The largest country, with two fifths of the people.
pub(super) const COUNTRIES: [(&str, f64); 4] = [("NL", 0.4), ("DE", 0.3), ("FR", 0.2), ("JP", 0.1)];

pub(super) fn world(court: Court, seed: u64, number: u32, minute: i64) -> World {
    let mut random = Random::of(seed, 60, u64::from(number));
    let onset = minute + i64::from(random.below(10));
    let environment = format!("world-{number}");
    let per_minute = match court {
        Court::Mixed => 60.0 * (250.0_f64 / 60.0).powf(random.unit()),
        Court::Faint | Court::Innocent => 1_000.0,
    };
    let mut draw = Draw { random, environment: environment.clone(), number, next: 1 };
    let mut lines = draw.decoys(onset);
    let (culprit, damage) = match court {
        Court::Mixed => draw.incident(onset),
        Court::Faint => {
            let reach = draw.experiment(0.5, true);
            let fails = draw.random.chance(0.5);
            (Some(draw.line("experiment", onset * MINUTE, reach)), Some((onset * MINUTE, 0.1, fails)))
        }
        Court::Innocent => {
            let reach = draw.experiment(0.5, true);
            (Some(draw.line("experiment", onset * MINUTE, reach)), None)
        }
    };
    let key = culprit.as_ref().map(|line| line.key.clone());
    if let Some(line) = &culprit
        && draw.random.chance(0.5)
    {
        let mut twin = draw.line("deploy", line.time + 7 * SECOND, Reach::Everyone);
        twin.body["environment"] = json!("staging");
        twin.body["version"] = json!("9.9-rc.1");
        lines.push(twin);
    }
    lines.extend(culprit);
    lines.sort_by_key(|line| line.time);
    let place = key.and_then(|key| lines.iter().position(|line| line.key == key));
    let damage = damage.map(|(from, harm, fails)| Damage { line: place, from, harm, fails });
    let rates = Rates::with_rate_at(seed ^ u64::from(number), onset, per_minute);
    World { number, environment, rates, onset, lines, damage, seed: seed ^ (u64::from(number) << 32) }
}

struct Draw {
    random: Random,
    environment: String,
    number: u32,
    next: u32,
}

/// When it breaks, for which part of those reached, and whether the event is there.
type Harm = (i64, f64, bool);

impl Draw {
    /// Changes that harm nobody, from a day before to an hour after.
    fn decoys(&mut self, onset: i64) -> Vec<Line> {
        let mut lines = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
        let mut at = (onset - DAY) as f64;
        loop {
            at += self.random.exponential(DAY as f64 / DECOYS_PER_DAY);
            #[expect(clippy::cast_possible_truncation, reason = "minutes since 1970")]
            let minute = at as i64;
            if minute > onset + 60 {
                return lines;
            }
            let time = minute * MINUTE + i64::from(self.random.below(60)) * SECOND;
            lines.push(self.decoy(time));
        }
    }

    fn decoy(&mut self, time: i64) -> Line {
        let draw = self.random.unit();
        let (kind, reach) = match draw {
            draw if draw < 0.32 => {
                let (share, on_payment) = (self.random.pick(&[0.05, 0.1, 0.2, 0.5]), self.random.chance(0.5));
                ("experiment", self.experiment(share, on_payment))
            }
            draw if draw < 0.36 => ("experiment", self.experiment(1.0, true)),
            draw if draw < 0.52 => {
                let hosts = self.random.between(1, 3);
                ("deploy", self.version(hosts))
            }
            draw if draw < 0.68 => ("deploy", self.version(HOSTS)),
            draw if draw < 0.76 => ("config", self.hosts(1, 4)),
            draw if draw < 0.80 => ("config", Reach::Country(self.random.pick(&["NL", "DE", "FR", "JP"]))),
            draw if draw < 0.95 => ("config", Reach::Everyone),
            draw if draw < 0.98 => ("schema", Reach::Everyone),
            _ => ("note", Reach::Everyone),
        };
        self.line(kind, time, reach)
    }

    /// The change to blame, if any, and what it breaks: a fifth to 60 % of all payments.
    fn incident(&mut self, onset: i64) -> (Option<Line>, Option<Harm>) {
        let lost = 0.2 + 0.4 * self.random.unit();
        let fails = self.random.chance(0.5);
        let from = onset * MINUTE + i64::from(self.random.below(60)) * SECOND;
        let draw = self.random.unit();
        let (kind, reach, share, lag) = match draw {
            draw if draw < 0.25 => return (None, Some((from, lost, fails))),
            draw if draw < 0.59 => {
                let shares: Vec<f64> = [0.3, 0.5, 0.8].into_iter().filter(|share| *share >= lost).collect();
                let (share, on_payment) = (self.random.pick(&shares), self.random.chance(0.8));
                ("experiment", self.experiment(share, on_payment), share, 0.0)
            }
            draw if draw < 0.74 => {
                let (least, hosts) = hosts_for(lost);
                let hosts = self.random.between(least, hosts);
                ("deploy", self.version(hosts), f64::from(hosts) / f64::from(HOSTS), 0.0)
            }
            draw if draw < 0.82 => {
                let lag = self.random.exponential(SETTING_LAG);
                if lost <= COUNTRIES[0].1 && self.random.chance(0.5) {
                    ("config", Reach::Country(COUNTRIES[0].0), COUNTRIES[0].1, lag)
                } else {
                    let hosts = hosts_for(lost).1;
                    ("config", self.hosts(hosts, hosts), f64::from(hosts) / f64::from(HOSTS), lag)
                }
            }
            draw if draw < 0.88 => ("deploy", self.version(HOSTS), 1.0, 0.0),
            draw if draw < 0.95 => ("config", Reach::Everyone, 1.0, self.random.exponential(SETTING_LAG)),
            _ => ("experiment", self.experiment(1.0, true), 1.0, 0.0),
        };
        #[expect(clippy::cast_possible_truncation, reason = "some minutes")]
        let time = from - (lag * MINUTE as f64) as i64;
        (Some(self.line(kind, time, reach)), Some((from, (lost / share).min(1.0), fails)))
    }

    pub(super) fn experiment(&mut self, share: f64, on_payment: bool) -> Reach {
        Reach::Variant { experiment: self.number(), share, on_payment }
    }

    fn version(&mut self, hosts: u32) -> Reach {
        let version = format!("2.{}", self.number());
        Reach::Version { version, first: self.random.below(HOSTS), hosts }
    }

    fn hosts(&mut self, least: u32, most: u32) -> Reach {
        let hosts = self.random.between(least, most);
        Reach::Hosts { first: self.random.below(HOSTS), hosts }
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.number * 1_000 + self.next
    }

    fn line(&mut self, kind: &'static str, time: i64, reach: Reach) -> Line {
        let number = self.number();
        let key = format!("{}-{number}", self.environment);
        let mut body = json!({
            "kind": kind, "title": format!("{kind} {key}"), "time": rfc3339(time), "environment": self.environment,
            "target": key, "actor": "release-bot", "owner": "product-team", "dedup_key": key,
        });
        match &reach {
            Reach::Variant { experiment, share, .. } => {
                body["experiment"] = json!(experiment.to_string());
                (body["variant"], body["share"]) = (json!("B"), json!(share));
            }
            Reach::Version { version, .. } => {
                (body["service"], body["version"]) = (json!("web"), json!(version));
            }
            Reach::Hosts { first, hosts } => {
                let names: Vec<String> = (0..*hosts).map(|at| format!("'web-{}'", (first + at) % HOSTS)).collect();
                body["selector"] = json!(format!("\"host.name\" IN ({})", names.join(", ")));
            }
            Reach::Country(country) => body["selector"] = json!(format!("country = '{country}'")),
            Reach::Everyone => {}
        }
        Line { key, time, reach, body }
    }
}

/// Fewest and most hosts that can lose so much, of half the hosts at most; five when half is too few.
fn hosts_for(lost: f64) -> (u32, u32) {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hosts")]
    let least = (lost * f64::from(HOSTS)).ceil() as u32;
    (least, least.max(HOSTS / 2))
}
