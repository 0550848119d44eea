//! What the store promises, tested through its public surface.

mod basics;
mod counts;
mod damage;
mod duplicates;
mod faults;
mod node;
mod promises;
