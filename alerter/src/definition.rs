//! Metrics, rules and channels as people write them: TOML files in one folder, read again every few seconds.
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
//! [[rule]]
//! name = "payment_errors"
//! dataset = "shop"
//! sql = "SELECT country, count(*) AS value FROM events WHERE time >= $from AND time < $to AND status >= 500 GROUP BY country"
//! above = 50
//! for_minutes = 5
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
mod rule;

use std::{fmt, sync::Arc};

pub(crate) use folder::read_secret;
pub use folder::{Folder, check};
pub use parse::{Definitions, PersonMask, parse};
use query::{Measure, MetricQuery};
pub use rule::{GROUPS_MAX, Judged, Rule};
use store::DatasetName;

pub use crate::score::Direction;
use crate::{burn::Budget, calendar::Calendar, forecast::Yearly, history::Mask, score::Kind};

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

/// The word of a kind of measure, in files and in the API.
#[must_use]
pub fn kind_word(measure: &Measure) -> &'static str {
    match measure {
        Measure::Count => "count",
        Measure::Sum { .. } => "sum",
        Measure::Ratio { .. } => "ratio",
        Measure::Latency { .. } => "latency",
    }
}

/// The word of a direction, in files and in the API.
#[must_use]
pub fn direction_word(direction: Direction) -> &'static str {
    match direction {
        Direction::Down => "down",
        Direction::Up => "up",
        Direction::Both => "both",
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
    /// What is measured per minute.
    pub measure: Measure,
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
    /// What may be lost in 28 days (`budget_share`), and how much of it in an hour and in six pages (`burn_1h`, `burn_6h`).
    pub budget: Option<Budget>,
    /// File of event days, relative to the folder, and the scope whose days apply (`None`: all of them).
    pub calendar_file: Option<(String, Option<String>)>,
    /// The event days read from it.
    pub calendar: Arc<Calendar>,
    /// Whether the same week of last year enters its forecast.
    pub last_year: Yearly,
    /// Intervals that a person hid from its forecast (`[[mask]]`).
    pub masks: Vec<Mask>,
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
        MetricQuery {
            name: self.name.clone(),
            dataset: self.dataset.clone(),
            environment: self.environment.clone(),
            measure: self.measure.clone(),
            filter: self.filter.clone(),
            slices: self.slices.clone(),
        }
    }

    /// How the forecast sees it.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.measure {
            Measure::Count => Kind::Count,
            Measure::Sum { .. } => Kind::Sum,
            Measure::Ratio { .. } | Measure::Latency { .. } => Kind::Ratio,
        }
    }

    /// Changes when stored points no longer answer the same question: 16 hexadecimal digits.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        use sha2::Digest as _;
        let text = format!("{}\u{0}{:?}\u{0}{:?}\u{0}{:?}", self.dataset, self.environment, self.measure, self.filter);
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
    /// PagerDuty: every declared change is sent as a change event, too.
    pub changes: bool,
    /// File it was read from.
    pub file: String,
    /// Line of its `[[channel]]`.
    pub line: u32,
}
