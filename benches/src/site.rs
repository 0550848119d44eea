//! A booking site as wide events: guests search, look at hotels, check out and pay; three services answer.
//!
//! [`Site`] holds what is drawn once (guests, hotels, latencies), [`Traffic`] plays visits against a [`crate::rates::Rates`]
//! and a [`crate::story::Story`] and writes NDJSON in order of time. In a minute in which nothing is broken, exactly as many
//! `/checkout/pay` events of production have status 200 as the rate model says.
//!
//! | profile | bytes per event | columns when flattened |
//! |---|---|---|
//! | [`Profile::Wide`] | 2.1 KB on average | 281: 79 scalars, 200 experiments, `messages`, `probes` |
//! | [`Profile::Live`] | 0.8 KB | 43: 31 scalars, 10 experiments, `messages`, `probes` |
//!
//! (`messages` and `probes` count as one column each; a store that splits them into parallel lists has 10 more.) A wide event
//! carries about 18 of the 200 experiments. No real person occurs: guests are numbers, addresses
//! come from the ranges reserved for documentation and benchmarks.

mod event;
mod experiments;
mod guests;
mod hotels;
mod lists;
mod traffic;
mod wide;

use crate::{
    markets::MARKETS,
    random::Random,
    rates::MARKET_COUNT,
    story::{Environment, Service},
};

use guests::Guest;
use hotels::Hotel;
pub use traffic::{Traffic, Written};

/// How much each event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Everything an app knows, for benches.
    Wide,
    /// The part a demo needs, a third of the bytes.
    Live,
}

/// Milliseconds the one-step form of experiment 13 adds to `/checkout`.
pub const ONE_STEP_EXTRA_MS: f64 = 40.0;
const ONE_STEP_EXTRA_US: u64 = 40_000;

/// Guests of all markets.
const GUESTS: u32 = 40_000;
/// Testers of staging.
const TESTERS: u32 = 16;
/// Hotels on offer.
const HOTELS: u32 = 2_400;
/// Entries of the latency table: a power of two.
const LATENCIES: usize = 4_096;

/// What is drawn once: guests, hotels, latencies.
#[derive(Debug)]
pub struct Site {
    seed: u64,
    profile: Profile,
    guests: Vec<Guest>,
    /// First guest of each market; the last entry is the first tester.
    first_guest: [u32; MARKET_COUNT + 1],
    hotels: Vec<Hotel>,
    /// Log-normal factors (median 1, sigma 0.42), in thousandths.
    latency: Vec<u32>,
}

/// A page of the site, or what it stands for in the services behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Page {
    Search,
    Hotel,
    Checkout,
    Pay,
}

impl Page {
    fn route(self, service: Service) -> &'static str {
        match (service, self) {
            (Service::Web, Self::Search) => "/search",
            (Service::Web, Self::Hotel) => "/hotel/:id",
            (Service::Web, Self::Checkout) => "/checkout",
            (Service::Web, Self::Pay) => "/checkout/pay",
            (Service::Api, Self::Search) => "/v2/availability",
            (Service::Api, _) => "/v2/rates",
            (Service::Payments, _) => "/authorize",
        }
    }

    /// Median duration in µs.
    fn median_us(self, service: Service) -> u64 {
        match (service, self) {
            (Service::Web, Self::Search) => 184_000,
            (Service::Web, Self::Hotel) => 121_000,
            (Service::Web, Self::Checkout) => 96_000,
            (Service::Web, Self::Pay) => 640_000,
            (Service::Api, Self::Search) => 62_000,
            (Service::Api, _) => 31_000,
            (Service::Payments, _) => 410_000,
        }
    }
}

impl Site {
    /// Draws guests, hotels and latencies. Takes some tens of milliseconds.
    #[must_use]
    pub fn new(seed: u64, profile: Profile) -> Self {
        let mut first_guest = [0; MARKET_COUNT + 1];
        let mut guests = Vec::new();
        for (index, market) in MARKETS.iter().enumerate() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 40,000")]
            let count = (f64::from(GUESTS) * market.share).round() as u32;
            for _ in 0..count {
                guests.push(Guest::draw(seed, next_number(&guests), Some(market), profile));
            }
            first_guest[index + 1] = next_number(&guests);
        }
        for _ in 0..TESTERS {
            guests.push(Guest::draw(seed, next_number(&guests), None, profile));
        }
        let hotels = (0..HOTELS).map(|number| Hotel::draw(seed, number)).collect();
        Self { seed, profile, guests, first_guest, hotels, latency: latency_table(seed) }
    }

    /// A guest of a market; a few guests come often.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the number of guests")]
    fn guest_of(&self, market: usize, random: &mut Random) -> u32 {
        let (first, end) = (self.first_guest[market], self.first_guest[market + 1]);
        first + (f64::from(end - first) * random.unit().powf(1.6)) as u32
    }

    fn tester(&self, random: &mut Random) -> u32 {
        self.first_guest[MARKET_COUNT] + random.below(TESTERS)
    }

    fn instances(service: Service, environment: Environment) -> u32 {
        if environment == Environment::Staging { 1 } else { service.instances() }
    }
}

fn next_number(guests: &[Guest]) -> u32 {
    u32::try_from(guests.len()).unwrap_or(u32::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive factor of a few thousand thousandths"
)]
fn latency_table(seed: u64) -> Vec<u32> {
    let mut random = Random::of(seed, 10, 0);
    let Ok(normal) = rand_distr::Normal::new(0.0_f64, 0.42) else { return vec![1_000; LATENCIES] };
    (0..LATENCIES).map(|_| (1_000.0 * rand_distr::Distribution::sample(&normal, &mut random).exp()) as u32).collect()
}

#[cfg(test)]
mod tests;
