//! Metrics and channels as people write them: TOML files in one folder, read again every few seconds.
//!
//! A file with any problem is refused as a whole and its last good version stays in force; the problem is shown in the
//! status, counted and logged until it is gone. Parsing is pure: [`parse`] takes text; [`Folder`] does the reading.
//!
//! ```toml
//! [[metric]]
//! name = "bookings"
//! unit = "bookings"
//! dataset = "shop"
//! environment = "production"
//! kind = "count"
//! filter = "route = '/checkout/pay' AND status = 200"
//! channels = ["oncall"]
//!
//! [[channel]]
//! name = "oncall"
//! kind = "pagerduty"
//! routing_key_file = "oncall.key"
//! ```

mod fields;
mod folder;
mod nearest;
mod parse;

use std::fmt;

pub use folder::{Folder, check};
pub use parse::{Definitions, parse};
use query::{Measure, MetricQuery};
use store::DatasetName;

/// Something wrong in a definition file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// Path of the file, relative to the folder.
    pub file: String,
    /// Line in that file, from 1.
    pub line: u32,
    /// What is wrong and what to do.
    pub message: String,
    /// True when the file is in force all the same.
    pub warning: bool,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

/// Which way a metric must move to be a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Too little is bad: bookings, revenue, conversion.
    Down,
    /// Too much is bad: errors, slow requests.
    Up,
    /// Either.
    Both,
}

impl Direction {
    /// The word used in files and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Both => "both",
        }
    }
}

/// What is measured per minute.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Number of events that pass the filter.
    Count,
    /// Sum of an SQL expression over them.
    Sum {
        /// The expression.
        value: String,
    },
    /// Events that pass the filter among those that pass the denominator's.
    Ratio {
        /// Filter of the exposure.
        denominator: String,
    },
    /// Share of events whose value is over a threshold.
    Latency {
        /// The measured expression, in milliseconds.
        value: String,
        /// The threshold, in milliseconds.
        threshold_ms: f64,
    },
}

impl Kind {
    /// The word used in files and in the API.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum { .. } => "sum",
            Self::Ratio { .. } => "ratio",
            Self::Latency { .. } => "latency",
        }
    }

    /// True when a minute has an exposure beside its count.
    #[must_use]
    pub fn is_share(&self) -> bool {
        matches!(self, Self::Ratio { .. } | Self::Latency { .. })
    }
}

/// One `[[metric]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// `[a-z][a-z0-9_]*`, unique.
    pub name: String,
    /// For people; the name when not given.
    pub title: String,
    /// Plural noun of what is counted: "bookings".
    pub unit: String,
    /// Where its events are.
    pub dataset: DatasetName,
    /// Only events of this environment; absent means all.
    pub environment: Option<String>,
    /// What is measured.
    pub kind: Kind,
    /// SQL condition over the event.
    pub filter: Option<String>,
    /// Columns whose values are followed as children.
    pub slices: Vec<String>,
    /// The market's clock: seasons follow it.
    pub zone: chrono_tz::Tz,
    /// Which way is bad.
    pub direction: Direction,
    /// A drop (or rise) smaller than this share of the expected never pages. 0.12 unless set.
    pub smallest_drop: f64,
    /// Channels that are told.
    pub channels: Vec<String>,
    /// Share of the expected amount that may be lost in 28 days.
    pub budget_share: Option<f64>,
    /// Who looks after it.
    pub owner: Option<String>,
    /// What to do when it pages.
    pub runbook: Option<String>,
    /// File it was read from, relative to the folder.
    pub file: String,
    /// Line of its `[[metric]]`.
    pub line: u32,
}

impl Metric {
    /// The question put to the query stage.
    #[must_use]
    pub fn query(&self) -> MetricQuery {
        let measure = match &self.kind {
            Kind::Count => Measure::Count,
            Kind::Sum { value } => Measure::Sum { value: value.clone() },
            Kind::Ratio { denominator } => Measure::Ratio { denominator: denominator.clone() },
            Kind::Latency { value, threshold_ms } => {
                Measure::Latency { value: value.clone(), threshold_ms: *threshold_ms }
            }
        };
        MetricQuery {
            name: self.name.clone(),
            dataset: self.dataset.clone(),
            environment: self.environment.clone(),
            measure,
            filter: self.filter.clone(),
            slices: self.slices.clone(),
        }
    }

    /// Changes when stored points no longer answer the same question: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let text = format!("{}\u{0}{:?}\u{0}{:?}\u{0}{:?}", self.dataset, self.environment, self.kind, self.filter);
        hex::encode(&sha2::Sha256::digest(text.as_bytes())[..8])
    }
}

/// Where the secret of a channel comes from. The secret itself is read at each delivery, so that it can be changed
/// without a restart, and is never kept, shown or logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// A file, relative to the folder of the definitions. Surrounding white space is dropped.
    File(String),
    /// A variable of the process environment.
    Env(String),
}

/// What a channel speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChannelKind {
    /// PagerDuty Events API v2.
    PagerDuty,
    /// Slack incoming webhook.
    Slack,
    /// Signed by the Standard Webhooks scheme.
    Webhook,
}

impl ChannelKind {
    /// The word used in files and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PagerDuty => "pagerduty",
            Self::Slack => "slack",
            Self::Webhook => "webhook",
        }
    }
}

/// One `[[channel]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Channel {
    /// `[a-z][a-z0-9_]*`, unique.
    pub name: String,
    /// What it speaks.
    pub kind: ChannelKind,
    /// Where to post. `None`: the URL is itself the secret (Slack).
    pub url: Option<String>,
    /// Routing key, signing secret, or the whole URL.
    pub secret: Option<Secret>,
    /// A channel told instead when this one cannot be reached.
    pub fallback: Option<String>,
    /// File it was read from.
    pub file: String,
    /// Line of its `[[channel]]`.
    pub line: u32,
}
