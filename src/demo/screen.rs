//! What the demo prints: lines that stay, and one status line that is written over on a terminal.

use std::{
    io::{IsTerminal, Write},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Off a terminal a status is printed at most this often.
const STATUS_PAUSE: Duration = Duration::from_secs(30);

/// Standard output, shared by all parts of the demo.
#[derive(Debug)]
pub(super) struct Screen {
    is_terminal: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// A status is on the last line.
    has_status: bool,
    last_status: Option<Instant>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_terminal: std::io::stdout().is_terminal(), state: Mutex::default() }
    }

    /// A line (or several) that stays.
    pub(super) fn line(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let start = if state.has_status { "\r\x1b[K" } else { "" };
        state.has_status = false;
        self.write(&format!("{start}{text}\n"));
    }

    /// A line that the next one replaces; off a terminal only now and then.
    pub(super) fn status(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_terminal {
            state.has_status = true;
            self.write(&format!("\r\x1b[K{text}"));
        } else if state.last_status.is_none_or(|last| last.elapsed() >= STATUS_PAUSE) {
            state.last_status = Some(Instant::now());
            self.write(&format!("{text}\n"));
        }
    }

    /// Bold on a terminal.
    pub(super) fn bold(&self, text: &str) -> String {
        if self.is_terminal { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Nobody reads it any more when it cannot be written; the demo goes on for the browser.
    fn write(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    }
}

/// `14:20:04 UTC` of µs since 1970.
pub(super) fn clock(micros: i64) -> String {
    chrono::DateTime::from_timestamp_micros(micros).unwrap_or_default().format("%H:%M:%S UTC").to_string()
}

/// `1,234,567`.
pub(super) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `2:05` of seconds.
pub(super) fn minutes(seconds: i64) -> String {
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_easy_to_read() {
        assert_eq!([thousands(7), thousands(1_000), thousands(12_345_678)], ["7", "1,000", "12,345,678"]);
        assert_eq!([minutes(5), minutes(125)], ["0:05", "2:05"]);
        assert_eq!(clock(1_795_184_404_000_000), "14:20:04 UTC");
    }
}
