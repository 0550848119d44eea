//! First sights among the rows being inserted.

use std::hash::BuildHasher;

use super::{Memtable, Stamp};
use crate::{
    FirstSight,
    catalog::trie::{EXPERIMENTS, NodeId, Role},
    decode::{
        Rows,
        rows::{Cell, Value},
    },
    sight,
};

/// What a row says about releases.
#[derive(Debug, Default)]
struct Release {
    environment: Option<(u8, Value)>,
    service: Option<Value>,
    rollout: Option<u8>,
    dimensions: Vec<(Role, NodeId, Value)>,
}

impl Release {
    fn add(&mut self, role: Role, node: NodeId, value: Value) {
        match role {
            Role::None => {}
            Role::Environment(rank) => {
                if self.environment.is_none_or(|(best, _)| rank < best) {
                    self.environment = Some((rank, value));
                }
            }
            Role::Service => self.service = Some(value),
            Role::Rollout(rank) => {
                self.rollout = Some(self.rollout.map_or(rank, |best| best.min(rank)));
                self.dimensions.push((role, node, value));
            }
            Role::Version | Role::Experiment => self.dimensions.push((role, node, value)),
        }
    }
}

impl Memtable {
    /// Appends the values of a row just inserted that its dataset never had before.
    pub(super) fn find_first_sights(&mut self, rows: &Rows, index: usize, stamp: &Stamp, found: &mut Vec<FirstSight>) {
        let mut release = Release::default();
        for Cell { node, value } in rows.cells(index) {
            // a value without a column may have no slot
            let role = self.slots.get(*node as usize).map_or(Role::None, |slot| slot.role);
            if role != Role::None {
                release.add(role, *node, *value);
            }
        }
        if release.dimensions.is_empty() {
            return;
        }
        let environment = release.environment.and_then(|(_, value)| text_of(value, rows));
        let service = release.service.and_then(|value| text_of(value, rows));
        if !self.has_unfamiliar(&release, (environment.as_deref(), service.as_deref()), rows) {
            return;
        }
        let catalog = std::sync::Arc::clone(&self.catalog);
        let mut sights = catalog.sights.lock();
        for (role, node, value) in release.dimensions {
            let is_outranked = matches!(role, Role::Rollout(rank) if Some(rank) != release.rollout);
            let (Some(dimension), Some(value), false) = (sight::dimension(role), text_of(value, rows), is_outranked)
            else {
                continue;
            };
            let trie = catalog.trie.read();
            let name = &*trie.node(node).name;
            let target = match role {
                Role::Experiment => name.strip_prefix(EXPERIMENTS).unwrap_or(name),
                Role::Rollout(_) => "rollout",
                _ => name,
            };
            let (environment, service) = (environment.as_deref(), service.as_deref());
            let hash = sight::hash(&[environment.unwrap_or(""), service.unwrap_or(""), dimension, target, &value]);
            if sights.is_new(hash) {
                found.push(FirstSight {
                    dataset: stamp.dataset.clone(),
                    dimension,
                    environment: environment.map(str::to_owned),
                    service: service.map(str::to_owned),
                    target: target.to_owned(),
                    value: value.into_owned(),
                    time: rows.row(index).time,
                    silent: stamp.silent,
                });
            }
        }
    }
}

impl Memtable {
    /// False if this memtable saw every value of the row in the same environment and service before: the usual case, found
    /// without the stable, slower hashes of the dataset's memory.
    fn has_unfamiliar(&mut self, release: &Release, scope: (Option<&str>, Option<&str>), rows: &Rows) -> bool {
        let scope = self.familiar.hasher().hash_one(scope);
        let mut found = false;
        for (_, node, value) in &release.dimensions {
            let hash = match value {
                Value::Text(span) => self.familiar.hasher().hash_one((scope, node, rows.text(*span))),
                value => self.familiar.hasher().hash_one((scope, node, format!("{value:?}"))),
            };
            found |= self.familiar.insert(hash);
        }
        found
    }
}

/// A scalar as text.
fn text_of(value: Value, rows: &Rows) -> Option<std::borrow::Cow<'_, str>> {
    match value {
        Value::Text(span) => Some(rows.text(span).into()),
        Value::Int(value) => Some(value.to_string().into()),
        Value::Float(value) => Some(format!("{value:?}").into()),
        Value::Bool(value) => Some(value.to_string().into()),
        Value::Null | Value::Json(_) | Value::Bare(_) | Value::List { .. } => None,
    }
}
