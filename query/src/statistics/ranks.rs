//! The Mann–Whitney U test: are values of one group larger than those of another, whatever their distribution?
//!
//! Exact for groups below fifty without ties, else normal with corrections for ties and continuity, as R's `wilcox.test` has it. The
//! shift is Hodges and Lehmann's: the median of all differences of pairs, with the interval of its order statistics. No pair is formed:
//! order statistics of all differences are found by counting over the sorted groups.

use super::{normal_quantile, normal_two_sided};

/// Groups below this many values have exact p-values and intervals.
const EXACT_BELOW: usize = 50;

/// What is said of two groups; shifts are treatment minus control.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Ranked {
    /// Pairs in which the treatment is larger; ties count half.
    pub(crate) u: f64,
    /// Two-sided.
    pub(crate) p_value: f64,
    /// U as a share of all pairs: the chance that a value of the treatment is larger (common language effect size).
    pub(crate) superiority: f64,
    /// Hodges and Lehmann's shift.
    pub(crate) shift: f64,
    /// Interval of the shift, confidence at least about `1 − alpha`.
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// `None` if a group is empty. Values are finite; the groups are sorted on the way.
pub(crate) fn mann_whitney(control: &mut [f64], treatment: &mut [f64], alpha: f64) -> Option<Ranked> {
    if control.is_empty() || treatment.is_empty() {
        return None;
    }
    control.sort_by(f64::total_cmp);
    treatment.sort_by(f64::total_cmp);
    let (pairs, below, equal) = compare(control, treatment);
    #[expect(clippy::cast_precision_loss, reason = "pairs of values in memory: half a pair in 2^53 does not matter")]
    let (all, u) = (pairs as f64, below as f64 + equal as f64 / 2.0);
    let is_exact = control.len().max(treatment.len()) < EXACT_BELOW;
    let exact = is_exact.then(|| distribution(control.len(), treatment.len()));
    let p_value = match &exact {
        Some(exact) if equal == 0 && !has_ties(control) && !has_ties(treatment) => exact_p(exact, u),
        _ => normal_p(control, treatment, u),
    };
    // The r-th smallest and the r-th largest difference bound the shift.
    let r = match &exact {
        Some(exact) => quantile(exact, alpha / 2.0).max(1),
        None => normal_rank(control.len(), treatment.len(), alpha).clamp(1, pairs),
    };
    let shift = |rank: usize| difference_at(control, treatment, rank);
    let middle = (shift(pairs.div_ceil(2)) + shift(pairs / 2 + 1)) / 2.0;
    Some(Ranked { u, p_value, superiority: u / all, shift: middle, low: shift(r), high: shift(pairs + 1 - r) })
}

/// All pairs of sorted groups, those with the smaller value in the control, those of equal values.
fn compare(control: &[f64], treatment: &[f64]) -> (usize, usize, usize) {
    let (mut below, mut equal) = (0, 0);
    for value in treatment {
        let first = control.partition_point(|other| other < value);
        below += first;
        equal += control.partition_point(|other| other <= value) - first;
    }
    (control.len() * treatment.len(), below, equal)
}

fn has_ties(sorted: &[f64]) -> bool {
    sorted.windows(2).any(|pair| pair[0] >= pair[1])
}

/// P(U = 0), P(U = 1), …: the number of ways to deal the ranks, a Gaussian binomial coefficient, over all ways.
fn distribution(n: usize, m: usize) -> Vec<f64> {
    let most = n * m;
    let mut ways = vec![0.0; most + 1];
    ways[0] = 1.0;
    // Times (1 − q^(m+i)) over (1 − q^i), for i from 1 to n.
    for i in 1..=n {
        for at in (m + i..=most).rev() {
            ways[at] -= ways[at - m - i];
        }
        for at in i..=most {
            ways[at] += ways[at - i];
        }
    }
    // It is symmetric; the upper half has lost its digits to the subtractions.
    for at in 0..most / 2 {
        ways[most - at] = ways[at];
    }
    let all: f64 = ways.iter().sum();
    ways.iter().map(|ways| ways / all).collect()
}

fn exact_p(exact: &[f64], u: f64) -> f64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "without ties U is a whole number of pairs"
    )]
    let u = u as usize;
    let at_most: f64 = exact[..=u].iter().sum();
    let at_least: f64 = exact[u..].iter().sum();
    (2.0 * at_most.min(at_least)).min(1.0)
}

