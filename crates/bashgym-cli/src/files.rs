//! Files of the home folder.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{CliError, io_error};

/// The list of the sessions that were imported, in the home folder.
pub(crate) const SESSION_INDEX: &str = "sessions.json";
/// The folder of the home folder that keeps the originals of sessions.
pub(crate) const SESSION_ARCHIVE: &str = "archive";

/// Writes a file whole or not at all; only this user may read it.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), CliError> {
    let mut half = path.as_os_str().to_owned();
    half.push(".new");
    let half = PathBuf::from(half);
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    };
    write().map_err(|error| io_error("write", path, error))
}
