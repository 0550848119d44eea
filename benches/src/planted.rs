//! Traffic with correlated columns and, if wanted, a bug planted in a cut: the truth a search for causes is judged by.
//!
//! Country tells the currency, the system most of the browser and the device; users keep what is theirs over all their requests and come in a
//! skewed number. A function of its seed alone.

use crate::random::{Random, hash};

/// One condition of a cut: column and value.
pub type Condition = (&'static str, String);

/// Rows as columns of texts, a number, the user of each row, and which rows are bad.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Names and values.
    pub columns: Vec<(&'static str, Vec<String>)>,
    /// 0 to 999, independent of everything.
    pub amount: Vec<i64>,
    /// Who sent the row.
    pub users: Vec<String>,
    /// True for the rows that failed.
    pub bad: Vec<bool>,
}

const NAMES: [&str; 12] =
    ["country", "currency", "os", "browser", "device", "route", "host", "version", "x1", "x2", "x3", "plan"];
const COUNTRIES: [&str; 12] = ["us", "de", "fr", "gb", "nl", "es", "it", "jp", "br", "se", "pl", "ch"];
const SYSTEMS: [&str; 5] = ["ios", "android", "windows", "mac", "linux"];
const ROUTES: [&str; 6] = ["/", "/search", "/hotel", "/cart", "/pay", "/account"];
/// Columns a cut takes its conditions from: at most one of each group, since those of a group tell each other.
const GROUPS: [&[&str]; 4] = [&["country"], &["os"], &["x1", "x2", "x3", "version"], &["route", "plan", "host"]];
/// Rows a cut has at least, and of how many it has at most one.
const CUT_ROWS: (usize, usize) = (100, 5);
/// Without any one of its conditions a cut holds three halves of its rows at least: a condition almost all rows meet is none.
const NEEDED: (usize, usize) = (3, 2);
/// Rows per user, on average.
const ROWS_PER_USER: usize = 4;

impl Rows {
    /// So many rows, none of them bad.
    #[must_use]
    pub fn of(seed: u64, count: usize) -> Self {
        let mut random = Random::of(seed, 50, 0);
        let mut rows = Self {
            columns: NAMES.iter().map(|name| (*name, Vec::with_capacity(count))).collect(),
            amount: Vec::with_capacity(count),
            users: Vec::with_capacity(count),
            bad: vec![false; count],
        };
        let users = u32::try_from(count / ROWS_PER_USER).unwrap_or(u32::MAX).max(1);
        for _ in 0..count {
            // Some users come often.
            let user = skewed(&mut random, users);
            rows.push(seed, user, &mut random);
        }
        rows
    }

    fn push(&mut self, seed: u64, user: u32, random: &mut Random) {
        let mut own = Random::of(seed, 51, user.into());
        let country = COUNTRIES[skewed(&mut own, 12) as usize];
        let os = SYSTEMS[skewed(&mut own, 5) as usize];
        let browser = match os {
            "ios" | "mac" if own.chance(0.9) => "safari",
            _ if own.chance(0.8) => "chrome",
            _ => "firefox",
        };
        let device = if matches!(os, "ios" | "android") { "phone" } else { "computer" };
        let arms = [0.5, 0.2, 0.05].map(|share| if own.chance(share) { "B" } else { "A" });
        let plan = ["free", "plus", "pro"][skewed(&mut own, 3) as usize];
        let route = ROUTES[skewed(random, 6) as usize];
        let host = format!("web-{}", random.below(20));
        let version = if random.chance(0.3) { "2.1" } else { "2.0" };
        let values =
            [country, currency(country), os, browser, device, route, &host, version, arms[0], arms[1], arms[2], plan];
        self.columns.iter_mut().zip(values).for_each(|((_, column), value)| column.push(value.to_owned()));
        self.amount.push(i64::from(random.below(1_000)));
        self.users.push(format!("user-{user}"));
    }

    /// The value of a column in a row.
    #[must_use]
    pub fn value(&self, name: &str, row: usize) -> &str {
        let column = self.columns.iter().find(|(known, _)| *known == name);
        column.map_or("", |(_, values)| &values[row])
    }

    /// True if a row meets all conditions of a cut.
    #[must_use]
    pub fn is_in(&self, cut: &[Condition], row: usize) -> bool {
        cut.iter().all(|(name, value)| self.value(name, row) == value)
    }

    /// A cut of so many conditions, drawn from the values of a row; a hundred rows at least meet it, a fifth of all at most.
    #[must_use]
    pub fn cut(&self, seed: u64, order: usize) -> Vec<Condition> {
        let (least, part) = CUT_ROWS;
        let mut draw = seed;
        loop {
            draw = hash(draw);
            let mut random = Random::of(draw, 52, 0);
            let row = random.below(u32::try_from(self.bad.len()).unwrap_or(u32::MAX)) as usize;
            let mut groups = GROUPS.to_vec();
            while groups.len() > order.max(1) {
                groups.remove(random.below(u32::try_from(groups.len()).unwrap_or(1)) as usize);
            }
            let cut: Vec<Condition> = groups
                .iter()
                .map(|group| {
                    let name = random.pick(group);
                    (name, self.value(name, row).to_owned())
                })
                .collect();
            let inside = |cut: &[Condition]| (0..self.bad.len()).filter(|row| self.is_in(cut, *row)).count();
            let rows = inside(&cut);
            let is_needed = |at: usize| {
                let others: Vec<Condition> =
                    cut.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, one)| one.clone()).collect();
                inside(&others) >= rows * NEEDED.0 / NEEDED.1
            };
            if (least..=self.bad.len() / part).contains(&rows) && (0..cut.len()).all(is_needed) {
                return cut;
            }
        }
    }

    /// Rows outside of the cut fail at the base rate, those inside at the other; an empty cut has no inside.
    pub fn fail(&mut self, seed: u64, base: f64, cut: &[Condition], rate: f64) {
        let mut random = Random::of(seed, 53, 0);
        for row in 0..self.bad.len() {
            let inside = !cut.is_empty() && self.is_in(cut, row);
            self.bad[row] = random.chance(if inside { rate } else { base });
        }
    }

    /// The cut as SQL, its conditions in the order of the columns.
    #[must_use]
    pub fn sql(&self, cut: &[Condition]) -> String {
        let mut cut = cut.to_vec();
        cut.sort_by_key(|(name, _)| NAMES.iter().position(|known| known == name));
        cut.iter().map(|(name, value)| format!("\"{name}\" = '{value}'")).collect::<Vec<_>>().join(" AND ")
    }
}

/// A number below `bound`, the lower ones more often.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below the bound")]
fn skewed(random: &mut Random, bound: u32) -> u32 {
    (random.unit() * random.unit() * f64::from(bound)) as u32
}

fn currency(country: &str) -> &'static str {
    match country {
        "us" => "USD",
        "gb" => "GBP",
        "jp" => "JPY",
        "br" => "BRL",
        "se" => "SEK",
        "pl" => "PLN",
        "ch" => "CHF",
        _ => "EUR",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_cut_fails_and_the_rest_hardly_does() {
        let mut rows = Rows::of(3, 8_000);
        let cut = rows.cut(3, 2);
        assert_eq!(cut.len(), 2);
        rows.fail(3, 0.004, &cut, 0.4);
        let rate = |inside: bool| {
            let of: Vec<bool> =
                (0..8_000).filter(|row| rows.is_in(&cut, *row) == inside).map(|row| rows.bad[row]).collect();
            of.iter().filter(|bad| **bad).count() as f64 / of.len() as f64
        };
        assert!((0.2..0.6).contains(&rate(true)) && rate(false) < 0.008, "{} {}", rate(true), rate(false));
        assert_eq!(Rows::of(3, 100).users, Rows::of(3, 100).users);
    }
}
