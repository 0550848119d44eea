//! `backup.json`: what a backup consists of, with a checksum of each file and of itself.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    Error,
    disk::{Disk, replace_file},
};

/// Written last: a folder without it is no whole backup.
pub(crate) const MANIFEST_FILE: &str = "backup.json";
/// Version of the manifest that this code writes, and the highest it reads.
const FORMAT: u64 = 1;

/// What a backup consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout.
    pub format: u64,
    /// Version of the program that wrote it.
    pub version: String,
    /// When the backup was begun (RFC 3339).
    pub created_at: String,
    /// The node's incarnation.
    pub incarnation: String,
    /// Every file, by path.
    pub files: Vec<BackupFile>,
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupFile {
    /// Relative to the folder.
    pub path: String,
    /// Its length.
    pub bytes: u64,
    /// Its CRC32C.
    pub crc32c: u32,
}

/// The file as it is: the manifest's text, and the CRC32C of that text.
#[derive(Debug, Serialize, Deserialize)]
struct Sealed {
    manifest: Box<RawValue>,
    crc32c: u32,
}

impl Manifest {
    pub(super) fn new(created_at: String, incarnation: String, files: Vec<BackupFile>) -> Self {
        Self { format: FORMAT, version: env!("CARGO_PKG_VERSION").to_owned(), created_at, incarnation, files }
    }

    /// Writes it durably.
    pub(super) fn write(&self, disk: &dyn Disk, folder: &Path) -> Result<(), Error> {
        let path = folder.join(MANIFEST_FILE);
        let sealed = serde_json::value::to_raw_value(self).and_then(|manifest| {
            let crc32c = crc32c::crc32c(manifest.get().as_bytes());
            serde_json::to_string(&Sealed { manifest, crc32c })
        });
        let text = sealed.map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?;
        replace_file(disk, &path, text.as_bytes()).map_err(|source| Error::folder("write", &path, source))
    }
}

/// Reads a backup's manifest.
///
/// # Errors
/// When there is none, it is damaged, or of a newer version.
pub(crate) fn read_manifest(disk: &dyn Disk, folder: &Path) -> Result<Manifest, Error> {
    let path = folder.join(MANIFEST_FILE);
    let damaged = |reason: String| Error::Damaged { path: path.clone(), reason };
    let bytes = disk.read(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => {
            damaged("it is missing: this is no backup, or one that was interrupted".to_owned())
        }
        _ => Error::folder("read", &path, source),
    })?;
    let sealed: Sealed = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if crc32c::crc32c(sealed.manifest.get().as_bytes()) != sealed.crc32c {
        return Err(damaged("its checksum is wrong".to_owned()));
    }
    let manifest: Manifest = serde_json::from_str(sealed.manifest.get()).map_err(|error| damaged(error.to_string()))?;
    if manifest.format > FORMAT {
        return Err(Error::NewerFormat { path, version: manifest.format, known: FORMAT });
    }
    Ok(manifest)
}
