//! Those exposed to a change against those who are not: one scan of a dataset counts a metric in both groups of many changes.
//!
//! A person (the unit key) belongs to the group their events show, with all their events: also those of pages that know nothing of the
//! change. Where there is no unit key, and for changes of machines, each event stands for itself.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher,
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, BooleanArray, Float64Array, Int64Array, RecordBatch, StringViewArray},
    compute::cast,
    datatypes::{DataType, Float64Type, Int64Type},
};
use datafusion::common::Result as Batched;

use super::{MINUTE_US, MetricQuery, TimeRange, metric};
use crate::{
    catalog::Catalog,
    engine::{Engine, Inner},
    error::{Error, quoted},
    parse::parse_expression,
};

/// Changes compared in one scan at most.
pub const EXPOSURES_MAX: usize = 64;
/// People followed in one scan at most: further ones are left out of all groups alike.
const UNITS_MAX: usize = 500_000;
/// Minutes of one piece of the time before the onset.
const PIECE_MINUTES: i64 = 10;
/// Pieces before the onset at most.
const PIECES: usize = 6;
/// Minutes before the onset that are of use.
pub const BEFORE_MINUTES: i64 = PIECE_MINUTES * PIECES as i64;

/// How events tell the exposed from the control.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposure {
    /// SQL condition of the exposed.
    pub exposed: String,
    /// SQL condition of the control.
    pub control: String,
    /// People belong to a group with all their events; else each event stands for itself.
    pub by_unit: bool,
    /// Minute from which meeting the change counts, for people.
    pub since: i64,
    /// Minute from which the groups can be compared before the onset; `None`: only since it.
    pub before_from: Option<i64>,
}

/// The metric in one group and phase.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct GroupSums {
    /// Weighted sum of the value; of 1 for counts.
    pub value: f64,
    /// Sum over people, or events, of their squared part of it.
    pub squares: f64,
    /// Events of the denominator for shares, else people or events of the group.
    pub trials: f64,
}

impl GroupSums {
    fn add(&mut self, value: f64, trials: f64) {
        self.value += value;
        self.squares += value * value;
        self.trials += trials;
    }

    fn weighted(&self, weight: f64) -> Self {
        Self { value: self.value * weight, squares: self.squares * weight * weight, trials: self.trials * weight }
    }

    fn merge(&mut self, other: &Self) {
        self.value += other.value;
        self.squares += other.squares;
        self.trials += other.trials;
    }
}

/// Exposed and control, before and since the onset.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ExposedSums {
    /// Exposed and control before.
    pub before: [GroupSums; 2],
    /// Exposed and control since; of events that stand for themselves only the minutes that show both groups.
    pub after: [GroupSums; 2],
    /// The same with each minute weighted by the other group's part of it, so that a share that moves (a rolling deploy) compares
    /// like with like: Mantel-Haenszel weights. Equal to `after` for people.
    pub matched: [GroupSums; 2],
    /// Exposed part of the events of each minute since the onset; `None` for minutes without any of both groups.
    pub shares: Vec<Option<f64>>,
    /// Minutes that `before` spans.
    pub before_minutes: i64,
    /// The trials are people.
    pub of_units: bool,
}

/// Part of a minute's events a group must have for the minute to compare the two.
const PART_MIN: f64 = 0.02;

/// Sums and matched sums of the minutes that show both groups.
fn matched(minutes: &[[GroupSums; 2]]) -> ([GroupSums; 2], [GroupSums; 2]) {
    let (mut plain, mut matched) = ([GroupSums::default(); 2], [GroupSums::default(); 2]);
    for groups in minutes {
        let total = groups[0].trials + groups[1].trials;
        if groups.iter().any(|group| group.trials <= 0.0 || group.trials < PART_MIN * total) {
            continue;
        }
        let [exposed, control] = groups;
        plain[0].merge(exposed);
        plain[1].merge(control);
        matched[0].merge(&exposed.weighted(control.trials / total));
        matched[1].merge(&control.weighted(exposed.trials / total));
    }
    (plain, matched)
}

