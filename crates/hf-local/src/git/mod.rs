//! Git objects as git itself writes and names them.

mod attributes;
mod pointer;
mod tree;

use std::fmt;
use std::str::FromStr;

use sha1::{Digest, Sha1};

pub(crate) use attributes::{Attributes, DATASET_ATTRIBUTES, MODEL_ATTRIBUTES, fits};
pub(crate) use pointer::{Pointer, is_sha256};
pub(crate) use tree::{Entry, Mode, Tree};

/// The name of a git object.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Oid([u8; 20]);

impl Oid {
    /// Names an object of a kind (`blob`, `tree`, `commit`).
    pub(crate) fn of(kind: &str, body: &[u8]) -> Self {
        let mut hasher = Sha1::new();
        hasher.update(kind.as_bytes());
        hasher.update(b" ");
        hasher.update(body.len().to_string().as_bytes());
        hasher.update(b"\0");
        hasher.update(body);
        Self(hasher.finalize().into())
    }

    /// Names a blob.
    pub(crate) fn of_blob(body: &[u8]) -> Self {
        Self::of("blob", body)
    }
}

impl fmt::Display for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Oid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not 40 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("not the name of a git object")]
pub(crate) struct NotAnOid;

impl FromStr for Oid {
    type Err = NotAnOid;

    fn from_str(text: &str) -> Result<Self, NotAnOid> {
        let mut bytes = [0; 20];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| NotAnOid)?;
        Ok(Self(bytes))
    }
}

impl serde::Serialize for Oid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What a commit object is made of.
#[derive(Debug)]
pub(crate) struct CommitObject<'a> {
    pub(crate) tree: Oid,
    pub(crate) parent: Option<Oid>,
    pub(crate) author: &'a str,
    pub(crate) seconds: i64,
    pub(crate) title: &'a str,
    pub(crate) message: &'a str,
}

impl CommitObject<'_> {
    /// Names the commit.
    pub(crate) fn oid(&self) -> Oid {
        let Self {
            tree,
            parent,
            author,
            seconds,
            title,
            message,
        } = self;
        let parent = parent.map_or_else(String::new, |parent| format!("parent {parent}\n"));
        let who = format!("{author} <{author}@users.noreply.huggingface.co> {seconds} +0000");
        let gap = if message.is_empty() { "" } else { "\n\n" };
        let body = format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\n{title}{gap}{message}");
        Oid::of("commit", body.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_named_as_git_names_them() {
        // `git hash-object`, `git hash-object -t tree /dev/null`
        assert_eq!(
            Oid::of_blob(b"").to_string(),
            "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
        );
        assert_eq!(
            Oid::of_blob(b"hello\n").to_string(),
            "ce013625030ba8dba906f756967f9e9ca394464a"
        );
        assert_eq!(
            Tree::default().oid().to_string(),
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
    }
}
