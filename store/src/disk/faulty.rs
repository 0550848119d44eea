//! A disk in memory that fails on demand and forgets what was not synced. For tests and simulations.
//!
//! It is stricter than most file systems: a new file's name is gone after a power cut unless its folder was synced, unsynced
//! bytes may be gone, cut, or hold zeros, and after a failed sync the unsynced bytes are lost for good although later syncs
//! succeed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::{DirEntry, Disk, DiskFile, DiskLock, DiskRead, parent};

/// An operation that changes the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A folder is made.
    CreateDir,
    /// A file is made.
    Create,
    /// Bytes are appended to a file.
    Write,
    /// A file is synced.
    Sync,
    /// A file gets a second name.
    HardLink,
    /// A file gets another name.
    Rename,
    /// A name is removed.
    RemoveFile,
    /// A folder's entries are synced.
    SyncDir,
}

/// What happens instead of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing is done, an error is returned. For a sync: the unsynced bytes are lost for good.
    Error(io::ErrorKind),
    /// A write stores half of its bytes, then returns an error; other operations are done, and return an error.
    Torn(io::ErrorKind),
    /// Success is returned, and nothing is durable: a sync does nothing. Other operations are not touched.
    Lost,
    /// The power goes before the operation: it and all later ones fail. Go on with [`FaultyDisk::after_power_cut`].
    PowerCut,
    /// It is done only after this many further ones of other threads, or after [`DELAY_MAX`] when there are fewer.
    Delayed(u64),
}

/// How long a delayed operation waits for others.
pub const DELAY_MAX: Duration = Duration::from_millis(5);

/// Decides for each changing operation, counted from 1, whether it fails.
pub type Plan = Box<dyn FnMut(u64, Operation, &Path) -> Option<Fault> + Send>;

/// A disk in memory; clones are the same disk.
#[derive(Clone, Default)]
pub struct FaultyDisk {
    contents: Arc<Mutex<Contents>>,
    plan: Arc<Mutex<Option<Plan>>>,
    /// An operation was counted.
    counted: Arc<Condvar>,
}

impl fmt::Debug for FaultyDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyDisk").field("operations", &self.operations()).finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Folder,
    File(usize),
}

/// Changes of one folder that belong together: a rename is one.
#[derive(Debug, Clone)]
struct Change {
    folder: PathBuf,
    entries: Vec<(PathBuf, Option<Entry>)>,
}

#[derive(Debug, Clone, Default)]
struct File {
    bytes: Vec<u8>,
    /// How much of it is durable.
    synced: usize,
    /// A sync failed: bytes beyond `synced` never become durable any more.
    broken: bool,
}

#[derive(Debug, Default)]
struct Contents {
    entries: BTreeMap<PathBuf, Entry>,
    durable: BTreeMap<PathBuf, Entry>,
    unsynced: Vec<Change>,
    files: Vec<File>,
    locks: BTreeSet<PathBuf>,
    operations: u64,
    off: bool,
}

/// What an operation is to do.
enum Verdict {
    Go,
    /// Do it (a write: half of it), then fail.
    Torn(io::ErrorKind),
    Lost,
}

impl FaultyDisk {
    /// An empty disk without faults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets `plan` decide about each operation from now on.
    pub fn inject(&self, plan: impl FnMut(u64, Operation, &Path) -> Option<Fault> + Send + 'static) {
        *self.plan.lock() = Some(Box::new(plan));
    }

    /// Makes operation number `nth` (counted from the disk's creation) end in `fault`.
    pub fn fail_at(&self, nth: u64, fault: Fault) {
        self.inject(move |operation, _, _| (operation == nth).then_some(fault));
    }

    /// No faults any more.
    pub fn heal(&self) {
        *self.plan.lock() = None;
    }

