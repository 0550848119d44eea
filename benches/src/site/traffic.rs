//! Visits: a guest searches, looks at hotels, maybe checks out and pays. A visit is planned backwards from the minute it ends
//! in; its requests wait in a heap until their time comes and are written then, so that a switch thrown meanwhile counts.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use super::{Page, Site, event::write_request};
use crate::{
    markets::MARKETS,
    random::{Random, hash},
    rates::{MARKET_COUNT, Rates, negative_binomial, pick_market},
    story::{Environment, Story},
};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
/// No visit lasts longer: visits must be planned this far ahead.
const VISIT_MINUTES_MAX: i64 = 25;
/// Visits that only look, per booking.
const LOOKERS_PER_BOOKING: f64 = 3.0;
/// Share of the visits that only look but get as far as the checkout form.
const ABANDON_CHECKOUT: f64 = 0.18;
/// Test visits in staging per booking in production.
const TESTS_PER_BOOKING: f64 = 0.02;

/// How a payment ends when the site itself is sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Booked,
    Declined,
    SoldOut,
    /// Never gets to pay.
    Leaves,
}

/// One guest's way through the site.
#[derive(Debug, Clone, Copy)]
pub(super) struct Visit {
    /// Its own random stream.
    pub(super) seed: u64,
    pub(super) guest: u32,
    pub(super) market: u8,
    pub(super) hotel: u32,
    pub(super) environment: Environment,
    pub(super) ending: Ending,
    pub(super) nights: u8,
    pub(super) adults: u8,
    /// First night, days since 1970.
    pub(super) checkin: i32,
    /// Start of the visit, µs since 1970.
    pub(super) start: i64,
}

/// One request to come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) time: i64,
    pub(super) visit: Visit,
    pub(super) page: Page,
    /// Place within the visit, from 0.
    pub(super) number: u8,
    /// Earlier payments of this visit that failed for a fault of ours.
    pub(super) retries: u8,
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.time, self.visit.seed, self.number).cmp(&(other.time, other.visit.seed, other.number))
    }
}
impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Step {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Step {}

/// What a call to [`Traffic::write_until`] wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Written {
    /// Events, one per line.
    pub events: u32,
    /// Bookings made in production.
    pub bookings: u32,
    /// Payments in production that failed for a fault of the site.
    pub broken_payments: u32,
}

/// Endless traffic in order of time, from one minute on; or, between two minutes, all visits that end between them.
#[derive(Debug)]
pub struct Traffic<'a> {
    site: &'a Site,
    rates: &'a Rates,
    waiting: BinaryHeap<Reverse<Step>>,
    /// Next minute whose visits are not planned yet.
    next_minute: i64,
    end_minute: i64,
}

impl<'a> Traffic<'a> {
    /// Visits that end in minute `from` (since 1970) or later. The first of them began up to 25 minutes earlier.
    #[must_use]
    pub fn from(site: &'a Site, rates: &'a Rates, from: i64) -> Self {
        Self::between(site, rates, from, i64::MAX)
    }

    /// Visits that end in the minutes `from..end` (since 1970).
    #[must_use]
    pub fn between(site: &'a Site, rates: &'a Rates, from: i64, end: i64) -> Self {
        Self { site, rates, waiting: BinaryHeap::new(), next_minute: from, end_minute: end }
    }

    /// Writes the events before `until` (µs since 1970) as NDJSON, requests in order of time, until about `limit` are written. Nothing
    /// written means: no more before `until`.
    pub fn write_until(&mut self, story: &Story, until: i64, limit: u32, out: &mut Vec<u8>) -> Written {
        let mut written = Written::default();
        while written.events < limit {
            self.plan_ahead(until);
            let Some(Reverse(step)) = self.waiting.peek().copied().filter(|Reverse(step)| step.time < until) else {
                break;
            };
            self.waiting.pop();
            let request = write_request(self.site, story, &step, out);
            written.events += request.events;
            written.bookings += u32::from(request.booked);
            if request.broken {
                written.broken_payments += 1;
                self.maybe_retry(step);
            }
        }
        written
    }

    /// Time of the next request, µs since 1970.
    #[must_use]
    pub fn next_time(&mut self) -> Option<i64> {
        self.plan_ahead(i64::MAX);
        self.waiting.peek().map(|Reverse(step)| step.time)
    }

    /// Plans minutes until no later visit can begin before the first waiting request, or before `until`.
    fn plan_ahead(&mut self, until: i64) {
        while self.next_minute < self.end_minute {
            let first = self.waiting.peek().map_or(i64::MAX, |Reverse(step)| step.time).min(until);
            if (self.next_minute - VISIT_MINUTES_MAX) * MINUTE > first {
                break;
            }
            self.plan_minute(self.next_minute);
            self.next_minute += 1;
        }
    }

