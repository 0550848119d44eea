//! Times as clients spell them.

/// How a time was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spelling;
