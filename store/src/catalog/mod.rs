//! Every key of a dataset: found at decode, settled at insert, persisted with the Delta schema.
use std::{collections::BTreeMap, sync::Arc};

use crate::schema::Schema;

/// Why a persisted catalog could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("could not read the schema of the Delta log")]
    Schema(#[source] serde_json::Error),
}

#[derive(Debug)]
pub(crate) struct Catalog {}

impl Catalog {
    pub(crate) fn new() -> Self {
        unimplemented!()
    }
    pub(crate) fn restore(
        schema_string: &str,
        configuration: &BTreeMap<String, String>,
        file_tags: &mut dyn Iterator<Item = &BTreeMap<String, String>>,
    ) -> Result<Self, CatalogError> {
        unimplemented!()
    }
    pub(crate) fn persist(&self) -> (String, BTreeMap<String, String>) {
        unimplemented!()
    }
    pub(crate) fn schema(&self) -> Arc<Schema> {
        unimplemented!()
    }
}
