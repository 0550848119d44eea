//! The search: conditions, then cuts of two and three, then causes one after the other.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{
    Cause, Facts, Options,
    bits::{self, Bits},
    conditions::{Condition, Counts, conditions, order_of},
    measure::{Alive, Measure, Scratch, float},
};
use crate::statistics::{
    contingency::{Table, log2_choose},
    multiple::q_values,
};

/// Conditions that are joined to cuts, the most over-represented among the bad first.
pub(super) const BLOCKS_MAX: usize = 256;
/// Cuts of one order that are counted exactly.
const BEAM: usize = 200;
/// Words of the good rows' bitmaps looked at to pick the beam: half a million rows.
const SAMPLE_WORDS: usize = 1 << 13;
/// Rows in common, of the rows of either, from which two cuts are the same.
const SAME: f64 = 0.98;
/// Bits a longer cut has to be better than its part.
const FOLD_BITS: f64 = 3.0;
/// Cuts measured at a time, at first; twice as many each time after.
const MEASURED_FIRST: usize = 4;
/// Examples of bad rows.
const EXAMPLES: usize = 3;
/// Other names of a cut that are listed.
const EQUIVALENTS_MAX: usize = 5;

/// A condition worth joining, with its rows that are alive.
#[derive(Debug)]
struct Block {
    condition: Condition,
    bad: Bits,
    good: Bits,
    thin: Bits,
    table: Table,
    /// Conditions with almost the same rows.
    aliases: Vec<Condition>,
}

/// A counted cut: blocks in ascending order.
#[derive(Debug, Clone)]
struct Cut {
    blocks: Vec<usize>,
    /// Rows.
    table: Table,
    /// No score of this cut is larger: units only take evidence away.
    bound: f64,
    scored: Option<Scored>,
}

/// What a cut is worth, its units counted.
#[derive(Debug, Clone, Copy)]
struct Scored {
    measure: Measure,
    p_value: f64,
    score: f64,
}

impl Cut {
    fn score(&self) -> f64 {
        self.scored.map_or(f64::NEG_INFINITY, |scored| scored.score)
    }
}

pub(super) fn causes(facts: &Facts, options: &Options, is_cancelled: &(dyn Fn() -> bool + Sync)) -> Vec<Cause> {
    let support_min = support_min(facts, options);
    if facts.bad == 0 || facts.good == 0 {
        return Vec::new();
    }
    let mut search =
        Search { facts, options, support_min, tests: 0.0, counts: Vec::new(), scratch: Mutex::default(), is_cancelled };
    search.counts = search.parallel(facts.columns.len(), |_, at| {
        let column = &facts.columns[at];
        Some([&column.bad, &column.good].map(|side| Counts::of(column, side, None)))
    });
    if is_cancelled() {
        return Vec::new();
    }
    let of_columns = search.counts.iter().enumerate().map(|(at, counts)| conditions(facts, at, support_min, counts));
    let conditions: Vec<Condition> = of_columns.flatten().collect();
    search.tests = float(conditions.len() as u64);
    let mut alive = Alive::new(facts, bits::full(facts.bad), bits::full(facts.good));
    let mut found: Vec<(Cause, u64, u64)> = Vec::new();
    while found.len() < options.causes_max && alive.bad_count >= support_min && !is_cancelled() {
        let Some((cause, bad, good)) = search.best(&conditions, &alive) else { break };
        found.push((cause, bits::count(&bad), bits::count(&good)));
        let (mut left_bad, mut left_good) = (alive.bad, alive.good);
        bits::and_not_with(&mut left_bad, &bad);
        bits::and_not_with(&mut left_good, &good);
        alive = Alive::new(facts, left_bad, left_good);
    }
    if is_cancelled() {
        return Vec::new();
    }
    // The usual rate is that of the rows no cause explains.
    let rate = ratio(float(alive.bad_count), float(alive.bad_count + alive.good_count));
    let excess = float(facts.bad as u64) - rate * float((facts.bad + facts.good) as u64);
    for (cause, bad, good) in &mut found {
        cause.explanatory_power = ratio(float(*bad) - rate * float(*bad + *good), excess).clamp(0.0, 1.0);
    }
    found.into_iter().map(|(cause, ..)| cause).collect()
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn support_min(facts: &Facts, options: &Options) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of rows")]
    let least = (options.min_support * float(facts.bad as u64)).ceil() as u64;
    least.max(2)
}

