//! A row of physical columns -> the event as it was sent.
//!
//! Null = absent, and numbers may be spelled otherwise; all else is exact. A row with `_source` is that text; any other one is
//! put together from its columns: `time` in the dataset's usual spelling unless the column `user:time` has it, `id` from
//! `event_id` unless that is one of ours, everything else by the nesting that the catalog knows for each column.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{Float64Type, Int64Type, TimestampMicrosecondType},
    record_batch::RecordBatch,
};
use hashbrown::HashMap;
use serde_json::{
    Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    Timestamp,
    decode::{cursor::Cursor, lenient},
    memtable::is_own_id,
    schema::{Kind, Schema},
};

/// Keys of the event whose lists stand for arrays of objects.
const ELEMENTS: [&str; 2] = ["messages", "probes"];

/// Why a stored row does not give an event.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReassembleError {
    /// `rest` or `_source` is damaged.
    #[error("stored JSON text could not be read")]
    Json(#[source] serde_json::Error),
}

/// The event's exact JSON text.
pub(crate) fn event_text(schema: &Schema, batch: &RecordBatch, row: usize) -> Result<String, ReassembleError> {
    Reassembler::new(schema, batch).event_text(row)
}

/// The event as a value. What a value cannot hold comes near: a number beyond a double as the text of its digits, half of a
/// surrogate pair as U+FFFD.
pub(crate) fn event_json(schema: &Schema, batch: &RecordBatch, row: usize) -> Result<Value, ReassembleError> {
    Reassembler::new(schema, batch).event_json(row)
}

/// The rows of one batch, its columns looked up once.
#[derive(Debug)]
pub(crate) struct Reassembler<'a> {
    schema: &'a Schema,
    columns: Vec<(&'a [String], Kind, &'a ArrayRef)>,
    system: System<'a>,
}

#[derive(Debug)]
struct System<'a> {
    time: Option<&'a ArrayRef>,
    received_at: Option<&'a ArrayRef>,
    event_id: Option<&'a ArrayRef>,
    incarnation: Option<&'a ArrayRef>,
    source: Option<&'a ArrayRef>,
    rest: Option<&'a ArrayRef>,
}

impl<'a> Reassembler<'a> {
    pub(crate) fn new(schema: &'a Schema, batch: &'a RecordBatch) -> Self {
        let names = batch.schema_ref().fields().iter().map(|field| field.name().as_str());
        let by_name: HashMap<&str, &ArrayRef> = names.zip(batch.columns()).collect();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for column in &schema.columns {
            for variant in &column.variants {
                if let Some(array) = by_name.get(variant.physical.as_str()) {
                    columns.push((column.path.as_slice(), variant.kind, *array));
                }
            }
        }
        let system = System {
            time: by_name.get("time").copied(),
            received_at: by_name.get("received_at").copied(),
            event_id: by_name.get("event_id").copied(),
            incarnation: by_name.get("_incarnation").copied(),
            source: by_name.get("_source").copied(),
            rest: by_name.get("rest").copied(),
        };
        Self { schema, columns, system }
    }

    /// The exact JSON text of a row's event.
    pub(crate) fn event_text(&self, row: usize) -> Result<String, ReassembleError> {
        if let Some(source) = text_at(self.system.source, row) {
            return Ok(source.to_owned());
        }
        let mut event = Object::default();
        let mut has = (false, false);
        for (path, kind, array) in &self.columns {
            if array.is_valid(row) {
                has.0 |= matches!(path, [key] if key == "time");
                has.1 |= matches!(path, [key] if key == "id");
                insert(&mut event, path, *kind, array, row);
            }
        }
        if !has.0
            && let Some(time) = self.sent_time(row)
        {
            event.insert(&["time"], time);
        }
        if !has.1
            && let Some(id) = self.sent_id(row)
        {
            event.insert(&["id"], quoted(id));
        }
        self.insert_rest(&mut event, row)?;
        let mut text = String::new();
        event.write(&mut text);
        Ok(text)
    }

    /// A row's event as a value.
    pub(crate) fn event_json(&self, row: usize) -> Result<Value, ReassembleError> {
        let text = self.event_text(row)?;
        serde_json::from_str(&text)
            .or_else(|error| lenient::value(&mut Cursor::new(&text)).map_err(|_fault| ReassembleError::Json(error)))
    }

    fn sent_time(&self, row: usize) -> Option<String> {
        let at = |array: Option<&ArrayRef>| {
            let times = array?.as_primitive_opt::<TimestampMicrosecondType>()?;
            times.is_valid(row).then(|| Timestamp(times.value(row)))
        };
        let (time, received_at) = (at(self.system.time)?, at(self.system.received_at)?);
        let spelling = self.schema.spelling?;
        (time != received_at).then(|| spelling.render(time))
    }

