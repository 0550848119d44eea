//! Load on a server: connections that post fresh events as fast as they are acknowledged, or at a given pace.

use std::{
    io::Write,
    net::SocketAddr,
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, Instant},
};

use crate::{
    client::{self, Connection},
    machine::Latencies,
    rates::Rates,
    site::{Site, Traffic},
    story::Story,
};

/// Bookings per minute of simulated time, all connections together: some 35,000 events. At 50,000 events per second a run of ten
/// minutes goes through 14 hours of the site's life.
const BOOKINGS_PER_MINUTE: f64 = 2_000.0;
/// Longest wait for an acknowledgement.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Longest pause the load takes when the server asks for one.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What to send, how, for how long.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Connections, each with one request under way.
    pub connections: u32,
    /// Events per request.
    pub batch: u32,
    /// Compress bodies.
    pub gzip: bool,
    /// Not measured, before.
    pub warm_up: Duration,
    /// Measured.
    pub window: Duration,
    /// Requests per second of all connections together; without it as many as are acknowledged. With it a latency counts from the
    /// moment the request was due, so that a stall is not hidden by the requests it held back.
    pub pace: Option<f64>,
    /// End after this many events, even before the window ends.
    pub events_max: Option<u64>,
    /// First minute (since 1970) of the events' times.
    pub from_minute: i64,
    /// Seed of the events.
    pub seed: u64,
}

/// What was acknowledged inside the window.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Events.
    pub events: u64,
    /// Requests.
    pub acks: u64,
    /// Uncompressed JSON.
    pub json_bytes: u64,
    /// Bodies as sent.
    pub body_bytes: u64,
    /// Requests that were refused (429, 503) and sent again.
    pub refused: u64,
    /// From the first byte sent, or from when it was due, to the answer.
    pub latencies: Latencies,
}

const WARMING: u8 = 0;
const MEASURING: u8 = 1;
const DONE: u8 = 2;

/// Loads a dataset and calls `at_edge` at the start and at the end of the window.
///
/// # Errors
/// The first connection that broke or answer that was no acknowledgement, after all have stopped.
pub fn run(
    plan: &Plan,
    site: &Site,
    story: &Story,
    address: SocketAddr,
    dataset: &str,
    mut at_edge: impl FnMut(),
) -> Result<Report, client::Error> {
    let phase = AtomicU8::new(WARMING);
    let path = format!("/api/v1/events/{dataset}");
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..plan.connections)
            .map(|number| {
                let (phase, path) = (&phase, &path);
                scope.spawn(move || {
                    let done = Worker::new(plan, number, address).work(site, story, path, phase);
                    if done.is_err() {
                        phase.store(DONE, Ordering::Relaxed);
                    }
                    done
                })
            })
            .collect();
        wait(plan.warm_up, &phase, &workers);
        at_edge();
        if phase.compare_exchange(WARMING, MEASURING, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
            wait(plan.window, &phase, &workers);
        }
        at_edge();
        phase.store(DONE, Ordering::Relaxed);
        let mut report = Report::default();
        let mut latencies = Vec::new();
        for worker in workers {
            // A panic of a worker is a bug of ours: pass it on.
            let part = worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
            report.events += part.events;
            report.acks += part.acks;
            report.json_bytes += part.json_bytes;
            report.body_bytes += part.body_bytes;
            report.refused += part.refused;
            latencies.extend(part.latencies);
        }
        report.latencies = Latencies::new(latencies);
        Ok(report)
    })
}

fn wait<T>(span: Duration, phase: &AtomicU8, workers: &[std::thread::ScopedJoinHandle<'_, T>]) {
    let end = Instant::now() + span;
    while let Some(left) = end.checked_duration_since(Instant::now()) {
        if phase.load(Ordering::Relaxed) == DONE || workers.iter().all(|worker| worker.is_finished()) {
            return;
        }
        std::thread::sleep(left.min(Duration::from_millis(20)));
    }
}

#[derive(Debug, Default)]
struct Part {
    events: u64,
    acks: u64,
    json_bytes: u64,
    body_bytes: u64,
    refused: u64,
    latencies: Vec<u32>,
}

struct Worker<'a> {
    plan: &'a Plan,
    number: u32,
    connection: Connection,
    part: Part,
}

impl<'a> Worker<'a> {
    fn new(plan: &'a Plan, number: u32, address: SocketAddr) -> Self {
        Self { plan, number, connection: Connection::new(address, TIMEOUT), part: Part::default() }
    }

