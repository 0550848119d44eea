//! The open chunk: rows since the last freeze, in builders.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Array, TimestampMicrosecondArray, new_null_array},
    compute::concat,
    datatypes::{DataType, Field, FieldRef, Schema},
    error::ArrowError,
    record_batch::RecordBatch,
};

use hashbrown::HashMap;

use super::builder::{ColumnBuilder, Room};
use crate::{
    HotBatch, Timestamp,
    catalog::VariantId,
    decode::rows::{Rows, Value},
    schema::{Kind, system_type},
};

/// System columns made in each chunk, in this order, before all others.
#[derive(Debug, Clone, Copy)]
pub(super) enum SystemText {
    EventId,
    Incarnation,
    Source,
    TimeError,
    Rest,
}

const SYSTEM_TEXTS: [(SystemText, &str); 5] = [
    (SystemText::EventId, "event_id"),
    (SystemText::Incarnation, "_incarnation"),
    (SystemText::Source, "_source"),
    (SystemText::TimeError, "time_error"),
    (SystemText::Rest, "rest"),
];

#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub rows: usize,
    /// Bytes of the events in it.
    pub bytes: usize,
    times: Vec<i64>,
    received: Vec<i64>,
    seqs: Vec<i64>,
    texts: [Option<ColumnBuilder>; 5],
    columns: Vec<Option<ColumnBuilder>>,
    touched: Vec<VariantId>,
    /// By column, from the chunk before.
    rooms: Vec<Room>,
    text_rooms: [Room; 5],
}

impl Chunk {
    /// Opens the next row; its cells are put before the one after it is opened.
    pub(super) fn open_row(&mut self, time: Timestamp, received_at: Timestamp, seq: u64) {
        self.times.push(time.0);
        self.received.push(received_at.0);
        self.seqs.push(i64::try_from(seq).unwrap_or(i64::MAX));
        self.rows += 1;
    }

    /// Forgets what came after the first `rows` rows; columns that have more are cut when the chunk is finished, which must
    /// be next.
    pub(super) fn cut(&mut self, rows: usize) {
        self.rows = rows;
        self.times.truncate(rows);
        self.received.truncate(rows);
        self.seqs.truncate(rows);
        if rows == 0 {
            self.bytes = 0;
            self.texts = Default::default();
            for variant in std::mem::take(&mut self.touched) {
                self.columns[variant as usize] = None;
            }
        }
    }

    pub(super) fn put_system(&mut self, column: SystemText, text: &str) {
        let room = self.text_rooms[column as usize];
        let builder = self.texts[column as usize].get_or_insert_with(|| ColumnBuilder::new(Kind::Text, room));
        builder.put_text(self.rows - 1, text);
    }

    #[inline]
    pub(super) fn put(&mut self, variant: VariantId, value: Value, rows: &Rows) {
        let row = self.rows - 1;
        match self.columns.get_mut(variant as usize) {
            Some(Some(builder)) => builder.put(row, value, rows),
            _ => self.add_column(variant, value.kind()).put(row, value, rows),
        }
    }

    #[cold]
    #[inline(never)]
    fn add_column(&mut self, variant: VariantId, kind: Kind) -> &mut ColumnBuilder {
        let at = variant as usize;
        if self.columns.len() <= at {
            self.columns.resize_with(at + 1, || None);
            self.rooms.resize(at + 1, Room::default());
        }
        self.touched.push(variant);
        self.columns[at].insert(ColumnBuilder::new(kind, self.rooms[at]))
    }

    /// Whether the open row has a value in this column.
    pub(super) fn has(&self, variant: VariantId) -> bool {
        let column = self.columns.get(variant as usize).and_then(Option::as_ref);
        column.is_some_and(|builder| builder.has(self.rows - 1))
    }

    /// Columns with a value.
    pub(super) fn width(&self) -> usize {
        self.touched.len()
    }