impl Engine {
    /// Counts a metric among the exposed and the control of changes, before and since a minute. `range` holds whole minutes from at most
    /// [`BEFORE_MINUTES`] before the onset on. A key no event has had yet is NULL, so its groups are empty.
    ///
    /// # Errors
    /// As [`Engine::minute_counts`]; [`Error::Request`] for more than [`EXPOSURES_MAX`] exposures.
    pub async fn exposed_counts(
        &self,
        metric: &MetricQuery,
        exposures: &[Exposure],
        range: TimeRange,
        onset: i64,
    ) -> Result<Vec<ExposedSums>, Error> {
        super::check_range(range)?;
        if exposures.len() > EXPOSURES_MAX {
            let message = format!("{} exposures, at most {EXPOSURES_MAX} are compared at once", exposures.len());
            return Err(Error::Request { message });
        }
        let units = unit_keys(&self.inner, metric);
        let scan = Arc::new(Scan::new(metric, exposures, range, onset, &units)?);
        let inner = Arc::clone(&self.inner);
        let dataset = metric.dataset.clone();
        self.on_threads(async move {
            let made = Arc::clone(&scan);
            let folded =
                super::fold(&inner, &dataset, &scan.sql, move || Tally::new(Arc::clone(&made)), Tally::add).await?;
            let mut total = Tally::new(scan);
            for tally in folded.unwrap_or_default() {
                total.merge(tally);
            }
            Ok(total.sums())
        })
        .await
    }

    /// Checks that a text is a condition over the events of a dataset.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn check_condition(&self, metric: &MetricQuery, condition: &str) -> Result<(), Error> {
        let only = MetricQuery {
            measure: super::Measure::Count,
            filter: Some(condition.to_owned()),
            slices: Vec::new(),
            ..metric.clone()
        };
        self.check_metric(&only).await
    }
}

/// The keys that name a person in the metric's dataset.
fn unit_keys(inner: &Inner, metric: &MetricQuery) -> Vec<String> {
    let catalog = Catalog::new(inner, Some(metric.dataset.as_str()));
    catalog.dataset(&metric.dataset).map_or_else(Vec::new, |dataset| dataset.columns().aliases().unit.clone())
}

/// Columns before those of the exposures.
const TIME: usize = 0;
const WEIGHT: usize = 1;
const UNIT: usize = 2;
const NUMERATOR: usize = 3;
const VALUE: usize = 4;
const DENOMINATOR: usize = 5;
const FIRST: usize = 6;

/// The SELECT, and what the kernel must know.
#[derive(Debug)]
struct Scan {
    sql: String,
    exposures: Vec<Exposure>,
    /// Pieces before the onset in which each exposure's groups are compared.
    pieces: Vec<usize>,
    share: bool,
    onset: i64,
    /// Minutes since the onset.
    minutes: usize,
    /// Exposures whose people are followed.
    by_unit: u64,
}

impl Scan {
    fn new(
        metric: &MetricQuery,
        exposures: &[Exposure],
        range: TimeRange,
        onset: i64,
        units: &[String],
    ) -> Result<Self, Error> {
        metric::check_syntax(metric)?;
        let condition = |sql: Option<String>| sql.map_or_else(|| "TRUE".to_owned(), |sql| format!("({sql}) IS TRUE"));
        let value = match &metric.measure {
            super::Measure::Sum { value } => format!("CAST(({value}) AS DOUBLE)"),
            _ => "CAST(1 AS DOUBLE)".to_owned(),
        };
        let share = metric::has_denominator(metric);
        let unit = units.iter().map(|key| format!("CAST({} AS VARCHAR), ", quoted(key))).collect::<String>();
        let mut columns = vec![
            "CAST(time AS BIGINT)".to_owned(),
            "CAST(greatest(coalesce(\"sample_rate#num\", 1), 1) AS DOUBLE)".to_owned(),
            format!("coalesce({unit}CAST(NULL AS VARCHAR))"),
            condition(metric::numerator(metric)),
            value,
            if share { condition(metric::denominator(metric)) } else { "TRUE".to_owned() },
        ];
        for exposure in exposures {
            for text in [&exposure.exposed, &exposure.control] {
                parse_expression(text).map_err(|source| metric::wrong(metric, "exposure", text, source))?;
                columns.push(format!("({text}\n) IS TRUE"));
            }
        }
        let list: Vec<String> = columns.iter().enumerate().map(|(at, sql)| format!("{sql} AS c{at}")).collect();
        let environment = metric::in_environment(metric).map_or_else(String::new, |sql| format!(" AND {sql}"));
        let sql = format!(
            "SELECT {} FROM events WHERE time >= {} AND time < {}{environment}",
            list.join(", "),
            metric::literal(range.from),
            metric::literal(range.to)
        );
        let first = range.from.minutes();
        let pieces = exposures.iter().map(|exposure| {
            let from = exposure.before_from.map_or(onset, |from| from.max(first));
            usize::try_from((onset - from) / PIECE_MINUTES).unwrap_or(0).min(PIECES)
        });
        let by_unit =
            exposures.iter().enumerate().filter(|(_, one)| one.by_unit).fold(0, |mask, (at, _)| mask | 1 << at);
        let minutes = usize::try_from(range.to.minutes() - onset).unwrap_or(0);
        Ok(Self { sql, pieces: pieces.collect(), exposures: exposures.to_vec(), share, onset, minutes, by_unit })
    }