    fn work(mut self, site: &Site, story: &Story, path: &str, phase: &AtomicU8) -> Result<Part, client::Error> {
        let plan = self.plan;
        let share = BOOKINGS_PER_MINUTE / f64::from(plan.connections);
        let rates = Rates::new(plan.seed.wrapping_add(u64::from(self.number)), share, plan.from_minute);
        let mut feed = Feed::new(Traffic::from(site, &rates, plan.from_minute), plan.batch);
        let interval = plan.pace.map(|pace| Duration::from_secs_f64(f64::from(plan.connections) / pace));
        let mut due = Instant::now() + interval.unwrap_or_default() * self.number / plan.connections;
        let mut left = plan.events_max.map(|events| events / u64::from(plan.connections));
        let mut body = Vec::new();
        while phase.load(Ordering::Relaxed) != DONE && left != Some(0) {
            let count = left.map_or(plan.batch, |left| u32::try_from(left).unwrap_or(u32::MAX).min(plan.batch));
            let json = feed.next(story, count);
            let json_bytes = json.len() as u64;
            body.clear();
            encode(json, plan.gzip, &mut body);
            let begin = match interval {
                Some(interval) => {
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    due += interval;
                    due - interval
                }
                None => Instant::now(),
            };
            if !self.post(path, &body, phase)? {
                break;
            }
            if phase.load(Ordering::Relaxed) == MEASURING {
                self.part.acks += 1;
                self.part.events += u64::from(count);
                self.part.json_bytes += json_bytes;
                self.part.body_bytes += body.len() as u64;
                self.part.latencies.push(u32::try_from(begin.elapsed().as_micros()).unwrap_or(u32::MAX));
            }
            left = left.map(|left| left - u64::from(count));
        }
        Ok(self.part)
    }

    /// Posts until it is acknowledged; false if the run ended first.
    fn post(&mut self, path: &str, body: &[u8], phase: &AtomicU8) -> Result<bool, client::Error> {
        let plain = [("content-type", "application/x-ndjson")];
        let packed = [plain[0], ("content-encoding", "gzip")];
        let headers: &[(&str, &str)] = if self.plan.gzip { &packed } else { &plain };
        loop {
            let answer = self.connection.send("POST", path, headers, body)?;
            match answer.status {
                200 => return Ok(true),
                429 | 503 => {
                    self.part.refused += u64::from(phase.load(Ordering::Relaxed) == MEASURING);
                    std::thread::sleep(Duration::from_secs(answer.retry_after_s.unwrap_or(0)).min(PAUSE_MAX));
                }
                _ => {
                    return Err(client::Error::Refused {
                        path: path.to_owned(),
                        status: answer.status,
                        text: answer.text().into_owned(),
                    });
                }
            }
            if phase.load(Ordering::Relaxed) == DONE {
                return Ok(false);
            }
        }
    }
}

fn encode(json: &[u8], gzip: bool, body: &mut Vec<u8>) {
    if gzip {
        let mut encoder = flate2::write::GzEncoder::new(&mut *body, flate2::Compression::fast());
        // Writing to memory cannot fail.
        drop(encoder.write_all(json));
        drop(encoder.finish());
    } else {
        body.extend_from_slice(json);
    }
}

/// Cuts endless traffic into bodies of an exact number of events.
#[derive(Debug)]
pub struct Feed<'a> {
    traffic: Traffic<'a>,
    buffer: Vec<u8>,
    /// Bytes of the buffer already given out.
    used: usize,
    chunk: u32,
}

impl<'a> Feed<'a> {
    /// A feed for bodies of about `batch` events.
    #[must_use]
    pub fn new(traffic: Traffic<'a>, batch: u32) -> Self {
        Self { traffic, buffer: Vec::new(), used: 0, chunk: batch.max(200) }
    }

    /// The next `count` events as NDJSON.
    pub fn next(&mut self, story: &Story, count: u32) -> &[u8] {
        let mut end = self.used;
        for _ in 0..count {
            if end == self.buffer.len() {
                self.buffer.drain(..self.used);
                end -= self.used;
                self.used = 0;
                self.traffic.write_until(story, i64::MAX, self.chunk, &mut self.buffer);
            }
            end += self.buffer[end..].iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        }
        let start = std::mem::replace(&mut self.used, end);
        &self.buffer[start..end]
    }
}

#[cfg(test)]
mod tests;
