//! A disk whose removals can be put off: what a backup has to copy must not vanish under it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskRead, discard};

/// Another disk; while somebody holds it, removed files stay and are removed when the last holder lets go.
///
/// Names of the store's files are never used twice, so that a file that stays longer is in nobody's way; temporary files
/// (`*.tmp`), whose names are, go at once. A crash in between leaves files that the next start finds and removes.
#[derive(Debug)]
pub(crate) struct HoldingDisk {
    inner: Arc<dyn Disk>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    holders: usize,
    waiting: Vec<PathBuf>,
}

/// No file of the store is removed before this is dropped.
#[derive(Debug)]
pub(crate) struct Hold(Arc<HoldingDisk>);

impl HoldingDisk {
    pub(crate) fn new(inner: Arc<dyn Disk>) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::default() })
    }

    /// How many files wait for a holder to be removed.
    pub(crate) fn waiting(&self) -> u64 {
        self.state.lock().waiting.len() as u64
    }

    /// Puts off removals from now on.
    pub(crate) fn hold(self: &Arc<Self>) -> Hold {
        self.state.lock().holders += 1;
        Hold(Arc::clone(self))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.holders -= 1;
        let due = if state.holders == 0 { std::mem::take(&mut state.waiting) } else { Vec::new() };
        drop(state);
        due.iter().for_each(|path| discard(&*self.0.inner, path));
    }
}

impl Disk for HoldingDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir(path)
    }
    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.inner.exists(path)
    }
    fn list(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        self.inner.list(folder)
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.inner.create(path)
    }
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.inner.create_private(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>> {
        self.inner.open(path)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state.lock();
        if state.holders > 0 && path.extension().is_none_or(|extension| extension != "tmp") {
            state.waiting.push(path.to_path_buf());
            return Ok(());
        }
        drop(state);
        self.inner.remove_file(path)
    }
    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_dir(folder)
    }
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.inner.lock(path)
    }
    fn lock_shared(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.inner.lock_shared(path)
    }
    fn free_bytes(&self, folder: &Path) -> io::Result<Option<u64>> {
        self.inner.free_bytes(folder)
    }
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.read(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{FaultyDisk, write_file};

    #[test]
    fn removals_wait_for_the_last_holder_and_temporary_files_do_not() {
        let inner: Arc<dyn Disk> = Arc::new(FaultyDisk::new());
        inner.create_dir(Path::new("/d")).unwrap();
        for name in ["/d/a", "/d/b.tmp"] {
            write_file(&*inner, Path::new(name), b"x").unwrap();
        }
        let disk = HoldingDisk::new(Arc::clone(&inner));
        let (first, second) = (disk.hold(), disk.hold());
        for name in ["/d/a", "/d/b.tmp"] {
            disk.remove_file(Path::new(name)).unwrap();
        }
        let left = || inner.list(Path::new("/d")).unwrap().into_iter().map(|entry| entry.name).collect::<Vec<_>>();
        drop(first);
        assert_eq!(left(), ["a"]);
        drop(second);
        assert!(left().is_empty());
    }
}
