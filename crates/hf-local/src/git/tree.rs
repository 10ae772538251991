//! Git trees.

use std::cmp::Ordering;

use super::Oid;

/// What an entry of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    File,
    Directory,
}

impl Mode {
    fn octal(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Directory => "40000",
        }
    }
}

/// A file or folder in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) mode: Mode,
    pub(crate) oid: Oid,
}

impl Entry {
    pub(crate) fn is_dir(&self) -> bool {
        self.mode == Mode::Directory
    }
}

/// The entries of one folder, in git's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    entries: Vec<Entry>,
}

/// Git sorts folders as if their names ended in a slash.
fn git_order(a: (&str, Mode), b: (&str, Mode)) -> Ordering {
    fn key((name, mode): (&str, Mode)) -> impl Iterator<Item = u8> + '_ {
        name.bytes().chain((mode == Mode::Directory).then_some(b'/'))
    }
    key(a).cmp(key(b))
}

impl Tree {
    /// Sorts entries into a tree. Names have to be different.
    pub(crate) fn new(mut entries: Vec<Entry>) -> Self {
        entries.sort_by(|a, b| git_order((&a.name, a.mode), (&b.name, b.mode)));
        Self { entries }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Finds an entry by its name.
    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        [Mode::File, Mode::Directory].into_iter().find_map(|mode| {
            let at = self
                .entries
                .binary_search_by(|e| git_order((&e.name, e.mode), (name, mode)))
                .ok()?;
            self.entries.get(at)
        })
    }

    /// Writes the tree as git does.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(self.entries.len() * 48);
        for entry in &self.entries {
            body.extend_from_slice(entry.mode.octal().as_bytes());
            body.push(b' ');
            body.extend_from_slice(entry.name.as_bytes());
            body.push(0);
            body.extend_from_slice(&entry.oid.0);
        }
        body
    }

    /// Reads a tree written by [`Tree::encode`].
    pub(crate) fn decode(mut body: &[u8]) -> Option<Self> {
        let mut entries = Vec::new();
        while !body.is_empty() {
            let space = body.iter().position(|b| *b == b' ')?;
            let mode = match body.get(..space)? {
                b"100644" => Mode::File,
                b"40000" => Mode::Directory,
                _ => return None,
            };
            body = body.get(space + 1..)?;
            let end = body.iter().position(|b| *b == 0)?;
            let name = str::from_utf8(body.get(..end)?).ok()?.to_owned();
            let oid = Oid(body.get(end + 1..end + 21)?.try_into().ok()?);
            body = body.get(end + 21..)?;
            entries.push(Entry { name, mode, oid });
        }
        Some(Self { entries })
    }

    /// Names the tree.
    #[cfg(test)]
    pub(crate) fn oid(&self) -> Oid {
        Oid::of("tree", &self.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_sort_as_if_they_ended_in_a_slash() {
        let oid = Oid::of_blob(b"");
        let entry = |name: &str, mode| Entry {
            name: name.to_owned(),
            mode,
            oid,
        };
        let tree = Tree::new(vec![
            entry("a0", Mode::File),
            entry("a", Mode::Directory),
            entry("a.b", Mode::File),
            entry("a-b", Mode::File),
        ]);
        let names: Vec<_> = tree.entries().iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["a-b", "a.b", "a", "a0"]);
        assert!(tree.get("a").is_some_and(Entry::is_dir));
        assert!(tree.get("a.b").is_some() && tree.get("b").is_none());
        assert_eq!(Tree::decode(&tree.encode()), Some(tree));
    }
}