    fn sent_id(&self, row: usize) -> Option<&'a str> {
        let incarnation = text_at(self.system.incarnation, row).unwrap_or_default();
        text_at(self.system.event_id, row).filter(|id| !is_own_id(id, incarnation))
    }

    fn insert_rest(&self, event: &mut Object, row: usize) -> Result<(), ReassembleError> {
        let Some(rest) = text_at(self.system.rest, row) else { return Ok(()) };
        let values: BTreeMap<String, Box<RawValue>> = serde_json::from_str(rest).map_err(ReassembleError::Json)?;
        for (name, value) in values {
            let known = self.schema.column(&name);
            let split: Vec<String>;
            let path = match known {
                Some(column) => &column.path,
                None => {
                    split = name.split('.').map(str::to_owned).collect();
                    &split
                }
            };
            if is_element_path(path) && value.get().starts_with('[') {
                let items: Vec<Option<Box<RawValue>>> =
                    serde_json::from_str(value.get()).map_err(ReassembleError::Json)?;
                event.insert_elements(path, items.len(), &|at| items[at].as_ref().map(|item| item.get().to_owned()));
            } else {
                event.insert(path, value.get().to_owned());
            }
        }
        Ok(())
    }
}

fn is_element_path(path: &[String]) -> bool {
    path.len() > 1 && ELEMENTS.contains(&path[0].as_str())
}

fn text_at(array: Option<&ArrayRef>, row: usize) -> Option<&str> {
    let array = array?;
    if array.is_null(row) {
        return None;
    }
    // hot batches and our files hold Utf8; readers may hand over views
    match array.as_string_opt::<i32>() {
        Some(texts) => Some(texts.value(row)),
        None => array.as_string_view_opt().map(|texts| texts.value(row)),
    }
}

fn insert(event: &mut Object, path: &[String], kind: Kind, array: &ArrayRef, row: usize) {
    let Some(element) = kind.element() else {
        if let Some(value) = scalar_json(kind, array, row) {
            event.insert(path, value);
        }
        return;
    };
    let Some(lists) = array.as_list_opt::<i32>() else { return };
    let items = lists.value(row);
    if is_element_path(path) {
        event.insert_elements(path, items.len(), &|at| scalar_json(element, &items, at));
    } else {
        let items = (0..items.len()).map(|at| scalar_json(element, &items, at).unwrap_or_else(|| "null".to_owned()));
        event.insert(path, format!("[{}]", items.collect::<Vec<_>>().join(",")));
    }
}

/// The JSON text of one value; `None` for null.
pub(crate) fn scalar_json(kind: Kind, array: &ArrayRef, row: usize) -> Option<String> {
    if array.is_null(row) {
        return None;
    }
    match kind {
        Kind::Int => Some(array.as_primitive_opt::<Int64Type>()?.value(row).to_string()),
        // the shortest digits that give the double back; stored ones are finite
        Kind::Float => Some(format!("{:?}", array.as_primitive_opt::<Float64Type>()?.value(row))),
        Kind::Bool => Some(array.as_boolean_opt()?.value(row).to_string()),
        Kind::Text => text_at(Some(array), row).map(quoted),
        Kind::Json => text_at(Some(array), row).map(str::to_owned),
        Kind::Ints | Kind::Floats | Kind::Texts | Kind::Bools => {
            let items = array.as_list_opt::<i32>()?.value(row);
            let element = kind.element()?;
            let items =
                (0..items.len()).map(|at| scalar_json(element, &items, at).unwrap_or_else(|| "null".to_owned()));
            Some(format!("[{}]", items.collect::<Vec<_>>().join(",")))
        }
    }
}

/// A text as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    // a string cannot fail to serialize
    to_raw_value(text).map_or_else(|_error| "\"\"".to_owned(), |raw| raw.get().to_owned())
}

/// An object in the making; keys keep the order in which they came.
#[derive(Debug, Default)]
struct Object {
    members: Vec<(String, Tree)>,
    /// Where each key is.
    places: HashMap<String, usize>,
}

#[derive(Debug)]
enum Tree {
    Json(String),
    Object(Object),
    Elements(Vec<Object>),
}

impl Object {
    fn slot(&mut self, key: &str, empty: impl FnOnce() -> Tree) -> &mut Tree {
        let next = self.members.len();
        let at = *self.places.entry_ref(key).or_insert(next);
        if at == next {
            self.members.push((key.to_owned(), empty()));
        }
        &mut self.members[at].1
    }

    fn insert<S: AsRef<str>>(&mut self, path: &[S], json: String) {
        match path {
            [] => {}
            [key] => *self.slot(key.as_ref(), || Tree::Json(String::new())) = Tree::Json(json),
            [key, below @ ..] => {
                if let Tree::Object(object) = self.slot(key.as_ref(), || Tree::Object(Self::default())) {
                    object.insert(below, json);
                }
            }
        }
    }

    fn insert_elements(&mut self, path: &[String], count: usize, item: &dyn Fn(usize) -> Option<String>) {
        let Tree::Elements(elements) = self.slot(&path[0], || Tree::Elements(Vec::new())) else { return };
        if elements.len() < count {
            elements.resize_with(count, Self::default);
        }
        for (at, element) in elements.iter_mut().enumerate().take(count) {
            if let Some(json) = item(at) {
                element.insert(&path[1..], json);
            }
        }
    }

    fn write(&self, out: &mut String) {
        out.push('{');
        for (at, (key, value)) in self.members.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            out.push_str(&quoted(key));
            out.push(':');
            match value {
                Tree::Json(json) => out.push_str(json),
                Tree::Object(object) => object.write(out),
                Tree::Elements(elements) => {
                    out.push('[');
                    for (at, element) in elements.iter().enumerate() {
                        if at > 0 {
                            out.push(',');
                        }
                        element.write(out);
                    }
                    out.push(']');
                }
            }
        }
        out.push('}');
    }
}
