//! Hotels and the cities they are in.

use crate::random::Random;

/// Cities on offer, the most wanted first.
pub(super) static DESTINATIONS: [&str; 48] = [
    "Barcelona",
    "London",
    "Paris",
    "Amsterdam",
    "Rome",
    "Lisbon",
    "Berlin",
    "Vienna",
    "Prague",
    "New York",
    "Madrid",
    "Dubai",
    "Porto",
    "Copenhagen",
    "Budapest",
    "Milan",
    "Istanbul",
    "Valencia",
    "Florence",
    "Athens",
    "Antwerp",
    "Hamburg",
    "Kyoto",
    "Tokyo",
    "Edinburgh",
    "Dublin",
    "Venice",
    "Seville",
    "Munich",
    "Brussels",
    "Krakow",
    "Stockholm",
    "Singapore",
    "Bali",
    "Bangkok",
    "Marrakesh",
    "Nice",
    "Salzburg",
    "Bruges",
    "Malta",
    "Tenerife",
    "Zurich",
    "Warsaw",
    "Oslo",
    "Split",
    "Reykjavik",
    "Cape Town",
    "Sydney",
];

/// One hotel.
#[derive(Debug)]
pub(super) struct Hotel {
    pub(super) id: u32,
    pub(super) city: &'static str,
    pub(super) stars: u32,
    /// Review score in tenths.
    pub(super) score_tenths: u32,
    /// Usual price of a night, in cents of a euro.
    pub(super) night_cents: u32,
}

impl Hotel {
    /// Draws hotel `number`; wanted cities have more hotels, stars cost.
    pub(super) fn draw(seed: u64, number: u32) -> Self {
        let mut random = Random::of(seed, 12, u64::from(number));
        let stars = 2 + random.below(2) + random.below(3);
        let last = u32::try_from(DESTINATIONS.len()).unwrap_or(1);
        let rank = random.below(last) * (random.below(1_000) + 1) / 1_000;
        Self {
            id: 10_000 + number * 37 + random.below(37),
            city: DESTINATIONS[rank as usize],
            stars,
            score_tenths: 62 + random.below(24) + stars * 2,
            night_cents: 3_900 + stars * stars * 900 + random.below(9_000) + random.below(2_500) * stars,
        }
    }
}
