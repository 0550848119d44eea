//! What happened to the site and when: deploys, config changes, experiments, and the incident hour.
//!
//! The same record drives both sides: the changes that are declared over HTTP, and the versions, rollouts and variants that
//! the events carry.

mod catalogue;
mod incident;
mod past;

use serde::{Serialize, Serializer};

use crate::random::{Random, hash, unit};

pub(crate) use catalogue::{EXPERIMENTS, Experiment};
use catalogue::{Setting, catalogue_entry};
pub use incident::{BROKEN_EXPERIMENT, EXPECTED_LOSS};

/// Where a request runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Environment {
    /// Real guests.
    Production,
    /// Testers and smoke tests.
    Staging,
}

impl Environment {
    /// As in the events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
        }
    }
}

/// One deployable part of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Pages.
    Web,
    /// Availability and rates behind the pages.
    Api,
    /// Card payments.
    Payments,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Web, Self::Api, Self::Payments];

    /// As in the events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Api => "api",
            Self::Payments => "payments",
        }
    }

    /// Instances in production; a deploy reaches one every 20 s.
    #[must_use]
    pub fn instances(self) -> u32 {
        match self {
            Self::Web => 8,
            Self::Api => 5,
            Self::Payments => 3,
        }
    }
}

/// A change as `POST /api/v1/changes` takes it.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// `deploy`, `config`, `experiment`, `schema`, `chaos`, `maintenance` or `note`.
    pub kind: &'static str,
    /// How it went.
    pub status: &'static str,
    /// One line.
    pub title: String,
    /// When it took effect, µs since 1970; RFC 3339 in JSON.
    #[serde(serialize_with = "rfc3339")]
    pub time: i64,
    /// End of something that lasts, µs since 1970.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "rfc3339_option")]
    pub end_time: Option<i64>,
    /// `production` or `staging`.
    pub environment: &'static str,
    /// The service it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<&'static str>,
    /// Version of a deploy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Rollout of a deploy: the short commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rollout: Option<String>,
    /// Experiment of an activation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub experiment: Option<String>,
    /// Variant that got the share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<&'static str>,
    /// Share of guests in `variant`, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// What was changed: a config key, an experiment, a table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Who did it; roles and bots only.
    pub actor: &'static str,
    /// Who answers for it.
    pub owner: &'static str,
    /// The commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_ref: Option<String>,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// How to undo it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub off: Option<Off>,
    /// Makes a repeated delivery harmless.
    pub dedup_key: String,
}

/// A request that switches a change off.
#[derive(Debug, Clone, Serialize)]
pub struct Off {
    /// Where to send it.
    pub url: String,
    /// `POST`.
    pub method: &'static str,
    /// What to send.
    pub body: serde_json::Value,
}

fn rfc3339<S: Serializer>(micros: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    let time = chrono::DateTime::from_timestamp_micros(*micros).unwrap_or_default();
    serializer.serialize_str(&time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true))
}

#[expect(clippy::ref_option, reason = "the shape serde calls")]
fn rfc3339_option<S: Serializer>(micros: &Option<i64>, serializer: S) -> Result<S::Ok, S::Error> {
    rfc3339(&micros.unwrap_or_default(), serializer)
}

/// What a deploy put on the instances of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    /// `service.version`: year, week, number in the week.
    pub version: String,
    /// `rollout`: the short commit.
    pub rollout: String,
}

#[derive(Debug, Clone)]
struct Deploy {
    environment: Environment,
    service: Service,
    time: i64,
    release: Release,
}

#[derive(Debug, Clone)]
struct Ramp {
    environment: Environment,
    experiment: u32,
    time: i64,
    share: f64,
}

/// Seconds between two instances of a rolling deploy.
const ROLLING_STEP_S: i64 = 20;
const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;

/// The record of everything that was changed, in order of time.
#[derive(Debug, Clone, Default)]
pub struct Story {
    seed: u64,
    changes: Vec<Change>,
    deploys: Vec<Deploy>,
    ramps: Vec<Ramp>,
}

impl Story {
    /// All changes, oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// What an instance of a service runs at a time (µs since 1970).
    #[must_use]
    pub fn release(&self, environment: Environment, service: Service, instance: u32, time: i64) -> &Release {
        let reached = time - i64::from(instance) * ROLLING_STEP_S * SECOND;
        let of_service = |deploy: &&Deploy| deploy.environment == environment && deploy.service == service;
        self.deploys
            .iter()
            .rev()
            .filter(of_service)
            .find(|deploy| deploy.time <= reached)
            .or_else(|| self.deploys.iter().find(of_service))
            .map_or(&NO_RELEASE, |deploy| &deploy.release)
    }

    /// Share of guests who get variant B of an experiment at a time (µs since 1970); 0 before its first activation.
    #[must_use]
    pub fn share(&self, environment: Environment, experiment: u32, time: i64) -> f64 {
        self.ramps
            .iter()
            .rev()
            .find(|ramp| ramp.environment == environment && ramp.experiment == experiment && ramp.time <= time)
            .map_or(0.0, |ramp| ramp.share)
    }

