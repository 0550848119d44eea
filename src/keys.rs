//! API keys of a data folder: hashed at rest, scoped, shown once, revocable.
//!
//! `keys.json` in the data folder (mode 0600) holds SHA-256 of each key; keys have 160 random bits, so a plain hash suffices.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Clock;

use crate::{
    cli::{KeysAction, KeysOptions},
    config::say,
};

/// Name of the file in the data folder.
pub(crate) const KEYS_FILE: &str = "keys.json";

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Scope {
    /// Send events.
    Ingest,
    /// Ask SQL, read schema, changes, metrics and alerts.
    Query,
    /// Declare changes.
    Changes,
    /// Acknowledge, silence, give feedback, turn changes off, load a metric's history.
    Alerts,
    /// Everything.
    Admin,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key {
    id: String,
    name: String,
    scopes: Vec<Scope>,
    sha256: String,
    created_at: String,
}

/// The keys of a data folder as a server sees them; re-read when the file changes, looked at once a second at most.
#[derive(Debug)]
pub(crate) struct Keys {
    path: PathBuf,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    keys: Vec<Key>,
    modified: Option<std::time::SystemTime>,
    looked_at_s: i64,
}

/// What a presented key is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There are no keys: the guard decides by address.
    NoKeys,
    /// Known and allowed.
    Allowed {
        /// Name of the key.
        name: String,
    },
    /// Known, but without this scope.
    WrongScope,
    /// Unknown or missing.
    Unknown,
}

impl Keys {
    /// Reads the keys of a data folder; a missing file means none.
    pub(crate) fn open(data: &Path, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let path = data.join(KEYS_FILE);
        let state = State { keys: read(&path)?, modified: modified(&path), looked_at_s: clock.now().seconds() };
        Ok(Self { path, clock, state: Mutex::new(state) })
    }

    /// Makes the first admin key when there is none; returns its text, to be printed once.
    pub(crate) fn ensure_admin(&self) -> anyhow::Result<Option<String>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.keys.is_empty() {
            return Ok(None);
        }
        let (text, key) = make("admin", vec![Scope::Admin], self.clock.as_ref());
        write(&self.path, std::slice::from_ref(&key))?;
        state.keys = vec![key];
        state.modified = modified(&self.path);
        Ok(Some(text))
    }

    /// Judges a presented key for a scope.
    pub(crate) fn judge(&self, presented: Option<&str>, scope: Scope) -> Verdict {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.refresh(&mut state);
        if state.keys.is_empty() {
            return Verdict::NoKeys;
        }
        let Some(presented) = presented.map(hash) else {
            return Verdict::Unknown;
        };
        match state.keys.iter().find(|key| key.sha256 == presented) {
            Some(key) if key.scopes.contains(&scope) || key.scopes.contains(&Scope::Admin) => {
                Verdict::Allowed { name: key.name.clone() }
            }
            Some(_) => Verdict::WrongScope,
            None => Verdict::Unknown,
        }
    }

    fn refresh(&self, state: &mut State) {
        let now_s = self.clock.now().seconds();
        if now_s == state.looked_at_s {
            return;
        }
        state.looked_at_s = now_s;
        let modified = modified(&self.path);
        if modified == state.modified {
            return;
        }
        match read(&self.path) {
            // Removing the last key must not open the door of a running server.
            Ok(keys) if keys.is_empty() => {
                tracing::warn!("keys.json holds no key any more: restart to run without keys")
            }
            Ok(keys) => (state.keys, state.modified) = (keys, modified),
            Err(error) => tracing::error!("keys.json cannot be read, keeping the keys known so far: {error:#}"),
        }
    }
}

/// What is wrong with the key file of a data folder; `None` when it is good, or there is none.
pub(crate) fn problem(data: &Path) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let path = data.join(KEYS_FILE);
    if let Err(error) = read(&path) {
        return Some(format!("{error:#}: no key is accepted; make new ones with `yellowline keys create`"));
    }
    let mode = fs::metadata(&path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| format!("others may read it (mode {mode:o}): chmod 600"))
}

