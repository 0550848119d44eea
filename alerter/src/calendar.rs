//! Event days of a market (public holidays, sales): named days that are not like other days of their weekday.

use serde::{Deserialize, Serialize};

use crate::zone::LocalDay;

/// One event day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDay {
    /// The local day, in days since 1970-01-01.
    pub day: LocalDay,
    /// Name that the same event has every year.
    pub name: String,
    /// Markets it applies to; empty = all. Interpreted by the caller, who passes only the days of the series' market.
    #[serde(default)]
    pub scope: String,
}

/// The event days of one market, past and future.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    days: Vec<EventDay>,
}

impl Calendar {
    /// A calendar of the given days, in any order.
    #[must_use]
    pub fn new(mut days: Vec<EventDay>) -> Self {
        days.sort_by_key(|event| event.day);
        Self { days }
    }

    /// Reads `date,name[,scope]` lines (`2026-12-25,Christmas,nl`); a header line, blank lines and `#` comments are skipped.
    ///
    /// # Errors
    /// The line that is not of this form.
    pub fn from_csv(text: &str) -> Result<Self, CalendarError> {
        let mut days = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || (index == 0 && line.starts_with("date")) {
                continue;
            }
            let mut fields = line.splitn(3, ',').map(str::trim);
            let date = fields.next().and_then(|date| chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").ok());
            let name = fields.next().filter(|name| !name.is_empty());
            let (Some(date), Some(name)) = (date, name) else {
                return Err(CalendarError { line: index + 1, text: line.to_owned() });
            };
            let day = date.signed_duration_since(chrono::NaiveDate::default()).num_days();
            days.push(EventDay {
                day: LocalDay::try_from(day).unwrap_or(LocalDay::MAX),
                name: name.to_owned(),
                scope: fields.next().unwrap_or_default().to_owned(),
            });
        }
        Ok(Self::new(days))
    }

    /// The days of one scope, and those that apply everywhere.
    #[must_use]
    pub fn scoped(&self, scope: &str) -> Self {
        let ours = |event: &&EventDay| event.scope.is_empty() || event.scope == scope;
        Self { days: self.days.iter().filter(ours).cloned().collect() }
    }

    /// The event on a day.
    #[must_use]
    pub fn on(&self, day: LocalDay) -> Option<&EventDay> {
        let at = self.days.partition_point(|event| event.day < day);
        self.days.get(at).filter(|event| event.day == day)
    }

    /// Earlier days of the same event, latest first.
    pub fn before<'a>(&'a self, event: &'a EventDay) -> impl Iterator<Item = LocalDay> + 'a {
        self.days
            .iter()
            .rev()
            .filter(move |other| other.name == event.name && other.day < event.day)
            .map(|other| other.day)
    }

    /// True when there are no event days.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.days.is_empty()
    }
}

/// A calendar line that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("calendar line {line} is `{text}`: write `date,name[,scope]` with a date like 2026-12-25")]
pub struct CalendarError {
    /// Line number, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_found_with_their_past_years() {
        let text =
            "date,name,scope\n# shop\n2023-12-25,Christmas,nl\n2024-12-25,Christmas,nl\n\n2024-11-29,Black Friday\n";
        let calendar = Calendar::from_csv(text).unwrap();
        let christmas = calendar.on(20_082).unwrap();
        assert_eq!((christmas.name.as_str(), christmas.scope.as_str()), ("Christmas", "nl"));
        assert_eq!(calendar.before(christmas).collect::<Vec<_>>(), [19_716]);
        assert!(calendar.on(20_083).is_none());
        assert!(calendar.scoped("de").on(20_082).is_none());
        assert_eq!(calendar.scoped("de").days.len(), 1, "Black Friday is everywhere");
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Calendar::from_csv("2024-12-25,Christmas\n25.12.2024,Christmas\n").unwrap_err();
        assert_eq!(error.line, 2);
        assert!(error.to_string().contains("25.12.2024"), "{error}");
    }
}