    /// How many changing operations there were.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.contents.lock().operations
    }

    /// True once the power went.
    #[must_use]
    pub fn is_off(&self) -> bool {
        self.contents.lock().off
    }

    /// The disk as another process finds it after this one was killed: everything written is there.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let contents = self.contents.lock();
        let (entries, durable) = (contents.entries.clone(), contents.durable.clone());
        let (unsynced, files) = (contents.unsynced.clone(), contents.files.clone());
        let contents = Contents { entries, durable, unsynced, files, ..Contents::default() };
        Self { contents: Arc::new(Mutex::new(contents)), ..Self::default() }
    }

    /// The disk as found after a power cut: of what was not synced, `seed` decides how much is left.
    #[must_use]
    pub fn after_power_cut(&self, seed: u64) -> Self {
        let contents = self.contents.lock();
        let mut dice = Dice(seed);
        let mood = dice.roll(4);
        let mut entries = contents.durable.clone();
        for change in &contents.unsynced {
            let happened = match mood {
                0 => false,
                1 => true,
                _ => dice.roll(2) == 0,
            };
            if happened {
                apply(&mut entries, &change.entries);
            }
        }
        let reachable: BTreeSet<PathBuf> = entries.keys().cloned().collect();
        entries.retain(|path, _| path.ancestors().skip(1).all(|folder| is_root(folder) || reachable.contains(folder)));
        let files = contents.files.iter().map(|file| file.after_power_cut(&mut dice)).collect();
        let contents = Contents { durable: entries.clone(), entries, files, ..Contents::default() };
        Self { contents: Arc::new(Mutex::new(contents)), ..Self::default() }
    }

    /// Flips one bit of a file, as a bad disk would.
    pub fn flip_bit(&self, path: &Path, byte: usize) {
        let mut contents = self.contents.lock();
        if let Some(Entry::File(file)) = contents.entries.get(path).copied()
            && let Some(byte) = contents.files[file].bytes.get_mut(byte)
        {
            *byte ^= 1;
        }
    }

    /// Counts the operation and asks the plan.
    fn ask(&self, operation: Operation, path: &Path) -> io::Result<Verdict> {
        let number = {
            let mut contents = self.contents.lock();
            if contents.off {
                return Err(io::Error::other("the power is off"));
            }
            contents.operations += 1;
            self.counted.notify_all();
            contents.operations
        };
        let fault = self.plan.lock().as_mut().and_then(|plan| plan(number, operation, path));
        match fault {
            None => Ok(Verdict::Go),
            Some(Fault::Error(kind)) => Err(io::Error::new(kind, "injected")),
            Some(Fault::Torn(kind)) => Ok(Verdict::Torn(kind)),
            Some(Fault::Lost) => Ok(Verdict::Lost),
            Some(Fault::Delayed(others)) => {
                let is_early = |contents: &mut Contents| contents.operations < number + others && !contents.off;
                self.counted.wait_while_for(&mut self.contents.lock(), is_early, DELAY_MAX);
                Ok(Verdict::Go)
            }
            Some(Fault::PowerCut) => {
                self.contents.lock().off = true;
                Err(io::Error::other("the power went off"))
            }
        }
    }

    /// Changes entries of one folder.
    fn change(&self, operation: Operation, entries: Vec<(PathBuf, Option<Entry>)>) -> io::Result<()> {
        let path = entries.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let verdict = self.ask(operation, &path)?;
        let folder = parent(&path).to_path_buf();
        let mut contents = self.contents.lock();
        apply(&mut contents.entries, &entries);
        contents.unsynced.push(Change { folder, entries });
        match verdict {
            Verdict::Torn(kind) => Err(io::Error::new(kind, "injected after the fact")),
            Verdict::Go | Verdict::Lost => Ok(()),
        }
    }

    fn entry(&self, path: &Path) -> Option<Entry> {
        self.contents.lock().entries.get(path).copied()
    }

    fn file(&self, path: &Path) -> io::Result<usize> {
        match self.entry(path) {
            Some(Entry::File(file)) => Ok(file),
            Some(Entry::Folder) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn refuse_taken(&self, path: &Path) -> io::Result<()> {
        if self.entry(path).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let folder = parent(path);
        let there = is_root(folder) || self.entry(folder) == Some(Entry::Folder);
        if there { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

fn is_root(folder: &Path) -> bool {
    folder.parent().is_none() || folder == Path::new(".")
}

fn apply(entries: &mut BTreeMap<PathBuf, Entry>, changes: &[(PathBuf, Option<Entry>)]) {
    for (path, entry) in changes {
        match entry {
            Some(entry) => entries.insert(path.clone(), *entry),
            None => entries.remove(path),
        };
    }
}

impl File {
    fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let mut bytes = self.bytes.clone();
        let unsynced = bytes.len() - self.synced;
        match if self.broken { 0 } else { dice.roll(4) } {
            0 => bytes.truncate(self.synced),
            1 => bytes.truncate(self.synced + dice.roll(unsynced + 1)),
            2 if unsynced > 0 => {
                // The length arrived, a page of the content did not.
                let hole = self.synced + dice.roll(unsynced);
                let end = bytes.len().min(hole + 512);
                bytes[hole..end].fill(0);
            }
            _ => {}
        }
        Self { synced: bytes.len(), bytes, broken: false }
    }
}

/// splitmix64: small, and the same on every machine.
struct Dice(u64);

impl Dice {
    #[expect(clippy::cast_possible_truncation, reason = "below `sides`")]
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % sides.max(1) as u64) as usize
    }
}

#[derive(Debug)]
struct OpenFile {
    disk: FaultyDisk,
    path: PathBuf,
    file: usize,
}

impl Write for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let verdict = self.disk.ask(Operation::Write, &self.path)?;
        let mut contents = self.disk.contents.lock();
        let file = &mut contents.files[self.file].bytes;
        match verdict {
            Verdict::Torn(kind) => {
                file.extend_from_slice(&bytes[..bytes.len() / 2]);
                Err(io::Error::new(kind, "injected half-way"))
            }
            Verdict::Go | Verdict::Lost => {
                file.extend_from_slice(bytes);
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn sync(&mut self) -> io::Result<()> {
        let verdict = self.disk.ask(Operation::Sync, &self.path).inspect_err(|_| {
            self.disk.contents.lock().files[self.file].broken = true;
        })?;
        let mut contents = self.disk.contents.lock();
        let file = &mut contents.files[self.file];
        if !file.broken && !matches!(verdict, Verdict::Lost) {
            file.synced = file.bytes.len();
        }
        match verdict {
            Verdict::Torn(kind) => Err(io::Error::new(kind, "injected after the fact")),
            Verdict::Go | Verdict::Lost => Ok(()),
        }
    }
}

#[derive(Debug)]
struct OpenRead(Bytes);

impl DiskRead for OpenRead {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, offset: u64, length: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(length).filter(|end| *end <= self.0.len());
        end.map(|end| self.0.slice(start..end)).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}

#[derive(Debug)]
struct HeldLock {
    disk: FaultyDisk,
    path: PathBuf,
}

impl DiskLock for HeldLock {}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.disk.contents.lock().locks.remove(&self.path);
    }
}

