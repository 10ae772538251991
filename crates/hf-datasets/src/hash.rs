//! The two hashes of a repository: a file's SHA-256 (large files) and git's blob id (small ones).

use std::io::Read;
use std::path::Path;

use hf_core::HfError;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

use crate::io_error;

/// How many bytes are read at a time.
const BLOCK: usize = 256 * 1024;
/// How many bytes of a file the Hub wants to see before it chooses how to store it.
pub(crate) const SAMPLE: usize = 512;

/// The hash a file's content is known by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ContentId {
    /// SHA-256 of the content, in hex: a file stored as a large object.
    Sha256(String),
    /// Git's blob id, in hex: a file stored in git itself.
    GitBlob(String),
}

impl ContentId {
    /// Recognises an id by its form: 64 hex digits, or 40.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        match text.len() {
            64 => Some(Self::Sha256(text.to_ascii_lowercase())),
            40 => Some(Self::GitBlob(text.to_ascii_lowercase())),
            _ => None,
        }
    }

    /// The id in hex.
    pub(crate) fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::GitBlob(hex) => hex,
        }
    }
}

/// Computes one of the two hashes piece by piece.
pub(crate) enum ContentHasher {
    Sha256(Box<Sha256>),
    GitBlob(Box<Sha1>),
}

impl ContentHasher {
    /// Starts the hash that `id` is of. Git's needs the length first.
    pub(crate) fn like(id: &ContentId, length: u64) -> Self {
        match id {
            ContentId::Sha256(_) => Self::sha256(),
            ContentId::GitBlob(_) => Self::git_blob(length),
        }
    }

    pub(crate) fn sha256() -> Self {
        Self::Sha256(Box::new(Sha256::new()))
    }

    pub(crate) fn git_blob(length: u64) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(format!("blob {length}\0").as_bytes());
        Self::GitBlob(Box::new(hasher))
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::GitBlob(hasher) => hasher.update(bytes),
        }
    }

    pub(crate) fn finish(self) -> ContentId {
        match self {
            Self::Sha256(hasher) => ContentId::Sha256(hex::encode(hasher.finalize())),
            Self::GitBlob(hasher) => ContentId::GitBlob(hex::encode(hasher.finalize())),
        }
    }
}

/// Returns git's blob id of bytes in memory.
#[cfg(test)]
pub(crate) fn git_blob_id(bytes: &[u8]) -> String {
    let mut hasher = ContentHasher::git_blob(bytes.len() as u64);
    hasher.update(bytes);
    hasher.finish().hex().to_owned()
}

/// Reads up to `limit` bytes of `file` into `hasher`; returns how many there were.
///
/// `keep_going` is asked between blocks, so that a caller who went away stops the reading.
pub(crate) fn feed(
    file: &mut impl Read,
    hasher: &mut ContentHasher,
    limit: u64,
    mut keep_going: impl FnMut(usize) -> bool,
) -> std::io::Result<u64> {
    let mut block = vec![0_u8; BLOCK.min(usize::try_from(limit).unwrap_or(BLOCK)).max(1)];
    let mut total = 0;
    let mut file = file.take(limit);
    loop {
        let read = match file.read(&mut block) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if read == 0 {
            return Ok(total);
        }
        hasher.update(&block[..read]);
        total += read as u64;
        if !keep_going(read) {
            return Err(std::io::Error::other("the reader was told to stop"));
        }
    }
}

/// Says whether the file at `path` has this length and this hash.
pub(crate) fn file_matches(path: &Path, id: &ContentId, length: u64) -> Result<bool, HfError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error("look at", path, error)),
    };
    if !metadata.is_file() || metadata.len() != length {
        return Ok(false);
    }
    let mut file = std::fs::File::open(path).map_err(|error| io_error("open", path, error))?;
    let mut hasher = ContentHasher::like(id, length);
    feed(&mut file, &mut hasher, u64::MAX, |_| true).map_err(|error| io_error("read", path, error))?;
    Ok(hasher.finish() == *id)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_values() {
        // `git hash-object` of an empty file and of "hello\n".
        assert_eq!(git_blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(
            git_blob_id(b"hello\n"),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        let mut hasher = ContentHasher::sha256();
        hasher.update(b"abc");
        assert_eq!(
            hasher.finish().hex(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn ids_are_told_by_their_form() {
        assert!(matches!(
            ContentId::parse(&"a".repeat(64)),
            Some(ContentId::Sha256(_))
        ));
        assert!(
            matches!(ContentId::parse(&"A".repeat(40)), Some(ContentId::GitBlob(hex)) if hex == "a".repeat(40))
        );
        for other in ["", "abc", &"*".repeat(64), &"g".repeat(40)] {
            assert!(ContentId::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_file_is_compared_by_length_and_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        std::fs::write(&path, "hello\n").unwrap();
        let id = ContentId::GitBlob(git_blob_id(b"hello\n"));
        assert!(file_matches(&path, &id, 6).unwrap());
        assert!(!file_matches(&path, &id, 7).unwrap());
        assert!(!file_matches(&folder.path().join("other"), &id, 6).unwrap());
        std::fs::write(&path, "hellO\n").unwrap();
        assert!(!file_matches(&path, &id, 6).unwrap());
    }

    proptest! {
        #[test]
        fn pieces_make_the_same_hash(bytes in proptest::collection::vec(any::<u8>(), 0..2000), cut in 0_usize..2000) {
            let cut = cut.min(bytes.len());
            for mut hasher in [ContentHasher::sha256(), ContentHasher::git_blob(bytes.len() as u64)] {
                let whole = {
                    let mut one = match &hasher {
                        ContentHasher::Sha256(_) => ContentHasher::sha256(),
                        ContentHasher::GitBlob(_) => ContentHasher::git_blob(bytes.len() as u64),
                    };
                    one.update(&bytes);
                    one.finish()
                };
                hasher.update(&bytes[..cut]);
                let mut rest = &bytes[cut..];
                let read = feed(&mut rest, &mut hasher, u64::MAX, |_| true).unwrap();
                prop_assert_eq!(read, (bytes.len() - cut) as u64);
                prop_assert_eq!(hasher.finish(), whole);
            }
        }
    }
}
