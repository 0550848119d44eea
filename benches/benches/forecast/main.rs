//! How good are forecasts and pages, on any series?
//!
//! `cargo bench -p yellowline-benches --bench forecast -- FILE.csv[.gz][,zone=Area/City][,sparse] …` judges each file:
//! hourly day-ahead forecasts of the last 28 days from 8 weeks before each, against baselines; then the same days minute by
//! minute: pages on the series as it is, and injected incidents found. Series coarser than a minute are drawn as counts of
//! 10, 100 and 1,000 a minute with their rate. Without a file, the simulated series with a fixed seed are judged.
//! Thresholds come from the days before each test day; nothing is tuned on the test days.

#![expect(clippy::print_stdout, reason = "the report goes to standard output")]
#![expect(clippy::cast_possible_truncation, reason = "positions in series that fit in memory")]

mod baselines;
mod day_ahead;
mod incidents;
mod series;
mod simulated;

use anyhow::Result;
use series::Series;

const SEED: u64 = 1913;

fn main() -> Result<()> {
    // cargo bench passes --bench to a target without harness.
    let (options, files): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|argument| argument.starts_with("--"));
    let parents = options.iter().find_map(|option| option.strip_prefix("--parents=")).map_or(Ok(1), str::parse)?;
    let only_forecast = options.iter().any(|option| option == "--forecast-only");
    let series: Vec<Series> = if files.is_empty() {
        [10.0, 100.0, 1000.0].iter().map(|rate| simulated::smooth(*rate, 0.03, SEED)).collect()
    } else {
        files.iter().map(|file| Series::read(file)).collect::<Result<_>>()?
    };
    report_forecasts(&series);
    if !only_forecast {
        report_incidents(&series, parents);
    }
    Ok(())
}

fn report_forecasts(series: &[Series]) {
    println!(
        "\nForecast, hourly, day-ahead: WAPE (lower is better); coverage of the 95 % interval; time of a fit and of a refit\n"
    );
    print!("| series | hours | ours |");
    baselines::BASELINES.iter().for_each(|baseline| print!(" {} |", baseline.0));
    println!(
        " ours / 3-week median | coverage | ms a fit | ms a refit |\n|---|---|---|---|---|---|---|---|---|---|---|"
    );
    let mut ratios = Vec::new();
    for one in series {
        let result = day_ahead::judge(one);
        print!("| {} | {} |", one.name, result.hours);
        result.wape.iter().for_each(|wape| print!(" {wape:.3} |"));
        let ratio = result.wape[0] / result.wape[2];
        ratios.push(ratio.ln());
        let (fit_ms, refit_ms) = (result.fit_time.as_secs_f64() * 1e3, result.refit_time.as_secs_f64() * 1e3);
        println!(" {ratio:.3} | {:.3} | {fit_ms:.1} | {refit_ms:.2} |", result.coverage);
    }
    ratios.retain(|ratio| !ratio.is_nan());
    let mean = (ratios.iter().sum::<f64>() / ratios.len() as f64).exp();
    println!("\nGeometric mean of ours / 3-week median: {mean:.3}");
}

fn report_incidents(series: &[Series], parents: u32) {
    println!("\nPages and injected incidents of an hour: share found / median delay / 90 % delay in minutes\n");
    println!(
        "| series | pages / 30 days | not near a label | x 0 | x .5 | x .8 | onset error at page, 10 min later (x .5) | within 5 min | ns a minute |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    for one in series {
        let minutes: Vec<Series> = if one.step == 1 {
            vec![one.clone()]
        } else {
            [10.0, 100.0, 1000.0].iter().map(|rate| simulated::minutes_of(one, *rate, SEED)).collect()
        };
        for one in &minutes {
            let result = incidents::judge(one, parents, SEED);
            let unlabelled = result.pages.iter().filter(|page| !one.near_label(page.0)).count() as f64;
            let share = unlabelled / result.pages.len().max(1) as f64;
            print!("| {} | {:.1} | {:.1} |", one.name, result.pages_per_30_days, share * result.pages_per_30_days);
            for found in &result.found {
                print!(" {:.2} / {:.0} / {:.0} |", found.share(), found.delay(0.5), found.delay(0.9));
            }
            let half = &result.found[1];
            let (at_page, later) = half.onset_errors();
            println!(" {at_page:.0}, {later:.0} | {:.2} | {:.0} |", half.onset_within_five(), result.step_nanoseconds);
            if std::env::args().any(|argument| argument == "--pages") {
                for (minute, window, z) in &result.pages {
                    let time = chrono::DateTime::from_timestamp(minute * 60, 0).unwrap_or_default();
                    println!("|   page {time} window {window} z {z:.1} |");
                }
            }
        }
    }
}