/// `yellowline keys …`.
pub(crate) fn run(options: &KeysOptions, clock: &dyn Clock) -> anyhow::Result<()> {
    match &options.action {
        KeysAction::Create { name, scopes, config } => {
            let path = config.config()?.data.join(KEYS_FILE);
            let mut keys = read(&path)?;
            let (text, key) = make(name, scopes.clone(), clock);
            keys.push(key);
            write(&path, &keys)?;
            say(&text)
        }
        KeysAction::List { config } => {
            let keys = read(&config.config()?.data.join(KEYS_FILE))?;
            if keys.is_empty() {
                return say("no keys: on loopback everything is open; off loopback the first start makes an admin key");
            }
            keys.iter().try_for_each(|key| {
                let scopes: Vec<_> = key.scopes.iter().map(|scope| format!("{scope:?}").to_lowercase()).collect();
                say(&format!("{}  {}  {}  {}", key.id, key.created_at, scopes.join(","), key.name))
            })
        }
        KeysAction::Revoke { id, config } => {
            let path = config.config()?.data.join(KEYS_FILE);
            let mut keys = read(&path)?;
            let before = keys.len();
            keys.retain(|key| key.id != *id);
            if keys.len() == before {
                bail!("there is no key `{id}`: `yellowline keys list` shows them");
            }
            write(&path, &keys)?;
            say(&format!("revoked {id}"))
        }
    }
}

fn make(name: &str, scopes: Vec<Scope>, clock: &dyn Clock) -> (String, Key) {
    let secret: [u8; 20] = rand::random();
    let text = format!("yl_{}", hex::encode(secret));
    let sha256 = hash(&text);
    let key =
        Key { id: sha256[..8].to_owned(), name: name.to_owned(), scopes, sha256, created_at: clock.now().to_rfc3339() };
    (text, key)
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text.as_bytes()))
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> anyhow::Result<Vec<Key>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| format!("{} is not a key file", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("could not read {}", path.display())),
    }
}

/// Writes the file whole or not at all, readable by its owner only.
fn write(path: &Path, keys: &[Key]) -> anyhow::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    let folder = path.parent().context("keys.json needs a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("could not make {}", folder.display()))?;
    let temporary = path.with_extension("json.new");
    let saved = (|| {
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(&serde_json::to_vec_pretty(keys).map_err(std::io::Error::other)?)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        fs::File::open(folder)?.sync_all()
    })();
    saved.with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use store::Timestamp;

    use super::*;

    #[derive(Debug, Default)]
    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.fetch_add(1, Ordering::Relaxed) * 1_000_000)
        }
    }

    #[test]
    fn keys_are_scoped_hashed_and_revocable() {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(Ticking::default());
        let keys = Keys::open(folder.path(), clock.clone()).unwrap();
        assert_eq!(keys.judge(None, Scope::Query), Verdict::NoKeys);
        let admin = keys.ensure_admin().unwrap().unwrap();
        assert!(keys.ensure_admin().unwrap().is_none());
        assert_eq!(keys.judge(Some(&admin), Scope::Alerts), Verdict::Allowed { name: "admin".into() });
        assert_eq!(keys.judge(Some("yl_0"), Scope::Query), Verdict::Unknown);

        let path = folder.path().join(KEYS_FILE);
        let stored = fs::read_to_string(&path).unwrap();
        assert!(!stored.contains(&admin), "the key itself is never stored");
        let (ci, key) = make("ci", vec![Scope::Changes], clock.as_ref());
        let mut all = read(&path).unwrap();
        all.push(key);
        write(&path, &all).unwrap();
        assert_eq!(keys.judge(Some(&ci), Scope::Changes), Verdict::Allowed { name: "ci".into() });
        assert_eq!(keys.judge(Some(&ci), Scope::Ingest), Verdict::WrongScope);
        all.pop();
        fs::remove_file(&path).unwrap();
        write(&path, &all).unwrap();
        assert_eq!(keys.judge(Some(&ci), Scope::Changes), Verdict::Unknown);
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
}
