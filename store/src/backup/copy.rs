//! Copying files one by one, with their checksums.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{
    OnProgress, Summary,
    manifest::BackupFile,
    plan::{Part, Take},
};
use crate::{
    Error,
    disk::{Disk, DiskRead, create_dirs, parent},
    verify::{Progress, checksum},
};

/// Bytes copied at once.
const PIECE_BYTES: u64 = 1 << 20;

/// Copies below one folder to below another.
pub(super) struct Copier<'a> {
    disk: &'a dyn Disk,
    from: &'a Path,
    to: &'a Path,
    on_progress: OnProgress<'a>,
    progress: Progress,
    files: Vec<BackupFile>,
    linked: u64,
    touched: BTreeSet<PathBuf>,
}

impl<'a> Copier<'a> {
    pub(super) fn new(
        disk: &'a dyn Disk,
        from: &'a Path,
        to: &'a Path,
        total: u64,
        on_progress: OnProgress<'a>,
    ) -> Self {
        let progress = Progress { done: 0, total };
        Self { disk, from, to, on_progress, progress, files: Vec::new(), linked: 0, touched: BTreeSet::new() }
    }

    /// Makes folders.
    pub(super) fn folders(&mut self, folders: &[PathBuf]) -> Result<(), Error> {
        for folder in folders {
            let path = self.to.join(folder);
            create_dirs(self.disk, self.to, &path).map_err(|source| Error::folder("create", &path, source))?;
        }
        Ok(())
    }

    /// Copies one file, or gives it a second name.
    pub(super) fn part(&mut self, part: &Part) -> Result<BackupFile, Error> {
        let (source, target) = (self.from.join(&part.path), self.to.join(&part.path));
        let folder = parent(&target).to_path_buf();
        if !self.touched.contains(&folder) {
            create_dirs(self.disk, self.to, &folder).map_err(|error| Error::folder("create", &folder, error))?;
            self.touched.insert(folder);
        }
        let linked = part.take == Take::Link && self.disk.hard_link(&source, &target).is_ok();
        let copied = if linked { checksum(self.disk, &target) } else { self.copy(&source, &target, part) };
        let (bytes, crc32c) = copied.map_err(|error| Error::folder("copy", &source, error))?;
        if bytes != part.bytes && part.take != Take::Newest {
            let reason = format!("it has {bytes} bytes instead of {}: run `yellowline verify`", part.bytes);
            return Err(Error::Damaged { path: source, reason });
        }
        self.linked += u64::from(linked);
        self.progress.done += bytes;
        let file = BackupFile { path: part.path.display().to_string(), bytes, crc32c };
        self.files.push(file.clone());
        if (self.on_progress)(self.progress).is_break() {
            return Err(Error::Interrupted { path: self.to.to_path_buf() });
        }
        Ok(file)
    }

    fn copy(&self, source: &Path, target: &Path, part: &Part) -> io::Result<(u64, u32)> {
        let file = self.disk.open(source)?;
        let mut out = if source.file_name().is_some_and(|name| name == "keys.json") {
            self.disk.create_private(target)?
        } else {
            self.disk.create(target)?
        };
        let (mut at, mut crc32c, end) =
            (0, 0, if part.take == Take::Start { part.bytes.min(file.len()) } else { file.len() });
        while at < end {
            let piece = piece(&*file, at, end)?;
            out.write_all(&piece)?;
            crc32c = crc32c::crc32c_append(crc32c, &piece);
            at += piece.len() as u64;
        }
        out.sync()?;
        Ok((at, crc32c))
    }

    /// Makes the folders durable; what was copied.
    pub(super) fn finish(self) -> Result<(Vec<BackupFile>, Summary), Error> {
        for folder in self.touched.iter().map(PathBuf::as_path).chain([self.to]) {
            self.disk.sync_dir(folder).map_err(|source| Error::folder("sync", folder, source))?;
        }
        let summary = Summary { files: self.files.len() as u64, linked: self.linked, bytes: self.progress.done };
        Ok((self.files, summary))
    }
}

fn piece(file: &dyn DiskRead, at: u64, end: u64) -> io::Result<bytes::Bytes> {
    file.read_at(at, usize::try_from((end - at).min(PIECE_BYTES)).unwrap_or(usize::MAX))
}
