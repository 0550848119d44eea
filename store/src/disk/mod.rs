//! The seam between the store and the disk: everything below the data folder is written through a [`Disk`].
//!
//! Two implementations: [`RealDisk`], and [`FaultyDisk`], which lives in memory, fails, tears or loses the
//! n-th operation and can cut the power. [`ReadOnlyDisk`] shows either without letting anything be written.
//!
//! What a [`Disk`] promises is what a file system promises, no more:
//! - bytes of a file are durable after [`DiskFile::sync`] returned without error;
//! - a directory entry (create, link, rename, remove) is durable after [`Disk::sync_dir`] of its folder did;
//! - after a failed sync nothing is known about the unsynced bytes, and a later successful sync proves nothing
//!   (<https://wiki.postgresql.org/wiki/Fsync_Errors>): whoever sees one abandons the file.

mod faulty;
mod hold;
mod read_only;
mod real;

use std::{fmt, io, path::Path, sync::Arc};

use bytes::Bytes;
pub use faulty::{DELAY_MAX, Fault, FaultyDisk, Operation, Plan};
pub(crate) use hold::HoldingDisk;
pub use read_only::ReadOnlyDisk;
pub use real::RealDisk;

/// A file being written, from its start to its end; there is no seek and no overwriting.
pub trait DiskFile: io::Write + Send + fmt::Debug {
    /// fdatasync: the bytes written so far, and the length, survive a power cut.
    ///
    /// # Errors
    /// Whatever the operating system reports. The file must be abandoned then.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading at any place.
pub trait DiskRead: Send + Sync + fmt::Debug {
    /// Length in bytes when it was opened.
    fn len(&self) -> u64;
    /// True for a file without bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Exactly `length` bytes from `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` beyond the end, or what the operating system reports.
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes>;
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct DirEntry {
    /// File name without its folder.
    pub name: String,
    /// True for a folder.
    pub is_dir: bool,
    /// Length in bytes; 0 for a folder.
    pub bytes: u64,
}

/// Held as long as this process owns the folder; freed when dropped or when the process ends, however it ends.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// The operations the store needs of a file system.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates one folder; `AlreadyExists` when there is one.
    ///
    /// # Errors
    /// What the operating system reports.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// True when the path names a file or folder.
    ///
    /// # Errors
    /// What the operating system reports, other than "not found".
    fn exists(&self, path: &Path) -> io::Result<bool>;
    /// The entries of a folder, sorted by name.
    ///
    /// # Errors
    /// What the operating system reports.
    fn list(&self, folder: &Path) -> io::Result<Vec<DirEntry>>;
    /// Creates a new file for writing; `AlreadyExists` when there is one.
    ///
    /// # Errors
    /// What the operating system reports.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// [`Disk::create`] of a file that only its owner may read.
    ///
    /// # Errors
    /// What the operating system reports.
    fn create_private(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.create(path)
    }
    /// Opens a file for reading.
    ///
    /// # Errors
    /// What the operating system reports.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>>;
    /// Gives a file a second name, atomically; `AlreadyExists` when that name is taken.
    ///
    /// # Errors
    /// What the operating system reports.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file, atomically replacing one of the new name.
    ///
    /// # Errors
    /// What the operating system reports.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Makes the entries of a folder durable.
    ///
    /// # Errors
    /// What the operating system reports. Which of the entries are durable is unknown then.
    fn sync_dir(&self, folder: &Path) -> io::Result<()>;
    /// Takes the lock file; `WouldBlock` when another process (or another store of this one) holds it.
    ///
    /// # Errors
    /// What the operating system reports.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
    /// Keeps whoever wants [`Disk::lock`] out, and lets other readers in; a lock file that is not there is not made, and holds
    /// nobody. `WouldBlock` when the file is locked.
    ///
    /// # Errors
    /// What the operating system reports.
    fn lock_shared(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>>;

    /// Bytes this user may still write where a folder lies; `None` when the disk does not know.
    ///
    /// # Errors
    /// What the operating system reports.
    fn free_bytes(&self, _folder: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    /// The whole content of a file.
    ///
    /// # Errors
    /// What the operating system reports.
    fn read(&self, path: &Path) -> io::Result<Bytes> {
        let file = self.open(path)?;
        let length = usize::try_from(file.len()).map_err(io::Error::other)?;
        file.read_at(0, length)
    }
}

/// Creates a folder and those between it and `base`, durably: the parent of each is synced even when the folder is there
/// already, because an earlier attempt may have failed between the two.
pub(crate) fn create_dirs(disk: &dyn Disk, base: &Path, path: &Path) -> io::Result<()> {
    let folders: Vec<&Path> = path.ancestors().take_while(|folder| *folder != base).collect();
    for folder in folders.into_iter().rev() {
        match disk.create_dir(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => disk.sync_dir(parent(folder))?,
        }
    }
    Ok(())
}

/// The folder a path lies in; the current one for a bare name.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Writes a new file and syncs it; the entry still needs a `sync_dir`. A failed attempt is removed.
pub(crate) fn write_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = disk.create(path)?;
    io::Write::write_all(&mut file, content).and_then(|()| file.sync()).inspect_err(|_| discard(disk, path))
}

/// Replaces a file as a whole: readers see the old or the new content, also after a power cut.
pub(crate) fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("tmp");
    discard(disk, &temporary);
    write_file(disk, &temporary, content)?;
    disk.rename(&temporary, path)?;
    disk.sync_dir(parent(path))
}

/// A file of the seam as the Parquet reader wants it.
#[derive(Debug)]
pub(crate) struct SeamReader(pub(crate) Arc<dyn DiskRead>);

/// Reads a file from some place to its end, a piece at a time.
#[derive(Debug)]
pub(crate) struct Pieces {
    file: Arc<dyn DiskRead>,
    offset: u64,
    piece: Bytes,
}

const PIECE_BYTES: u64 = 64 * 1024;

impl io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            let length = self.file.len().saturating_sub(self.offset).min(PIECE_BYTES);
            self.piece = self.file.read_at(self.offset, usize::try_from(length).map_err(io::Error::other)?)?;
            self.offset += length;
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}

impl parquet::file::reader::Length for SeamReader {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl parquet::file::reader::ChunkReader for SeamReader {
    type T = Pieces;
    fn get_read(&self, start: u64) -> parquet::errors::Result<Pieces> {
        Ok(Pieces { file: Arc::clone(&self.0), offset: start, piece: Bytes::new() })
    }
    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        Ok(self.0.read_at(start, length)?)
    }
}

/// Removes a file that nothing refers to; failing to is no error, the next open cleans up.
pub(crate) fn discard(disk: &dyn Disk, path: &Path) {
    if let Err(error) = disk.remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::debug!(path = %path.display(), %error, "could not remove an unused file");
    }
}
