//! Settings of this stage. Everything else about metrics and channels lives in their TOML files (see `definition`).

use std::{fmt, path::PathBuf, sync::Arc};

pub use crate::notify::off::OffTarget;

/// Looks a variable of the process environment up. Only `src/config.rs` of the binary reads the environment, so the
/// function comes from there; the default knows no variable.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// Wraps a lookup function.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The value of one variable.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

/// Section `[alerter]` of the configuration.
#[derive(Debug, Clone, serde::Deserialize, serde::Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Folder with the TOML files of metrics and channels. Relative paths in those files start here.
    pub folder: PathBuf,
    /// How often that folder is read again, in seconds.
    pub reread_interval_s: u32,
    /// A minute is scored this many seconds after its end: time for its events to arrive.
    pub watermark_s: u32,
    /// Events that arrive up to this many minutes late re-open their minute.
    pub late_minutes_max: u32,
    /// A source of which nothing of any kind arrived for this many whole minutes is reported as silent.
    pub silent_minutes: u32,
    /// Metrics of one environment that leave their expectation within this many minutes of each other are one page: the first
    /// speaks for the others. 0 pages each by itself.
    pub group_minutes: u32,
    /// Minutes of history a forecast is fitted on (8 weeks).
    pub history_minutes: u32,
    /// Parent series and slices together; further slices are left out, and said so in the status.
    pub series_max: u32,
    /// Slices followed per metric and slice column: the most frequent ones.
    pub slice_values_max: u32,
    /// Address of the console as people reach it, for links in pages: `https://yellowline.example`.
    pub public_url: String,
    /// Deliveries kept waiting at most; a further one is refused and said so loudly (it stays in `system.alerts` and is
    /// sent after a restart).
    pub outbox_max: u32,
    /// One delivery attempt ends after this many seconds.
    pub delivery_timeout_s: u32,
    /// An undelivered notification is given up, loudly, after this many hours.
    pub delivery_hours_max: u32,
    /// After this many seconds without success a notification is also sent to the channel's `fallback`.
    pub fallback_after_s: u32,
    /// Largest body of a history import over HTTP, in bytes.
    pub import_bytes_max: usize,
    /// Pictures of incidents are shown under their secret address for this many hours after the end.
    pub picture_hours: u32,
    /// What may be called to turn a change off. Nothing unless listed.
    pub off_targets: Vec<OffTarget>,
    /// Where `*_env` secrets come from. Not part of the file.
    #[serde(skip)]
    pub environment: Environment,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("yellowline-data/metrics"),
            reread_interval_s: 10,
            watermark_s: 10,
            late_minutes_max: 15,
            silent_minutes: 2,
            group_minutes: 5,
            history_minutes: 8 * 7 * 1440,
            series_max: 1000,
            slice_values_max: 20,
            public_url: "http://127.0.0.1:7300".to_owned(),
            outbox_max: 10_000,
            delivery_timeout_s: 15,
            delivery_hours_max: 24,
            fallback_after_s: 120,
            import_bytes_max: 64 << 20,
            off_targets: Vec::new(),
            picture_hours: 7 * 24,
            environment: Environment::default(),
        }
    }
}

impl Config {
    /// The signing secrets of `off_targets` that cannot be used now, each told with its entry.
    #[must_use]
    pub fn secret_problems(&self, environment: &Environment) -> Vec<String> {
        self.off_targets.iter().filter_map(|target| target.secret_problem(&self.folder, environment)).collect()
    }

    /// Every problem of these settings, each naming its key.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let bounds: [(&str, u64, u64, u64); 12] = [
            ("reread_interval_s", u64::from(self.reread_interval_s), 1, 3600),
            ("watermark_s", u64::from(self.watermark_s), 1, 600),
            ("late_minutes_max", u64::from(self.late_minutes_max), 1, 120),
            ("group_minutes", u64::from(self.group_minutes), 0, 60),
            ("silent_minutes", u64::from(self.silent_minutes), 1, 60),
            ("history_minutes", u64::from(self.history_minutes), 14 * 1440, 60 * 7 * 1440),
            ("series_max", u64::from(self.series_max), 1, 100_000),
            ("slice_values_max", u64::from(self.slice_values_max), 1, 1000),
            ("outbox_max", u64::from(self.outbox_max), 1, 1_000_000),
            ("delivery_timeout_s", u64::from(self.delivery_timeout_s), 1, 120),
            ("delivery_hours_max", u64::from(self.delivery_hours_max), 1, 24 * 7),
            ("picture_hours", u64::from(self.picture_hours), 0, 24 * 400),
        ];
        let mut problems: Vec<String> = bounds
            .iter()
            .filter(|(_, value, low, high)| value < low || value > high)
            .map(|(key, value, low, high)| format!("alerter.{key} is {value}: it must be within {low} and {high}"))
            .collect();
        problems.extend(self.off_targets.iter().filter_map(OffTarget::problem));
        if !(self.public_url.starts_with("http://") || self.public_url.starts_with("https://")) {
            problems
                .push(format!("alerter.public_url is {:?}: it must start with http:// or https://", self.public_url));
        }
        problems
    }
}