impl Disk for FaultyDisk {
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.refuse_taken(path)?;
        self.change(Operation::CreateDir, vec![(path.to_path_buf(), Some(Entry::Folder))])
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(is_root(path) || self.entry(path).is_some())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<DirEntry>> {
        if self.entry(folder) != Some(Entry::Folder) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let contents = self.contents.lock();
        let inside = contents.entries.iter().filter(|(path, _)| path.parent() == Some(folder));
        let mut entries: Vec<DirEntry> = inside
            .map(|(path, entry)| DirEntry {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                is_dir: *entry == Entry::Folder,
                bytes: if let Entry::File(file) = entry { contents.files[*file].bytes.len() as u64 } else { 0 },
            })
            .collect();
        entries.sort();
        Ok(entries)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.refuse_taken(path)?;
        let file = {
            let mut contents = self.contents.lock();
            contents.files.push(File::default());
            contents.files.len() - 1
        };
        self.change(Operation::Create, vec![(path.to_path_buf(), Some(Entry::File(file)))])?;
        Ok(Box::new(OpenFile { disk: self.clone(), path: path.to_path_buf(), file }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn DiskRead>> {
        let file = self.file(path)?;
        Ok(Arc::new(OpenRead(Bytes::copy_from_slice(&self.contents.lock().files[file].bytes))))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        self.refuse_taken(to)?;
        self.change(Operation::HardLink, vec![(to.to_path_buf(), Some(Entry::File(file)))])
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = self.file(from)?;
        self.change(Operation::Rename, vec![(to.to_path_buf(), Some(Entry::File(file))), (from.to_path_buf(), None)])
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.file(path)?;
        self.change(Operation::RemoveFile, vec![(path.to_path_buf(), None)])
    }

    fn sync_dir(&self, folder: &Path) -> io::Result<()> {
        let verdict = self.ask(Operation::SyncDir, folder)?;
        let mut contents = self.contents.lock();
        if !matches!(verdict, Verdict::Lost) {
            let unsynced = std::mem::take(&mut contents.unsynced);
            let (now, later): (Vec<Change>, Vec<Change>) =
                unsynced.into_iter().partition(|change| change.folder == folder);
            contents.unsynced = later;
            now.iter().for_each(|change| apply(&mut contents.durable, &change.entries));
        }
        match verdict {
            Verdict::Torn(kind) => Err(io::Error::new(kind, "injected after the fact")),
            Verdict::Go | Verdict::Lost => Ok(()),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        if !self.contents.lock().locks.insert(path.to_path_buf()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(HeldLock { disk: self.clone(), path: path.to_path_buf() }))
    }

    /// One process at a time, readers included: nothing simulated here needs more.
    fn lock_shared(&self, path: &Path) -> io::Result<Option<Box<dyn DiskLock>>> {
        self.lock(path).map(Some)
    }
}
