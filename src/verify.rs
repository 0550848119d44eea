//! `yellowline verify`: the check of a data folder, told to people or programs.

use std::sync::Arc;

use anyhow::Context;
use store::{
    disk::{Disk, RealDisk},
    verify::{Finding, Options, Progress, Report, Severity},
};

use crate::{cli::VerifyOptions, config::say, keys, serve::WallClock};

/// Problems were found, and not all of them mended.
#[derive(Debug, thiserror::Error)]
#[error("{left} problems are left{advice}")]
pub(crate) struct ProblemsLeft {
    left: usize,
    advice: &'static str,
}

/// Checks the folder, prints the report.
pub(crate) async fn run(options: VerifyOptions) -> anyhow::Result<()> {
    let config = options.config.config()?;
    let data = config.data.clone();
    let check = Options {
        folder: config.data,
        repair: options.repair,
        dedup_window_s: config.store.dedup_window_s,
        dedup_ids_max: config.store.dedup_ids_max,
    };
    let checking = tokio::task::spawn_blocking(move || {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let mut told = Steps::default();
        store::verify::verify(&check, &WallClock::new(), &disk, &mut |progress| told.tell("checked", progress))
    });
    let outcome = checking.await.context("the check panicked")?;
    let mut report = outcome.map_err(|error| match error {
        store::Error::FolderInUse { .. } => anyhow::Error::new(error).context(
            "a running server changes its folder all the time: stop it, or verify a backup of it (`yellowline backup`)",
        ),
        error => error.into(),
    })?;
    report.findings.extend(keys::problem(&data).map(|message| Finding {
        severity: Severity::Problem,
        code: "keys",
        file: keys::KEYS_FILE.to_owned(),
        message,
        repaired: None,
    }));
    if options.json {
        say(&serde_json::to_string_pretty(&report).context("could not write the report as JSON")?)?;
    } else {
        say(&text(&report))?;
    }
    let (problems, mended) = report.problems();
    if problems == mended {
        return Ok(());
    }
    let advice =
        if options.repair { ": restore a backup, or live with them" } else { ": `--repair` mends what can be mended" };
    Err(ProblemsLeft { left: problems - mended, advice }.into())
}

/// Progress of long work on standard error, every tenth.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    tenths: u64,
}

/// Less is done before anybody asks.
const LONG_WORK_BYTES: u64 = 256 << 20;

impl Steps {
    pub(crate) fn tell(&mut self, deed: &str, progress: Progress) {
        let tenths = progress.done * 10 / progress.total.max(1);
        if progress.total >= LONG_WORK_BYTES && tenths > self.tenths {
            eprintln!("{deed} {} % of {}", tenths * 10, bytes(progress.total));
        }
        self.tenths = tenths;
    }
}

/// `1.5 GB`
#[expect(clippy::cast_precision_loss, reason = "shown to people")]
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..1_000_000 => format!("{:.1} KB", count as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", count as f64 / 1e6),
        _ => format!("{:.1} GB", count as f64 / 1e9),
    }
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    for dataset in &report.datasets {
        let mut line = format!(
            "{}: {} events in {} files ({}), {} in the WAL; {} received, {} stored",
            dataset.name,
            dataset.rows_in_files,
            dataset.files,
            bytes(dataset.bytes),
            dataset.rows_in_wal,
            dataset.received,
            dataset.stored
        );
        for (count, what) in [
            (dataset.rows_removed, "removed by retention or deletes"),
            (dataset.rows_lost, "given up by repairs"),
            (dataset.rows_unexplained, "MISSING"),
        ] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
        lines.push(line);
    }
    lines.push(format!(
        "WAL: {} records in {} segments ({})",
        report.wal_records,
        report.wal_segments,
        bytes(report.wal_bytes)
    ));
    for finding in &report.findings {
        let severity = if finding.severity == Severity::Problem { "PROBLEM" } else { "note" };
        lines.push(format!("{severity} {} [{}]: {}", finding.file, finding.code, finding.message));
        lines.extend(finding.repaired.iter().map(|done| format!("  mended: {done}")));
    }
    let (problems, mended) = report.problems();
    lines.push(match (problems, mended) {
        (0, _) => format!("clean: {} checked", bytes(report.bytes_checked)),
        (problems, mended) => format!("{problems} problems, {mended} mended; {} checked", bytes(report.bytes_checked)),
    });
    lines.join("\n")
}
