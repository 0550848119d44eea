//! Memory over time at half load.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use benches::{load::Plan, server::Server};

use crate::run::{Bench, HEAD, row};

/// How often memory is looked at.
const EVERY: Duration = Duration::from_secs(5);

pub(crate) fn soak(bench: &Bench<'_>, pace: f64) -> anyhow::Result<()> {
    let minutes = bench.options.soak_minutes;
    let samples: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
    let watch = |server: &Server, stop: &AtomicBool| {
        let begin = Instant::now();
        let mut next = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            if begin.elapsed() >= next {
                next += EVERY;
                if let (Ok(bytes), Ok(mut samples)) = (server.resident_bytes(), samples.lock()) {
                    samples.push((begin.elapsed().as_secs(), bytes / 1_000_000));
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    println!("{HEAD}");
    let plan = Plan { pace: Some(pace), ..bench.plan(minutes * 60) };
    row(bench, &format!("soak, {minutes} minutes at half load"), &plan, watch)?;
    println!();
    println!("| minute | RSS MB: least | median | most |");
    println!("|---|---|---|---|");
    let samples = samples.into_inner().unwrap_or_default();
    for minute in samples.chunk_by(|left, right| left.0 / 60 == right.0 / 60) {
        let mut values: Vec<u64> = minute.iter().map(|(_, megabytes)| *megabytes).collect();
        values.sort_unstable();
        let (least, most) = (values[0], values[values.len() - 1]);
        println!("| {} | {least} | {} | {most} |", minute[0].0 / 60, values[values.len() / 2]);
    }
    println!();
    Ok(())
}
