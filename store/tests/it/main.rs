//! What the store promises, tested through its public surface.

mod basics;
mod node;
