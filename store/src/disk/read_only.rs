//! A disk nothing is written to.

use std::{io, path::Path, sync::Arc};

use bytes::Bytes;

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskRead};

/// Another disk, of which everything can be read and nothing changed: what would write fails as on a read-only mount.
#[derive(Debug, Clone)]
pub struct ReadOnlyDisk(pub Arc<dyn Disk>);

/// Held while reading; `None` where there was nothing to lock.
#[derive(Debug)]
struct ReaderLock {
    _shared: Option<Box<dyn DiskLock>>,
}

impl DiskLock for ReaderLock {}

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if self.0.exists(path)? { Err(io::ErrorKind::AlreadyExists.into()) } else { refused() }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.list(folder)
    }

    fn create(&self, _path: &Path) -> io::Result<Box<dyn DiskFile>> {
        refused()
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>> {
        self.0.open(path)
    }

    fn hard_link(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        refused()
    }

    fn remove_file(&self, _path: &Path) -> io::Result<()> {
        refused()
    }

    /// Nothing is waiting to become durable.
    fn sync_dir(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Shared: readers do not keep each other out, only whoever would write.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        Ok(Box::new(ReaderLock { _shared: self.0.lock_shared(path)? }))
    }

    fn lock_shared(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.0.lock_shared(path)
    }

    fn free_bytes(&self, folder: &Path) -> io::Result<Option<u64>> {
        self.0.free_bytes(folder)
    }

    fn read(&self, path: &Path) -> io::Result<Bytes> {
        self.0.read(path)
    }
}
