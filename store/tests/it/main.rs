//! What the store promises, tested through its public surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod basics;
mod node;
