//! The goals, what this run saw of each, and by how much it was missed.

#![expect(clippy::print_stdout, reason = "the report goes to standard output")]

use crate::{
    complaints::Complaints,
    cost::Cost,
    day_ahead::DayAhead,
    incidents::{FACTORS, Found, Incidents},
};

/// Coverage that an interval of 95 % is granted on ordinary days.
const COVERAGE: std::ops::RangeInclusive<f64> = 0.92..=0.98;

/// Expectations this exact make a series smooth.
const SMOOTH_C: f64 = 0.03;

/// Series above this relative error can show outages only.
const OUTAGE_ONLY_C: f64 = alerter::forecast::OUTAGE_ONLY_C;

/// What a complaint made of the error.
type Ratio = fn(&Complaints) -> f64;

/// One goal.
#[derive(Debug)]
struct Row {
    goal: String,
    seen: String,
    verdict: String,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Goals {
    rows: Vec<Row>,
}

impl Goals {
    /// The goals as a table.
    pub(crate) fn print(&self) {
        println!("\nGoals\n\n| goal | seen | |\n|---|---|---|");
        self.rows.iter().for_each(|row| println!("| {} | {} | {} |", row.goal, row.seen, row.verdict));
    }

    fn row(&mut self, goal: &str, seen: f64, note: &str, missed_by: f64) {
        let verdict = match missed_by {
            by if by.is_nan() => "not judged in this run".to_owned(),
            by if by <= 0.0 => "reached".to_owned(),
            by => format!("missed by {}", number(by)),
        };
        let seen = if seen.is_nan() { "-".to_owned() } else { number(seen) };
        let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
        self.rows.push(Row { goal: goal.to_owned(), seen: seen + &note, verdict });
    }

    fn at_most(&mut self, goal: &str, most: f64, seen: f64, note: &str) {
        self.row(goal, seen, note, seen - most);
    }

    fn at_least(&mut self, goal: &str, least: f64, seen: f64, note: &str) {
        self.row(goal, seen, note, least - seen);
    }

    /// Day-ahead forecasts of the series given, by name.
    pub(crate) fn forecasts(&mut self, results: &[(String, DayAhead)]) {
        let judged: Vec<&(String, DayAhead)> = results.iter().filter(|one| one.1.hours > 0).collect();
        let ratios: Vec<f64> = judged.iter().map(|one| one.1.wape[0] / one.1.wape[2]).collect();
        let worst = ratios.iter().copied().fold(f64::NAN, f64::max);
        self.at_most("WAPE over that of the median of 3 weeks, geometric mean ≤ .90", 0.9, geometric_mean(&ratios), "");
        self.at_most("the same, worst series ≤ 1.10", 1.1, worst, "");
        let outside = judged.iter().filter(|one| !COVERAGE.contains(&one.1.coverage_ordinary));
        let outside: Vec<String> = outside.map(|one| format!("{} {:.3}", one.0, one.1.coverage_ordinary)).collect();
        let share = (judged.len() - outside.len()) as f64 / judged.len() as f64;
        let goal = "series whose 95 % interval covers .92–.98 of ordinary days, ≥ 7 of 8";
        self.at_least(goal, 0.875, share, &outside.join(", "));
    }

    /// Pages and injected incidents.
    pub(crate) fn incidents(&mut self, results: &[Incidents]) {
        let days: f64 = results.iter().map(|one| one.ordinary.days).sum();
        let pages: usize = results.iter().map(|one| one.ordinary.pages).sum();
        let most = results.iter().map(|one| one.ordinary.pages as f64 / one.ordinary.days * 30.0);
        let note = format!("worst series {:.1}", most.fold(f64::NAN, f64::max));
        self.at_most("pages per series and 30 ordinary days ≤ 2", 2.0, pages as f64 / days * 30.0, &note);
        for (rate, delay) in [(10.0, 5.0), (100.0, 2.0), (1000.0, 2.0)] {
            let of = pooled(results, 0, |one| class(one.rate) == rate);
            self.at_least(&format!("total outage at {rate} a minute: found ≥ .99"), 0.99, of.share(), "");
            self.at_most(&format!("total outage at {rate} a minute: median ≤ {delay} min"), delay, of.delay(0.5), "");
            if rate == 10.0 {
                self.at_most("total outage at 10 a minute: 90 % quantile ≤ 10 min", 10.0, of.delay(0.9), "");
            }
        }
        for (rate, delay) in [(10.0, 15.0), (100.0, 3.0), (1000.0, 2.0)] {
            let of = pooled(results, 1, |one| class(one.rate) == rate && one.c_fast <= OUTAGE_ONLY_C);
            let all = format!(
                "with series that show outages only {:.2}",
                pooled(results, 1, |one| class(one.rate) == rate).share()
            );
            self.at_least(&format!("half drop at {rate} a minute: found ≥ .95"), 0.95, of.share(), &all);
            self.at_most(&format!("half drop at {rate} a minute: median ≤ {delay} min"), delay, of.delay(0.5), "");
        }
        for (factor, drop, least) in [(0, "outage", 0.99), (1, "half drop", 0.95), (2, "20 % drop", 0.95)] {
            let (promised, found) = pooled(results, factor, |_| true).promise();
            let goal = format!("{drop} said to page within the hour, of all series: found ≥ {least}");
            self.at_least(&goal, least, found, &format!("said of {promised:.2} of them"));
        }
        for (rate, share, delay) in [(100.0, 0.75, 12.0), (1000.0, 0.9, 6.0)] {
            let of = pooled(results, 2, |one| class(one.rate) == rate && one.c_fast <= SMOOTH_C);
            let goal = format!("20 % drop, smooth series at {rate} a minute");
            self.at_least(&format!("{goal}: found ≥ {share}"), share, of.share(), "");
            self.at_most(&format!("{goal}: median ≤ {delay} min"), delay, of.delay(0.5), "");
        }
        let half = pooled(results, 1, |one| class(one.rate) > 0.0);
        self.at_most(
            "onset of a half drop, ten minutes after the page: median error ≤ 1 min",
            1.0,
            half.onset_errors().1,
            "",
        );
        self.at_least("the same, within 5 min ≥ .90", 0.9, half.onset_within_five(), "");
        for (factor, drop) in [(0, "outage"), (1, "half drop")] {
            let of = pooled(results, factor, |_| true);
            let goal = format!("loss of an injected {drop} inside its stated interval ≥ .90");
            self.at_least(&goal, 0.9, of.loss_inside(), "");
        }
        let (lost, seen) = results.iter().fold((0.0, 0.0), |sum, one| {
            (sum.0 + one.ordinary.phantom / one.rate, sum.1 + one.ordinary.seen / one.rate)
        });
        self.at_most(
            "phantom loss on ordinary days ≤ .1 % of what was seen, series alike",
            0.001,
            lost.abs() / seen,
            "",
        );
    }