    /// The earliest and the latest `time`.
    pub(super) fn times(&self) -> Option<(Timestamp, Timestamp)> {
        Some((Timestamp(*self.times.iter().min()?), Timestamp(*self.times.iter().max()?)))
    }

    /// An empty chunk to follow this one, with room for as much at once.
    pub(super) fn successor(&mut self) -> Self {
        let mut rooms = std::mem::take(&mut self.rooms);
        for (room, column) in rooms.iter_mut().zip(&self.columns) {
            *room = column.as_ref().map_or(*room, ColumnBuilder::room);
        }
        let mut text_rooms = self.text_rooms;
        for (room, text) in text_rooms.iter_mut().zip(&self.texts) {
            *room = text.as_ref().map_or(*room, ColumnBuilder::room);
        }
        let columns = rooms.iter().map(|_| None).collect();
        Self { columns, rooms, text_rooms, ..Self::default() }
    }

    /// The chunk as a batch, and the number of values of each column.
    pub(super) fn finish(
        mut self,
        field: &mut dyn FnMut(VariantId) -> FieldRef,
    ) -> Result<(HotBatch, Vec<(VariantId, u64)>), ArrowError> {
        let (time_min, time_max) = self.times().unwrap_or_default();
        let rows = self.rows;
        let mut fields: Vec<FieldRef> = Vec::with_capacity(self.touched.len() + 8);
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.touched.len() + 8);
        let mut add = |field: FieldRef, array: ArrayRef| {
            fields.push(field);
            arrays.push(array);
        };
        add(system_field("time"), Arc::new(timestamps(self.times)));
        add(system_field("received_at"), Arc::new(timestamps(self.received)));
        add(system_field("seq"), Arc::new(Int64Array::from(self.seqs)));
        for (column, name) in SYSTEM_TEXTS {
            let array = match self.texts[column as usize].take() {
                Some(builder) => builder.finish(rows)?,
                None => new_null_array(&DataType::Utf8, rows),
            };
            add(system_field(name), array);
        }
        self.touched.sort_unstable();
        let mut counts = Vec::with_capacity(self.touched.len());
        for variant in self.touched {
            if let Some(builder) = self.columns[variant as usize].take() {
                counts.push((variant, builder.values));
                add(field(variant), builder.finish(rows)?);
            }
        }
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        Ok((HotBatch { batch, time_min, time_max }, counts))
    }
}

fn timestamps(values: Vec<i64>) -> TimestampMicrosecondArray {
    TimestampMicrosecondArray::from(values).with_timezone("UTC")
}

/// The Arrow field of a system column.
pub(crate) fn system_field(name: &str) -> FieldRef {
    Arc::new(Field::new(name, system_type(name).unwrap_or(DataType::Utf8), true))
}

/// Two neighbours as one batch, with the columns of both.
pub(crate) fn merge(first: &HotBatch, second: &HotBatch) -> Result<HotBatch, ArrowError> {
    let (left, right) = (columns_of(&first.batch), columns_of(&second.batch));
    let mut fields: Vec<FieldRef> = first.batch.schema_ref().fields().iter().cloned().collect();
    let further = second.batch.schema_ref().fields().iter();
    fields.extend(further.filter(|field| !left.contains_key(field.name().as_str())).cloned());
    let column =
        |columns: &HashMap<&str, &ArrayRef>, field: &Field, rows: usize| match columns.get(field.name().as_str()) {
            Some(array) => Arc::clone(array),
            None => new_null_array(field.data_type(), rows),
        };
    let arrays = fields.iter().map(|field| {
        let left = column(&left, field, first.batch.num_rows());
        let right = column(&right, field, second.batch.num_rows());
        concat(&[&left, &right])
    });
    let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
    Ok(HotBatch {
        batch: RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?,
        time_min: first.time_min.min(second.time_min),
        time_max: first.time_max.max(second.time_max),
    })
}

fn columns_of(batch: &RecordBatch) -> HashMap<&str, &ArrayRef> {
    batch.schema_ref().fields().iter().map(|field| field.name().as_str()).zip(batch.columns()).collect()
}
