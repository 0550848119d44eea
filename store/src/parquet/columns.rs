//! Which columns a file has, and their values in its order of rows.

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{Field, FieldRef},
    error::ArrowError,
    record_batch::RecordBatch,
};
use hashbrown::HashMap;

use super::{gather::Gather, order::Place, rest};
use crate::{
    catalog::{Catalog, VariantId, trie::EXPERIMENTS},
    memtable::system_field,
    schema::Kind,
};

/// System columns of a file, in order.
pub(super) const SYSTEM: [&str; 8] =
    ["time", "received_at", "seq", "event_id", "_incarnation", "_source", "time_error", "rest"];

/// A column of a key.
#[derive(Debug, Clone)]
pub(super) struct KeyColumn {
    pub variant: VariantId,
    pub kind: Kind,
    pub physical: String,
    /// Logical name, as `rest` has it.
    pub name: String,
}

/// The columns of one file.
#[derive(Debug)]
pub(super) struct Columns {
    pub typed: Vec<KeyColumn>,
    /// The rarest ones of a file too wide.
    pub in_rest: Vec<KeyColumn>,
    variants: usize,
}

impl Columns {
    /// All columns with a value in these rows; the most frequent `typed_max` and those of experiments are typed.
    pub(super) fn choose(catalog: &Catalog, batches: &[Source<'_>], places: &[Place], typed_max: usize) -> Self {
        let counts = count_values(batches, places);
        Self::most_frequent(catalog, typed_max, &|_, physical| counts.get(physical).copied().unwrap_or(0), &|_| false)
    }

    /// The same by numbers of values per column; those `unused` are not typed, however frequent.
    pub(super) fn most_frequent(
        catalog: &Catalog,
        typed_max: usize,
        count_of: &dyn Fn(VariantId, &str) -> u64,
        unused: &dyn Fn(VariantId) -> bool,
    ) -> Self {
        let physicals = catalog.physicals();
        let mut present: Vec<(u64, KeyColumn)> = Vec::new();
        for (variant, physical) in (0..).zip(&physicals) {
            let count = count_of(variant, &physical.name);
            if count > 0 {
                let (kind, name) = (physical.kind, catalog.logical_name(variant));
                present.push((count, KeyColumn { variant, kind, physical: physical.name.to_string(), name }));
            }
        }
        let is_experiment = |column: &KeyColumn| column.name.starts_with(EXPERIMENTS);
        let (mut typed, mut in_rest): (Vec<_>, Vec<_>) =
            present.into_iter().partition(|(_, column)| is_experiment(column) || !unused(column.variant));
        if typed.len() > typed_max {
            // a stable sort: of equally frequent ones the older stays typed
            let (experiments, mut others): (Vec<_>, Vec<_>) =
                typed.into_iter().partition(|(_, column)| is_experiment(column));
            others.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
            in_rest.extend(others.split_off(others.len().min(typed_max)));
            others.extend(experiments);
            typed = others;
        }
        let columns = |counted: Vec<(u64, KeyColumn)>| counted.into_iter().map(|(_, column)| column).collect();
        let (mut typed, in_rest): (Vec<KeyColumn>, Vec<KeyColumn>) = (columns(typed), columns(in_rest));
        typed.sort_by_key(|column| column.variant);
        Self { typed, in_rest, variants: physicals.len() }
    }

    pub(super) fn fields(&self) -> Vec<FieldRef> {
        let keys = self.typed.iter().map(|column| Field::new(&column.physical, column.kind.data_type(), true).into());
        SYSTEM.iter().map(|name| system_field(name)).chain(keys).collect()
    }

    /// Zero for each column of the catalog.
    pub(super) fn no_counts(&self) -> Vec<u64> {
        vec![0; self.variants]
    }

    /// The values of these rows, in the order of `fields`; adds to the numbers of values.
    pub(super) fn gather(
        &self,
        batches: &[Source<'_>],
        places: &[Place],
        counts: &mut [u64],
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let gather = Gather::new(batches, places);
        let mut arrays = Vec::with_capacity(SYSTEM.len() + self.typed.len());
        for name in SYSTEM {
            arrays.push(gather.column(name, system_field(name).data_type())?);
        }
        let mut count = |variant: VariantId, array: &ArrayRef| {
            if let Some(count) = counts.get_mut(variant as usize) {
                *count += (array.len() - array.null_count()) as u64;
            }
        };
        for column in &self.typed {
            let array = gather.column(&column.physical, &column.kind.data_type())?;
            count(column.variant, &array);
            arrays.push(array);
        }
        if !self.in_rest.is_empty() {
            let mut overflow = Vec::with_capacity(self.in_rest.len());
            for column in &self.in_rest {
                let array = gather.column(&column.physical, &column.kind.data_type())?;
                count(column.variant, &array);
                overflow.push((column, array));
            }
            let last = SYSTEM.len() - 1;
            arrays[last] = rest::add(&arrays[last], &overflow);
        }
        Ok(arrays)
    }
}

/// A batch to write, its columns by name.
#[derive(Debug)]
pub(super) struct Source<'a> {
    pub batch: &'a RecordBatch,
    columns: HashMap<&'a str, &'a ArrayRef>,
}

impl<'a> Source<'a> {
    pub(super) fn new(batch: &'a RecordBatch) -> Self {
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        Self { batch, columns: names.zip(batch.columns()).collect() }
    }

    pub(super) fn column(&self, name: &str) -> Option<&'a ArrayRef> {
        self.columns.get(name).copied()
    }
}

/// Non-null values of each column in these rows.
fn count_values<'a>(batches: &[Source<'a>], places: &[Place]) -> HashMap<&'a str, u64> {
    let mut rows_of: Vec<Vec<u32>> = vec![Vec::new(); batches.len()];
    for place in places {
        rows_of[place.batch as usize].push(place.row);
    }
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for (batch, rows) in batches.iter().zip(rows_of) {
        let is_whole = rows.len() == batch.batch.num_rows();
        for (name, array) in &batch.columns {
            let values = if is_whole {
                array.len() - array.null_count()
            } else {
                rows.iter().filter(|row| array.is_valid(**row as usize)).count()
            };
            *counts.entry(name).or_default() += values as u64;
        }
    }
    counts
}
