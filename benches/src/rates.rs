//! Bookings per minute as a business sees them: hours of the day and days of the week on each market's own clock, growth,
//! slowly wandering demand, and counts that scatter a little more than Poisson.
//!
//! Every figure depends on (seed, minute) alone and can be asked in any order, so a history written in advance and live
//! traffic made minutes later come from the same rate.

use chrono::{Datelike, Offset, TimeZone, Timelike, Weekday};
use rand_distr::{Distribution, Gamma, Poisson};

use crate::{
    markets::MARKETS,
    random::{Random, hash, unit},
};

/// Growth per week: 1 %.
const GROWTH_PER_WEEK: f64 = 0.01;
/// Variance over mean of the counts of a minute around its rate.
const DISPERSION: f64 = 1.15;
/// Payments per booking that fail on an ordinary day.
const FAILED_PER_BOOKING: f64 = 0.055;
/// Minutes of a week.
const WEEK: f64 = 7.0 * 1440.0;

/// Mean of [`WORKDAY`] and [`WEEKEND`], divided out so that a week averages to 1.
const SEASON_MEAN: f64 = 0.926;

/// A workday's demand by local hour: asleep at four, busy before noon, busiest on the sofa at half past eight.
const WORKDAY: [f64; 24] = [
    0.50, 0.30, 0.19, 0.14, 0.13, 0.17, 0.31, 0.55, 0.85, 1.10, 1.24, 1.27, 1.28, 1.20, 1.19, 1.21, 1.22, 1.20, 1.24,
    1.45, 1.68, 1.66, 1.29, 0.83,
];
/// The same on Saturday and Sunday: later, flatter, with a lazy noon.
const WEEKEND: [f64; 24] = [
    0.56, 0.37, 0.24, 0.16, 0.13, 0.14, 0.21, 0.38, 0.70, 1.08, 1.36, 1.46, 1.40, 1.30, 1.24, 1.22, 1.23, 1.26, 1.31,
    1.45, 1.59, 1.52, 1.17, 0.80,
];

/// Level of a weekday against the week's mean; people plan trips on Sunday evening and Monday.
fn weekday_level(day: Weekday) -> f64 {
    match day {
        Weekday::Mon => 1.07,
        Weekday::Tue => 1.04,
        Weekday::Wed => 1.02,
        Weekday::Thu => 1.00,
        Weekday::Fri => 0.93,
        Weekday::Sat => 0.90,
        Weekday::Sun => 1.04,
    }
}

/// Number of markets.
pub const MARKET_COUNT: usize = MARKETS.len();

/// Bookings of one minute, before anything breaks.
#[derive(Debug, Clone, PartialEq)]
pub struct Minute {
    /// Mean of the season and growth alone, bookings per minute.
    pub expected: f64,
    /// Mean with the wandering demand in it: what the counts scatter around.
    pub rate: f64,
    /// Bookings per market, in the order of [`MARKETS`].
    pub bookings: [u32; MARKET_COUNT],
    /// Payments that fail on an ordinary day: declined cards, rooms sold meanwhile.
    pub failed_payments: u32,
    /// Share of the rate per market at this minute.
    pub shares: [f64; MARKET_COUNT],
}

impl Minute {
    /// Bookings of all markets.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.bookings.iter().sum()
    }
}

/// The rate model of one site.
#[derive(Debug, Clone)]
pub struct Rates {
    seed: u64,
    /// Mean bookings per minute over a week at `origin`.
    level: f64,
    /// Minute (since 1970) at which growth is 1.
    origin: i64,
}

impl Rates {
    /// A site that books `level` times per minute on average over the week around minute `origin`.
    #[must_use]
    pub fn new(seed: u64, level: f64, origin: i64) -> Self {
        Self { seed, level, origin }
    }

    /// A site scaled so that it runs at `per_minute` in minute `minute`, wandering demand included.
    #[must_use]
    pub fn with_rate_at(seed: u64, minute: i64, per_minute: f64) -> Self {
        let unscaled = Self::new(seed, 1.0, minute);
        Self { level: per_minute / unscaled.rate(minute), ..unscaled }
    }

    /// The seed it was made with.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Season times growth: bookings per minute on an average week.
    #[must_use]
    pub fn expected(&self, minute: i64) -> f64 {
        market_rates(minute).iter().sum::<f64>() * self.scale(minute)
    }

    /// Mean of the minute's count: season, growth and wandering demand.
    #[must_use]
    pub fn rate(&self, minute: i64) -> f64 {
        self.expected(minute) * self.demand(minute)
    }

