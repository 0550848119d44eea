//! Tests of the promise "every event comes back as sent", over the whole column half: event -> decode -> memtable -> frozen
//! batch or Parquet -> reassembly, with tables of known traps and a generator of hostile events.
//!
//! Replay a failure: `YELLOWLINE_SEED=<printed seed> cargo test -p yellowline-store as_sent`.

mod json;
mod tables;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::Int64Type,
    record_batch::RecordBatch,
};
use benches::hostile::Generator;
use bytes::Bytes;

use self::json::assert_same;
use crate::{
    DatasetName, FirstSight, HotBatch, Timestamp,
    catalog::Catalog,
    decode::{DecodeOptions, Rows, decode},
    memtable::{Memtable, Stamp},
    parquet::{ParquetOptions, encode, read},
    reassemble::Reassembler,
    schema::{Column, Schema, Variant},
};

const INCARNATION: &str = "a7a7a7a7-a7a7-4a7a-8a7a-a7a7a7a7a7a7";

/// 2026-11-20T14:10:00Z
const NOW: Timestamp = Timestamp(1_795_183_800_000_000);

fn stamp(first_seq: u64) -> Stamp {
    let tag = 0x00a7_a7a7_a7a7_u128;
    Stamp {
        dataset: DatasetName::from_user("shop").unwrap(),
        first_seq,
        ulid_base: 1_795_183_800_000 << 80 | tag << 40 | u128::from(first_seq),
        received_at: NOW,
        incarnation: INCARNATION.into(),
        silent: false,
    }
}

/// A dataset whose events are kept as sent beside it.
struct Dataset {
    catalog: Arc<Catalog>,
    memtable: Memtable,
    sent: Vec<String>,
    sights: Vec<FirstSight>,
}

impl Dataset {
    fn new() -> Self {
        let catalog = Arc::new(Catalog::new());
        Self { memtable: Memtable::new(Arc::clone(&catalog)), catalog, sent: Vec::new(), sights: Vec::new() }
    }

    fn decode(&self, events: &[&str]) -> Rows {
        let raw: Vec<&[u8]> = events.iter().map(|event| event.as_bytes()).collect();
        decode(&self.catalog, &raw, NOW, &DecodeOptions::default())
    }

    fn insert(&mut self, rows: &Rows) {
        let inserted = self.memtable.insert(rows, None, &stamp(self.sent.len() as u64 + 1));
        assert!(inserted.failed.is_empty(), "no row panics");
        self.sights.extend(inserted.sights);
        self.sent.extend((0..rows.len()).map(|row| rows.raw_text(row).to_owned()));
    }

    /// Stores events that must all be accepted.
    fn store(&mut self, events: &[&str]) {
        let rows = self.decode(events);
        assert_eq!(rows.rejects(), [], "{events:?}");
        assert_eq!(rows.len(), events.len());
        self.insert(&rows);
    }

    /// Every event comes back: from memory, from Parquet with few and with many columns, and with a restored catalog.
    fn check(&mut self) {
        let frozen = self.memtable.freeze();
        let schema = self.catalog.schema();
        assert_eq!(frozen.iter().map(|hot| hot.batch.num_rows()).sum::<usize>(), self.sent.len());
        self.check_batches(&schema, frozen.iter().map(|hot| &hot.batch));
        let (fields, configuration) = self.catalog.persist();
        for columns_max in [1_000, 3] {
            let (files, tags) = self.write(&frozen, columns_max);
            let restored = Catalog::restore(&fields, &configuration, &mut tags.iter()).unwrap();
            assert_eq!(restored.persist(), (fields.clone(), configuration.clone()));
            assert_eq!(self.columns_of(&restored.schema()), self.columns_of(&schema));
            self.check_batches(&restored.schema(), files.iter());
        }
    }

    /// The columns; counts of values may lag in a schema of many rows.
    fn columns_of(&self, schema: &Schema) -> Vec<Column> {
        let mut columns = schema.columns.clone();
        for variant in columns.iter_mut().flat_map(|column| &mut column.variants) {
            variant.values = if self.sent.len() > 64 { 0 } else { variant.values };
        }
        columns
    }

    fn check_batches<'a>(&self, schema: &Schema, batches: impl Iterator<Item = &'a RecordBatch>) {
        let mut seen = 0;
        for batch in batches {
            let seqs = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>().clone();
            let reassembler = Reassembler::new(schema, batch);
            assert_one_kind_per_key(schema, batch);
            for row in 0..batch.num_rows() {
                let sent = &self.sent[usize::try_from(seqs.value(row)).unwrap() - 1];
                assert_same(sent, &reassembler.event_text(row).unwrap());
                reassembler.event_json(row).unwrap();
                seen += 1;
            }
        }
        assert_eq!(seen, self.sent.len());
    }

    fn write(&self, frozen: &[HotBatch], columns_max: usize) -> (Vec<RecordBatch>, Vec<BTreeMap<String, String>>) {
        let options = ParquetOptions { columns_max, row_group_rows: 1_000 };
        let files = encode(frozen, &self.catalog, &options, &mut |_day| Ok(Vec::new())).unwrap();
        let tags = files.iter().map(|(file, _)| file.tags.clone()).collect();
        let mut batches = Vec::new();
        for (file, bytes) in files {
            let rows: Vec<RecordBatch> = read(Bytes::from(bytes), None).unwrap().map(Result::unwrap).collect();
            let stats: serde_json::Value = serde_json::from_str(&file.stats).unwrap();
            assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>() as u64, stats["numRecords"]);
            batches.extend(rows);
        }
        (batches, tags)
    }

    /// The last row's columns of keys, as `physical: JSON`.
    fn last_row(&mut self) -> Vec<String> {
        let frozen = self.memtable.freeze();
        let batch = &frozen[frozen.len() - 1].batch;
        row_of(&self.catalog.schema(), batch, batch.num_rows() - 1)
    }
}

