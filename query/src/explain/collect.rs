//! Rows as they arrive, and all rows together.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use arrow::{
    array::{ArrayRef, AsArray, BooleanArray},
    datatypes::DataType,
};

use super::{
    codes::{Coder, Codes, steps},
    hash::AsItIs,
};

/// A column with more different values than half its rows, seen over this many rows, is an id and no dimension.
const UNIQUE_AFTER: usize = 16_384;
/// Ids of bad rows kept for examples, per collector.
const IDS_MAX: usize = 200_000;

/// Rows of one side.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) codes: Codes,
    /// Of numbers.
    pub(super) steps: Vec<u16>,
}

#[derive(Debug)]
struct Building {
    coder: Coder,
    is_number: bool,
    is_id: bool,
    bad: Side,
    good: Side,
}

/// Codes the rows of one stream of batches.
#[derive(Debug)]
pub struct Collector {
    columns: Vec<Option<Building>>,
    /// 64-bit hashes of units.
    bad_units: Vec<u64>,
    good_units: Vec<u64>,
    has_units: bool,
    ids: Vec<String>,
    bad: usize,
    good: usize,
    scratch: Vec<u16>,
}

impl Collector {
    /// A collector of columns of these types; those that are neither text, number nor boolean are ignored.
    #[must_use]
    pub fn new(types: &[DataType]) -> Self {
        let building = |data_type: &DataType| {
            Some(Building {
                coder: Coder::new(data_type)?,
                is_number: matches!(data_type, DataType::Int64 | DataType::Float64),
                is_id: false,
                bad: Side::default(),
                good: Side::default(),
            })
        };
        Self {
            columns: types.iter().map(building).collect(),
            bad_units: Vec::new(),
            good_units: Vec::new(),
            has_units: false,
            ids: Vec::new(),
            bad: 0,
            good: 0,
            scratch: Vec::new(),
        }
    }

    /// Adds rows: which of them are bad, their columns, and if known their units and ids (texts, as views).
    pub fn add(&mut self, bad: &BooleanArray, columns: &[ArrayRef], units: Option<&ArrayRef>, ids: Option<&ArrayRef>) {
        let is_bad: Vec<bool> = bad.iter().map(|flag| flag == Some(true)).collect();
        let bad_count = is_bad.iter().filter(|flag| **flag).count();
        self.bad += bad_count;
        self.good += is_bad.len() - bad_count;
        let rows = self.bad + self.good;
        let mut codes = std::mem::take(&mut self.scratch);
        for (building, column) in self.columns.iter_mut().zip(columns) {
            if let Some(building) = building.as_mut().filter(|building| !building.is_id) {
                building.coder.code(column, &mut codes);
                if building.coder.distinct() > rows / 2 && rows >= UNIQUE_AFTER && !building.is_number {
                    building.is_id = true;
                    (building.bad, building.good) = (Side::default(), Side::default());
                    continue;
                }
                part(&codes, &is_bad, bad_count, |side, codes| match side {
                    true => building.bad.codes.extend(codes.iter().copied()),
                    false => building.good.codes.extend(codes.iter().copied()),
                });
                if building.is_number {
                    steps(column, &mut codes);
                    part(&codes, &is_bad, bad_count, |side, steps| match side {
                        true => building.bad.steps.extend_from_slice(steps),
                        false => building.good.steps.extend_from_slice(steps),
                    });
                }
            }
        }
        self.scratch = codes;
        if let Some(units) = units {
            self.has_units = true;
            let units = units.as_string_view();
            let hasher = BuildHasherDefault::<DefaultHasher>::default();
            for (row, bad) in is_bad.iter().enumerate() {
                let hash = hasher.hash_one(units.value(row));
                if *bad { self.bad_units.push(hash) } else { self.good_units.push(hash) }
            }
        }
        if let Some(ids) = ids {
            let ids = ids.as_string_view();
            let room = IDS_MAX.saturating_sub(self.ids.len());
            let bad = is_bad.iter().enumerate().filter(|(_, bad)| **bad).take(room);
            self.ids.extend(bad.map(|(row, _)| ids.value(row).to_owned()));
        }
    }

    /// Rows so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.bad + self.good
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let side = |side: &Side| side.codes.bytes() + side.steps.capacity() * 2;
        let columns: usize = self.columns.iter().flatten().map(|column| side(&column.bad) + side(&column.good)).sum();
        columns + (self.bad_units.capacity() + self.good_units.capacity()) * 8 + self.ids.len() * 48
    }
}

