//! Arrays: lists of scalars, the parallel lists of `messages` and `probes`, and JSON text for all others.

use super::{
    cursor::Fault,
    rows::{Cell, Span, Value},
    scratch::ListColumn,
    walk::Walk,
};
use crate::{
    catalog::trie::{NONE, NodeId},
    schema::Kind,
};

/// Items of all parallel lists of one array, nulls included: an array of elements with ever other keys is kept as JSON text.
const PARALLEL_ITEMS_MAX: usize = 1 << 18;

/// Integers up to here are exact as doubles.
const EXACT_MAX: u64 = 1 << 53;

const INT: u8 = 1;
const FLOAT: u8 = 2;
const BOOL: u8 = 4;
const TEXT: u8 = 8;
const JSON: u8 = 16;

fn type_bit(value: Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Int(_) => INT,
        Value::Float(_) => FLOAT,
        Value::Bool(_) => BOOL,
        Value::Text(_) => TEXT,
        Value::Json(_) | Value::Bare(_) | Value::List { .. } => JSON,
    }
}

/// The list kind that holds items of these types exactly.
fn kind_of(types: u8) -> Option<Kind> {
    match types {
        INT => Some(Kind::Ints),
        _ if types != 0 && types & !(INT | FLOAT) == 0 => Some(Kind::Floats),
        BOOL => Some(Kind::Bools),
        TEXT => Some(Kind::Texts),
        _ => None,
    }
}

