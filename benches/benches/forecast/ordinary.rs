//! Which days of a series are ordinary: no label near, no public holiday.

use alerter::{
    backtest::Page,
    calendar::EventDay,
    history::Minute,
    zone::{LocalClock, LocalDay},
};
use chrono::{Datelike as _, NaiveDate, Weekday};

use crate::series::Series;

/// The ordinary days of a series. Files do not say whose holidays they keep: those of the United States are taken, and for all
/// markets 24 December to 1 January.
#[derive(Debug)]
pub(crate) struct Ordinary<'a> {
    series: &'a Series,
    clock: LocalClock,
    holidays: Vec<EventDay>,
}

impl<'a> Ordinary<'a> {
    pub(crate) fn of(series: &'a Series) -> Self {
        let clock = series.clock();
        let holidays = united_states(clock.day(series.start), clock.day(series.end()));
        Self { series, clock, holidays }
    }

    /// True when the local day of a minute is ordinary.
    pub(crate) fn holds(&self, minute: Minute) -> bool {
        let day = self.clock.day(minute);
        let date = NaiveDate::default() + chrono::Duration::days(i64::from(day));
        let at_christmas = (date.month() == 12 && date.day() >= 24) || (date.month() == 1 && date.day() == 1);
        !at_christmas && !self.series.near_label(minute) && !self.holidays.iter().any(|event| event.day == day)
    }

    /// The ordinary hours from a minute on, each by its first minute.
    pub(crate) fn hours(&self, from: Minute) -> impl Iterator<Item = Minute> {
        (from..self.series.end()).step_by(60).filter(|hour| self.holds(*hour))
    }

    /// True for a page that began and was sent on ordinary days.
    pub(crate) fn holds_page(&self, page: &Page) -> bool {
        self.holds(page.minute) && self.holds(page.onset.minute)
    }
}

/// Federal holidays that move traffic, by rule.
pub(crate) fn united_states(first: LocalDay, last: LocalDay) -> Vec<EventDay> {
    let number = |date: NaiveDate| date.signed_duration_since(NaiveDate::default()).num_days() as LocalDay;
    let mut days = Vec::new();
    for year in 1990..2040 {
        let fixed = [(1, 1, "New Year"), (7, 4, "Independence Day"), (12, 24, "Christmas Eve"), (12, 25, "Christmas")];
        let nth = [(1, 3, Weekday::Mon, "King"), (2, 3, Weekday::Mon, "Presidents"), (9, 1, Weekday::Mon, "Labor Day")];
        let thanksgiving = NaiveDate::from_weekday_of_month_opt(year, 11, Weekday::Thu, 4);
        let mut memorial = (25..=31).filter_map(|day| NaiveDate::from_ymd_opt(year, 5, day));
        let memorial = memorial.rfind(|date| date.weekday() == Weekday::Mon);
        let dates = fixed
            .iter()
            .filter_map(|(month, day, name)| Some((NaiveDate::from_ymd_opt(year, *month, *day)?, *name)))
            .chain(nth.iter().filter_map(|(month, n, weekday, name)| {
                Some((NaiveDate::from_weekday_of_month_opt(year, *month, *weekday, *n)?, *name))
            }))
            .chain(thanksgiving.map(|date| (date, "Thanksgiving")))
            .chain(thanksgiving.and_then(|date| Some((date.succ_opt()?, "day after Thanksgiving"))))
            .chain(memorial.map(|date| (date, "Memorial Day")));
        days.extend(dates.map(|(date, name)| EventDay {
            day: number(date),
            name: name.to_owned(),
            scope: String::new(),
        }));
    }
    days.retain(|event| (first..=last).contains(&event.day));
    days
}