    fn plan_minute(&mut self, minute: i64) {
        let counts = self.rates.at(minute);
        let mut random = Random::of(self.site.seed ^ hash(self.rates.seed()), 20, minute.cast_unsigned());
        for market in 0..MARKET_COUNT {
            for _ in 0..counts.bookings[market] {
                self.plan_visit(minute, Some(market), Ending::Booked, &mut random);
            }
        }
        for _ in 0..counts.failed_payments {
            let ending = if random.chance(0.72) { Ending::Declined } else { Ending::SoldOut };
            let market = pick_market(&counts.shares, random.unit());
            self.plan_visit(minute, Some(market), ending, &mut random);
        }
        for _ in 0..negative_binomial(counts.rate * LOOKERS_PER_BOOKING, &mut random) {
            let market = pick_market(&counts.shares, random.unit());
            self.plan_visit(minute, Some(market), Ending::Leaves, &mut random);
        }
        for _ in 0..negative_binomial(counts.rate * TESTS_PER_BOOKING, &mut random) {
            let ending = if random.chance(0.5) { Ending::Booked } else { Ending::Leaves };
            self.plan_visit(minute, None, ending, &mut random);
        }
    }

    /// Plans a visit that ends in `minute`; without a market it is a test in staging.
    fn plan_visit(&mut self, minute: i64, market: Option<usize>, ending: Ending, random: &mut Random) {
        let seed = random.bits();
        let mut random = Random::of(seed, 21, 0);
        let random = &mut random;
        let end = minute * MINUTE + i64::from(random.below(60_000_000));
        let mut pages: Vec<(i64, Page)> = Vec::with_capacity(8);
        let mut time = end;
        let mut step_back = |page: Page, random: &mut Random, pages: &mut Vec<(i64, Page)>| {
            pages.push((time, page));
            time -= gap(random);
        };
        match ending {
            Ending::Leaves if random.chance(ABANDON_CHECKOUT) => step_back(Page::Checkout, random, &mut pages),
            Ending::Leaves => {}
            _ => {
                step_back(Page::Pay, random, &mut pages);
                step_back(Page::Checkout, random, &mut pages);
            }
        }
        for _ in 0..random.between(u32::from(ending != Ending::Leaves), 2) {
            step_back(Page::Hotel, random, &mut pages);
        }
        for _ in 0..random.between(1, 3) {
            step_back(Page::Search, random, &mut pages);
        }
        let start = pages.last().map_or(end, |(time, _)| *time);
        let visit = self.draw_visit(seed, market, ending, start, random);
        for (number, (time, page)) in (0..).zip(pages.into_iter().rev()) {
            self.waiting.push(Reverse(Step { time, visit, page, number, retries: 0 }));
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "small numbers, and days since 1970")]
    fn draw_visit(&self, seed: u64, market: Option<usize>, ending: Ending, start: i64, random: &mut Random) -> Visit {
        let lead_days = (random.exponential(24.0) as i64).min(330);
        let today = start.div_euclid(24 * 60 * MINUTE);
        Visit {
            seed,
            guest: if let Some(market) = market {
                self.site.guest_of(market, random)
            } else {
                self.site.tester(random)
            },
            market: market.unwrap_or(0).min(MARKETS.len()) as u8,
            hotel: random.below(self.site.hotels.len() as u32),
            environment: if market.is_some() { Environment::Production } else { Environment::Staging },
            ending,
            nights: 1 + random.below(3) as u8 + random.below(4) as u8 * u8::from(random.chance(0.4)),
            adults: random.pick(&[1, 1, 2, 2, 2, 2, 3, 4]),
            checkin: (today + lead_days) as i32,
            start,
        }
    }

    /// Guests whose payment broke try again, some twice, then give up.
    fn maybe_retry(&mut self, step: Step) {
        let mut random = Random::of(step.visit.seed, 22, u64::from(step.retries));
        if step.retries < 2 && random.chance(0.5) {
            let time = step.time + i64::from(random.between(12, 80)) * SECOND + i64::from(random.below(1_000_000));
            let retry = Step { time, number: step.number + 1, retries: step.retries + 1, ..step };
            self.waiting.push(Reverse(retry));
        }
    }
}

/// Time between two requests of a guest: a minute on average, 8 s to 3 min.
#[expect(clippy::cast_possible_truncation, reason = "microseconds of at most three minutes")]
fn gap(random: &mut Random) -> i64 {
    ((8.0 + random.exponential(52.0)).min(180.0) * 1e6) as i64
}