    /// Piece before the onset that a minute lies in, the last one first; `None` since the onset.
    fn piece(&self, minute: i64) -> Option<usize> {
        (minute < self.onset).then(|| usize::try_from((self.onset - 1 - minute) / PIECE_MINUTES).unwrap_or(usize::MAX))
    }
}

/// What is known of one person.
#[derive(Debug, Clone, Copy, Default)]
struct Unit {
    /// Seen exposed and in control, by exposure: before, since.
    seen: [[u64; 2]; 2],
    after: (f64, f64),
    before: [(f64, f64); PIECES],
}

/// The kernel's state, one per partition.
#[derive(Debug)]
struct Tally {
    scan: Arc<Scan>,
    hasher: RandomState,
    units: HashMap<u64, Unit>,
    /// Events that stand for themselves, by exposure: before the onset, and by minute since.
    before: Vec<[GroupSums; 2]>,
    since: Vec<Vec<[GroupSums; 2]>>,
    /// All events of the groups by minute since the onset.
    seen: Vec<Vec<[f64; 2]>>,
}

impl Tally {
    fn new(scan: Arc<Scan>) -> Self {
        // One hasher for all partitions of a scan: its keys must agree.
        static HASHER: std::sync::OnceLock<RandomState> = std::sync::OnceLock::new();
        let hasher = HASHER.get_or_init(RandomState::new).clone();
        let (count, minutes) = (scan.exposures.len(), scan.minutes);
        Self {
            hasher,
            units: HashMap::new(),
            before: vec![[GroupSums::default(); 2]; count],
            since: vec![vec![[GroupSums::default(); 2]; minutes]; count],
            seen: vec![vec![[0.0; 2]; minutes]; count],
            scan,
        }
    }

    fn add(&mut self, batch: &RecordBatch) -> Batched<()> {
        let times: &Int64Array = batch.column(TIME).as_primitive::<Int64Type>();
        let weights: &Float64Array = batch.column(WEIGHT).as_primitive::<Float64Type>();
        let values: &Float64Array = batch.column(VALUE).as_primitive::<Float64Type>();
        let units = cast(batch.column(UNIT), &DataType::Utf8View)?;
        let units: &StringViewArray = units.as_string_view();
        let condition = |at: usize| batch.column(at).as_boolean();
        let (numerator, denominator) = (condition(NUMERATOR), condition(DENOMINATOR));
        let groups: Vec<[&BooleanArray; 2]> = (0..self.scan.exposures.len())
            .map(|at| [condition(FIRST + 2 * at), condition(FIRST + 2 * at + 1)])
            .collect();
        for row in 0..batch.num_rows() {
            let (minute, weight) = (times.value(row).div_euclid(MINUTE_US), weights.value(row));
            let counts = numerator.value(row) && values.is_valid(row);
            let value = if counts { values.value(row) * weight } else { 0.0 };
            let trial = if denominator.value(row) { weight } else { 0.0 };
            let mask = |side: usize| {
                let of = |(at, group): (usize, &[&BooleanArray; 2])| u64::from(group[side].value(row)) << at;
                groups.iter().enumerate().map(of).fold(0, |mask, bit| mask | bit)
            };
            let event = Event { minute, value, trial, groups: [mask(0), mask(1)] };
            if units.is_valid(row) && self.scan.by_unit != 0 {
                self.add_event(&event, !self.scan.by_unit);
                self.add_unit(self.hasher.hash_one(units.value(row)), &event);
            } else {
                self.add_event(&event, u64::MAX);
            }
        }
        Ok(())
    }

    /// Counts an event of each exposure it shows; in those of a mask it stands for itself.
    fn add_event(&mut self, event: &Event, alone: u64) {
        let mut left = event.groups[0] | event.groups[1];
        let piece = self.scan.piece(event.minute);
        let place = usize::try_from(event.minute - self.scan.onset).unwrap_or(usize::MAX);
        while left != 0 {
            let at = left.trailing_zeros() as usize;
            left &= left - 1;
            let side = usize::from(event.groups[0] >> at & 1 == 0);
            let is_alone = alone >> at & 1 == 1;
            match piece {
                None => {
                    let Some(seen) = self.seen[at].get_mut(place) else { continue };
                    seen[side] += 1.0;
                    if is_alone {
                        self.since[at][place][side].add(event.value, event.trial);
                    }
                }
                Some(piece) if is_alone && piece < self.scan.pieces[at] => {
                    self.before[at][side].add(event.value, event.trial);
                }
                Some(_) => {}
            }
        }
    }

