//! What can go wrong in this stage.

/// Errors of the alerter. Each names the operation and its object and keeps the cause as its source.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Settings that cannot work; all of them at once.
    #[error("the settings of the alerter cannot be used: {}", problems.join("; "))]
    Config {
        /// Each names its key.
        problems: Vec<String>,
    },
    /// The client for outbound calls.
    #[error("could not set up the client for outbound calls")]
    Transport {
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A scan for series failed.
    #[error("could not count the minutes of dataset {dataset}")]
    Count {
        /// The dataset scanned.
        dataset: String,
        /// Why.
        #[source]
        source: Box<query::Error>,
    },
    /// Stored points could not be read back.
    #[error("could not load the stored points of metric {metric}")]
    LoadPoints {
        /// The metric.
        metric: String,
        /// Why.
        #[source]
        source: Box<query::Error>,
    },
    /// One of our own datasets could not be read.
    #[error("could not read dataset {dataset}")]
    Read {
        /// The dataset.
        dataset: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// One of our own datasets could not be written.
    #[error("could not append to dataset {dataset}")]
    Append {
        /// The dataset.
        dataset: String,
        /// Why.
        #[source]
        source: store::Error,
    },
    /// A plain rule's statement failed.
    #[error("could not judge rule {rule}")]
    Rule {
        /// The rule.
        rule: String,
        /// Why.
        #[source]
        source: Box<query::Error>,
    },
    /// A fit's thread ended.
    #[error("fitting the forecast of metric {metric} was cut off")]
    Fit {
        /// The metric.
        metric: String,
    },
}

impl Error {
    /// This error and its causes in one line, for logs and status.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