struct Search<'a> {
    facts: &'a Facts,
    options: &'a Options,
    support_min: u64,
    /// V: how many conditions there are.
    tests: f64,
    /// Of each column, over all bad rows and all good ones.
    counts: Vec<[Counts; 2]>,
    scratch: Mutex<Vec<Scratch>>,
    is_cancelled: &'a (dyn Fn() -> bool + Sync),
}

impl Search<'_> {
    /// The best cut of the rows alive, with its rows, if it is significant.
    fn best(&self, conditions: &[Condition], alive: &Alive) -> Option<(Cause, Bits, Bits)> {
        let mut blocks = self.blocks(conditions, alive);
        let single = |(at, block): (usize, &Block)| Cut {
            blocks: vec![at],
            table: block.table,
            bound: block.table.evidence_most() - self.price(1),
            scored: None,
        };
        let mut cuts: Vec<Cut> = blocks.iter().enumerate().map(single).collect();
        self.merge_aliases(&mut blocks, &mut cuts);
        let mut beam: Vec<Vec<usize>> = cuts.iter().map(|cut| cut.blocks.clone()).collect();
        for order in 2..=self.options.max_order {
            let longer = self.extend(&blocks, alive, &beam, order);
            let counted = self.count(&blocks, alive, longer);
            beam = counted.iter().map(|cut| cut.blocks.clone()).collect();
            cuts.extend(counted);
        }
        if (self.is_cancelled)() {
            return None;
        }
        let best = self.choose(&blocks, alive, &mut cuts)?;
        Some(self.report(&blocks, &cuts, best))
    }

    fn price(&self, order: usize) -> f64 {
        let orders = float(self.options.max_order as u64);
        log2_choose(self.tests, float(order as u64)) + (orders / self.options.alpha).log2()
    }

    /// Conditions with the least support that the bad meet more often than the good, most unlike first.
    fn blocks(&self, conditions: &[Condition], alive: &Alive) -> Vec<Block> {
        let facts = self.facts;
        let gone = self.gone(alive);
        let table = |condition: &Condition| {
            let rows = |side: usize| {
                let all = self.counts[condition.column][side].rows(condition.test);
                all - gone.get(condition.column).map_or(0, |gone| gone[side].rows(condition.test))
            };
            table(alive, rows(0), float(rows(1)))
        };
        let mut ranked: Vec<(f64, usize, Table)> = Vec::new();
        for (at, condition) in conditions.iter().enumerate() {
            let table = table(condition);
            if table.a >= float(self.support_min) && table.is_worse_inside() {
                ranked.push((table.g(), at, table));
            }
        }
        ranked.sort_by(|(a, a_at, _), (b, b_at, _)| b.total_cmp(a).then_with(|| a_at.cmp(b_at)));
        ranked.truncate(BLOCKS_MAX);
        // Only now are bitmaps made.
        self.parallel(ranked.len(), |_, rank| {
            let (_, at, table) = ranked[rank];
            let (condition, column) = (conditions[at], &facts.columns[conditions[at].column]);
            let (bad, good) = (condition.rows(&column.bad, &alive.bad), condition.rows(&column.good, &alive.good));
            Some(Block { condition, thin: thin(&good), bad, good, table, aliases: Vec::new() })
        })
    }

    /// How many rows that causes have taken meet each condition, by column; nothing while there are none.
    fn gone(&self, alive: &Alive) -> Vec<[Counts; 2]> {
        let facts = self.facts;
        let (mut bad, mut good) = (bits::full(facts.bad), bits::full(facts.good));
        bits::and_not_with(&mut bad, &alive.bad);
        bits::and_not_with(&mut good, &alive.good);
        if bits::count(&bad) + bits::count(&good) == 0 {
            return Vec::new();
        }
        let found = self.parallel(facts.columns.len(), |_, at| {
            let column = &facts.columns[at];
            Some([Counts::of(column, &column.bad, Some(&bad)), Counts::of(column, &column.good, Some(&good))])
        });
        // A cancelled search has not counted all of them, and goes no further.
        if found.len() == facts.columns.len() { found } else { Vec::new() }
    }

    /// Conditions with the same rows become one, the best of them; the others are its other names.
    fn merge_aliases(&self, blocks: &mut Vec<Block>, cuts: &mut Vec<Cut>) {
        cuts.sort_by(|a, b| b.bound.total_cmp(&a.bound).then_with(|| a.blocks.cmp(&b.blocks)));
        let order: Vec<usize> = cuts.iter().map(|cut| cut.blocks[0]).collect();
        let mut kept: Vec<usize> = Vec::new();
        let mut names: Vec<Vec<Condition>> = vec![Vec::new(); blocks.len()];
        for at in order {
            let same = kept.iter().find(|known| is_same(&blocks[**known], &blocks[at]));
            match same {
                Some(known) => names[*known].push(blocks[at].condition),
                None => kept.push(at),
            }
        }
        cuts.retain(|cut| kept.contains(&cut.blocks[0]));
        for cut in cuts.iter_mut() {
            cut.blocks[0] = kept.iter().position(|at| *at == cut.blocks[0]).unwrap_or(0);
        }
        let mut all: Vec<Option<Block>> = std::mem::take(blocks).into_iter().map(Some).collect();
        for at in kept {
            if let Some(block) = all[at].take() {
                blocks.push(Block { aliases: std::mem::take(&mut names[at]), ..block });
            }
        }
    }

    /// Cuts one condition longer, those that look best in the thinned rows.
    fn extend(&self, blocks: &[Block], alive: &Alive, beam: &[Vec<usize>], order: usize) -> Vec<Vec<usize>> {
        let price = self.price(order);
        let lists = self.parallel(beam.len(), |_, at| {
            let cut = &beam[at];
            let (bad, thin) = joined(blocks, cut, |block| &block.bad, |block| &block.thin);
            let scale = float(bits::words(self.facts.good) as u64) / float(thin.len() as u64);
            let mut found: Vec<(f64, Vec<usize>)> = Vec::new();
            for (next, block) in blocks.iter().enumerate() {
                let is_used = cut.iter().any(|used| blocks[*used].condition.column == block.condition.column);
                // A pair is met once; a longer cut is met from each of its parts in the beam.
                if is_used || (order == 2 && next < cut[0]) {
                    continue;
                }
                let a = bits::count_both(&bad, &block.bad);
                if a < self.support_min {
                    continue;
                }
                let table = table(alive, a, scale * float(bits::count_both(&thin, &block.thin)));
                let score = table.evidence_by_g() - price;
                if table.is_worse_inside() && score > 0.0 {
                    let mut longer = cut.clone();
                    longer.push(next);
                    longer.sort_unstable();
                    found.push((score, longer));
                }
            }
            found.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
            found.truncate(BEAM);
            Some(found)
        });
        let mut all: Vec<(f64, Vec<usize>)> = lists.into_iter().flatten().collect();
        all.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let mut seen = HashSet::new();
        all.retain(|(_, cut)| seen.insert(cut.clone()));
        all.truncate(BEAM);
        all.into_iter().map(|(_, cut)| cut).collect()
    }

    /// Counts the rows of cuts exactly.
    fn count(&self, blocks: &[Block], alive: &Alive, cuts: Vec<Vec<usize>>) -> Vec<Cut> {
        self.parallel(cuts.len(), |_, at| {
            let (bad, good) = joined(blocks, &cuts[at], |block| &block.bad, |block| &block.good);
            let table = table(alive, bits::count(&bad), float(bits::count(&good)));
            let bound = table.evidence_most() - self.price(cuts[at].len());
            table.is_worse_inside().then(|| Cut { blocks: cuts[at].clone(), table, bound, scored: None })
        })
    }

    /// Counts the units of these cuts, which costs far more than their rows, and scores them.
    fn score(&self, blocks: &[Block], alive: &Alive, cuts: &mut [Cut], which: &[usize]) {
        let left: Vec<usize> = which.iter().copied().filter(|at| cuts[*at].scored.is_none()).collect();
        let scored = self.parallel(left.len(), |scratch, at| {
            let cut = &cuts[left[at]];
            let (bad, good) = joined(blocks, &cut.blocks, |block| &block.bad, |block| &block.good);
            let measure = alive.measure(self.facts, &bad, &good, scratch);
            let (evidence, p_value) = measure.effective.evidence();
            let is_worse = measure.effective.is_worse_inside();
            let score = if is_worse { evidence - self.price(cut.blocks.len()) } else { f64::NEG_INFINITY };
            Some((left[at], Scored { measure, p_value, score }))
        });
        for (at, scored) in scored {
            cuts[at].scored = Some(scored);
        }
    }

    /// The significant cut with the most bits, or a part of it that is almost as good, or has almost the same rows.
    ///
    /// Units are counted from the highest bound down, until no cut left can be better.
    fn choose(&self, blocks: &[Block], alive: &Alive, cuts: &mut [Cut]) -> Option<usize> {
        let mut order: Vec<usize> = (0..cuts.len()).collect();
        order.sort_by(|a, b| cuts[*b].bound.total_cmp(&cuts[*a].bound).then_with(|| a.cmp(b)));
        let (mut from, mut count) = (0, MEASURED_FIRST);
        let mut most: f64 = 0.0;
        while from < order.len() && cuts[order[from]].bound > most && !(self.is_cancelled)() {
            let next = &order[from..(from + count).min(order.len())];
            self.score(blocks, alive, cuts, next);
            most = next.iter().map(|at| cuts[*at].score()).fold(most, f64::max);
            from += next.len();
            count *= 2;
        }
        let rank = |a: &Cut, b: &Cut| a.score().total_cmp(&b.score()).then_with(|| b.blocks.cmp(&a.blocks));
        let best = (0..cuts.len()).max_by(|a, b| rank(&cuts[*a], &cuts[*b]))?;
        if cuts[best].score() <= 0.0 {
            return None;
        }
        let length = cuts[best].blocks.len();
        let is_within = |cut: &Cut| cut.blocks.iter().all(|block| cuts[best].blocks.contains(block));
        let shorter: Vec<(usize, bool)> = (0..cuts.len())
            .filter(|at| cuts[*at].blocks.len() < length)
            .map(|at| (at, is_within(&cuts[at])))
            .filter(|(at, within)| *within || self.is_same_cut(blocks, &cuts[*at], &cuts[best]))
            .collect();
        let places: Vec<usize> = shorter.iter().map(|(at, _)| *at).collect();
        self.score(blocks, alive, cuts, &places);
        let least = cuts[best].score() - FOLD_BITS;
        let is_as_good = |(at, within): &(usize, bool)| {
            let score = cuts[*at].score();
            score > 0.0 && (!*within || score > least || self.is_same_cut(blocks, &cuts[*at], &cuts[best]))
        };
        shorter
            .into_iter()
            .filter(is_as_good)
            .map(|(at, _)| at)
            .min_by(|a, b| cuts[*a].blocks.len().cmp(&cuts[*b].blocks.len()).then_with(|| rank(&cuts[*b], &cuts[*a])))
            .or(Some(best))
    }

    fn is_same_cut(&self, blocks: &[Block], one: &Cut, other: &Cut) -> bool {
        let size = |cut: &Cut| cut.table.a + cut.table.b;
        let (small, large) = (size(one).min(size(other)), size(one).max(size(other)));
        if small < SAME * large {
            return false;
        }
        let rows = |cut: &Cut| joined(blocks, &cut.blocks, |block| &block.bad, |block| &block.good);
        let ((a_bad, a_good), (b_bad, b_good)) = (rows(one), rows(other));
        let both = float(bits::count_both(&a_bad, &b_bad) + bits::count_both(&a_good, &b_good));
        both >= SAME * (small + large - both)
    }

    fn report(&self, blocks: &[Block], cuts: &[Cut], best: usize) -> (Cause, Bits, Bits) {
        let cut = &cuts[best];
        let facts = self.facts;
        let (bad, good) = joined(blocks, &cut.blocks, |block| &block.bad, |block| &block.good);
        let sql = |conditions: &[Condition]| {
            let texts: Vec<String> = conditions.iter().map(|condition| condition.sql(facts)).collect();
            texts.join(" AND ")
        };
        let mut own: Vec<Condition> = cut.blocks.iter().map(|at| blocks[*at].condition).collect();
        own.sort_by_key(order_of);
        let mut equivalents: Vec<String> = Vec::new();
        for at in &cut.blocks {
            for alias in &blocks[*at].aliases {
                let mut other: Vec<Condition> =
                    own.iter().map(|one| if *one == blocks[*at].condition { *alias } else { *one }).collect();
                other.sort_by_key(order_of);
                equivalents.push(sql(&other));
            }
        }
        // The same rows have the same units: only the price may differ.
        let others = cuts.iter().enumerate().filter(|(at, other)| *at != best && other.bound > 0.0);
        for (_, other) in others.filter(|(_, other)| self.is_same_cut(blocks, other, cut)) {
            let mut conditions: Vec<Condition> = other.blocks.iter().map(|at| blocks[*at].condition).collect();
            conditions.sort_by_key(order_of);
            equivalents.push(sql(&conditions));
        }
        equivalents.truncate(EQUIVALENTS_MAX);
        // Cuts whose units were not counted are taken for no finds, which makes q larger, never smaller.
        let p_values: Vec<f64> = cuts.iter().map(|cut| cut.scored.map_or(1.0, |scored| scored.p_value)).collect();
        let candidates: f64 =
            (1..=self.options.max_order).map(|order| log2_choose(self.tests, float(order as u64)).exp2()).sum();
        let (table, scored) = (cut.table, cut.scored);
        let (effective, bad_units) =
            scored.map_or((table, bits::count(&bad)), |scored| (scored.measure.effective, scored.measure.bad_units));
        let cause = Cause {
            predicate: sql(&own),
            order: own.len(),
            bad: bits::count(&bad),
            good: bits::count(&good),
            bad_units,
            support: table.a / float(facts.bad as u64),
            precision: table.precision(),
            risk_ratio: table.risk_ratio(),
            risk_ratio_low: effective.risk_ratio_low(0.05),
            explanatory_power: 0.0,
            p_value: p_values[best],
            q_value: q_values(&p_values, candidates)[best],
            score_bits: cut.score(),
            equivalents,
            examples: self.examples(&bad),
        };
        (cause, bad, good)
    }

    fn examples(&self, bad: &[u64]) -> Vec<String> {
        let mut ids: Vec<&String> = bits::rows(bad).filter_map(|row| self.facts.ids.get(row)).collect();
        ids.sort();
        ids.into_iter().take(EXAMPLES).cloned().collect()
    }

    /// Maps `0..count` on the threads, in order; what gives `None` is left out, and nothing is begun after a cancel.
    fn parallel<T: Send>(&self, count: usize, task: impl Fn(&mut Scratch, usize) -> Option<T> + Sync) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let work = || {
            let kept = self.scratch.lock().pop();
            let mut scratch = kept.unwrap_or_else(|| Scratch::new(self.facts));
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Relaxed);
                if at >= count || (self.is_cancelled)() {
                    self.scratch.lock().push(scratch);
                    return done;
                }
                done.push((at, task(&mut scratch, at)));
            }
        };
        let threads = self.options.threads.clamp(1, count.max(1));
        let mut done = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for other in others {
                match other.join() {
                    Ok(more) => done.extend(more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            done
        });
        done.sort_by_key(|(at, _)| *at);
        done.into_iter().filter_map(|(_, found)| found).collect()
    }
}

