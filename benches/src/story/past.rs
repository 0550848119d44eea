//! The days before: an ordinary week or two of a team that ships many times a day.

use chrono::{Datelike, TimeZone, Weekday};
use chrono_tz::Europe::Amsterdam;

use super::{Change, EXPERIMENTS, Environment, MINUTE, Release, Service, Setting, Story};
use crate::random::Random;

/// Config keys that get changed now and then.
static SETTINGS: [Setting; 9] = [
    setting("search.results_per_page", Service::Web, "search-team", "25", "30"),
    setting("search.timeout_ms", Service::Api, "search-team", "800", "900"),
    setting("rates.cache_entries", Service::Api, "pricing-team", "200000", "300000"),
    setting("rates.pool_size", Service::Api, "pricing-team", "24", "32"),
    setting("payments.retry_limit", Service::Payments, "payments-team", "2", "3"),
    setting("payments.fraud_score_limit", Service::Payments, "payments-team", "0.82", "0.80"),
    setting("web.session_ttl_min", Service::Web, "web-team", "45", "60"),
    setting("web.html_cache_s", Service::Web, "platform-team", "20", "30"),
    setting("log.level", Service::Api, "platform-team", "info", "debug"),
];

const fn setting(
    key: &'static str,
    service: Service,
    owner: &'static str,
    from: &'static str,
    to: &'static str,
) -> Setting {
    Setting { key, service, owner, from, to }
}

impl Story {
    /// The ordinary changes from `from` to `until` (µs since 1970), on the office hours of Amsterdam.
    #[must_use]
    pub fn past(seed: u64, from: i64, until: i64) -> Self {
        let mut story = Self { seed, ..Self::default() };
        story.begin(from);
        let mut midnight = office_midnight(from);
        while midnight < until {
            story.day(midnight, from..until);
            midnight = office_midnight(midnight + 36 * 60 * MINUTE);
        }
        story.rare_events(from, until);
        story
    }

    /// What ran before the first recorded change: no lines are drawn for it.
    fn begin(&mut self, from: i64) {
        for environment in [Environment::Production, Environment::Staging] {
            for service in Service::ALL {
                let release = self.next_release(service, from - 3 * 24 * 60 * MINUTE);
                self.deploys.push(super::Deploy { environment, service, time: i64::MIN, release });
            }
            for known in EXPERIMENTS.iter().filter(|known| known.share > 0.0) {
                self.ramps.push(super::Ramp { environment, experiment: known.id, time: i64::MIN, share: known.share });
            }
        }
    }

    fn day(&mut self, midnight: i64, within: std::ops::Range<i64>) {
        let mut random = Random::of(self.seed, 30, (midnight / MINUTE).cast_unsigned());
        let date = Amsterdam.timestamp_micros(midnight).single().map(|time| time.weekday());
        let workday = !matches!(date, Some(Weekday::Sat | Weekday::Sun));
        let office_time = |random: &mut Random| {
            let minutes = i64::from(random.between(9 * 60 + 10, 17 * 60 + 20));
            midnight + minutes * MINUTE + i64::from(random.below(60_000_000))
        };
        for (service, usual) in [(Service::Web, 2), (Service::Api, 1), (Service::Payments, 1)] {
            let count = if workday { random.below(usual + 2) } else { u32::from(random.chance(0.06)) };
            let mut times: Vec<i64> =
                (0..count).map(|_| office_time(&mut random)).filter(|time| within.contains(time)).collect();
            times.sort_unstable();
            times.into_iter().for_each(|time| self.promote(service, time, &mut random));
        }
        let count = if workday { random.below(4) } else { 0 };
        let mut times: Vec<i64> =
            (0..count).map(|_| office_time(&mut random)).filter(|time| within.contains(time)).collect();
        times.sort_unstable();
        times.into_iter().for_each(|time| self.toggle(&random.pick(&SETTINGS), time));
        if workday && random.chance(0.6) {
            let time = office_time(&mut random);
            let known = random.pick(&EXPERIMENTS);
            let share = random.pick(&[0.05, 0.1, 0.2, 0.5]);
            let same = (self.share(Environment::Production, known.id, time) - share).abs() < 1e-9;
            if within.contains(&time) && known.id != super::BROKEN_EXPERIMENT && !same {
                self.ramp(Environment::Production, known.id, share, time);
            }
        }
    }

    /// Staging first, production an hour or two later, and now and then back again.
    fn promote(&mut self, service: Service, time: i64, random: &mut Random) {
        let before = self.release(Environment::Production, service, 0, time).clone();
        let release = self.next_release(service, time);
        self.deploy(Environment::Staging, service, release.clone(), time - i64::from(random.between(35, 140)) * MINUTE);
        self.deploy(Environment::Production, service, release.clone(), time);
        if random.chance(0.08) {
            self.roll_back(service, &release, before, time + i64::from(random.between(14, 40)) * MINUTE);
        }
    }

    fn roll_back(&mut self, service: Service, bad: &Release, good: Release, time: i64) {
        let title = format!("roll {} back from {} to {}", service.name(), bad.version, good.version);
        let change = self.deploy(Environment::Production, service, good, time);
        change.title = title;
        change.actor = "on-call";
    }

    /// Sets a key to its other value.
    fn toggle(&mut self, setting: &Setting, time: i64) {
        let is_other_way =
            self.changes.iter().filter(|change| change.target.as_deref() == Some(setting.key)).count() % 2 == 1;
        let (from, to) = if is_other_way { (setting.to, setting.from) } else { (setting.from, setting.to) };
        self.configure(Environment::Production, &Setting { from, ..*setting }, to, time);
    }

    /// One of each of the rarer kinds, if the time is long enough.
    fn rare_events(&mut self, from: i64, until: i64) {
        let hour = 60 * MINUTE;
        let days_ago = |days: i64| until - days * 24 * hour;
        let mut rare = vec![
            Change {
                service: Some("payments"),
                target: Some("payments.refunds".to_owned()),
                ..self.blank(
                    "schema",
                    "add column refunds.reason_code".to_owned(),
                    Environment::Production,
                    "payments-team",
                    days_ago(2) - 3 * hour,
                )
            },
            Change {
                service: Some("api"),
                target: Some("api".to_owned()),
                end_time: Some(days_ago(3) + hour / 2),
                ..self.blank(
                    "chaos",
                    "200 ms latency to rates database".to_owned(),
                    Environment::Staging,
                    "platform-team",
                    days_ago(3) + hour / 4,
                )
            },
            Change {
                end_time: Some(days_ago(4) - 5 * hour),
                ..self.blank(
                    "maintenance",
                    "card acquirer maintenance window".to_owned(),
                    Environment::Staging,
                    "payments-team",
                    days_ago(4) - 7 * hour,
                )
            },
            self.blank(
                "note",
                "newsletter sent to all guests".to_owned(),
                Environment::Production,
                "marketing",
                days_ago(1) - 4 * hour,
            ),
        ];
        for (number, change) in rare.iter_mut().enumerate() {
            change.dedup_key.push_str(&format!("-{number}"));
        }
        for change in rare.into_iter().filter(|change| change.time > from) {
            self.record(change);
        }
    }
}

/// Start of the local day that holds a time.
fn office_midnight(time: i64) -> i64 {
    let Some(local) = Amsterdam.timestamp_micros(time).single() else { return time };
    let midnight = local.date_naive().and_time(chrono::NaiveTime::MIN);
    Amsterdam.from_local_datetime(&midnight).earliest().map_or(time, |start| start.timestamp_micros())
}
