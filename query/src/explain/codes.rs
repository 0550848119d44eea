//! Values as small numbers: what a column becomes while its batches arrive.

use std::{cmp::Ordering, collections::HashMap, hash::BuildHasherDefault};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewArray},
    datatypes::{DataType, Float64Type, Int64Type},
};

use super::{
    bits::{Bits, matching, rows},
    hash::AsItIs,
};

/// The code of NULL.
pub(super) const NULL: u16 = 0;
/// The code of values that came after a column had as many as fit.
pub(super) const OTHER: u16 = u16::MAX;
/// Places of the memo of recent texts: a power of two.
const MEMO: usize = 2_048;

/// Codes of rows, a byte each while they fit.
#[derive(Debug, Clone)]
pub(super) enum Codes {
    Narrow(Vec<u8>),
    Wide(Vec<u16>),
}

impl Default for Codes {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Codes {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Narrow(codes) => codes.capacity(),
            Self::Wide(codes) => codes.capacity() * 2,
        }
    }

    pub(super) fn extend(&mut self, codes: impl Iterator<Item = u16> + Clone) {
        if let Self::Narrow(narrow) = self {
            if codes.clone().all(|code| code <= u16::from(u8::MAX)) {
                #[expect(clippy::cast_possible_truncation, reason = "looked at in the line above")]
                narrow.extend(codes.map(|code| code as u8));
                return;
            }
            *self = Self::Wide(narrow.iter().map(|code| u16::from(*code)).collect());
        }
        if let Self::Wide(wide) = self {
            wide.extend(codes);
        }
    }

    /// Adds another collector's codes in ours.
    pub(super) fn extend_mapped(&mut self, other: &Self, map: &[u16]) {
        let to = |code: u16| if code == OTHER { OTHER } else { map[usize::from(code)] };
        match (&mut *self, other) {
            #[expect(clippy::cast_possible_truncation, reason = "looked at in the condition")]
            (Self::Narrow(ours), Self::Narrow(codes)) if map.iter().all(|code| *code <= u16::from(u8::MAX)) => {
                ours.extend(codes.iter().map(|code| map[usize::from(*code)] as u8));
            }
            (_, Self::Narrow(codes)) => self.extend(codes.iter().map(|code| to(u16::from(*code)))),
            (_, Self::Wide(codes)) => self.extend(codes.iter().map(|code| to(*code))),
        }
    }

    /// How often each code occurs, in all rows or in those of a bitmap.
    pub(super) fn histogram(&self, within: Option<&[u64]>) -> Vec<u64> {
        fn count<T: Copy + Into<usize>>(codes: &[T], within: Option<&[u64]>, counts: &mut [u64]) {
            match within {
                None => codes.iter().for_each(|code| counts[(*code).into()] += 1),
                Some(within) => rows(within).for_each(|row| counts[codes[row].into()] += 1),
            }
        }
        match self {
            Self::Narrow(codes) => {
                let mut counts = vec![0; usize::from(u8::MAX) + 1];
                count(codes, within, &mut counts);
                counts
            }
            Self::Wide(codes) => {
                let mut counts = vec![0; usize::from(u16::MAX) + 1];
                count(codes, within, &mut counts);
                counts
            }
        }
    }

    /// The rows with this code.
    pub(super) fn equal(&self, code: u16) -> Bits {
        match self {
            Self::Narrow(codes) => match u8::try_from(code) {
                Ok(code) => matching(codes, |found| found == code),
                Err(_) => vec![0; super::bits::words(codes.len())],
            },
            Self::Wide(codes) => matching(codes, |found| found == code),
        }
    }
}

/// What a code stands for.
#[derive(Debug, Clone)]
pub(super) enum Labels {
    Texts(Vec<Box<str>>),
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Flags,
}

/// Gives the values of one column codes, in order of arrival from 1.
#[derive(Debug)]
pub(super) struct Coder {
    pub(super) labels: Labels,
    texts: HashMap<Box<str>, u16>,
    numbers: HashMap<u64, u16, BuildHasherDefault<AsItIs>>,
    /// Views of texts seen lately, the batch they belong to, and their codes: a view names its text within one batch, a short one always.
    memo: Vec<(u128, u64, u16)>,
    batch: u64,
}