/// Hands the items of the bad rows and those of the good ones on, each in one piece.
fn part(items: &[u16], is_bad: &[bool], bad: usize, mut to: impl FnMut(bool, &[u16])) {
    match bad {
        0 => to(false, items),
        all if all == items.len() => to(true, items),
        _ => {
            let of = |side: bool| -> Vec<u16> {
                items.iter().zip(is_bad).filter(|(_, bad)| **bad == side).map(|(item, _)| *item).collect()
            };
            to(true, &of(true));
            to(false, &of(false));
        }
    }
}

/// One column of all rows.
#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) coder: Coder,
    pub(super) is_number: bool,
    pub(super) bad: Side,
    pub(super) good: Side,
}

/// The units of all rows, numbered.
#[derive(Debug)]
pub(super) struct Units {
    pub(super) bad: Vec<u32>,
    pub(super) good: Vec<u32>,
    pub(super) count: usize,
}

/// All rows, coded.
#[derive(Debug)]
pub struct Facts {
    pub(super) columns: Vec<Column>,
    pub(super) units: Option<Units>,
    pub(super) ids: Vec<String>,
    pub(super) bad: usize,
    pub(super) good: usize,
}

impl Facts {
    /// Puts collectors of the same columns together. `names`: how SQL writes the columns.
    #[must_use]
    pub fn merge(names: &[String], collectors: Vec<Collector>) -> Self {
        let (bad, good) = collectors.iter().fold((0, 0), |(bad, good), one| (bad + one.bad, good + one.good));
        let has_units = collectors.iter().any(|one| one.has_units);
        let mut parts: Vec<Vec<Building>> = (0..names.len()).map(|_| Vec::new()).collect();
        let (mut bad_units, mut good_units, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        let mut dropped = vec![false; names.len()];
        for collector in collectors {
            for (at, building) in collector.columns.into_iter().enumerate() {
                match building {
                    Some(building) if !building.is_id => parts[at].push(building),
                    _ => dropped[at] = true,
                }
            }
            bad_units.push(collector.bad_units);
            good_units.push(collector.good_units);
            ids.push(collector.ids);
        }
        // Ids stand for bad rows in order: what one collector cut off would shift those behind it.
        let ids: Vec<String> = ids.into_iter().flatten().collect();
        let merged = || {
            let columns = names.iter().zip(parts).zip(dropped).filter(|(_, dropped)| !dropped);
            columns.filter_map(|((name, parts), _)| column(name, parts)).collect()
        };
        // Numbering millions of units takes about as long as all columns together.
        let (columns, units) = std::thread::scope(|scope| {
            let units = scope.spawn(|| has_units.then(|| number_units(&bad_units, &good_units)));
            let columns: Vec<Column> = merged();
            match units.join() {
                Ok(units) => (columns, units),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        let ids = if ids.len() == bad { ids } else { Vec::new() };
        Self { columns, units, ids, bad, good }
    }

    /// Bad rows and good rows.
    #[must_use]
    pub fn rows(&self) -> (usize, usize) {
        (self.bad, self.good)
    }
}

fn column(name: &str, parts: Vec<Building>) -> Option<Column> {
    let mut parts = parts.into_iter();
    let Building { coder, is_number, bad, good, .. } = parts.next()?;
    let mut column = Column { name: name.to_owned(), coder, is_number, bad, good };
    for part in parts {
        let map = column.coder.map(&part.coder.labels);
        column.bad.codes.extend_mapped(&part.bad.codes, &map);
        column.good.codes.extend_mapped(&part.good.codes, &map);
        column.bad.steps.extend(part.bad.steps);
        column.good.steps.extend(part.good.steps);
    }
    Some(column)
}

fn number_units(bad: &[Vec<u64>], good: &[Vec<u64>]) -> Units {
    let mut numbers: HashMap<u64, u32, BuildHasherDefault<AsItIs>> = HashMap::default();
    let mut number = |hash: &u64| {
        let next = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
        *numbers.entry(*hash).or_insert(next)
    };
    let bad: Vec<u32> = bad.iter().flatten().map(&mut number).collect();
    let good: Vec<u32> = good.iter().flatten().map(&mut number).collect();
    Units { bad, good, count: numbers.len() }
}
