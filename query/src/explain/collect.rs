//! Rows as they arrive, and all rows together.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::ops::Range;

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
        let parts = Parts::of(&is_bad);
        self.bad += parts.bad.len();
        self.good += is_bad.len() - parts.bad.len();
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
                building.bad.codes.extend(parts.bad.iter().map(|row| codes[*row]));
                parts.good.iter().for_each(|rows| building.good.codes.extend(codes[rows.clone()].iter().copied()));
                if building.is_number {
                    steps(column, &mut codes);
                    building.bad.steps.extend(parts.bad.iter().map(|row| codes[*row]));
                    parts.good.iter().for_each(|rows| building.good.steps.extend_from_slice(&codes[rows.clone()]));
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
            self.ids.extend(parts.bad.iter().take(room).map(|row| ids.value(*row).to_owned()));
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

/// Where the rows of both sides lie in a batch. Bad rows are few, so the good ones come in long pieces.
struct Parts {
    bad: Vec<usize>,
    good: Vec<Range<usize>>,
}

impl Parts {
    fn of(is_bad: &[bool]) -> Self {
        let bad: Vec<usize> = is_bad.iter().enumerate().filter(|(_, bad)| **bad).map(|(row, _)| row).collect();
        let begins = std::iter::once(0).chain(bad.iter().map(|row| row + 1));
        let ends = bad.iter().copied().chain([is_bad.len()]);
        let good = begins.zip(ends).map(|(begin, end)| begin..end).filter(|rows| !rows.is_empty()).collect();
        Self { bad, good }
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
