//! What this home keeps of a person's choices: `settings.json`. Flags, the environment and the config file win over it.
//!
//! The Hub's address is none of them: the token goes where it says, so no page can change it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{CliError, Kind, io_error};
use crate::files::write_whole;

/// The choices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kept {
    /// The organisation that owns what is made, and pays.
    pub(crate) default_org: Option<String>,
    /// Folders that requests may name paths in, beside the agents' own.
    pub(crate) roots: Vec<PathBuf>,
}

impl Kept {
    /// The file of a home.
    pub(crate) fn file(home: &Path) -> PathBuf {
        home.join("settings.json")
    }

    /// Reads the choices; none were made where there is no file.
    pub(crate) fn read(home: &Path) -> Result<Self, CliError> {
        let path = Self::file(home);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(io_error("read", &path, error)),
        };
        serde_json::from_slice(&bytes).map_err(|error| {
            CliError::new(Kind::Data, format!("{} does not read", path.display()))
                .because(error)
                .hint("mend it, or remove it: the choices are then made anew")
        })
    }

    pub(crate) fn write(&self, home: &Path) -> Result<(), CliError> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| CliError::new(Kind::Internal, "the settings are no JSON").because(error))?;
        write_whole(&Self::file(home), &text)
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;

    #[test]
    fn choices_are_kept_and_a_broken_file_is_told() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(Kept::read(home.path()).unwrap(), Kept::default());
        let kept = Kept {
            default_org: Some("lab".to_owned()),
            roots: vec!["/logs".into()],
        };
        kept.write(home.path()).unwrap();
        assert_eq!(Kept::read(home.path()).unwrap(), kept);
        std::fs::write(Kept::file(home.path()), "{").unwrap();
        assert!(Kept::read(home.path()).is_err());
    }
}
