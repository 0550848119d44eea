//! Every key of a dataset: found at decode, settled at insert, persisted with the Delta schema.
//!
//! Decoding on many threads only adds paths to the trie, in any order. Which kind of a key owns the plain name, which of
//! two twins gets `~2`, how a key is nested and how times are spelled is settled by the memtable, in the order of the WAL:
//! so a replay comes to the same names. A key without a stored value is not part of the schema.

pub(crate) mod growth;
pub(crate) mod names;
mod persisted;
pub(crate) mod trie;

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use growth::Growth;
pub(crate) use persisted::{CatalogError, values_of, values_tag};
use trie::{NodeId, Trie};

use crate::{
    Aliases,
    decode::{scratch::Scratch, time::Spelling},
    schema::{Column, Kind, Schema, Variant},
    sight::Sights,
};

/// Place of a physical column in order of settlement; for ever.
pub(crate) type VariantId = u32;

/// All keys of one dataset; shared by decoders, the memtable and the flush.
#[derive(Debug)]
pub(crate) struct Catalog {
    /// Which keys tell about releases.
    pub(crate) aliases: Arc<Aliases>,
    /// Decoders hold the read lock for one event at a time.
    pub(crate) trie: RwLock<Trie>,
    /// Locked before `trie` where both are.
    columns: Mutex<Columns>,
    pub(crate) sights: Mutex<Sights>,
    /// Working memory of decoders, as many as ever ran at once.
    scratch: Mutex<Vec<Scratch>>,
}

#[derive(Debug)]
struct Columns {
    by_name: HashMap<Box<str>, usize>,
    entries: Vec<Entry>,
    variants: Vec<Physical>,
    taken: names::Taken,
    growth: Growth,
    spelling: Option<Spelling>,
    schema: Option<Arc<Schema>>,
    /// Values stored in all columns, now and when `schema` was made.
    values: u64,
    schema_values: u64,
}

#[derive(Debug)]
struct Entry {
    name: String,
    path: Vec<String>,
    /// The node whose nesting is the usual one.
    node: NodeId,
    base: String,
    variants: Vec<VariantId>,
}

/// One physical column.
#[derive(Debug, Clone)]
pub(crate) struct Physical {
    column: usize,
    pub kind: Kind,
    pub name: Arc<str>,
    values: u64,
}

/// Where the values of one kind under one key path go.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    pub variant: VariantId,
    /// False if the key was first stored with another nesting (`a.b` against `{"a":{"b":…}}`).
    pub usual: bool,
}

impl Catalog {
    pub(crate) fn new() -> Self {
        Self::with_columns(Trie::new(), Columns::new(), Sights::default())
    }

    fn with_columns(trie: Trie, columns: Columns, sights: Sights) -> Self {
        Self {
            aliases: Arc::default(),
            trie: RwLock::new(trie),
            columns: Mutex::new(columns),
            sights: Mutex::new(sights),
            scratch: Mutex::new(Vec::new()),
        }
    }

    /// The same with other aliases than the usual ones.
    pub(crate) fn with_aliases(self, aliases: &Arc<Aliases>) -> Self {
        Self { aliases: Arc::clone(aliases), ..self }
    }

    /// Rebuilds what `persist` gave, with the counts of values from the tags of the live files.
    pub(crate) fn restore(
        schema_string: &str,
        configuration: &BTreeMap<String, String>,
        file_tags: &mut dyn Iterator<Item = &BTreeMap<String, String>>,
    ) -> Result<Self, CatalogError> {
        persisted::restore(schema_string, configuration, file_tags)
    }

    /// The Delta schema with all columns ever settled, and the table configuration. Changes only with a new column, a new
    /// value of a release dimension, or the first time a time is spelled.
    pub(crate) fn persist(&self) -> (String, BTreeMap<String, String>) {
        persisted::persist(self)
    }

    /// All columns. Counts of values may lag by a 1024th, so that queries under load do not rebuild it each time.
    pub(crate) fn schema(&self) -> Arc<Schema> {
        let mut columns = self.columns.lock();
        let is_stale = columns.values - columns.schema_values > columns.schema_values / 1_024;
        match &columns.schema {
            Some(schema) if !is_stale => Arc::clone(schema),
            _ => {
                let schema = Arc::new(columns.to_schema());
                columns.schema_values = columns.values;
                columns.schema = Some(Arc::clone(&schema));
                schema
            }
        }
    }

    /// Settles where values of `kind` under `node` go: on first sight the key gets its physical name for ever. `None`: it gets
    /// no column, its values go to `rest`, also for ever. `minute`: of the receipt, since 1970.
    pub(crate) fn settle(&self, node: NodeId, kind: Kind, minute: i64) -> Option<Settled> {
        let mut columns = self.columns.lock();
        let column = columns.entry_of(node, &self.trie.read(), minute)?;
        let variant = columns.variant_of(column, kind);
        Some(Settled { variant, usual: columns.entries[column].node == node })
    }

    /// Whether the name of a key without a column tells how it is nested.
    pub(crate) fn is_natural(&self, node: NodeId) -> bool {
        let trie = self.trie.read();
        trie.node(node).name.split('.').eq(trie.path(node))
    }