    fn add_unit(&mut self, key: u64, event: &Event) {
        if !self.units.contains_key(&key) && self.units.len() >= UNITS_MAX {
            return;
        }
        let unit = self.units.entry(key).or_default();
        let piece = self.scan.piece(event.minute);
        let phase = usize::from(piece.is_none());
        let known = match piece {
            None => u64::MAX,
            // Before the onset those count who lie in an exposure's own pieces.
            Some(piece) => {
                let of = self.scan.pieces.iter().enumerate().filter(|(_, pieces)| piece < **pieces);
                of.fold(0, |mask, (at, _)| mask | 1 << at)
            }
        };
        for side in 0..2 {
            unit.seen[phase][side] |= event.groups[side] & known;
        }
        if piece.is_some() && (event.groups[0] | event.groups[1]) != 0 {
            // Who met a change between its activation and the onset has met it.
            let met = self.scan.exposures.iter().enumerate();
            let met = met.filter(|(at, one)| self.scan.pieces[*at] == 0 && event.minute >= one.since);
            let met = met.fold(0, |mask, (at, _)| mask | 1 << at);
            for side in 0..2 {
                unit.seen[1][side] |= event.groups[side] & met;
            }
        }
        let sum = match piece {
            None => &mut unit.after,
            Some(piece) if piece < PIECES => &mut unit.before[piece],
            Some(_) => return,
        };
        sum.0 += event.value;
        sum.1 += event.trial;
    }

    fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.before.iter_mut().flatten().zip(other.before.iter().flatten()) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.since.iter_mut().flatten().flatten().zip(other.since.iter().flatten().flatten()) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.seen.iter_mut().flatten().flatten().zip(other.seen.iter().flatten().flatten()) {
            *mine += theirs;
        }
        for (key, theirs) in other.units {
            if !self.units.contains_key(&key) && self.units.len() >= UNITS_MAX {
                continue;
            }
            let mine = self.units.entry(key).or_default();
            for (mine, theirs) in mine.seen.iter_mut().flatten().zip(theirs.seen.iter().flatten()) {
                *mine |= theirs;
            }
            for (mine, theirs) in mine.before.iter_mut().zip(theirs.before) {
                (mine.0, mine.1) = (mine.0 + theirs.0, mine.1 + theirs.1);
            }
            (mine.after.0, mine.after.1) = (mine.after.0 + theirs.after.0, mine.after.1 + theirs.after.1);
        }
    }

    fn sums(self) -> Vec<ExposedSums> {
        (0..self.scan.exposures.len()).map(|at| self.sums_of(at)).collect()
    }

    fn sums_of(&self, at: usize) -> ExposedSums {
        let (plain, mut weighted) = matched(&self.since[at]);
        let (mut after, mut before) = (plain, self.before[at]);
        let mut of_units = false;
        if self.scan.by_unit >> at & 1 == 1 {
            for unit in self.units.values() {
                self.add_person(unit, at, &mut before, &mut after);
            }
            of_units = !self.scan.share && after != plain;
            weighted = after;
        }
        let share = |seen: &[f64; 2]| (seen[0] + seen[1] > 0.0).then(|| seen[0] / (seen[0] + seen[1]));
        ExposedSums {
            before,
            after,
            matched: weighted,
            shares: self.seen[at].iter().map(share).collect(),
            before_minutes: i64::try_from(self.scan.pieces[at]).unwrap_or(0) * PIECE_MINUTES,
            of_units,
        }
    }

    /// Adds a person to the groups of an exposure they were seen in.
    fn add_person(&self, unit: &Unit, at: usize, before: &mut [GroupSums; 2], after: &mut [GroupSums; 2]) {
        let side = |phase: usize| {
            let seen = unit.seen[phase].map(|mask| mask >> at & 1 == 1);
            if seen[0] { Some(0) } else { seen[1].then_some(1) }
        };
        let trials = |denominator: f64| if self.scan.share { denominator } else { 1.0 };
        if let Some(side) = side(1) {
            after[side].add(unit.after.0, trials(unit.after.1));
        }
        if let Some(side) = side(0) {
            let pieces = &unit.before[..self.scan.pieces[at]];
            let (value, trial) = pieces.iter().fold((0.0, 0.0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            before[side].add(value, trials(trial));
        }
    }
}

/// One row as the kernel sees it.
struct Event {
    minute: i64,
    value: f64,
    trial: f64,
    /// Exposures it shows: exposed, control.
    groups: [u64; 2],
}
