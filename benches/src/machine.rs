//! The machine a bench ran on, and how fast its disk syncs meanwhile.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Pause between two probes: 20 a second say enough about the p99 of half a minute and cost the disk little.
const PROBE_PAUSE: Duration = Duration::from_millis(50);

/// Microseconds since 1970 by the machine's clock.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "a bench's own clock; the workload takes its times as arguments")]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// Processor, cores, memory and kernel, in one line.
#[must_use]
pub fn describe() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let (processor, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
    let value = |text: &str, key: &str| {
        let line = text.lines().find(|line| line.starts_with(key))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let name = value(&processor, "model name").unwrap_or_else(|| "unknown processor".to_owned());
    let kilobytes = value(&memory, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = read("/proc/sys/kernel/osrelease");
    format!("{name}, {cores} cores, {} GB, Linux {}", kilobytes.unwrap_or(0) / 1_000_000, release.trim())
}

/// Latencies, sorted.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<u32>);

impl Latencies {
    /// From latencies in µs, in any order.
    #[must_use]
    pub fn new(mut micros: Vec<u32>) -> Self {
        micros.sort_unstable();
        Self(micros)
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Latency in ms that a share `q` of all did not exceed; 0 if there is none.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index into the list")]
    pub fn quantile_ms(&self, q: f64) -> f64 {
        let place = (q * self.0.len() as f64).ceil() as usize;
        self.0.get(place.max(1) - 1).map_or(0.0, |&micros| f64::from(micros) / 1_000.0)
    }
}

/// Appends 4 KB to a file and syncs it, over and over, in a thread of its own.
#[derive(Debug)]
pub struct SyncProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<std::io::Result<Vec<u32>>>,
    path: PathBuf,
}

impl SyncProbe {
    /// Starts on a file in `folder`, which must lie on the disk in question.
    #[must_use]
    pub fn start(folder: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let path = folder.join("fdatasync-probe");
        let (flag, file) = (stop.clone(), path.clone());
        Self { stop, thread: std::thread::spawn(move || probe(&file, &flag)), path }
    }

    /// Ends it: the latencies of write and fdatasync together.
    ///
    /// # Errors
    /// The file could not be written or synced.
    pub fn stop(self) -> std::io::Result<Latencies> {
        self.stop.store(true, Ordering::Relaxed);
        let latencies = self.thread.join().unwrap_or_else(|_| Err(std::io::ErrorKind::Other.into()));
        std::fs::remove_file(&self.path)?;
        latencies.map(Latencies::new)
    }
}

fn probe(path: &Path, stop: &AtomicBool) -> std::io::Result<Vec<u32>> {
    let mut file = File::create(path)?;
    let block = [0x5a; 4_096];
    let mut latencies = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let begin = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
        std::thread::sleep(PROBE_PAUSE);
    }
    Ok(latencies)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let latencies = Latencies::new((1..=200).rev().map(|n| n * 1_000).collect());
        assert!((latencies.quantile_ms(0.5) - 100.0).abs() < 1e-9);
        assert!((latencies.quantile_ms(0.99) - 198.0).abs() < 1e-9);
        assert!((latencies.quantile_ms(1.0) - 200.0).abs() < 1e-9);
        assert!(Latencies::default().quantile_ms(0.5).abs() < 1e-9);
    }

    #[test]
    fn the_probe_syncs_and_cleans_up() {
        let folder = tempfile::tempdir().unwrap();
        let probe = SyncProbe::start(folder.path());
        while std::fs::metadata(&probe.path).map_or(0, |file| file.len()) < 8_192 {
            std::thread::yield_now();
        }
        assert!(probe.stop().unwrap().quantile_ms(1.0) > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
