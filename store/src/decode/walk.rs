//! One event's text -> cells: a single pass over the text, with the trie of known keys beside it.

use std::borrow::Cow;

use parking_lot::RwLockReadGuard;

use super::{
    Limits,
    cursor::{Cursor, Fault, fault, unescape},
    number::Number,
    rows::{Cell, Row, Rows, Span, Value},
    scratch::{Entry, Scratch},
    time::{self, Parsed},
};
use crate::{
    Timestamp,
    catalog::{
        Catalog,
        trie::{Known, NONE, NodeId, ROOT, Trie},
    },
};

/// How times are judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub received_at: Timestamp,
    /// `None`: any.
    pub past_days_max: Option<i64>,
    pub ahead_days_max: i64,
}

/// Bytes of an `id`, the key of idempotency.
const ID_BYTES_MAX: usize = 256;

/// The state of one event's decoding.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    pub(super) cursor: Cursor<'a>,
    catalog: &'a Catalog,
    trie: RwLockReadGuard<'a, Trie>,
    pub(super) scratch: &'a mut Scratch,
    pub(super) out: &'a mut Rows,
    limits: &'a Limits,
    clock: Clock,
    /// Where the event will stand in `out.raw`.
    base: usize,
    cells_start: usize,
    keys: usize,
    pub(super) row: Row,
    /// The element of `messages` or `probes` the cursor is in.
    pub(super) element: Option<u32>,
    /// Inside `messages` or `probes` that is an object: its arrays would pass for those of elements.
    is_lone_element: bool,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        text: &'a str,
        catalog: &'a Catalog,
        scratch: &'a mut Scratch,
        out: &'a mut Rows,
        limits: &'a Limits,
        clock: Clock,
    ) -> Self {
        let trie = catalog.trie.read();
        scratch.fit(trie.len());
        let (base, cells_start) = (out.raw.len(), out.cells.len());
        let row = Row { time: clock.received_at, time_node: NONE, id_node: NONE, ..Row::default() };
        Self {
            cursor: Cursor::new(text),
            catalog,
            trie,
            scratch,
            out,
            limits,
            clock,
            base,
            cells_start,
            keys: 0,
            row,
            element: None,
            is_lone_element: false,
        }
    }

    /// Decodes the event: its row, and whether line breaks stand between its tokens.
    pub(super) fn event(mut self) -> Result<(Row, bool), Box<Fault>> {
        self.cursor.skip_blanks();
        if self.cursor.peek() != b'{' {
            let what = self.cursor.expected("a JSON object").message;
            // an event that is a value of another type is told apart from broken text
            let is_value = self.cursor.skip_value(self.limits.depth_max).is_ok();
            return Err(fault(if is_value { "not_an_object" } else { "malformed_json" }, what));
        }
        self.object(ROOT, self.limits.depth_max)?;
        self.cursor.skip_blanks();
        if self.cursor.at < self.cursor.length() {
            return Err(self.cursor.expected("the end of the event"));
        }
        self.row.cells_end = self.out.cells.len();
        Ok((self.row, self.cursor.line_break))
    }

    /// An object under `node`, the cursor at its brace.
    pub(super) fn object(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        let depth = self.cursor.descend(depth)?;
        self.cursor.at += 1;
        self.cursor.skip_blanks();
        if self.cursor.peek() == b'}' {
            self.cursor.at += 1;
            return Ok(());
        }
        let object = self.scratch.open_object();
        let mut previous = NONE;
        loop {
            let child = self.key(node, previous)?;
            if !self.scratch.is_first(child, object) {
                self.forget(child);
            }
            match self.trie.node(child).known {
                Known::None => self.member(child, depth)?,
                known => self.known_member(known, child, depth)?,
            }
            previous = child;
            if !self.cursor.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// The key at the cursor, and over the colon behind it.
    #[inline]
    fn key(&mut self, parent: NodeId, previous: NodeId) -> Result<NodeId, Box<Fault>> {
        self.keys += 1;
        if self.keys > self.limits.keys_max {
            let message = format!("more than {} keys at byte {}", self.limits.keys_max, self.cursor.at + 1);
            return Err(fault("too_many_keys", message));
        }
        if let Some((child, node)) = self.trie.guess(parent, previous)
            && !node.quoted.is_empty()
            && self.cursor.take(&node.quoted)
        {
            self.cursor.skip_blanks();
            return Ok(child);
        }
        let child = self.spelled_key(parent)?;
        self.trie.learn(parent, previous, child);
        Ok(child)
    }

    fn spelled_key(&mut self, parent: NodeId) -> Result<NodeId, Box<Fault>> {
        if self.cursor.peek() != b'"' {
            return Err(self.cursor.expected("a key in quotes"));
        }
        let start = self.cursor.at;
        let token = self.cursor.string()?;
        let mut key = self.cursor.slice(token.start, token.end);
        let mut unescaped = std::mem::take(&mut self.scratch.key);
        if token.escaped {
            unescaped.clear();
            self.row.needs_source |= !unescape(key, &mut unescaped);
            key = &unescaped;
        }
        let child = match self.trie.find(parent, key) {
            Some(child) => Ok(child),
            None => self.new_key(parent, key, start),
        };
        self.scratch.key = unescaped;
        self.cursor.colon()?;
        child
    }

    #[cold]
    fn new_key(&mut self, parent: NodeId, key: &str, start: usize) -> Result<NodeId, Box<Fault>> {
        let above = if parent == ROOT { 0 } else { self.trie.node(parent).name.len() + 1 };
        let name_bytes = above + key.len();
        if name_bytes > self.limits.key_bytes_max {
            let message = format!(
                "key at byte {} has {name_bytes} bytes with those above it, limit is {}",
                start + 1,
                self.limits.key_bytes_max
            );
            return Err(fault("key_too_long", message));
        }
        if self.trie.node(parent).is_full() {
            let message = format!("key at byte {} is one too many: the dataset has as many keys as it can", start + 1);
            return Err(fault("too_many_columns", message));
        }
        let catalog = self.catalog;
        let child = RwLockReadGuard::unlocked(&mut self.trie, || catalog.trie.write().find_or_add(parent, key));
        self.scratch.fit(self.trie.len());
        Ok(child)
    }

    /// A key that stands twice in one object: the last one counts, the text of the event keeps both.
    #[cold]
    fn forget(&mut self, node: NodeId) {
        self.row.needs_source = true;
        let (trie, element) = (&self.trie, self.element);
        let mut at = self.cells_start;
        while at < self.out.cells.len() {
            if trie.is_within(self.out.cells[at].node, node) {
                self.out.cells.remove(at);
            } else {
                at += 1;
            }
        }
        self.scratch.entries.retain(|entry| Some(entry.element) != element || !trie.is_within(entry.node, node));
        match trie.node(node).known {
            Known::Time => {
                (self.row.sent_time, self.row.time_error, self.row.time) = (None, None, self.clock.received_at)
            }
            Known::Id => (self.row.sent_id, self.row.id) = (None, None),
            Known::None | Known::Elements => {}
        }
    }

    /// The value at the cursor becomes cells under `node`.
    #[inline]
    pub(super) fn member(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        match self.cursor.peek() {
            b'{' => self.nested(node, depth),
            b'[' if self.element.is_some() => self.json(node, depth),
            b'[' => {
                self.row.needs_source |= self.is_lone_element;
                self.array(node, depth)
            }
            _ => {
                let value = self.scalar()?;
                if value != Value::Null {
                    self.store(node, value);
                }
                Ok(())
            }
        }
    }

    /// An object below the event, the cursor at its brace.
    fn nested(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        let start = self.cursor.at;
        if self.trie.node(node).is_full() {
            return self.untyped(node, depth);
        }
        let (cells, entries, needs_source) = (self.out.cells.len(), self.scratch.entries.len(), self.row.needs_source);
        match self.object(node, depth) {
            Ok(()) => {
                // `{}`, or nothing but nulls: no cell shows that the object was there
                if self.stored() == cells + entries {
                    self.bare(node, start);
                }
                Ok(())
            }
            Err(_full) if self.trie.node(node).is_full() => {
                self.out.cells.truncate(cells);
                self.scratch.entries.truncate(entries);
                self.row.needs_source = needs_source;
                self.cursor.at = start;
                self.untyped(node, depth)
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// An object with ever other keys, as if ids were used as keys: kept as JSON text, and gives no columns any more.
    #[cold]
    fn untyped(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        if self.element.is_some() {
            return self.json(node, depth);
        }
        let start = self.cursor.at;
        self.cursor.skip_value(depth)?;
        self.check_cell(start, self.cursor.at - start)?;
        self.bare(node, start);
        Ok(())
    }

    /// The value from `start` to the cursor gave no cell: its text goes to `rest`, where the catalog can tell how it was nested.
    #[cold]
    pub(super) fn bare(&mut self, node: NodeId, start: usize) {
        if self.element.is_some() {
            self.row.needs_source = true;
            return;
        }
        let span = Span::raw(self.base + start, self.cursor.at - start);
        self.out.cells.push(Cell { node, value: Value::Bare(span) });
    }

    /// How much the event gave so far.
    fn stored(&self) -> usize {
        self.out.cells.len() + self.scratch.entries.len()
    }

    #[inline]
    pub(super) fn store(&mut self, node: NodeId, value: Value) {
        match self.element {
            None => self.out.cells.push(Cell { node, value }),
            Some(element) => self.scratch.entries.push(Entry { node, element, value }),
        }
    }

    /// A string, number, boolean or null. A number that no double comes near is `Null`, and kept by the event's text.
    #[inline]
    pub(super) fn scalar(&mut self) -> Result<Value, Box<Fault>> {
        match self.cursor.peek() {
            b'"' => Ok(Value::Text(self.text()?)),
            b'-' | b'0'..=b'9' => match self.cursor.number()? {
                Number::Int(value) => Ok(Value::Int(value)),
                Number::Float { value, held } => {
                    self.row.needs_source |= !held;
                    Ok(if value.is_finite() { Value::Float(value) } else { Value::Null })
                }
            },
            _ => Ok(self.cursor.literal()?.map_or(Value::Null, Value::Bool)),
        }
    }

    #[inline]
    fn text(&mut self) -> Result<Span, Box<Fault>> {
        let token = self.cursor.string()?;
        let length = token.end - token.start;
        self.check_cell(token.start, length)?;
        if !token.escaped {
            return Ok(Span::raw(self.base + token.start, length));
        }
        let start = self.out.unescaped.len();
        self.row.needs_source |= !unescape(self.cursor.slice(token.start, token.end), &mut self.out.unescaped);
        Ok(Span::unescaped(start, self.out.unescaped.len() - start))
    }

    #[inline]
    fn check_cell(&self, start: usize, length: usize) -> Result<(), Box<Fault>> {
        let limit = self.limits.cell_bytes_max;
        if length <= limit {
            return Ok(());
        }
        Err(fault("cell_too_large", format!("value at byte {} has {length} bytes, limit is {limit}", start + 1)))
    }

    /// The value at the cursor as JSON text. Inside an element it goes to a list of texts, which does not tell it from a
    /// string: the event's text does.
    pub(super) fn json(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        let start = self.cursor.at;
        self.cursor.skip_value(depth)?;
        let length = self.cursor.at - start;
        self.check_cell(start, length)?;
        self.row.needs_source |= self.element.is_some();
        self.store(node, Value::Json(Span::raw(self.base + start, length)));
        Ok(())
    }

    #[cold]
    #[inline(never)]
    fn known_member(&mut self, known: Known, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        match (known, self.cursor.peek()) {
            (Known::Time, _) => self.time(node, depth),
            (Known::Id, b'"' | b'-' | b'0'..=b'9') => self.id(node),
            (Known::Elements, b'[') => self.elements(node, depth),
            (Known::Elements, b'{') => {
                self.is_lone_element = true;
                let done = self.member(node, depth);
                self.is_lone_element = false;
                done
            }
            _ => self.member(node, depth),
        }
    }

    fn time(&mut self, node: NodeId, depth: usize) -> Result<(), Box<Fault>> {
        self.row.time_node = node;
        let parsed = match self.cursor.peek() {
            b'"' => {
                let span = self.text()?;
                self.row.sent_time = Some((Value::Text(span), None));
                // not `out.text`: the event is not in `out.raw` yet
                let content = self.pending_text(span);
                time::from_text(content)
            }
            b'-' | b'0'..=b'9' => {
                let number = self.cursor.number()?;
                let value = match number {
                    Number::Int(value) => Value::Int(value),
                    Number::Float { value, .. } => Value::Float(value),
                };
                self.row.sent_time = Some((value, None));
                time::from_number(number)
            }
            b'n' => {
                self.cursor.literal()?;
                return Ok(());
            }
            _ => {
                self.cursor.skip_value(depth)?;
                None
            }
        };
        self.judge_time(parsed);
        Ok(())
    }

    fn judge_time(&mut self, parsed: Option<Parsed>) {
        let Clock { received_at, past_days_max, ahead_days_max } = self.clock;
        let error = match parsed {
            None => Some(Cow::Borrowed(time::NOT_A_TIME)),
            Some(parsed) => {
                time::out_of_bounds(parsed.time, received_at, past_days_max, ahead_days_max).map(Cow::Owned)
            }
        };
        match (parsed, error) {
            (Some(parsed), None) => {
                self.row.time = parsed.time;
                if let Some((_, spelling)) = &mut self.row.sent_time {
                    *spelling = parsed.spelling;
                }
            }
            (_, error) => {
                self.row.needs_source = true;
                self.row.sent_time = None;
                self.row.time_error = error;
            }
        }
    }

    /// An `id` that can be a key of idempotency: a string or a number, as text.
    fn id(&mut self, node: NodeId) -> Result<(), Box<Fault>> {
        self.row.id_node = node;
        let start = self.cursor.at;
        let value = self.scalar()?;
        let id = match value {
            Value::Text(span) => span,
            _ => Span::raw(self.base + start, self.cursor.at - start),
        };
        let bytes = self.pending_text(id).len();
        if bytes > ID_BYTES_MAX.min(self.limits.cell_bytes_max) {
            let message = format!("`id` at byte {} has {bytes} bytes, limit is {ID_BYTES_MAX}", start + 1);
            return Err(fault("id_too_long", message));
        }
        self.row.id = (bytes > 0).then_some(id);
        self.row.sent_id = (value != Value::Null).then_some(value);
        Ok(())
    }

    /// A text of this very event, which is not in `out.raw` yet.
    fn pending_text(&self, span: Span) -> &str {
        match span.position_in_raw() {
            Some((start, length)) => self.cursor.slice(start - self.base, start - self.base + length),
            None => self.out.text(span),
        }
    }
}
