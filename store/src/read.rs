//! Events as they were sent: all of a small dataset, or one.

use std::collections::BTreeMap;

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::{Int64Type, TimestampMicrosecondType},
};
use serde_json::Value;

use crate::{
    DataFile, Error, Schema, Snapshot, Timestamp,
    disk::{Disk, SeamReader},
    parquet,
    reassemble::Reassembler,
};

/// One event and its place.
struct Event {
    incarnation: String,
    seq: i64,
    received_at: i64,
    value: Value,
}

/// Reads files and memory. Incarnations follow each other in time; within one, `seq` is the order.
///
/// # Errors
/// When a file cannot be read or a row cannot be put together.
pub(crate) fn events(disk: &dyn Disk, snapshot: &Snapshot) -> Result<Vec<Value>, Error> {
    let mut events = Vec::new();
    for file in &snapshot.files {
        let path = snapshot.root.join(&file.path);
        let open = disk.open(&path).map_err(|source| Error::read(&path, source))?;
        for batch in parquet::read(SeamReader(open), None).map_err(|source| Error::read(&path, source))? {
            let batch = batch.map_err(|source| Error::read(&path, source))?;
            collect(&snapshot.schema, &batch, &mut events)?;
        }
    }
    for hot in &snapshot.hot {
        collect(&snapshot.schema, &hot.batch, &mut events)?;
    }
    let mut began: BTreeMap<String, i64> = BTreeMap::new();
    for event in &events {
        let first = began.entry(event.incarnation.clone()).or_insert(event.received_at);
        *first = (*first).min(event.received_at);
    }
    events.sort_by_cached_key(|event| (began.get(&event.incarnation).copied(), event.incarnation.clone(), event.seq));
    Ok(events.into_iter().map(|event| event.value).collect())
}

/// The event with this place and id in a file of the snapshot.
///
/// # Errors
/// When the file cannot be read or the row cannot be put together.
pub(crate) fn event(
    disk: &dyn Disk,
    snapshot: &Snapshot,
    file: &DataFile,
    (seq, id): (i64, &str),
) -> Result<Option<String>, Error> {
    let path = snapshot.root.join(&file.path);
    let open = disk.open(&path).map_err(|source| Error::read(&path, source))?;
    for batch in parquet::read_seq(SeamReader(open), seq).map_err(|source| Error::read(&path, source))? {
        let ids = batch.column_by_name("event_id").and_then(|column| column.as_string_opt::<i32>());
        if let Some(row) = ids.and_then(|ids| ids.iter().position(|found| found == Some(id))) {
            return Reassembler::new(&snapshot.schema, &batch).event_text(row).map(Some).map_err(Error::reassemble);
        }
    }
    Ok(None)
}

fn collect(schema: &Schema, batch: &RecordBatch, into: &mut Vec<Event>) -> Result<(), Error> {
    let system = |name: &str| batch.column_by_name(name);
    let times = system("time").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let received = system("received_at").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let seqs = system("seq").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let incarnations = system("_incarnation").and_then(|column| column.as_string_opt::<i32>());
    let reassembler = Reassembler::new(schema, batch);
    for row in 0..batch.num_rows() {
        let mut value = reassembler.event_json(row).map_err(Error::reassemble)?;
        if let (Some(object), Some(times)) = (value.as_object_mut(), times)
            && !object.contains_key("time")
        {
            object.insert("time".to_owned(), Timestamp(times.value(row)).to_rfc3339().into());
        }
        into.push(Event {
            incarnation: incarnations.map(|texts| texts.value(row).to_owned()).unwrap_or_default(),
            seq: seqs.map_or(0, |seqs| seqs.value(row)),
            received_at: received.map_or(0, |received| received.value(row)),
            value,
        });
    }
    Ok(())
}