    /// What users complain of.
    pub(crate) fn complaints(&mut self, results: &[(String, Complaints)]) {
        let of = |ratio: fn(&Complaints) -> f64| {
            let all: Vec<(f64, &str)> =
                results.iter().map(|one| (ratio(&one.1), one.0.as_str())).filter(|one| one.0.is_finite()).collect();
            let worst = all.iter().copied().max_by(|a, b| a.0.total_cmp(&b.0));
            let ratios: Vec<f64> = all.iter().map(|one| one.0).collect();
            (
                geometric_mean(&ratios),
                worst.map_or_else(String::new, |(ratio, name)| format!("worst {name} {ratio:.2}")),
            )
        };
        let cases: [(&str, f64, Ratio); 4] = [
            ("WAPE after a day of nothing last week ≤ 1.20 × clean", 1.2, |one| one.hit / one.clean),
            ("the same, masked ≤ 1.10 × clean", 1.1, |one| one.masked / one.clean),
            ("week after a clock change ≤ 1.15 × ordinary weeks", 1.15, |one| {
                one.clock.map_or(f64::NAN, |[_, local, usual]| local / usual)
            }),
            ("holidays with past years ≤ .5 × taken as a weekday", 0.5, |one| {
                one.holidays.map_or(f64::NAN, |[weekday, _, known]| known / weekday)
            }),
        ];
        for (goal, most, ratio) in cases {
            let (mean, worst) = of(ratio);
            self.at_most(goal, most, mean, &worst);
        }
    }

    /// Pages of ten metrics together, a week.
    pub(crate) fn family(&mut self, pages_a_week: f64) {
        self.at_most("false pages of ten metrics together ≤ 1 a week", 1.0, pages_a_week, "simulated");
    }

    /// What a fit and many series cost.
    pub(crate) fn cost(&mut self, cost: &Cost) {
        let milliseconds = cost.refit.as_secs_f64() * 1e3;
        self.at_most("a refit from 8 weeks of minutes ≤ 2 ms", 2.0, milliseconds, "");
        let microseconds = cost.minute.as_secs_f64() * 1e6 / cost.series as f64;
        self.at_most("a minute of one series ≤ 10 us", 10.0, microseconds, "");
        let note = format!("scan {:.2} s of {} events", cost.scan.as_secs_f64(), cost.events);
        let seconds = (cost.scan + cost.minute).as_secs_f64();
        self.at_most(&format!("a minute of {} series with their scan ≤ 2 s", cost.series), 2.0, seconds, &note);
    }
}

/// The rate that a series stands for: 10, 100 or 1,000 a minute; 0 below.
fn class(rate: f64) -> f64 {
    match rate {
        rate if rate < 3.0 => 0.0,
        rate if rate < 32.0 => 10.0,
        rate if rate < 320.0 => 100.0,
        _ => 1000.0,
    }
}

fn pooled(results: &[Incidents], factor: usize, of: impl Fn(&Incidents) -> bool) -> Found {
    debug_assert!(factor < FACTORS.len());
    Found::pooled(results.iter().filter(|one| of(one)).map(|one| &one.found[factor]))
}

/// NaN of none.
pub(crate) fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

fn number(value: f64) -> String {
    let digits = if value.abs() >= 10.0 {
        1
    } else if value.abs() >= 0.1 || value == 0.0 {
        2
    } else {
        4
    };
    format!("{value:.digits$}")
}