impl Coder {
    /// `None` for types that are no dimension.
    pub(super) fn new(data_type: &DataType) -> Option<Self> {
        let labels = match data_type {
            DataType::Utf8View => Labels::Texts(Vec::new()),
            DataType::Int64 => Labels::Ints(Vec::new()),
            DataType::Float64 => Labels::Floats(Vec::new()),
            DataType::Boolean => Labels::Flags,
            _ => return None,
        };
        let memo = if matches!(labels, Labels::Texts(_)) { vec![(0, u64::MAX, NULL); MEMO] } else { Vec::new() };
        Some(Self { labels, texts: HashMap::new(), numbers: HashMap::default(), memo, batch: 0 })
    }

    /// The largest code given.
    pub(super) fn last(&self) -> u16 {
        let labels = match &self.labels {
            Labels::Texts(labels) => labels.len(),
            Labels::Ints(labels) => labels.len(),
            Labels::Floats(labels) => labels.len(),
            Labels::Flags => 2,
        };
        u16::try_from(labels).unwrap_or(OTHER - 1)
    }

    /// Different values so far.
    pub(super) fn distinct(&self) -> usize {
        self.texts.len() + self.numbers.len()
    }

    /// The codes of a batch's values.
    pub(super) fn code(&mut self, column: &ArrayRef, codes: &mut Vec<u16>) {
        codes.clear();
        match &self.labels {
            Labels::Texts(_) => self.code_texts(column.as_string_view(), codes),
            Labels::Ints(_) => {
                let column = column.as_primitive::<Int64Type>();
                codes.extend((0..column.len()).map(|row| match column.is_null(row) {
                    true => NULL,
                    false => self.number(column.value(row).cast_unsigned()),
                }));
            }
            Labels::Floats(_) => {
                let column = column.as_primitive::<Float64Type>();
                codes.extend((0..column.len()).map(|row| match column.is_null(row) {
                    true => NULL,
                    // Both zeros are one value of SQL.
                    false => self.number((column.value(row) + 0.0).to_bits()),
                }));
            }
            Labels::Flags => {
                let column = column.as_boolean();
                codes.extend(column.iter().map(|flag| flag.map_or(NULL, |flag| 1 + u16::from(flag))));
            }
        }
    }

    fn code_texts(&mut self, column: &StringViewArray, codes: &mut Vec<u16>) {
        /// Texts of up to this many bytes lie in their view.
        const SHORT: u128 = 12;
        self.batch += 1;
        for (row, view) in column.views().iter().enumerate() {
            if column.is_null(row) {
                codes.push(NULL);
                continue;
            }
            let is_short = view & 0xFFFF_FFFF <= SHORT;
            let stamp = if is_short { 0 } else { self.batch };
            #[expect(clippy::cast_possible_truncation, reason = "a hash takes the bits it wants")]
            let folded = ((view >> 64) as u64 ^ *view as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let slot = usize::try_from(folded >> 53).unwrap_or(0);
            let (known, at, code) = self.memo[slot];
            if known == *view && at == stamp {
                codes.push(code);
                continue;
            }
            let code = self.text(column.value(row));
            self.memo[slot] = (*view, stamp, code);
            codes.push(code);
        }
    }

    pub(super) fn text(&mut self, text: &str) -> u16 {
        if let Some(code) = self.texts.get(text) {
            return *code;
        }
        let Labels::Texts(labels) = &mut self.labels else { return OTHER };
        let code = next_code(labels.len());
        if code != OTHER {
            labels.push(text.into());
            self.texts.insert(text.into(), code);
        }
        code
    }

    pub(super) fn number(&mut self, bits: u64) -> u16 {
        // Different numbers stay different, and differ in their low and high bits.
        let mixed = (bits ^ (bits >> 32)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let key = mixed ^ (mixed >> 32);
        if let Some(code) = self.numbers.get(&key) {
            return *code;
        }
        let seen = self.numbers.len();
        let code = next_code(seen);
        if code != OTHER {
            match &mut self.labels {
                Labels::Ints(labels) => labels.push(bits.cast_signed()),
                Labels::Floats(labels) => labels.push(f64::from_bits(bits)),
                Labels::Texts(_) | Labels::Flags => return OTHER,
            }
            self.numbers.insert(key, code);
        }
        code
    }

    /// The order of what two codes stand for; NULL is first.
    pub(super) fn compare(&self, a: u16, b: u16) -> Ordering {
        let place = |code: u16| usize::from(code).wrapping_sub(1);
        match &self.labels {
            Labels::Texts(labels) => labels.get(place(a)).cmp(&labels.get(place(b))),
            Labels::Ints(labels) => labels.get(place(a)).cmp(&labels.get(place(b))),
            Labels::Floats(labels) => {
                let label = |code: u16| labels.get(place(code)).copied().unwrap_or(f64::NEG_INFINITY);
                label(a).total_cmp(&label(b))
            }
            Labels::Flags => a.cmp(&b),
        }
    }

    /// What another coder's codes are in ours.
    pub(super) fn map(&mut self, other: &Labels) -> Vec<u16> {
        let mut map = vec![NULL];
        match other {
            Labels::Texts(labels) => map.extend(labels.iter().map(|label| self.text(label))),
            Labels::Ints(labels) => map.extend(labels.iter().map(|label| self.number(label.cast_unsigned()))),
            Labels::Floats(labels) => map.extend(labels.iter().map(|label| self.number(label.to_bits()))),
            Labels::Flags => map.extend([1, 2]),
        }
        map
    }
}

fn next_code(labels: usize) -> u16 {
    u16::try_from(labels + 1).unwrap_or(OTHER)
}

/// A number's place on a scale of 65,536 steps, sixteen to each doubling: order is kept, and each step begins at a number with few digits.
pub(super) fn step(number: f64) -> u16 {
    let bits = (number + 0.0).to_bits();
    let ordered = if bits >> 63 == 0 { bits | 1 << 63 } else { !bits };
    u16::try_from(ordered >> 48).unwrap_or(u16::MAX)
}

/// The number a step begins at.
pub(super) fn step_start(step: u16) -> f64 {
    let ordered = u64::from(step) << 48;
    f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered })
}

