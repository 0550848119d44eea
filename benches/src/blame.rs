//! Who is to blame? Seeded incidents among decoy changes, for finding out how often the right change is named.
//!
//! Each [`World`] is a small shop of its own environment. Some twenty changes a day come as they like: experiments, canaries and rolling
//! deploys, settings for some hosts or for all. In three worlds of four one more change breaks payments; in the fourth they break with no
//! change at all. Everything is drawn from the seed before anything is judged:
//!
//! | cause | part of the worlds | exposed | how payments break |
//! |---|---|---|---|
//! | experiment | 0.34 | 30, 50 or 80 % of people; in one of five tagged on the search page only | fail, or never happen |
//! | canary deploy | 0.15 | 2 to 5 of 8 hosts | fail, or never happen |
//! | setting with a selector | 0.08 | 4 or 5 hosts, or the largest country | fail, or never happen |
//! | full-on: deploy, setting, experiment at 100 % | 0.18 | everybody | fail, or never happen |
//! | none | 0.25 | everybody | fail, or never happen |
//!
//! A fifth to 60 % of all payments are lost. Experiments and deploys break things as they arrive, settings after 3 minutes on average.
//! Rates are 60 to 250 payments a minute. People come back now and then. Besides, a deploy of staging shares the minute of every second
//! cause.

mod draw;
mod traffic;

use serde_json::{Value, json};

use crate::{
    random::{Random, hash, unit},
    rates::Rates,
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// Hosts of a world.
pub(crate) const HOSTS: u32 = 8;
/// Seconds between two hosts of a rolling deploy.
const ROLLING_STEP_S: i64 = 20;
/// Minutes of events before the onset.
pub const LEAD_MINUTES: i64 = 42;

/// Who a change reaches.
#[derive(Debug, Clone, PartialEq)]
pub enum Reach {
    /// People in variant B of an experiment, and the page that carries the tag.
    Variant {
        /// Number of the experiment.
        experiment: u32,
        /// Share in B.
        share: f64,
        /// The payment itself carries the tag; else only the search does.
        on_payment: bool,
    },
    /// Hosts that get a version, one after the other from the first on.
    Version {
        /// The version.
        version: String,
        /// First host.
        first: u32,
        /// How many.
        hosts: u32,
    },
    /// Some hosts, from the first on.
    Hosts {
        /// First host.
        first: u32,
        /// How many.
        hosts: u32,
    },
    /// People of a country.
    Country(&'static str),
    /// Everybody.
    Everyone,
}

/// A change that is declared.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its dedup key.
    pub key: String,
    /// When, µs since 1970.
    pub time: i64,
    /// Who it reaches.
    pub reach: Reach,
    /// The body of `POST /api/v1/changes`.
    pub body: Value,
}

/// What breaks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Damage {
    /// The change to blame, by place; `None`: no change.
    pub line: Option<usize>,
    /// From when on, µs since 1970.
    pub from: i64,
    /// Part of the payments of those reached.
    pub harm: f64,
    /// The event of a broken payment is there, with status 500; else it never happens.
    pub fails: bool,
}

/// What kind of worlds are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Court {
    /// The table above.
    Mixed,
    /// 1,000 payments a minute; an experiment on half of the people loses 10 % of theirs.
    Faint,
    /// As faint, but nothing breaks at all: what is found is false.
    Innocent,
}

/// One shop with its incident.
#[derive(Debug)]
pub struct World {
    /// Number of the world.
    pub number: u32,
    /// Name of its environment.
    pub environment: String,
    /// Its payments per minute.
    pub rates: Rates,
    /// First minute of the damage.
    pub onset: i64,
    /// All changes, in order of time.
    pub lines: Vec<Line>,
    /// What breaks; `None`: nothing.
    pub damage: Option<Damage>,
    seed: u64,
}

impl World {
    /// The number-th world of a seed; its onset is within ten minutes from `minute` on (since 1970).
    #[must_use]
    pub fn draw(court: Court, seed: u64, number: u32, minute: i64) -> Self {
        draw::world(court, seed, number, minute)
    }

    /// Name of its metric.
    #[must_use]
    pub fn metric(&self) -> String {
        format!("payments_{}", self.number)
    }

    /// The change to blame.
    #[must_use]
    pub fn culprit(&self) -> Option<&Line> {
        self.damage.and_then(|damage| damage.line).map(|at| &self.lines[at])
    }

    /// What kind of cause it is, in a word.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match (self.damage, self.culprit().map(|line| &line.reach)) {
            (None, _) => "nothing breaks",
            (Some(_), None) => "no change",
            (_, Some(Reach::Variant { share, .. })) if *share >= 1.0 => "full-on",
            (_, Some(Reach::Variant { on_payment: false, .. })) => "experiment, tagged upstream",
            (_, Some(Reach::Variant { .. })) => "experiment",
            (_, Some(Reach::Version { hosts, .. })) if *hosts < HOSTS => "canary",
            (_, Some(Reach::Hosts { .. } | Reach::Country(_))) => "selector",
            _ => "full-on",
        }
    }

    /// The TOML of its metric.
    #[must_use]
    pub fn definition(&self, dataset: &str) -> String {
        format!(
            "[[metric]]\nname = \"{}\"\nunit = \"payments\"\ndataset = \"{dataset}\"\nenvironment = \"{}\"\n\
             filter = \"route = '/pay' AND status = 200\"\n\n",
            self.metric(),
            self.environment
        )
    }

    /// Minute counts of the past, as CSV.
    #[must_use]
    pub fn history(&self, minutes: std::ops::Range<i64>) -> String {
        let mut csv = "time,count\n".to_owned();
        for minute in minutes {
            csv.push_str(&format!("{},{}\n", minute * 60, self.rates.at(minute).total()));
        }
        csv
    }

    /// Writes the events of a minute (since 1970) as NDJSON; returns how many.
    pub fn write(&self, minute: i64, out: &mut Vec<u8>) -> u32 {
        traffic::write(self, minute, out)
    }

    /// True if a change reaches a visitor at a time.
    fn reaches(&self, line: &Line, visitor: &traffic::Visitor, time: i64) -> bool {
        if time < line.time {
            return false;
        }
        match &line.reach {
            Reach::Variant { experiment, share, .. } => in_variant_b(*experiment, *share, visitor.user),
            Reach::Version { version, .. } => self.version(visitor.host, time) == version,
            Reach::Hosts { first, hosts } => is_among(visitor.host, *first, *hosts),
            Reach::Country(country) => visitor.country == *country,
            Reach::Everyone => true,
        }
    }

    /// What a host runs.
    fn version(&self, host: u32, time: i64) -> &str {
        let reached = |line: &&Line| match &line.reach {
            Reach::Version { first, hosts, .. } => {
                let place = i64::from((host + HOSTS - first) % HOSTS);
                place < i64::from(*hosts) && line.time + place * ROLLING_STEP_S * SECOND <= time
            }
            _ => false,
        };
        match self.lines.iter().rev().find(reached) {
            Some(Line { reach: Reach::Version { version, .. }, .. }) => version,
            _ => "1.0",
        }
    }
}

fn in_variant_b(experiment: u32, share: f64, user: u64) -> bool {
    unit(hash(hash(u64::from(experiment)) ^ user)) < share
}

fn is_among(host: u32, first: u32, hosts: u32) -> bool {
    (host + HOSTS - first) % HOSTS < hosts
}

fn rfc3339(micros: i64) -> Value {
    let time = chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default();
    json!(time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

#[cfg(test)]
mod tests;
