//! The server under load: the real binary as a process of its own, and what it costs.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// Clock ticks per second in `/proc/<pid>/stat`: USER_HZ, 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Why the server could not be run or watched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary does not run.
    #[error("could not start {}", binary.display())]
    Start {
        /// Path of the binary.
        binary: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It ended before it listened.
    #[error("{} ended before it listened", binary.display())]
    Silent {
        /// Path of the binary.
        binary: PathBuf,
    },
    /// `/proc` could not be read.
    #[error("could not read /proc/{id}/{file}")]
    Watch {
        /// Process id.
        id: u32,
        /// File in its folder.
        file: &'static str,
    },
}

/// CPU a process used so far, seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cpu {
    /// In its own code.
    pub user_s: f64,
    /// In the kernel on its behalf.
    pub system_s: f64,
}

impl Cpu {
    /// Both together.
    #[must_use]
    pub fn total_s(self) -> f64 {
        self.user_s + self.system_s
    }
}

/// A running `yellowline serve`; killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts the binary on a data folder and a free port, and waits until it listens.
    ///
    /// # Errors
    /// The binary does not run, or ends at once (its reason is on standard error).
    pub fn start(binary: &Path, data: &Path) -> Result<Self, Error> {
        Self::start_with(binary, data, &[])
    }

    /// The same with settings, as `YELLOWLINE_STORE__FLUSH_INTERVAL_S` and its value.
    ///
    /// # Errors
    /// The binary does not run, or ends at once (its reason is on standard error).
    pub fn start_with(binary: &Path, data: &Path, settings: &[(&str, &str)]) -> Result<Self, Error> {
        let mut child = Command::new(binary)
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args(["--listen", "127.0.0.1:0"])
            .env("YELLOWLINE_LOG", "warn")
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|source| Error::Start { binary: binary.to_owned(), source })?;
        let silent = || Error::Silent { binary: binary.to_owned() };
        let mut lines = BufReader::new(child.stdout.take().ok_or_else(silent)?).lines();
        let address = lines
            .by_ref()
            .map_while(Result::ok)
            .find_map(|line| line.strip_prefix("listening on http://")?.trim().parse().ok())
            .ok_or_else(silent)?;
        // What it prints later must not fill the pipe and stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// CPU used since its start, all threads.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn cpu(&self) -> Result<Cpu, Error> {
        self.stat().map(|(_, cpu)| cpu)
    }

    /// Memory in use, bytes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn resident_bytes(&self) -> Result<u64, Error> {
        self.status_bytes("VmRSS:")
    }

    /// The most memory that was ever in use, bytes.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn peak_bytes(&self) -> Result<u64, Error> {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> Result<u64, Error> {
        let id = self.child.id();
        let text = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        text.lines()
            .find_map(|line| line.strip_prefix(field)?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
            .map(|kilobytes| kilobytes * 1024)
            .ok_or(Error::Watch { id, file: "status" })
    }

    /// Asks it to stop, waits until it has flushed and ended, and tells the CPU of its whole life.
    ///
    /// # Errors
    /// `/proc` cannot be read.
    pub fn stop(mut self) -> Result<Cpu, Error> {
        let id = self.child.id();
        let asked = Command::new("kill").args(["-TERM", &id.to_string()]).status();
        if !asked.is_ok_and(|status| status.success()) {
            return Err(Error::Watch { id, file: "signal" });
        }
        // Until it is waited for, an ended process keeps its numbers as a zombie.
        let cpu = loop {
            match self.stat()? {
                ('Z', cpu) => break cpu,
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        };
        drop(self.child.wait());
        Ok(cpu)
    }

    /// SIGKILL: it ends where it stands.
    pub fn kill(mut self) {
        // Already ended: both errors are expected then.
        drop(self.child.kill());
        drop(self.child.wait());
    }

    /// State letter and CPU.
    fn stat(&self) -> Result<(char, Cpu), Error> {
        let id = self.child.id();
        let unreadable = || Error::Watch { id, file: "stat" };
        let text = std::fs::read_to_string(format!("/proc/{id}/stat")).map_err(|_| unreadable())?;
        // The name in parentheses may hold anything, so fields are counted after it: state is 3, utime 14, stime 15.
        let fields: Vec<&str> = text.rsplit_once(')').ok_or_else(unreadable)?.1.split_whitespace().collect();
        let seconds = |field: usize| {
            let ticks = fields.get(field - 3).and_then(|text| text.parse::<f64>().ok());
            ticks.map(|ticks| ticks / TICKS_PER_SECOND).ok_or_else(unreadable)
        };
        let state = fields.first().and_then(|text| text.chars().next()).ok_or_else(unreadable)?;
        Ok((state, Cpu { user_s: seconds(14)?, system_s: seconds(15)? }))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already ended after `stop`: both errors are expected then.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
