//! Tests of the promise "every event comes back as sent", over the whole column half: event -> decode -> memtable -> frozen
//! batch or Parquet -> reassembly, with tables of known traps and a generator of hostile events.
//!
//! Replay a failure: `YELLOWLINE_SEED=<printed seed> cargo test -p yellowline-store as_sent`.

mod json;
mod tables;

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, AsArray},
    datatypes::{Int64Type, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use benches::hostile::Generator;
use bytes::Bytes;

use self::json::assert_same;
use crate::{
    DatasetName, FirstSight, HotBatch, Timestamp,
    catalog::{Catalog, values_of},
    decode::{DecodeOptions, Rows, decode},
    disk::DiskRead,
    memtable::{Memtable, Stamp},
    parquet::{Input, ParquetOptions, Rewrite, encode, read},
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
        // in turn: demoted, promoted, and the same again
        let (columns_max, others_max) = [(1_000, 3), (3, 1_000), (3, 0), (2, 4)][self.sent.len() % 4];
        if self.sent.len() < 500 {
            self.check_rewritten(&frozen, columns_max, others_max);
        }
    }

    /// Files written anew, one for each day, with other columns: every event and every value is what it was, and counted.
    fn check_rewritten(&self, frozen: &[HotBatch], columns_max: usize, others_max: usize) {
        let (few, many) = frozen.split_at(frozen.len() / 2);
        let mut days: BTreeMap<i32, Vec<(Bytes, u64, Vec<u64>)>> = BTreeMap::new();
        for frozen in [few, many] {
            let options = ParquetOptions { columns_max, row_group_rows: 100 };
            for (file, bytes) in encode(frozen, &self.catalog, &options, &|| true, &mut |_day| Ok(Vec::new())).unwrap()
            {
                let stats: serde_json::Value = serde_json::from_str(&file.stats).unwrap();
                let rows = stats["numRecords"].as_u64().unwrap();
                days.entry(file.day).or_default().push((Bytes::from(bytes), rows, values_of(&file.tags).collect()));
            }
        }
        let mut rewritten = Vec::new();
        for (day, files) in days {
            rewritten.extend(self.rewrite(day, &files, others_max));
        }
        self.check_batches(&self.catalog.schema(), rewritten.iter());
    }

    fn rewrite(&self, day: i32, files: &[(Bytes, u64, Vec<u64>)], columns_max: usize) -> Vec<RecordBatch> {
        let open =
            |(bytes, ..): &(Bytes, u64, Vec<u64>)| Input::open("file", Arc::new(InMemory(bytes.clone())), i64::MIN);
        let inputs: Vec<Input> = files.iter().map(|file| open(file).unwrap()).collect();
        let mut counts = vec![0; self.catalog.physicals().len()];
        files.iter().for_each(|(.., values)| counts.iter_mut().zip(values).for_each(|(sum, count)| *sum += count));
        let written = Rewrite {
            day,
            catalog: &self.catalog,
            inputs: &inputs,
            counts: &counts,
            unused: &hashbrown::HashSet::new(),
            options: ParquetOptions { columns_max, row_group_rows: 100 },
            file_bytes_max: 100_000,
            go_on: &|_| true,
        };
        let written = written.run(&mut || Ok(Vec::new())).unwrap();
        let mut recounted = vec![0; counts.len()];
        let (mut batches, mut last) = (Vec::new(), i64::MIN);
        for (file, bytes) in written {
            assert_eq!(file.day, day);
            recounted.iter_mut().zip(values_of(&file.tags)).for_each(|(sum, count)| *sum += count);
            for batch in read(Bytes::from(bytes), None).unwrap().map(Result::unwrap) {
                for time in batch.column_by_name("time").unwrap().as_primitive::<TimestampMicrosecondType>().values() {
                    assert!(*time >= last, "rows are in order of time, over all files");
                    last = *time;
                }
                batches.push(batch);
            }
        }
        let read_all = |bytes: &Bytes| read(bytes.clone(), None).unwrap().map(Result::unwrap).collect::<Vec<_>>();
        let before: Vec<RecordBatch> = files.iter().flat_map(|(bytes, ..)| read_all(bytes)).collect();
        let schema = self.catalog.schema();
        let (before, after) = (values_by_seq(&schema, &before), values_by_seq(&schema, &batches));
        assert!(before.keys().eq(after.keys()), "the same rows");
        before.iter().zip(&after).for_each(|(before, after)| assert_eq!(before, after));
        assert!(recounted.iter().zip(&counts).all(|(now, before)| now >= before), "{recounted:?} {counts:?}");
        batches
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
        let files = encode(frozen, &self.catalog, &options, &|| true, &mut |_day| Ok(Vec::new())).unwrap();
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

/// A file in memory, to be read.
#[derive(Debug)]
struct InMemory(Bytes);

impl DiskRead for InMemory {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.0.slice(start..start + length))
    }
}

/// What SQL sees of each row: the value of every column of a key, from the column or, where a batch has none, from `rest`.
fn values_by_seq(schema: &Schema, batches: &[RecordBatch]) -> BTreeMap<i64, BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    for batch in batches {
        let seqs = batch.column_by_name("seq").unwrap().as_primitive::<Int64Type>();
        let rest = batch.column_by_name("rest").unwrap().as_string::<i32>();
        for row in 0..batch.num_rows() {
            let mut values: BTreeMap<String, String> = BTreeMap::new();
            let members: BTreeMap<String, Box<serde_json::value::RawValue>> =
                if rest.is_null(row) { BTreeMap::new() } else { serde_json::from_str(rest.value(row)).unwrap() };
            for column in &schema.columns {
                let lists = crate::rest::oldest_list(column);
                let member = members.get(&column.name).map(|member| member.get());
                for variant in &column.variants {
                    let value = match batch.column_by_name(&variant.physical) {
                        Some(array) => crate::reassemble::scalar_json(variant.kind, array, row),
                        None => member
                            .filter(|json| crate::rest::kind_of(json, lists) == Some(variant.kind))
                            .map(|json| crate::rest::unmark(variant.kind, json).into_owned())
                            .map(|json| if json == "[ ]" { "[]".to_owned() } else { json }),
                    };
                    values.extend(value.map(|value| (variant.physical.clone(), value)));
                }
            }
            assert!(all.insert(seqs.value(row), values).is_none());
        }
    }
    all
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