    /// True if a guest is in variant B: sticky, by a hash of guest and experiment, so a rising share only adds guests.
    #[must_use]
    pub fn in_variant_b(&self, environment: Environment, experiment: u32, user: u32, time: i64) -> bool {
        let share = self.share(environment, experiment, time);
        share > 0.0 && unit(hash(hash(u64::from(experiment)) ^ u64::from(user))) < share
    }

    /// Sets an experiment's share from a time on, without a change: whoever had it switched declares it.
    pub fn switch(&mut self, environment: Environment, experiment: u32, share: f64, time: i64) {
        self.ramps.push(Ramp { environment, experiment, time, share });
        self.ramps.sort_by_key(|ramp| ramp.time);
    }

    /// Sets an experiment's share from a time on, and records the activation.
    pub fn ramp(&mut self, environment: Environment, experiment: u32, share: f64, time: i64) -> &mut Change {
        self.switch(environment, experiment, share, time);
        let known = catalogue_entry(experiment);
        let title = if share > 0.0 {
            format!("experiment {experiment} ({}) \u{2192} {:.0} %", known.title, share * 100.0)
        } else {
            format!("experiment {experiment} ({}) off", known.title)
        };
        let change = Change {
            experiment: Some(experiment.to_string()),
            variant: Some("B"),
            share: Some(share),
            target: Some(experiment.to_string()),
            service: Some("web"),
            url: Some(format!("https://experiments.example.com/{experiment}")),
            ..self.blank("experiment", title, environment, known.owner, time)
        };
        self.record(change)
    }

    fn deploy(&mut self, environment: Environment, service: Service, release: Release, time: i64) -> &mut Change {
        let title = format!("deploy {} {}", service.name(), release.version);
        self.deploys.push(Deploy { environment, service, time, release: release.clone() });
        self.deploys.sort_by_key(|deploy| deploy.time);
        let commit = commit(&release);
        let end = time + i64::from(service.instances()) * ROLLING_STEP_S * SECOND;
        let change = Change {
            end_time: Some(end),
            service: Some(service.name()),
            version: Some(release.version),
            rollout: Some(release.rollout),
            target: Some(service.name().to_owned()),
            url: Some(format!("https://git.example.com/booking/{}/commit/{commit}", service.name())),
            revision_ref: Some(commit),
            actor: "release-bot",
            ..self.blank("deploy", title, environment, owner_of(service), time)
        };
        self.record(change)
    }

    fn configure(&mut self, environment: Environment, setting: &Setting, to: &str, time: i64) -> &mut Change {
        let title = format!("{} {} \u{2192} {to}", setting.key, setting.from);
        let change = Change {
            service: Some(setting.service.name()),
            target: Some(setting.key.to_owned()),
            ..self.blank("config", title, environment, setting.owner, time)
        };
        self.record(change)
    }

    fn blank(
        &self,
        kind: &'static str,
        title: String,
        environment: Environment,
        owner: &'static str,
        time: i64,
    ) -> Change {
        Change {
            dedup_key: format!("{kind}-{}-{time}-{}", environment.name(), self.changes.len()),
            kind,
            status: "succeeded",
            title,
            time,
            end_time: None,
            environment: environment.name(),
            service: None,
            version: None,
            rollout: None,
            experiment: None,
            variant: None,
            share: None,
            target: None,
            actor: owner,
            owner,
            revision_ref: None,
            url: None,
            off: None,
        }
    }

    /// Puts a change in its place in time.
    fn record(&mut self, change: Change) -> &mut Change {
        let at = self.changes.partition_point(|other| other.time <= change.time);
        self.changes.insert(at, change);
        &mut self.changes[at]
    }

    /// The next release of a service: calendar version of its week, short commit.
    fn next_release(&self, service: Service, time: i64) -> Release {
        let date = chrono::DateTime::from_timestamp_micros(time).unwrap_or_default();
        let week = date.format("%G.%V").to_string();
        let number = self
            .deploys
            .iter()
            .filter(|deploy| deploy.service == service)
            .filter_map(|deploy| deploy.release.version.strip_prefix(&week)?.strip_prefix('.')?.parse::<u32>().ok())
            .max()
            .unwrap_or(0)
            + 1;
        let bits = Random::of(self.seed, 40 + service as u64, time.cast_unsigned()).bits();
        Release { version: format!("{week}.{number}"), rollout: format!("{:07x}", bits >> 36) }
    }
}

static NO_RELEASE: Release = Release { version: String::new(), rollout: String::new() };

/// The long commit of a release, beginning with its rollout.
fn commit(release: &Release) -> String {
    let bits = u64::from_str_radix(&release.rollout, 16).unwrap_or(0);
    format!("{}{:016x}{:016x}{:x}", release.rollout, hash(bits), hash(bits ^ 1), bits & 15)
}

fn owner_of(service: Service) -> &'static str {
    match service {
        Service::Web => "web-team",
        Service::Api => "search-team",
        Service::Payments => "payments-team",
    }
}

#[cfg(test)]
mod tests;