/// The columns of keys that have a value in a row, as `physical: JSON`.
fn row_of(schema: &Schema, batch: &RecordBatch, row: usize) -> Vec<String> {
    let variants = schema.columns.iter().flat_map(|column| &column.variants);
    let value = |variant: &Variant| {
        let array = batch.column_by_name(&variant.physical)?;
        let json = crate::reassemble::scalar_json(variant.kind, array, row)?;
        Some(format!("{}: {json}", variant.physical))
    };
    variants.filter_map(value).collect()
}

fn assert_one_kind_per_key(schema: &Schema, batch: &RecordBatch) {
    for column in &schema.columns {
        let kinds = column.variants.iter().filter_map(|variant| batch.column_by_name(&variant.physical));
        let kinds: Vec<_> = kinds.collect();
        for row in 0..batch.num_rows() {
            let values = kinds.iter().filter(|array| array.is_valid(row)).count();
            assert!(values <= 1, "{} has {values} values in one row", column.name);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the seed of a failure to replay")]
fn seed() -> u64 {
    let given = std::env::var("YELLOWLINE_SEED").ok().and_then(|seed| seed.parse().ok());
    let fresh = || u64::from_le_bytes(*uuid::Uuid::new_v4().as_bytes().first_chunk().unwrap());
    let seed = given.unwrap_or_else(fresh);
    eprintln!("YELLOWLINE_SEED={seed}");
    seed
}

#[test]
fn hostile_events_come_back_as_sent() {
    let mut generator = Generator::new(seed());
    for _dataset in 0..40 {
        let mut dataset = Dataset::new();
        for _request in 0..generator.below(12) + 1 {
            let events: Vec<String> = (0..generator.below(20) + 1).map(|_| generator.event()).collect();
            let events: Vec<&str> = events.iter().map(String::as_str).collect();
            let rows = dataset.decode(&events);
            dataset.insert(&rows);
            assert_eq!(rows.rejects(), [], "{events:?}");
            if generator.below(3) == 0 {
                dataset.memtable.freeze();
            }
        }
        dataset.check();
    }
}

#[test]
fn names_depend_on_the_order_of_inserts_only() {
    let mut generator = Generator::new(seed());
    for _dataset in 0..10 {
        let requests: Vec<Vec<String>> = (0..6).map(|_| (0..5).map(|_| generator.event()).collect()).collect();
        let persisted = |decode_order: &mut dyn Iterator<Item = usize>| {
            let mut dataset = Dataset::new();
            let mut decoded: BTreeMap<usize, Rows> = BTreeMap::new();
            for request in decode_order {
                let events: Vec<&str> = requests[request].iter().map(String::as_str).collect();
                decoded.insert(request, dataset.decode(&events));
            }
            for rows in decoded.values() {
                dataset.insert(rows);
            }
            dataset.catalog.persist()
        };
        assert_eq!(persisted(&mut (0..6)), persisted(&mut (0..6).rev()));
    }
}

#[test]
fn many_decoders_learn_keys_at_once() {
    let mut generator = Generator::new(seed());
    let mut dataset = Dataset::new();
    let requests: Vec<Vec<String>> = (0..4)
        .map(|thread| {
            (0..300).map(|event| format!(r#"{{"of_{thread}_{}":{}}}"#, event / 60, generator.event())).collect()
        })
        .collect();
    let decoded: Vec<Rows> = std::thread::scope(|scope| {
        let decode = |request: &Vec<String>| {
            let events: Vec<&str> = request.iter().map(String::as_str).collect();
            events.chunks(10).map(|events| dataset.decode(events)).collect::<Vec<_>>()
        };
        let threads: Vec<_> = requests.iter().map(|request| scope.spawn(move || decode(request))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    for rows in &decoded {
        dataset.insert(rows);
    }
    assert_eq!(dataset.sent.len(), 1_200);
    dataset.check();
}

#[test]
fn broken_events_are_refused_where_serde_json_refuses_them() {
    let mut generator = Generator::new(seed());
    let dataset = Dataset::new();
    for _event in 0..3_000 {
        let broken = generator.broken_event();
        let rows = decode(&dataset.catalog, &[&broken], NOW, &DecodeOptions::default());
        let is_object = serde_json::from_slice::<BTreeMap<String, &serde_json::value::RawValue>>(&broken).is_ok()
            || serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(&broken).is_ok();
        // what serde_json takes we take; we also take numbers beyond a double and lone surrogates
        if is_object {
            assert_eq!(rows.rejects(), [], "{}", String::from_utf8_lossy(&broken));
        }
        if rows.rejects().is_empty() {
            let ignored = serde_json::from_slice::<serde::de::IgnoredAny>(&broken);
            assert!(ignored.is_ok(), "{}", String::from_utf8_lossy(&broken));
        }
    }
}
