//! How good are forecasts and pages, on any series?
//!
//! `cargo bench --workspace --bench forecast -- FILE.csv[.gz][,zone=Area/City][,sparse] …` judges each file:
//! hourly day-ahead forecasts of the last 28 days from 8 weeks before each, against baselines; then the same days minute by
//! minute: pages on the series as it is, and injected incidents found. Series coarser than a minute are drawn as counts of
//! 10, 100 and 1,000 a minute with their rate; then what users complain of (an outage in the past, the clock change, holidays), and
//! labelled windows; last the table of goals. Without a file, or with `--simulated` beside files, the simulated series with a fixed
//! seed are judged, ten metrics at once, and the cost of 100,000 with the scan that counts their events. `--forecast-only`,
//! `--parents=N`, `--before=N` (judges the 28 days that end N times 28 days before the end, for choices made without the test days),
//! `--pages` (lists them), `--picture=FILE.svg` (draws docs/forecast.svg and ends).
//! Thresholds come from the days before each test day; nothing is tuned on the test days.

#![expect(clippy::print_stdout, reason = "the report goes to standard output")]
#![expect(clippy::cast_possible_truncation, reason = "positions in series that fit in memory")]

mod baselines;
mod budget;
mod complaints;
mod cost;
mod day_ahead;
mod goals;
mod incidents;
mod labelled;
mod mstl;
mod ordinary;
mod picture;
mod scan;
mod series;
mod simulated;

use alerter::history::DAY_MINUTES;
use anyhow::{Context as _, Result};
use complaints::Complaints;
use cost::Cost;
use day_ahead::DayAhead;
use goals::Goals;
use incidents::Incidents;
use series::Series;

const SEED: u64 = 1913;

/// Series whose cost is measured.
const COST_SERIES: usize = 100_000;

/// Metrics that share the promise of one false page a week.
const FAMILY: u32 = 10;

