//! `cargo bench --workspace --bench suspects -- --incidents 200`: is the right change named?
//!
//! Seeded incidents among 20 decoy changes a day ([`benches::blame`]) go over HTTP through the whole pipeline, and are read back from the
//! alerts API. Printed: how often the change to blame stands first, how often "no change near" is right, how many drops of 10 % among
//! half of the people are found within 30 minutes by the concurrent control, and what was blamed falsely.

#![expect(clippy::print_stdout, reason = "a bench prints its table")]

mod court;

use std::{collections::BTreeMap, time::Instant};

use anyhow::{Context, bail};
use benches::{blame::Court, machine};
use court::{Verdict, told, try_worlds};

const USAGE: &str = "options: --incidents N (mixed incidents; default 200)  --faint N (10 % drops; default 20)  --innocent N (worlds in which \
                     nothing breaks; default 20)  --seed N (default 1)  --misses (print what was not right)";

/// Worlds played at a time: bounded memory and time.
const BATCH: u32 = 50;
/// Minutes within which a faint drop is to be found.
const FAINT_MINUTES: i64 = 30;

struct Options {
    incidents: u32,
    faint: u32,
    innocent: u32,
    seed: u64,
    misses: bool,
}

fn options() -> anyhow::Result<Option<Options>> {
    let mut options = Options { incidents: 200, faint: 20, innocent: 20, seed: 1, misses: false };
    let mut is_bench = false;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || -> anyhow::Result<u32> {
            let text = words.next().with_context(|| format!("{word} needs a value\n{USAGE}"))?;
            text.parse().with_context(|| format!("{word} {text}\n{USAGE}"))
        };
        match word.as_str() {
            "--bench" => is_bench = true,
            "--incidents" => options.incidents = value()?,
            "--faint" => options.faint = value()?,
            "--innocent" => options.innocent = value()?,
            "--seed" => options.seed = value()?.into(),
            "--misses" => options.misses = true,
            _ => bail!("unknown option {word}\n{USAGE}"),
        }
    }
    // `cargo test` runs a bench to see that it builds.
    Ok(is_bench.then_some(options))
}

fn main() -> anyhow::Result<()> {
    let Some(options) = options()? else { return Ok(()) };
    println!("{}", machine::describe());
    let mixed = play(Court::Mixed, options.seed, options.incidents)?;
    report_mixed(&mixed, options.misses);
    let faint = play(Court::Faint, options.seed, options.faint)?;
    report_faint(&faint, options.misses);
    let innocent = play(Court::Innocent, options.seed, options.innocent)?;
    let false_pages: usize = innocent.iter().map(|verdict| verdict.others.len()).sum();
    println!("nothing breaks: {} worlds of 1,000 a minute, {false_pages} pages", innocent.len());
    Ok(())
}

/// Plays worlds in batches, each with a data folder of its own.
fn play(court: Court, seed: u64, count: u32) -> anyhow::Result<Vec<Verdict>> {
    let begin = Instant::now();
    let mut verdicts = Vec::new();
    // Batches draw other seeds, and are the same however many follow.
    for (batch, first) in (0..count).step_by(BATCH as usize).enumerate() {
        let folder = tempfile::tempdir()?;
        let seed = seed * 1_000 + batch as u64;
        verdicts.extend(try_worlds(court, seed, BATCH.min(count - first), folder.path())?);
        eprintln!("{court:?}: {} of {count} worlds, {:.0} s", verdicts.len(), begin.elapsed().as_secs_f64());
    }
    Ok(verdicts)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn report_mixed(verdicts: &[Verdict], misses: bool) {
    let mut causes: BTreeMap<&str, Vec<&Verdict>> = BTreeMap::new();
    for verdict in verdicts {
        causes.entry(verdict.cause).or_default().push(verdict);
    }
    println!(
        "\n| cause | incidents | paged | median minutes | right first | named | named falsely |\n|---|---|---|---|---|---|---|"
    );
    for (cause, verdicts) in &causes {
        let paged: Vec<&&Verdict> = verdicts.iter().filter(|one| one.paged_after.is_some()).collect();
        let mut minutes: Vec<i64> = paged.iter().filter_map(|one| one.paged_after).collect();
        minutes.sort_unstable();
        let right = verdicts.iter().filter(|one| one.is_right()).count();
        let named =
            verdicts.iter().filter(|one| one.culprit.as_ref().is_some_and(|key| one.named.contains(key))).count();
        let falsely =
            verdicts.iter().filter(|one| one.named.iter().any(|key| Some(key) != one.culprit.as_ref())).count();
        let median = minutes.get(minutes.len() / 2).map_or_else(String::new, i64::to_string);
        println!("| {cause} | {} | {} | {median} | {right} | {named} | {falsely} |", verdicts.len(), paged.len());
    }
    let (with, without): (Vec<&Verdict>, Vec<&Verdict>) = verdicts.iter().partition(|one| one.culprit.is_some());
    let right = with.iter().filter(|one| one.is_right()).count();
    let calm = |one: &&&Verdict| one.paged_after.is_some() && one.named.is_empty();
    let none = without.iter().filter(calm).count();
    println!("\nright change first: {right} of {} ({:.1} %)", with.len(), percent(right, with.len()));
    println!("no change near: {none} of {} ({:.1} %)", without.len(), percent(none, without.len()));
    let others: usize = verdicts.iter().map(|one| one.others.len()).sum();
    println!("other incidents of these worlds: {others}");
    if misses {
        let wrong = |one: &&Verdict| if one.culprit.is_some() { !one.is_right() } else { !one.named.is_empty() };
        verdicts.iter().filter(wrong).for_each(|one| println!("{}", told(one)));
    }
}

fn report_faint(verdicts: &[Verdict], misses: bool) {
    let found = |one: &&Verdict| one.is_right() && one.paged_after.is_some_and(|minutes| minutes <= FAINT_MINUTES);
    let count = verdicts.iter().filter(found).count();
    let mut minutes: Vec<i64> = verdicts.iter().filter(found).filter_map(|one| one.paged_after).collect();
    minutes.sort_unstable();
    println!(
        "10 % drops among half of the people, 1,000 a minute: {count} of {} found within {FAINT_MINUTES} minutes ({:.1} %), median {:?}",
        verdicts.len(),
        percent(count, verdicts.len()),
        minutes.get(minutes.len() / 2)
    );
    if misses {
        verdicts.iter().filter(|one| !found(one)).for_each(|one| println!("{}", told(one)));
    }
}
