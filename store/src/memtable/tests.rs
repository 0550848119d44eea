//! Events that make inserting panic, as a bug would.

use arrow::{
    array::{Array, AsArray},
    datatypes::DataType,
    record_batch::RecordBatch,
};

/// An event with this text panics half-way through its cells.
pub(crate) const POISON: &str = "panic while inserting";
/// An event with this text makes closing its chunk panic, when it is not alone in it.
pub(crate) const UNSOCIABLE: &str = "panic in company";

pub(super) fn panic_over_poison(raw: &str) {
    assert!(!raw.contains(&format!(r#""text":"{POISON}""#)), "as the event asked");
}

pub(super) fn panic_over_company(batch: &RecordBatch) {
    let texts = batch.columns().iter().filter(|column| *column.data_type() == DataType::Utf8);
    let has = |column: &dyn Array| column.as_string::<i32>().iter().flatten().any(|text| text == UNSOCIABLE);
    assert!(batch.num_rows() == 1 || !texts.into_iter().any(|column| has(column)), "as the event asked");
}