fn table(alive: &Alive, a: u64, b: f64) -> Table {
    let b = b.min(float(alive.good_count));
    Table { a: float(a), b, c: float(alive.bad_count - a), d: float(alive.good_count) - b }
}

/// Words at even distances, all of them if there are few.
fn thin(bits: &[u64]) -> Bits {
    let stride = bits.len().div_ceil(SAMPLE_WORDS).max(1);
    bits.iter().step_by(stride).copied().collect()
}

/// The rows that meet all conditions of a cut, in two kinds of bitmaps.
fn joined(
    blocks: &[Block],
    cut: &[usize],
    one: impl Fn(&Block) -> &Bits,
    other: impl Fn(&Block) -> &Bits,
) -> (Bits, Bits) {
    let join = |of: &dyn Fn(usize) -> Bits, and: &dyn Fn(&mut Bits, usize)| {
        let mut rows = of(cut[0]);
        cut[1..].iter().for_each(|at| and(&mut rows, *at));
        rows
    };
    (
        join(&|at| one(&blocks[at]).clone(), &|rows, at| bits::and_with(rows, one(&blocks[at]))),
        join(&|at| other(&blocks[at]).clone(), &|rows, at| bits::and_with(rows, other(&blocks[at]))),
    )
}

fn is_same(one: &Block, other: &Block) -> bool {
    if one.condition.column == other.condition.column {
        return false;
    }
    let size = |block: &Block| block.table.a + block.table.b;
    let (a, b) = (size(one), size(other));
    if a.min(b) < SAME * a.max(b) {
        return false;
    }
    let both = float(bits::count_both(&one.bad, &other.bad) + bits::count_both(&one.good, &other.good));
    both >= SAME * (a + b - both)
}