    /// Whether the logical name of a key tells how it is nested: then `rest` may hold its values.
    pub(crate) fn is_told_by_name(&self, node: NodeId) -> bool {
        let columns = self.columns.lock();
        let trie = self.trie.read();
        let known = trie.node(node);
        match columns.by_name.get(&known.name) {
            Some(column) => columns.entries[*column].node == node,
            // a key of the event itself, without a dot and not posing as a renamed one: no other nesting gives this name
            None => {
                let (key, name) = (&*known.key, &*known.name);
                known.parent == trie::ROOT && key == name && !key.contains('.') && !key.starts_with("user:")
            }
        }
    }

    /// The oldest list among the kinds of a key, if the key is usually nested so.
    pub(crate) fn list_under(&self, node: NodeId) -> Option<(VariantId, Kind)> {
        let columns = self.columns.lock();
        let column = *columns.by_name.get(&self.trie.read().node(node).name)?;
        let entry = &columns.entries[column];
        let kinds = entry.variants.iter().map(|variant| (*variant, columns.variants[*variant as usize].kind));
        kinds.filter(|_| entry.node == node).find(|(_, kind)| kind.element().is_some())
    }

    /// A physical column.
    pub(crate) fn physical(&self, variant: VariantId) -> Physical {
        self.columns.lock().variants[variant as usize].clone()
    }

    /// All physical columns in order of settlement.
    pub(crate) fn physicals(&self) -> Vec<Physical> {
        self.columns.lock().variants.clone()
    }

    /// All kinds that occurred under the key of a column.
    pub(crate) fn kinds_beside(&self, variant: VariantId) -> Vec<VariantId> {
        let columns = self.columns.lock();
        let column = columns.variants[variant as usize].column;
        columns.entries[column].variants.clone()
    }

    /// Logical name of the key of a column.
    pub(crate) fn logical_name(&self, variant: VariantId) -> String {
        let columns = self.columns.lock();
        columns.entries[columns.variants[variant as usize].column].name.clone()
    }

    /// Counts stored values.
    pub(crate) fn add_values(&self, counts: impl Iterator<Item = (VariantId, u64)>) {
        let mut columns = self.columns.lock();
        for (variant, count) in counts {
            columns.variants[variant as usize].values += count;
            columns.values += count;
        }
    }

    /// The usual spelling of `time`: `first`, unless one was settled before.
    pub(crate) fn settle_spelling(&self, first: Option<Spelling>) -> Option<Spelling> {
        let mut columns = self.columns.lock();
        if columns.spelling.is_none() && first.is_some() {
            columns.spelling = first;
            columns.schema = None;
        }
        columns.spelling
    }

    pub(crate) fn take_scratch(&self) -> Scratch {
        self.scratch.lock().pop().unwrap_or_default()
    }

    pub(crate) fn return_scratch(&self, scratch: Scratch) {
        self.scratch.lock().push(scratch);
    }
}

impl Columns {
    fn new() -> Self {
        Self {
            by_name: HashMap::new(),
            entries: Vec::new(),
            variants: Vec::new(),
            taken: names::Taken::new(),
            growth: Growth::default(),
            spelling: None,
            schema: None,
            values: 0,
            schema_values: 0,
        }
    }

    fn entry_of(&mut self, node: NodeId, trie: &Trie, minute: i64) -> Option<usize> {
        let name = &trie.node(node).name;
        if let Some(column) = self.by_name.get(name) {
            return Some(*column);
        }
        if !self.growth.admit(name, minute) {
            self.schema = None;
            return None;
        }
        let base = self.taken.claim(name);
        Some(self.add_entry(name, trie.path(node), node, base))
    }

    fn add_entry(&mut self, name: &str, path: Vec<String>, node: NodeId, base: String) -> usize {
        let column = self.entries.len();
        self.by_name.insert(name.into(), column);
        self.entries.push(Entry { name: name.to_owned(), path, node, base, variants: Vec::new() });
        column
    }

    fn variant_of(&mut self, column: usize, kind: Kind) -> VariantId {
        let entry = &self.entries[column];
        let found = entry.variants.iter().find(|variant| self.variants[**variant as usize].kind == kind);
        if let Some(variant) = found {
            return *variant;
        }
        let is_first = entry.variants.is_empty();
        let name = if is_first { entry.base.clone() } else { names::sibling(&entry.base, kind) };
        self.add_variant(column, kind, &name)
    }

    fn add_variant(&mut self, column: usize, kind: Kind, name: &str) -> VariantId {
        let variant = VariantId::try_from(self.variants.len()).unwrap_or(VariantId::MAX);
        self.variants.push(Physical { column, kind, name: name.into(), values: 0 });
        self.entries[column].variants.push(variant);
        self.schema = None;
        variant
    }

    fn to_schema(&self) -> Schema {
        let variant = |id: &VariantId| {
            let physical = &self.variants[*id as usize];
            Variant { kind: physical.kind, physical: physical.name.to_string(), values: physical.values }
        };
        let columns = self.entries.iter().map(|entry| Column {
            name: entry.name.clone(),
            class: self.variants[entry.variants[0] as usize].kind.class(),
            variants: entry.variants.iter().map(variant).collect(),
            path: entry.path.clone(),
        });
        Schema::new(columns.collect()).with_spelling(self.spelling).with_collapsed(self.growth.collapsed())
    }
}
