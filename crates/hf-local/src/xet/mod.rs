//! Large files over Xet: the content-addressed storage (CAS) that Hub clients talk to, and its store on disk.
//!
//! A file uploaded over Xet is a list of *terms*; each names a range of chunks in a *xorb*, a pack of up to 64 MiB of
//! compressed chunks. A *shard* is what registers files: the client uploads the xorbs first, the shard last.
//!
//! - [`XetStore`] keeps xorbs as files and everything else in one SQLite index.
//! - [`router`] serves the CAS routes; they belong on the payload origin.
//! - [`XetStore::issue_token`] makes what the Hub's `xet-read-token` and `xet-write-token` routes answer.
//! - [`XetStore::lookup_sha256`] and [`XetStore::stream_file`] let the rest of the Hub treat such a file as any other.
//!
//! Nothing a client says is believed: chunks are hashed when a xorb arrives; a shard is checked against the xorbs that
//! are there; the SHA-256 a shard claims is computed before it can be looked up.

pub(crate) mod hub;
mod index;
mod reader;
mod reconstruction;
mod routes;
mod shard;
mod store;
mod token;
mod wire;
mod xorb;

use std::fmt;
use std::str::FromStr;

use xet_core_structures::merklehash::MerkleHash;

pub use routes::router;
pub(crate) use routes::routes;
pub use store::XetStore;
pub use token::{XetScope, XetToken};

/// A hash in Xet's own notation: of a file, a xorb or a chunk.
///
/// # Shape
///
/// 64 hexadecimal digits: four words of eight bytes, each printed as a little-endian number. It is not the plain hex
/// of the bytes.
///
/// # Source
///
/// xet-core 1.8.0 `merklehash/data_hash.rs`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct XetHash([u8; 32]);

impl XetHash {
    /// Returns the bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(in crate::xet) fn merkle(&self) -> MerkleHash {
        MerkleHash::from(self.0)
    }
}

impl From<[u8; 32]> for XetHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl From<MerkleHash> for XetHash {
    fn from(hash: MerkleHash) -> Self {
        Self(hash.into())
    }
}

impl fmt::Display for XetHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for word in self.0.chunks_exact(8) {
            for byte in word.iter().rev() {
                write!(formatter, "{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for XetHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "XetHash({self})")
    }
}

impl FromStr for XetHash {
    type Err = XetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        MerkleHash::from_hex(text)
            .map(Self::from)
            .map_err(|_| XetError::Rejected {
                reason: "a xet hash is 64 hexadecimal digits".to_owned(),
            })
    }
}

/// A file the store can rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct XetFile {
    /// What clients ask the CAS for.
    pub hash: XetHash,
    /// Length of the whole file, in bytes.
    pub size: u64,
}

/// What can go wrong in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum XetError {
    /// A file of the store could not be read or written.
    #[error("the xet store could not {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The index could not be read or written.
    #[error("the index of the xet store could not be read or written")]
    Index(#[from] sqlx::Error),
    /// A file on disk is not what the store wrote.
    #[error("the xet store is damaged: {what}")]
    Damaged {
        /// Which object, and what is wrong with it.
        what: String,
    },
    /// No file or xorb has this hash.
    #[error("{what} {hash} is not in the store")]
    NotFound {
        /// `file` or `xorb`.
        what: &'static str,
        /// What was asked for.
        hash: XetHash,
    },
    /// The range starts past the end.
    #[error("the range starts past the end of a file of {size} bytes")]
    RangeNotSatisfiable {
        /// Length of the file, in bytes.
        size: u64,
    },
    /// The client sent something that is not what it claims to be.
    #[error("{reason}")]
    Rejected {
        /// What is wrong with it.
        reason: String,
    },
}

impl XetError {
    pub(in crate::xet) fn io(action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, source }
    }

    pub(in crate::xet) fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected {
            reason: reason.into(),
        }
    }
}

pub(in crate::xet) type Result<T, E = XetError> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_prints_as_the_official_client_prints_it() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        let hash = XetHash::from(bytes);
        assert_eq!(
            hash.to_string(),
            "07060504030201000f0e0d0c0b0a090817161514131211101f1e1d1c1b1a1918"
        );
        assert_eq!(hash.to_string(), hash.merkle().hex());
        assert_eq!(hash.to_string().parse::<XetHash>().unwrap(), hash);
    }

    #[test]
    fn a_text_that_is_no_hash_is_refused() {
        for text in ["", "07", &"g".repeat(64), &"0".repeat(65)] {
            assert!(
                matches!(text.parse::<XetHash>(), Err(XetError::Rejected { .. })),
                "{text:?}"
            );
        }
    }
}