/// The numbers of a batch as steps; NULL is step 0, where no number is.
pub(super) fn steps(column: &ArrayRef, steps: &mut Vec<u16>) {
    steps.clear();
    match column.data_type() {
        DataType::Int64 => {
            #[expect(clippy::cast_precision_loss, reason = "steps are far coarser than a double")]
            steps.extend(
                column.as_primitive::<Int64Type>().iter().map(|number| number.map_or(0, |number| step(number as f64))),
            );
        }
        DataType::Float64 => {
            steps.extend(column.as_primitive::<Float64Type>().iter().map(|number| number.map_or(0, step)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn texts_short_and_long_have_one_code_each_over_all_batches() {
        let mut coder = Coder::new(&DataType::Utf8View).unwrap();
        let mut codes = Vec::new();
        let long = "a text of more than twelve bytes";
        let batch = |texts: &[Option<&str>]| Arc::new(texts.iter().copied().collect::<StringViewArray>()) as ArrayRef;
        coder.code(&batch(&[Some("x"), Some(long), None, Some("x"), Some("")]), &mut codes);
        assert_eq!(codes, [1, 2, 0, 1, 3]);
        coder.code(&batch(&[Some("another text, just as long here"), Some(long), Some("")]), &mut codes);
        assert_eq!(codes, [4, 2, 3]);
    }

    #[test]
    fn steps_keep_the_order_of_numbers() {
        let numbers = [-1e9, -127.5, -1.0, -0.001, 0.0, 1e-300, 1.0, 1.5, 15.0, 16.0, 100.0, 104.0, 1e12];
        for pair in numbers.windows(2) {
            assert!(step(pair[0]) <= step(pair[1]), "{pair:?}");
        }
        for number in numbers {
            assert!(step_start(step(number)) <= number, "{number}");
            assert!(step_start(step(number) + 1) > number, "{number}");
        }
        assert_eq!(step_start(step(120.0)), 120.0);
        assert_eq!(step_start(step(123.0)), 120.0);
    }

    #[test]
    fn codes_widen_when_they_have_to() {
        let mut codes = Codes::default();
        codes.extend([1, 2, 255].into_iter());
        assert!(matches!(codes, Codes::Narrow(_)));
        codes.extend([300].into_iter());
        assert_eq!((codes.histogram(None).iter().sum::<u64>(), codes.histogram(None)[300]), (4, 1));
        let within = codes.histogram(Some(&[0b1010]));
        assert_eq!((within[2], within[300], within.iter().sum::<u64>()), (1, 1, 2));
        assert_eq!(codes.equal(255), [0b100]);
        assert_eq!(codes.equal(300), [0b1000]);
    }
}
