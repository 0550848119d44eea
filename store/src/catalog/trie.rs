//! Keys by their path, for decoding: a tree that only grows, found by hash or, nearly always, by the guess that a key is
//! followed by the one that followed it last time.

use std::{
    hash::BuildHasher,
    sync::atomic::{AtomicU32, Ordering},
};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::names;
use crate::Aliases;

/// Place of a key path in the trie.
pub(crate) type NodeId = u32;
/// The event itself.
pub(crate) const ROOT: NodeId = 0;
/// No node.
pub(crate) const NONE: NodeId = u32::MAX;

/// Keys of the event itself that decoding treats on their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// Nothing special.
    None,
    /// Becomes the system column `time`.
    Time,
    /// Becomes the system column `event_id`.
    Id,
    /// `messages` and `probes`: an array of objects becomes parallel lists.
    Elements,
}

/// What a column tells about releases, by its logical name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Nothing.
    None,
    /// The environment; the lowest number wins.
    Environment(u8),
    /// The service.
    Service,
    /// The service's version.
    Version,
    /// The rollout; the lowest number wins.
    Rollout(u8),
    /// The variant of an experiment.
    Experiment,
}

/// Prefix of the columns that hold variants.
pub(crate) const EXPERIMENTS: &str = "experiments.";

impl Role {
    pub(crate) fn of(name: &str, aliases: &Aliases) -> Self {
        let rank = |keys: &[String]| keys.iter().position(|key| key == name).and_then(|at| u8::try_from(at).ok());
        match name {
            _ if name.starts_with(EXPERIMENTS) => Self::Experiment,
            "service.name" => Self::Service,
            "service.version" => Self::Version,
            _ => rank(&aliases.environment)
                .map(Self::Environment)
                .or_else(|| rank(&aliases.rollout).map(Self::Rollout))
                .unwrap_or(Self::None),
        }
    }
}

/// One key path.
#[derive(Debug)]
pub(crate) struct Node {
    pub parent: NodeId,
    pub key: Box<str>,
    /// Logical name of the column: the keys from the root, joined by dots.
    pub name: Box<str>,
    pub known: Known,
    /// `"key":` as most writers spell it; empty for a key that needs escapes.
    pub quoted: Box<[u8]>,
    /// Keys seen below it.
    children: u32,
    children_max: u32,
    /// The key that opened this object last time.
    first: AtomicU32,
    /// The key that followed this one last time.
    next: AtomicU32,
}

/// Keys of one object that become columns; one with more uses ids as keys, and is kept as JSON text from there on.
const CHILDREN_MAX: u32 = 5_000;
/// The same for the event itself and for experiments, which are never kept as text.
const CHILDREN_MAX_TOP: u32 = 100_000;

impl Node {
    /// Whether no further key fits below.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.children >= self.children_max
    }
}

#[derive(Debug)]
pub(crate) struct Trie {
    nodes: Vec<Node>,
    by_key: HashTable<NodeId>,
    hasher: DefaultHashBuilder,
}

impl Trie {
    pub(crate) fn new() -> Self {
        let root = Node {
            parent: NONE,
            key: "".into(),
            name: "".into(),
            known: Known::None,
            quoted: Box::default(),
            children: 0,
            children_max: CHILDREN_MAX_TOP,
            first: AtomicU32::new(NONE),
            next: AtomicU32::new(NONE),
        };
        Self { nodes: vec![root], by_key: HashTable::new(), hasher: DefaultHashBuilder::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    #[inline]
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The child that is likely to come after `previous` (`NONE` at the start of the object).
    #[inline]
    pub(crate) fn guess(&self, parent: NodeId, previous: NodeId) -> Option<(NodeId, &Node)> {
        let link = if previous == NONE { &self.node(parent).first } else { &self.node(previous).next };
        let id = link.load(Ordering::Relaxed);
        self.nodes.get(id as usize).map(|node| (id, node))
    }

    /// Remembers what came after `previous`. Only a hint: concurrent decoders may overwrite each other.
    #[inline]
    pub(crate) fn learn(&self, parent: NodeId, previous: NodeId, child: NodeId) {
        let link = if previous == NONE { &self.node(parent).first } else { &self.node(previous).next };
        link.store(child, Ordering::Relaxed);
    }

    pub(crate) fn find(&self, parent: NodeId, key: &str) -> Option<NodeId> {
        let is_it = |id: &NodeId| {
            let node = self.node(*id);
            node.parent == parent && *node.key == *key
        };
        self.by_key.find(self.hash(parent, key), is_it).copied()
    }

    pub(crate) fn find_or_add(&mut self, parent: NodeId, key: &str) -> NodeId {
        if let Some(found) = self.find(parent, key) {
            return found;
        }
        let id = NodeId::try_from(self.nodes.len()).unwrap_or(NONE - 1);
        self.nodes.push(self.new_node(parent, key));
        self.nodes[parent as usize].children += 1;
        let (nodes, hasher) = (&self.nodes, &self.hasher);
        let rehash = |id: &NodeId| hasher.hash_one((nodes[*id as usize].parent, &*nodes[*id as usize].key));
        self.by_key.insert_unique(hasher.hash_one((parent, key)), id, rehash);
        id
    }

    fn hash(&self, parent: NodeId, key: &str) -> u64 {
        self.hasher.hash_one((parent, key))
    }

    fn new_node(&self, parent: NodeId, key: &str) -> Node {
        let name = if parent == ROOT { names::logical_top(key) } else { format!("{}.{key}", self.joined(parent)) };
        let known = match key {
            _ if parent != ROOT => Known::None,
            "time" => Known::Time,
            "id" => Known::Id,
            "messages" | "probes" => Known::Elements,
            _ => Known::None,
        };
        let is_plain = !key.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\');
        let quoted = if is_plain { format!("\"{key}\":").into_bytes() } else { Vec::new() };
        Node {
            parent,
            key: key.into(),
            name: name.into(),
            known,
            quoted: quoted.into(),
            children: 0,
            children_max: if parent == ROOT && key == "experiments" { CHILDREN_MAX_TOP } else { CHILDREN_MAX },
            first: AtomicU32::new(NONE),
            next: AtomicU32::new(NONE),
        }
    }

    /// The keys from the root joined by dots, without the `user:` of keys like `time`, whose children need none.
    fn joined(&self, id: NodeId) -> String {
        self.path(id).join(".")
    }

    /// The keys from the root.
    pub(crate) fn path(&self, id: NodeId) -> Vec<String> {
        let mut path = Vec::new();
        let mut at = id;
        while at != ROOT && at != NONE {
            let node = self.node(at);
            path.push(node.key.to_string());
            at = node.parent;
        }
        path.reverse();
        path
    }

    /// Whether `id` is `ancestor` or below it.
    pub(crate) fn is_within(&self, id: NodeId, ancestor: NodeId) -> bool {
        let mut at = id;
        while at != NONE {
            if at == ancestor {
                return true;
            }
            at = self.node(at).parent;
        }
        false
    }
}