/// The smallest number of pairs that U is at most with this probability.
fn quantile(exact: &[f64], probability: f64) -> usize {
    let mut sum = 0.0;
    let is_below = |part: &&f64| {
        sum += **part;
        sum < probability
    };
    exact.iter().take_while(is_below).count()
}

#[expect(clippy::cast_precision_loss, reason = "counts of values in memory")]
fn normal_p(control: &[f64], treatment: &[f64], u: f64) -> f64 {
    let (n, m) = (control.len() as f64, treatment.len() as f64);
    let mut all: Vec<f64> = control.iter().chain(treatment).copied().collect();
    all.sort_by(f64::total_cmp);
    let ties: f64 =
        all.chunk_by(|a, b| a >= b).map(|equal| equal.len() as f64).map(|count| count * (count * count - 1.0)).sum();
    let whole = n + m;
    let variance = n * m / 12.0 * (whole + 1.0 - ties / (whole * (whole - 1.0)));
    if variance <= 0.0 {
        return 1.0;
    }
    let off = ((u - n * m / 2.0).abs() - 0.5).max(0.0);
    normal_two_sided(off / variance.sqrt())
}

/// The rank of the difference that bounds the shift, by the normal distribution of U.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of values in memory"
)]
fn normal_rank(n: usize, m: usize, alpha: f64) -> usize {
    let (n, m) = (n as f64, m as f64);
    let half = normal_quantile(alpha / 2.0) * (n * m * (n + m + 1.0) / 12.0).sqrt();
    (n * m / 2.0 - half).floor().max(0.0) as usize
}