fn main() -> Result<()> {
    // cargo bench passes --bench to a target without harness.
    let (options, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let parents = options.iter().find_map(|option| option.strip_prefix("--parents=")).map_or(Ok(1), str::parse)?;
    let asked = |name: &str| options.iter().any(|option| option == name);
    if let Some(path) = options.iter().find_map(|option| option.strip_prefix("--picture=")) {
        return std::fs::write(path, picture::draw(SEED)).with_context(|| format!("could not write {path}"));
    }
    let simulated = files.is_empty() || asked("--simulated");
    let windows =
        options.iter().find_map(|option| option.strip_prefix("--before=")).map_or(Ok(0), str::parse::<i64>)?;
    let read = |file: &String| {
        Series::read(file).map(|one| one.before(one.end() - windows * day_ahead::TEST_DAYS * DAY_MINUTES))
    };
    let mut series: Vec<Series> = files.iter().map(read).collect::<Result<_>>()?;
    if simulated {
        series.extend([10.0, 100.0, 1000.0].iter().map(|rate| simulated::smooth(*rate, 0.03, SEED)));
    }
    let mut goals = Goals::default();
    goals.forecasts(&report_forecasts(&series));
    if asked("--forecast-only") {
        return Ok(());
    }
    goals.complaints(&report_complaints(&series));
    report_yearly(&series);
    goals.incidents(&report_incidents(&series, parents));
    report_budgets(&series);
    report_labels(&series);
    if simulated {
        goals.family(report_family());
        goals.cost(&report_cost()?);
    }
    goals.print();
    Ok(())
}

fn report_complaints(series: &[Series]) -> Vec<(String, Complaints)> {
    println!("\nWhat users complain of, WAPE\n");
    println!(
        "| series | clean | a day of nothing last week | masked | clock change, UTC slots | local slots | ordinary weeks |"
    );
    println!("|---|---|---|---|---|---|---|");
    let all: Vec<(String, Complaints)> = series.iter().map(|one| (one.name.clone(), Complaints::of(one))).collect();
    for (name, one) in &all {
        let Complaints { clean, hit, masked, .. } = one;
        print!("| {name} | {clean:.3} | {hit:.3} ({:.2}) | {masked:.3} ({:.2}) |", hit / clean, masked / clean);
        match one.clock {
            Some([utc, local, ordinary]) => println!(" {utc:.3} | {local:.3} | {ordinary:.3} |"),
            None => println!(" - | - | - |"),
        }
    }
    println!("\nHolidays of the United States in files of more than a year and two months, WAPE of those days\n");
    println!("| series | as a weekday | as an unknown event | with past years |\n|---|---|---|---|");
    for (name, one) in &all {
        if let Some([weekday, unknown, known]) = one.holidays {
            println!("| {name} | {weekday:.3} | {unknown:.3} | {known:.3} |");
        }
    }
    all
}

fn report_yearly(series: &[Series]) {
    println!(
        "\nThe same week of last year, in files of more than 60 weeks, WAPE: test days (the 48 weeks before them)\n"
    );
    println!("| series | never | always | by evidence |\n|---|---|---|---|");
    for one in series {
        if let Some([test, before]) = complaints::yearly(one) {
            print!("| {} |", one.name);
            test.iter().zip(before).for_each(|(test, before)| print!(" {test:.3} ({before:.3}) |"));
            println!();
        }
    }
}

fn report_budgets(series: &[Series]) {
    println!(
        "\nPages for a budget of half a percent, drawn at 100 a minute where coarser: a tenth less for six hours, below the gate\n"
    );
    println!(
        "| series | for the budget on 30 ordinary days | paged for the budget | after minutes | paged by a window |"
    );
    println!("|---|---|---|---|---|");
    let (mut days, mut pages) = (0.0, 0);
    for one in series {
        let minutes = if one.step == 1 { one.clone() } else { simulated::minutes_of(one, 100.0, SEED) };
        let seen = budget::judge(&minutes, SEED);
        let share = |found: usize| found as f64 / seen.injected as f64;
        print!("| {} | {:.1} |", minutes.name, seen.pages as f64 / seen.days * 30.0);
        let delay = incidents::quantile(&seen.by_budget, 0.5);
        println!(" {:.2} | {delay:.0} | {:.2} |", share(seen.by_budget.len()), share(seen.by_window));
        (days, pages) = (days + seen.days, pages + seen.pages);
    }
    println!("\nTogether {:.2} pages for the budget on 30 ordinary days", pages as f64 / days * 30.0);
}

fn report_labels(series: &[Series]) {
    println!(
        "\nLabelled windows after the first eight weeks, both directions, drawn at 1,000 a minute where coarser\n"
    );
    println!("| series | windows | found | pages a week outside |\n|---|---|---|---|");
    for one in series.iter().filter(|one| one.label.contains(&true)) {
        let minutes = if one.step == 1 { one.clone() } else { simulated::minutes_of(one, 1000.0, SEED) };
        if let Some(found) = labelled::judge(&minutes) {
            println!("| {} | {} | {} | {:.2} |", one.name, found.windows, found.found, found.others_per_week);
        }
    }
}

fn report_family() -> f64 {
    println!("\nTen smooth metrics that share the promise of one false page a week, 28 days each\n");
    println!("| rate a minute | pages | a week, all ten |\n|---|---|---|");
    let mut all = 0.0;
    for number in 0..FAMILY {
        let rate = [3.0, 10.0, 30.0, 100.0, 300.0][number as usize % 5];
        let one = simulated::smooth(rate, 0.03, SEED + 1 + u64::from(number));
        let pages = incidents::judge(&one, FAMILY, SEED).pages.len() as f64;
        all += pages / 4.0;
        println!("| {rate} | {pages} | {:.2} |", pages / 4.0);
    }
    println!("\nTogether {all:.2} false pages a week");
    all
}

fn report_cost() -> Result<Cost> {
    let cost = cost::measure(COST_SERIES, SEED)?;
    println!("\nA minute of {} series on one core: {:.3} s", cost.series, cost.minute.as_secs_f64());
    println!("The scan that counts {} events of that minute: {:.3} s", cost.events, cost.scan.as_secs_f64());
    println!("Live state: {} bytes a series; a refit {:.2} ms", cost.live_bytes, cost.refit.as_secs_f64() * 1e3);
    Ok(cost)
}

fn report_forecasts(series: &[Series]) -> Vec<(String, DayAhead)> {
    println!(
        "\nForecast, hourly, day-ahead: WAPE (lower is better); coverage of the 95 % interval; time of a fit and of a refit\n"
    );
    print!("| series | hours | ours |");
    baselines::BASELINES.iter().for_each(|baseline| print!(" {} |", baseline.0));
    println!(
        " ours / 3-week median | coverage | on ordinary days | ms a fit | ms a refit |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut all = Vec::new();
    for one in series {
        let result = day_ahead::judge(one);
        print!("| {} | {} |", one.name, result.hours);
        result.wape.iter().for_each(|wape| print!(" {wape:.3} |"));
        let ratio = result.wape[0] / result.wape[2];
        let (fit_ms, refit_ms) = (result.fit_time.as_secs_f64() * 1e3, result.refit_time.as_secs_f64() * 1e3);
        print!(" {ratio:.3} | {:.3} | {:.3} |", result.coverage, result.coverage_ordinary);
        println!(" {fit_ms:.1} | {refit_ms:.2} |");
        all.push((one.name.clone(), result));
    }
    all
}

fn report_incidents(series: &[Series], parents: u32) -> Vec<Incidents> {
    let mut all = Vec::new();
    println!("\nPages and injected incidents of an hour: share found / median delay / 90 % delay in minutes\n");
    println!(
        "| series | pages / 30 days | on 30 ordinary days | c of the fast windows | x 0 | x .5 | x .8 | promised, found of those: x 0, x .5, x .8 | onset error at page, 10 min later (x .5) | within 5 min | closed after its end: median, 90 % (x .5) | told over while it lasts (x .5) | loss in its interval (x .5) | ns a minute |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
    for one in series {
        let minutes: Vec<Series> = if one.step == 1 {
            vec![one.clone()]
        } else {
            [10.0, 100.0, 1000.0].iter().map(|rate| simulated::minutes_of(one, *rate, SEED)).collect()
        };
        for one in &minutes {
            let result = incidents::judge(one, parents, SEED);
            let ordinary = result.ordinary.pages as f64 / result.ordinary.days * 30.0;
            print!("| {} | {:.1} | {ordinary:.1} | {:.3} |", one.name, result.pages_per_30_days, result.c_fast);
            for found in &result.found {
                print!(" {:.2} / {:.0} / {:.0} |", found.share(), found.delay(0.5), found.delay(0.9));
            }
            let promises = result.found.iter().map(|found| {
                let (promised, found) = found.promise();
                format!("{promised:.2}, {found:.2}")
            });
            print!(" {} |", promises.collect::<Vec<_>>().join("; "));
            let half = &result.found[1];
            let (at_page, later) = half.onset_errors();
            print!(" {at_page:.0}, {later:.0} | {:.2} |", half.onset_within_five());
            print!(" {:.0}, {:.0} |", half.closed_after(0.5), half.closed_after(0.9));
            println!(" {:.2} | {:.2} | {:.0} |", half.ended_early(), half.loss_inside(), result.step_nanoseconds);
            if std::env::args().any(|argument| argument == "--pages") {
                for page in &result.pages {
                    let (began, breach) = (page.onset.minute, &page.breach);
                    let time = chrono::DateTime::from_timestamp(began * 60, 0).unwrap_or_default();
                    let lasted = page.closed.map_or_else(|| "open".to_owned(), |closed| (closed - began).to_string());
                    println!(
                        "|   {time} paged after {} min · window {} · z {:.1} of {:.1} · {:.0} of {:.0} · lasted {lasted} min{} |",
                        page.minute - began,
                        breach.window_minutes,
                        breach.z,
                        breach.threshold,
                        page.loss.seen,
                        page.loss.expected,
                        if page.new_normal { ", new normal" } else { "" },
                    );
                }
            }
            all.push(result);
        }
    }
    all
}
