//! Names -> columns: rewrites a parsed statement before it is planned.
//!
//! Events have keys with dots, case and characters SQL reads otherwise, and DataFusion's planner has no hook for them. So the
//! syntax tree is rewritten: every path such as `service.name`, `e.service.name` or `experiments['13']` becomes one quoted identifier,
//! the longest column name in scope first, in subqueries, CTEs and aliases alike. On the way each table reference learns which
//! columns the statement can mean, so that planning costs the same at five columns and at five thousand.

mod compare;
mod expr;
mod near;
mod resolve;
mod scope;
mod select;
mod star;
pub(crate) mod weighted;

pub(crate) use near::nearest;
pub(crate) use resolve::{Unknown, resolve};
pub(crate) use scope::Needs;