/// The difference `treatment − control` of this rank, from 1, of all pairs: bisection over the doubles in between.
fn difference_at(control: &[f64], treatment: &[f64], rank: usize) -> f64 {
    // Doubles in order as integers.
    let place = |number: f64| {
        let bits = number.to_bits().cast_signed();
        if bits < 0 { i64::MIN - bits } else { bits }
    };
    let number = |place: i64| f64::from_bits((if place < 0 { i64::MIN - place } else { place }).cast_unsigned());
    let at_most = |limit: f64| {
        // Control values in order need ever larger treatment values to stay at most the limit apart.
        let mut behind = 0;
        let mut count = 0;
        for low in control {
            while behind < treatment.len() && treatment[behind] - low <= limit {
                behind += 1;
            }
            count += behind;
        }
        count
    };
    let last = |values: &[f64]| values.last().copied().unwrap_or_default();
    let (mut low, mut high) = (place(treatment[0] - last(control)), place(last(treatment) - control[0]));
    while low < high {
        // Half-way, rounded down; the sum of two places needs a bit more than 64.
        let middle = i64::try_from((i128::from(low) + i128::from(high)) >> 1).unwrap_or(low);
        if at_most(number(middle)) >= rank { high = middle } else { low = middle + 1 }
    }
    number(low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::{
        check_near,
        draws::{Draws, runs},
    };

    /// A 10, 11, 9, 12, 10, 11; B 14, 15, 13, 16, 12, 15: U 35.5, CLES .986, shift 4, 98 % interval [1, 6] (checked by hand and with R's
    /// order statistics: P(U ≤ 3) = 7/924 < .01).
    #[test]
    fn the_worked_example() {
        let (mut a, mut b) = ([10.0, 11.0, 9.0, 12.0, 10.0, 11.0], [14.0, 15.0, 13.0, 16.0, 12.0, 15.0]);
        let found = mann_whitney(&mut a, &mut b, 0.02).unwrap();
        assert_eq!((found.u, found.shift, found.low, found.high), (35.5, 4.0, 1.0, 6.0));
        check_near(found.superiority, 0.986, 5e-4);
        assert!(found.p_value < 0.01, "{found:?}");
        assert_eq!(mann_whitney(&mut [], &mut b, 0.05), None);
        assert_eq!(mann_whitney(&mut [1.0, 1.0], &mut [1.0, 1.0], 0.05).unwrap().p_value, 1.0);
    }

    /// Every way to deal the ranks of small groups, counted one by one.
    #[test]
    fn small_groups_agree_with_counting_all_deals() {
        for (n, m) in [(1_u32, 1_u32), (2, 3), (4, 4), (5, 3), (1, 6)] {
            let (mut ways, mut all) = (vec![0_u32; (n * m + 1) as usize], 0_u32);
            for deal in 0_u32..1 << (n + m) {
                if deal.count_ones() == m {
                    // Each treatment rank is above the control ranks below it.
                    let above = |rank: u32| (!deal & ((1 << rank) - 1)).count_ones();
                    let u: u32 = (0..n + m).filter(|rank| deal >> rank & 1 == 1).map(above).sum();
                    ways[u as usize] += 1;
                    all += 1;
                }
            }
            for (found, ways) in distribution(n as usize, m as usize).iter().zip(&ways) {
                check_near(*found, f64::from(*ways) / f64::from(all), 1e-12);
            }
            for u in 0..=n * m {
                let tail = |from: u32, to: u32| f64::from((from..=to).map(|u| ways[u as usize]).sum::<u32>());
                let expect = (2.0 * tail(0, u).min(tail(u, n * m)) / f64::from(all)).min(1.0);
                check_near(exact_p(&distribution(n as usize, m as usize), f64::from(u)), expect, 1e-12);
            }
        }
    }

    /// The largest exact distribution against the recurrence of Mann and Whitney, which subtracts nothing.
    #[test]
    fn the_largest_exact_distribution_has_its_digits() {
        let most = EXACT_BELOW - 1;
        // ways[m][u] of n values against m: f(n, m, u) = f(n − 1, m, u − m) + f(n, m − 1, u).
        let mut ways: Vec<Vec<f64>> = vec![vec![1.0]; most + 1];
        for n in 1..=most {
            let mut next: Vec<Vec<f64>> = vec![vec![1.0]];
            for m in 1..=most {
                let at = |ways: &Vec<f64>, u: usize| ways.get(u).copied().unwrap_or_default();
                let one = |u: usize| if u >= m { at(&ways[m], u - m) } else { 0.0 };
                next.push((0..=n * m).map(|u| one(u) + at(&next[m - 1], u)).collect());
            }
            ways = next;
        }
        let all: f64 = ways[most].iter().sum();
        for (found, ways) in distribution(most, most).iter().zip(&ways[most]) {
            check_near(found * all / ways, 1.0, 1e-9);
        }
    }

    #[test]
    fn order_statistics_of_differences_are_those_of_all_pairs() {
        let mut draws = Draws(8);
        for run in 0..50 {
            let mut group = |count: usize| -> Vec<f64> {
                (0..count)
                    .map(|_| if run % 2 == 0 { (draws.normal() * 3.0).round() } else { draws.normal() * 1e6 })
                    .collect()
            };
            let (mut a, mut b) = (group(1 + run % 9), group(2 + run % 7));
            let mut all: Vec<f64> = a.iter().flat_map(|a| b.iter().map(move |b| b - a)).collect();
            all.sort_by(f64::total_cmp);
            a.sort_by(f64::total_cmp);
            b.sort_by(f64::total_cmp);
            for (at, expect) in all.iter().enumerate() {
                assert_eq!(difference_at(&a, &b, at + 1), *expect, "{a:?} {b:?}");
            }
        }
    }

    /// Equal distributions are rarely told apart and the interval covers a shift; small groups, and large ones with ties.
    #[test]
    fn the_interval_covers_and_equal_groups_are_rarely_told_apart() {
        // Ties make the interval wider than it has to be.
        for (size, is_rounded, most, covered_most) in [(12, false, 0.06, 0.985), (70, true, 0.07, 0.995)] {
            let repeats = runs(1_000);
            let (mut covered, mut wrong) = (0_u32, 0_u32);
            for run in 0..repeats {
                let mut draws = Draws(run * 3 + 1);
                let mut group = |shift: f64| -> Vec<f64> {
                    let one = |draws: &mut Draws| -(1.0 - draws.unit()).ln() * 10.0 + shift;
                    (0..size)
                        .map(|_| one(&mut draws))
                        .map(|value| if is_rounded { value.round() } else { value })
                        .collect()
                };
                let (mut a, mut b, mut later) = (group(0.0), group(0.0), group(2.0));
                wrong += u32::from(mann_whitney(&mut a, &mut b, 0.05).unwrap().p_value < 0.05);
                let found = mann_whitney(&mut a, &mut later, 0.05).unwrap();
                covered += u32::from(found.low <= 2.0 && 2.0 <= found.high);
            }
            let share = |count: u32| f64::from(count) / f64::from(u32::try_from(repeats).unwrap());
            assert!(share(wrong) <= most, "{size}: {}", share(wrong));
            assert!((0.93..=covered_most).contains(&share(covered)), "{size}: {}", share(covered));
        }
    }
}