impl Walk<'_> {
    /// An array outside of elements, the cursor at its bracket.
    pub(super) fn array(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        let (start, mark, text_mark) = (self.cursor.at, self.out.elements.len(), self.out.unescaped.len());
        let needs_source = self.row.needs_source;
        let types = self.scalar_items(depth)?;
        if types == Some(0) {
            // `[]`, or nothing but nulls
            self.out.elements.truncate(mark);
            self.bare(node, start);
            return Ok(());
        }
        if let Some(kind) = types.and_then(kind_of) {
            self.finish_list(node, kind, mark);
            return Ok(());
        }
        self.out.elements.truncate(mark);
        self.out.unescaped.truncate(text_mark);
        self.row.needs_source = needs_source;
        self.cursor.at = start;
        self.json(node, depth)
    }

    /// Reads items while they are scalars; their types, or `None` at the first object or array.
    fn scalar_items(&mut self, depth: usize) -> Result<Option<u8>, Box<Fault>> {
        self.cursor.descend(depth)?;
        self.cursor.at += 1;
        self.cursor.skip_blanks();
        if self.cursor.peek() == b']' {
            self.cursor.at += 1;
            return Ok(Some(0));
        }
        let mut types = 0;
        loop {
            if matches!(self.cursor.peek(), b'{' | b'[') {
                return Ok(None);
            }
            let item = self.scalar()?;
            types |= type_bit(item);
            self.out.elements.push(item);
            if !self.cursor.more(b']', "`,` or `]`")? {
                return Ok(Some(types));
            }
        }
    }

    /// The items behind `mark` become a cell.
    fn finish_list(&mut self, node: NodeId, kind: Kind, mark: usize) {
        if kind == Kind::Floats {
            for item in &mut self.out.elements[mark..] {
                if let Value::Int(value) = *item {
                    self.row.needs_source |= value.unsigned_abs() > EXACT_MAX;
                    #[expect(clippy::cast_precision_loss, reason = "the event's text is kept, by the line above")]
                    let float = value as f64;
                    *item = Value::Float(float);
                }
            }
        }
        let value = self.list_value(kind, mark);
        self.out.cells.push(Cell { node, value });
    }

    #[expect(clippy::cast_possible_truncation, reason = "a request has less than 2^31 bytes, hence items")]
    fn list_value(&self, kind: Kind, mark: usize) -> Value {
        Value::List { kind, start: mark as u32, length: (self.out.elements.len() - mark) as u32 }
    }

    /// `messages` or `probes` as an array, the cursor at its bracket: one list per key, all as long as the array.
    pub(super) fn elements(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        let (start, text_mark, needs_source) = (self.cursor.at, self.out.unescaped.len(), self.row.needs_source);
        self.scratch.entries.clear();
        let count = self.element_objects(node, depth)?;
        self.element = None;
        let Some(count) = count.filter(|count| self.columns_fit(*count)) else {
            // not, or not only, objects
            self.scratch.entries.clear();
            self.scratch.columns.clear();
            self.out.unescaped.truncate(text_mark);
            self.row.needs_source = needs_source;
            self.cursor.at = start;
            return self.array(node, depth);
        };
        if self.scratch.columns.is_empty() {
            // no key in any element: nothing shows how many there were
            self.bare(node, start);
        }
        self.parallel_lists(count);
        Ok(())
    }

    /// Reads elements while they are objects; how many, or `None` at the first other one.
    fn element_objects(&mut self, node: NodeId, depth: usize) -> Result<Option<u32>, Box<Fault>> {
        let depth = self.cursor.descend(depth)?;
        self.cursor.at += 1;
        self.cursor.skip_blanks();
        let mut count = 0;
        loop {
            if self.cursor.peek() != b'{' {
                return Ok(None);
            }
            self.element = Some(count);
            self.object(node, depth)?;
            count += 1;
            if !self.cursor.more(b']', "`,` or `]`")? {
                return Ok(Some(count));
            }
        }
    }

    /// Finds the keys of all elements, and whether lists of `count` items for each are within bounds.
    fn columns_fit(&mut self, count: u32) -> bool {
        let scratch = &mut *self.scratch;
        scratch.columns.clear();
        for entry in &scratch.entries {
            let slot = &mut scratch.slots[entry.node as usize];
            if *slot == NONE {
                *slot = u32::try_from(scratch.columns.len()).unwrap_or(NONE);
                scratch.columns.push(ListColumn { node: entry.node, types: 0 });
            }
            scratch.columns[*slot as usize].types |= type_bit(entry.value);
        }
        let fits = scratch.columns.len().saturating_mul(count as usize) <= PARALLEL_ITEMS_MAX;
        if !fits {
            for column in &scratch.columns {
                scratch.slots[column.node as usize] = NONE;
            }
        }
        fits
    }

    fn parallel_lists(&mut self, count: u32) {
        let count = count as usize;
        let mark = self.out.elements.len();
        let columns = std::mem::take(&mut self.scratch.columns);
        self.out.elements.resize(mark + columns.len() * count, Value::Null);
        for entry in &self.scratch.entries {
            let slot = self.scratch.slots[entry.node as usize] as usize;
            self.out.elements[mark + slot * count + entry.element as usize] = entry.value;
        }
        self.scratch.entries.clear();
        for (slot, column) in columns.iter().enumerate() {
            self.scratch.slots[column.node as usize] = NONE;
            self.parallel_list(*column, mark + slot * count, count);
        }
        self.scratch.columns = columns;
    }

    fn parallel_list(&mut self, column: ListColumn, start: usize, count: usize) {
        let kind = kind_of(column.types).unwrap_or(Kind::Texts);
        for at in start..start + count {
            self.out.elements[at] = match (kind, self.out.elements[at]) {
                (Kind::Floats, Value::Int(value)) => {
                    self.row.needs_source |= value.unsigned_abs() > EXACT_MAX;
                    #[expect(clippy::cast_precision_loss, reason = "the event's text is kept, by the line above")]
                    let float = value as f64;
                    Value::Float(float)
                }
                (Kind::Texts, item) => self.item_text(item),
                (_, item) => item,
            };
        }
        #[expect(clippy::cast_possible_truncation, reason = "a request has less than 2^31 bytes, hence items")]
        let value = Value::List { kind, start: start as u32, length: count as u32 };
        self.out.cells.push(Cell { node: column.node, value });
    }

    /// An item among texts. A list that mixes types does not tell a text from another type's text: the event's text does.
    fn item_text(&mut self, item: Value) -> Value {
        let text = match item {
            Value::Null | Value::Text(_) | Value::Bare(_) | Value::List { .. } => return item,
            Value::Json(span) => return Value::Text(span),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => format!("{value:?}"),
            Value::Bool(value) => value.to_string(),
        };
        self.row.needs_source = true;
        let start = self.out.unescaped.len();
        self.out.unescaped.push_str(&text);
        Value::Text(Span::unescaped(start, text.len()))
    }
}