    /// Bookings of the minute, total and by market.
    #[must_use]
    pub fn at(&self, minute: i64) -> Minute {
        let mut shares = market_rates(minute);
        let whole = shares.iter().sum::<f64>();
        shares.iter_mut().for_each(|share| *share /= whole);
        let expected = whole * self.scale(minute);
        let rate = expected * self.demand(minute);
        let mut random = Random::of(self.seed, 1, minute.cast_unsigned());
        let mut bookings = [0; MARKET_COUNT];
        for _ in 0..negative_binomial(rate, &mut random) {
            bookings[pick_market(&shares, random.unit())] += 1;
        }
        let failed_payments = negative_binomial(rate * FAILED_PER_BOOKING, &mut random);
        Minute { expected, rate, bookings, failed_payments, shares }
    }

    fn scale(&self, minute: i64) -> f64 {
        self.level * (GROWTH_PER_WEEK * (minute - self.origin) as f64 / WEEK).exp()
    }

    /// Demand wanders by 2.5 % (sd) over an hour or two (weather, a newsletter) and by 2 % over days.
    fn demand(&self, minute: i64) -> f64 {
        let hours = autoregressive(self.seed, 2, minute, 10, 0.9);
        let days = autoregressive(self.seed, 3, minute, 720, 0.8);
        (0.025 * hours + 0.02 * days).exp()
    }
}

/// The market a uniform number falls on.
#[must_use]
pub fn pick_market(shares: &[f64; MARKET_COUNT], mut point: f64) -> usize {
    for (index, share) in shares.iter().enumerate() {
        point -= share;
        if point < 0.0 {
            return index;
        }
    }
    0
}

/// A count with mean `mean` and variance `DISPERSION * mean`: Poisson with a gamma-distributed mean.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small whole number")]
pub(crate) fn negative_binomial(mean: f64, random: &mut Random) -> u32 {
    let spread = DISPERSION - 1.0;
    let Ok(gamma) = Gamma::new((mean / spread).max(1e-9), spread) else { return 0 };
    Poisson::new(gamma.sample(random).max(1e-9)).map_or(0, |poisson| poisson.sample(random) as u32)
}

/// Each market's relative rate: its share times its local hour and weekday.
fn market_rates(minute: i64) -> [f64; MARKET_COUNT] {
    let mut rates = [0.0; MARKET_COUNT];
    let Some(utc) = chrono::DateTime::from_timestamp(minute * 60, 0).map(|time| time.naive_utc()) else { return rates };
    for (rate, market) in rates.iter_mut().zip(&MARKETS) {
        let local =
            utc + chrono::Duration::seconds(market.zone.offset_from_utc_datetime(&utc).fix().local_minus_utc().into());
        *rate = market.share * season(local);
    }
    rates
}

/// Hour and weekday of a local wall clock, mean about 1 over a week; continuous, also at midnight.
fn season(local: chrono::NaiveDateTime) -> f64 {
    let hour = f64::from(local.hour()) + f64::from(local.minute()) / 60.0;
    let today = local.weekday();
    // The level and the weekend's habits slide from noon to noon, so that midnight has no step.
    let (left, right, part) =
        if hour < 12.0 { (today.pred(), today, hour / 24.0 + 0.5) } else { (today, today.succ(), hour / 24.0 - 0.5) };
    let slide = |of: fn(Weekday) -> f64| of(left) * (1.0 - part) + of(right) * part;
    let weekend = slide(|day| if matches!(day, Weekday::Sat | Weekday::Sun) { 1.0 } else { 0.0 });
    let shape = |table: &[f64; 24]| {
        // Values stand for the middle of their hour.
        let place = (hour + 23.5) % 24.0;
        let (index, part) = (local_index(place), place.fract());
        table[index] * (1.0 - part) + table[(index + 1) % 24] * part
    };
    slide(weekday_level) * (shape(&WORKDAY) * (1.0 - weekend) + shape(&WEEKEND) * weekend) / SEASON_MEAN
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 24")]
fn local_index(place: f64) -> usize {
    place as usize % 24
}

/// A standardised first-order autoregressive walk with one knot every `step` minutes, straight between knots. Each knot is the
/// moving-average form of the walk cut off where the weights fall below 1 %, hence random access.
fn autoregressive(seed: u64, stream: u64, minute: i64, step: i64, phi: f64) -> f64 {
    let knot = minute.div_euclid(step);
    let part = minute.rem_euclid(step) as f64 / step as f64;
    let at = |knot: i64| {
        let (mut weight, mut sum) = ((1.0 - phi * phi).sqrt(), 0.0);
        let mut back = 0;
        while weight > 0.01 {
            sum += weight * nearly_normal(hash(hash(seed ^ (stream << 32)) ^ (knot - back).cast_unsigned()));
            weight *= phi;
            back += 1;
        }
        sum
    };
    at(knot) * (1.0 - part) + at(knot + 1) * part
}

/// Sum of four uniforms, standardised: normal enough for a sum of many.
fn nearly_normal(bits: u64) -> f64 {
    let sum: f64 = (0..4).map(|i| unit((bits >> (16 * i)) << 48)).sum();
    (sum - 2.0) * 3.0_f64.sqrt()
}

#[cfg(test)]
mod tests;
