//! Where names led lately. Every write to repos makes all of it stale.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::model::{Repo, RepoId};
use super::refs::Commit;

const MAX_NAMES: usize = 4096;

/// Repos by name and commits by revision, as they were since the last write.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    writes: AtomicU64,
    names: Mutex<Names>,
}

#[derive(Debug, Default)]
struct Names {
    /// The number of writes these belong to.
    writes: u64,
    repos: HashMap<RepoId, Repo>,
    commits: HashMap<(i64, String), Commit>,
}

impl Seen {
    /// Tells that repos were written.
    pub(super) fn written(&self) {
        self.writes.fetch_add(1, Ordering::AcqRel);
    }

    /// The number of writes so far: read it before the index, give it with what was found there.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Acquire)
    }

    pub(super) fn repo(&self, id: &RepoId) -> Option<Repo> {
        self.fresh(|names| names.repos.get(id).cloned())
    }

    pub(super) fn commit(&self, repo: i64, revision: &str) -> Option<Commit> {
        self.fresh(|names| names.commits.get(&(repo, revision.to_owned())).cloned())
    }

    pub(super) fn keep_repo(&self, writes: u64, id: &RepoId, repo: &Repo) {
        self.keep(writes, |names| {
            names.repos.insert(id.clone(), repo.clone());
        });
    }

    pub(super) fn keep_commit(&self, writes: u64, repo: i64, revision: &str, commit: &Commit) {
        self.keep(writes, |names| {
            names.commits.insert((repo, revision.to_owned()), commit.clone());
        });
    }

    fn fresh<T>(&self, find: impl FnOnce(&Names) -> Option<T>) -> Option<T> {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.writes == self.writes() {
            find(&names)
        } else {
            None
        }
    }

    fn keep(&self, writes: u64, insert: impl FnOnce(&mut Names)) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.writes();
        // What was read before the last write may be what that write changed.
        if writes != now {
            return;
        }
        let full = names.repos.len() + names.commits.len() >= MAX_NAMES;
        if names.writes != now || full {
            *names = Names {
                writes: now,
                ..Names::default()
            };
        }
        insert(&mut names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::Oid;

    fn commit(title: &str) -> Commit {
        let oid = Oid::of_blob(title.as_bytes());
        let text = String::new;
        Commit {
            oid,
            tree: oid,
            parent: None,
            depth: 1,
            author: text(),
            title: title.to_owned(),
            message: text(),
            at_ms: 0,
        }
    }

    #[test]
    fn a_write_makes_what_was_seen_stale() {
        let seen = Seen::default();
        seen.keep_commit(seen.writes(), 1, "main", &commit("old"));
        assert_eq!(
            seen.commit(1, "main").map(|found| found.title),
            Some("old".to_owned())
        );
        let before = seen.writes();
        seen.written();
        assert!(seen.commit(1, "main").is_none());
        // A reader that began before the write and ends after it.
        seen.keep_commit(before, 1, "main", &commit("old"));
        assert!(seen.commit(1, "main").is_none());
        seen.keep_commit(seen.writes(), 1, "main", &commit("new"));
        assert_eq!(
            seen.commit(1, "main").map(|found| found.title),
            Some("new".to_owned())
        );
    }
}
