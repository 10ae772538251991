//! The key of an installation, and the proof that a server has it.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::RngCore;

const BYTES: usize = 32;
const SHORTEST: usize = 32;
const LONGEST: usize = 256;

/// Random text of 256 bits, for keys, sessions and codes.
pub(crate) fn random_text() -> String {
    let mut bytes = [0; BYTES];
    rand::rng().fill_bytes(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Compares two secrets in a time that tells nothing of where they differ.
pub(crate) fn same(a: &str, b: &str) -> bool {
    // Comparing hashes of BLAKE3 takes the same time for all of them, whatever the lengths of the texts.
    blake3::hash(a.as_bytes()) == blake3::hash(b.as_bytes())
}

/// What opens a server. It prints as `***`.
#[derive(Clone)]
pub struct ServerKey(String);

impl ServerKey {
    /// Makes a new key.
    pub fn generate() -> Self {
        Self(random_text())
    }

    /// Takes a key that somebody chose.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when it is shorter than 32 characters or has others than letters, digits, `-`, `_`.
    pub fn parse(text: &str) -> io::Result<Self> {
        let text = text.trim();
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if (SHORTEST..=LONGEST).contains(&text.len()) && text.chars().all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "a key is 32 to 256 letters, digits, dashes and underscores",
        ))
    }

    /// Reads the key of this file, or makes one there that only this user may read.
    ///
    /// A key that others could read is replaced: it may be known.
    ///
    /// # Errors
    /// Any error of the file system, and those of [`ServerKey::parse`].
    pub fn open_or_create(path: &Path) -> io::Result<Self> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.is_file() => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the key is no plain file",
                ));
            }
            Ok(found) if found.permissions().mode().trailing_zeros() >= 6 => {
                return Self::parse(&std::fs::read_to_string(path)?);
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let key = Self::generate();
        // Written whole under another name, then linked: of two processes one is first, and both use its key.
        let draft = path.with_extension(format!("new-{}", uuid::Uuid::now_v7()));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)?;
        let linked = file
            .write_all(key.0.as_bytes())
            .and_then(|()| file.sync_all())
            .and_then(|()| std::fs::hard_link(&draft, path));
        std::fs::remove_file(&draft)?;
        match linked {
            Ok(()) => Ok(key),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Self::parse(&std::fs::read_to_string(path)?)
            }
            Err(error) => Err(error),
        }
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(crate) fn matches(&self, given: &str) -> bool {
        same(&self.0, given)
    }
}

impl fmt::Debug for ServerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerKey(***)")
    }
}

/// What a server that has the key answers to a nonce.
///
/// `port` is the one the client reached it at: a proof that another process fetched from the real server at its own port
/// does not fit. Keyed BLAKE3 under a key derived for this purpose alone, in hexadecimal.
pub fn prove(key: &ServerKey, nonce: &str, port: u16) -> String {
    let derived = blake3::derive_key("bashgym 2026-11 server proof", key.0.as_bytes());
    let mut hasher = blake3::Hasher::new_keyed(&derived);
    hasher.update(&port.to_be_bytes());
    hasher.update(nonce.as_bytes());
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{ServerKey, prove};

    #[test]
    fn the_key_is_made_once_and_only_this_user_may_read_it() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("server.key");
        let key = ServerKey::open_or_create(&file).unwrap();
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(ServerKey::open_or_create(&file).unwrap().expose(), key.expose());
        assert!(key.expose().len() >= 43);
        assert!(!format!("{key:?}").contains(key.expose()));
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_key_that_others_could_read_is_replaced() {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("server.key");
        let key = ServerKey::open_or_create(&file).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_ne!(ServerKey::open_or_create(&file).unwrap().expose(), key.expose());
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }

    #[test]
    fn only_the_very_key_matches() {
        let key = ServerKey::parse("abcdefghijklmnopqrstuvwxyz0123456789").unwrap();
        assert!(key.matches("abcdefghijklmnopqrstuvwxyz0123456789"));
        for wrong in [
            "",
            "abcdefghijklmnopqrstuvwxyz012345678",
            "Abcdefghijklmnopqrstuvwxyz0123456789",
        ] {
            assert!(!key.matches(wrong), "{wrong}");
        }
        assert!(ServerKey::parse("short").is_err());
    }

    #[test]
    fn a_proof_fits_one_nonce_one_port_and_one_key() {
        let key = ServerKey::generate();
        let proof = prove(&key, "nonce", 4000);
        assert_eq!(proof, prove(&key, "nonce", 4000));
        assert_ne!(proof, prove(&key, "nonce", 4001));
        assert_ne!(proof, prove(&key, "other", 4000));
        assert_ne!(proof, prove(&ServerKey::generate(), "nonce", 4000));
        assert!(!proof.contains(key.expose()));
    }
}
