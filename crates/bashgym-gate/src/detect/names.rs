//! What is looked for because somebody said so: known secrets, denied values, and the user names of paths.

use std::collections::{BTreeSet, HashSet};

use aho_corasick::{AhoCorasick, MatchKind};

use super::{Finding, RANK_KNOWN, RANK_PERSONAL};
use crate::review::{Policy, Verdict};

/// Account names that name no person; as a plain word they mean something else.
const COMMON_NAMES: &[&str] = &[
    "admin",
    "app",
    "build",
    "builder",
    "circleci",
    "code",
    "coder",
    "dev",
    "developer",
    "docker",
    "git",
    "guest",
    "home",
    "jenkins",
    "local",
    "main",
    "name",
    "node",
    "project",
    "projects",
    "python",
    "root",
    "runner",
    "rust",
    "sandbox",
    "server",
    "shared",
    "src",
    "test",
    "tests",
    "tmp",
    "ubuntu",
    "user",
    "username",
    "users",
    "vagrant",
    "vscode",
    "work",
    "workspace",
    "you",
    "your",
];
/// The most names that are learned.
const MOST_NAMES: usize = 1_000;
/// The shortest known secret that is looked for; a shorter one would be found in ordinary words.
pub(crate) const SHORTEST_KNOWN: usize = 6;

/// Values to look for, and those to leave alone.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    users: BTreeSet<String>,
    user_words: Option<AhoCorasick>,
    known: Vec<Vec<u8>>,
    known_words: Option<AhoCorasick>,
    pub(crate) policy: Policy,
    denied_lengths: HashSet<usize>,
}

impl Names {
    pub(crate) fn set_policy(&mut self, policy: Policy) {
        self.denied_lengths = policy.denied_lengths();
        self.policy = policy;
    }

    /// Adds secrets this process knows.
    pub(crate) fn add_known<'s>(&mut self, secrets: impl IntoIterator<Item = &'s str>) {
        for secret in secrets {
            let secret = secret.trim();
            if secret.len() >= SHORTEST_KNOWN && !self.known.iter().any(|known| known == secret.as_bytes()) {
                self.known.push(secret.as_bytes().to_vec());
            }
        }
        self.known_words = build(&self.known);
    }

    /// Learns a user name, so that it is found outside of paths too.
    pub(crate) fn learn(&mut self, name: &str) {
        let personal = name.len() >= 3
            && !crate::replace::is_user_placeholder(name)
            && !COMMON_NAMES.contains(&name.to_ascii_lowercase().as_str());
        if personal && self.users.len() < MOST_NAMES && self.users.insert(name.to_owned()) {
            let names: Vec<&String> = self.users.iter().collect();
            self.user_words = build(&names);
        }
    }

    /// How many user names were learned so far.
    pub(crate) fn learned(&self) -> usize {
        self.users.len()
    }

    pub(super) fn is_allowed(&self, found: &Finding) -> bool {
        found.rank != RANK_KNOWN
            && !self.policy.is_empty()
            && self.policy.verdict(&found.value) == Some(Verdict::Allow)
    }

    pub(super) fn find(&self, text: &[u8], textual: bool, out: &mut Vec<Finding>) {
        if let Some(words) = &self.known_words {
            for hit in words.find_iter(text) {
                let value = &text[hit.range()];
                out.push(Finding::plain(
                    hit.start(),
                    hit.end(),
                    "known_secret",
                    RANK_KNOWN,
                    value,
                ));
            }
        }
        if !textual {
            return;
        }
        if let Some(words) = &self.user_words {
            for hit in words.find_iter(text) {
                let before = hit.start() == 0 || !is_word(text[hit.start() - 1]) || {
                    // A line break in JSON, written with two letters.
                    hit.start() >= 2 && text[hit.start() - 2] == b'\\'
                };
                let behind = text.get(hit.end()).is_none_or(|byte| !is_word(*byte));
                if before && behind {
                    let value = &text[hit.range()];
                    out.push(Finding::plain(
                        hit.start(),
                        hit.end(),
                        "user_name",
                        RANK_PERSONAL,
                        value,
                    ));
                }
            }
        }
        if !self.denied_lengths.is_empty() {
            self.find_denied(text, out);
        }
    }

    fn find_denied(&self, text: &[u8], out: &mut Vec<Finding>) {
        let mut start = None;
        for at in 0..=text.len() {
            let inside = text.get(at).is_some_and(|byte| {
                byte.is_ascii_graphic()
                    && !matches!(
                        byte,
                        b'"' | b'\'' | b'\\' | b',' | b';' | b'<' | b'>' | b'(' | b')'
                    )
            });
            match (inside, start) {
                (true, None) => start = Some(at),
                (false, Some(from)) => {
                    start = None;
                    // A word may stand behind a name or an operator.
                    let word = &text[from..at];
                    let cuts = word
                        .iter()
                        .enumerate()
                        .filter(|(_, byte)| matches!(byte, b'=' | b':' | b'/' | b'@'))
                        .map(|(cut, _)| cut + 1);
                    for cut in std::iter::once(0).chain(cuts) {
                        let part = &word[cut..];
                        if self.denied_lengths.contains(&part.len())
                            && self.policy.verdict(part) == Some(Verdict::Deny)
                        {
                            out.push(Finding::plain(from + cut, at, "denied", RANK_KNOWN, part));
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

fn build<P: AsRef<[u8]>>(words: &[P]) -> Option<AhoCorasick> {
    if words.is_empty() {
        return None;
    }
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(words)
        .ok()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
