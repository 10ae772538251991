//! Replaces what the gate finds. The same value gets the same placeholder wherever and however it is written.

mod key;
mod log;
mod strings;

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

pub use self::key::GateKey;
pub(crate) use self::key::{is_placeholder_start, is_user_placeholder};
pub use self::log::LogCounts;
use crate::detect::{Change, Detector, Finding, Names, Seen, encode_form};
use crate::review::Policy;
use crate::rules::{GITLEAKS_VERSION, RulesError};

/// How often a text is gone over at most.
const MOST_PASSES: usize = 4;

/// How thoroughly a dataset was cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateStatus {
    /// Known token formats, secret-looking assignments, e-mail addresses and home paths were replaced. Older versions wrote this.
    Basic,
    /// All rules of the gate, behind escapes, base64, hex and percent signs too.
    Full,
}

/// What the gate replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// How thorough the pass was.
    pub status: GateStatus,
    /// Kinds of findings the pass looks for.
    pub covered: Vec<String>,
    /// Replacements, by kind.
    pub replaced: BTreeMap<String, u64>,
    /// Different values behind the replacements, by kind.
    pub distinct: BTreeMap<String, u64>,
    /// The rule sets in use, with their versions.
    #[serde(default)]
    pub rule_sets: Vec<String>,
}

/// Replaces secrets and personal data; the same value gets the same placeholder under the same key.
#[derive(Debug, Clone)]
pub struct Gate {
    detector: &'static Detector,
    names: Names,
    key: GateKey,
    /// The kind a value was first found as: `HF_TOKEN=hf_…` and a bare `hf_…` are one secret.
    kinds: HashMap<[u8; 32], &'static str>,
    /// What was seen in the text that is being cleaned; kept for its memory.
    seen: Seen,
    replaced: BTreeMap<String, u64>,
    distinct: BTreeMap<String, u64>,
    /// Hash over everything besides the rules that decides what is replaced.
    settings: [u8; 32],
}

/// A text with placeholders, and where they are.
struct Spliced {
    text: String,
    changes: Vec<Change>,
}

impl Gate {
    /// Creates a gate with all rules.
    ///
    /// # Errors
    ///
    /// [`RulesError`] if the rules cannot be read; nothing may pass then.
    pub fn new(key: GateKey) -> Result<Self, RulesError> {
        Ok(Self {
            detector: Detector::shipped()?,
            names: Names::default(),
            settings: key.hash("settings", b""),
            key,
            kinds: HashMap::new(),
            seen: Seen::default(),
            replaced: BTreeMap::new(),
            distinct: BTreeMap::new(),
        })
    }

    /// Adds what was decided in earlier reviews.
    #[must_use]
    pub fn with_policy(mut self, policy: Policy) -> Self {
        self.note_setting(policy.digest().as_bytes());
        self.names.set_policy(policy);
        self
    }

    /// Adds secrets this process knows: they are found wherever they stand, whatever they look like.
    #[must_use]
    pub fn with_known<'s>(mut self, secrets: impl IntoIterator<Item = &'s str>) -> Self {
        let secrets: Vec<&str> = secrets.into_iter().collect();
        for secret in &secrets {
            self.note_setting(secret.as_bytes());
        }
        self.names.add_known(secrets);
        self
    }

    /// Gives placeholders of one dataset's own; see [`GateKey::for_dataset`].
    #[must_use]
    pub fn for_dataset(mut self, name: &str) -> Self {
        self.note_setting(name.as_bytes());
        self.key = self.key.for_dataset(name);
        self
    }

    fn note_setting(&mut self, setting: &[u8]) {
        let mut chained = self.settings.to_vec();
        chained.extend_from_slice(setting);
        self.settings = self.key.hash("settings", &chained);
    }

    /// A name for everything that decides what is replaced, and by what: key, rules, decisions, known secrets. Two gates
    /// with one fingerprint clean alike; nothing can be read out of it.
    pub fn fingerprint(&self) -> String {
        let mut rules = self.report().rule_sets.join("\n");
        rules.push_str(env!("CARGO_PKG_VERSION"));
        rules.push_str(&self.report().covered.join(","));
        let mut all = self.settings.to_vec();
        all.extend_from_slice(rules.as_bytes());
        blake3::hash(&all).to_hex().to_string()
    }

    /// Learns the user names in a path, so that they are found outside of paths too.
    pub fn learn_path(&mut self, path: &str) {
        self.detector.find(path.as_bytes(), &mut self.names);
    }

    /// Cleans a text.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        let mut learned = self.names.learned();
        let mut found = self
            .detector
            .find_first(text.as_bytes(), &mut self.names, &mut self.seen);
        if found.is_empty() {
            return Cow::Borrowed(text);
        }
        let mut out = self.splice(text, &found);
        // What is replaced can bring to light what it hid: a path that began in the middle of a token, for one.
        for _ in 1..MOST_PASSES {
            found = self.find_again(&out, &mut learned);
            if found.is_empty() {
                break;
            }
            out = self.splice(&out.text, &found);
        }
        Cow::Owned(out.text)
    }

    /// Finds what is left. A name that was only just learned can stand anywhere; anything else is near a replacement.
    fn find_again(&mut self, out: &Spliced, learned: &mut usize) -> Vec<Finding> {
        let text = out.text.as_bytes();
        let before = std::mem::replace(learned, self.names.learned());
        if before == *learned {
            self.detector
                .find_again(text, &out.changes, &mut self.names, &mut self.seen)
        } else {
            self.detector.find_first(text, &mut self.names, &mut self.seen)
        }
    }

    /// Cleans a JSON text and leaves every byte outside of findings as it is.
    ///
    /// The result is valid JSON if the input is.
    pub fn json<'t>(&mut self, json: &'t str) -> Cow<'t, str> {
        let mut learned = self.names.learned();
        let mut found = self
            .detector
            .find_first(json.as_bytes(), &mut self.names, &mut self.seen);
        if found.is_empty() {
            return Cow::Borrowed(json);
        }
        let mut out = self.json_once(json, found);
        for _ in 1..MOST_PASSES {
            found = self.find_again(&out, &mut learned);
            if found.is_empty() {
                break;
            }
            out = self.json_once(&out.text, found);
        }
        Cow::Owned(out.text)
    }

    fn json_once(&mut self, json: &str, mut found: Vec<Finding>) -> Spliced {
        for finding in &mut found {
            snap(json.as_bytes(), finding);
        }
        if found
            .iter()
            .all(|finding| is_inside_string(json.as_bytes(), finding))
        {
            return self.splice(json, &found);
        }
        // A finding that goes over the end of a string is replaced in each string by itself.
        if found
            .iter()
            .any(|finding| has_bare_quote(&json.as_bytes()[finding.start..finding.end]))
            && is_json(json)
        {
            found = strings::clip(json.as_bytes(), found);
        }
        let before = (self.replaced.clone(), self.distinct.clone(), self.kinds.clone());
        let out = self.splice(json, &found);
        if is_json(&out.text) || !is_json(json) {
            return out;
        }
        (self.replaced, self.distinct, self.kinds) = before;
        let text = strings::rewrite(json, |text| self.text(text)).into_owned();
        let changes = vec![Change {
            old: (0, json.len()),
            new: (0, text.len()),
        }];
        Spliced { text, changes }
    }

    /// Cleans one line of a session log: JSON where it is JSON, text where it is not.
    pub fn line<'t>(&mut self, line: &'t str) -> Cow<'t, str> {
        if line.trim_start().starts_with(['{', '[', '"']) {
            self.json(line)
        } else {
            self.text(line)
        }
    }

    fn splice(&mut self, text: &str, found: &[Finding]) -> Spliced {
        let mut out = String::with_capacity(text.len());
        let mut changes = Vec::with_capacity(found.len());
        let mut copied = 0;
        for finding in found {
            let start = floor_boundary(text, finding.start).max(copied);
            let end = ceil_boundary(text, finding.end).max(start);
            out.push_str(&text[copied..start]);
            let placeholder = self.placeholder(finding);
            let from = out.len();
            out.push_str(&encode_form(&finding.form, &placeholder));
            changes.push(Change {
                old: (start, end),
                new: (from, out.len()),
            });
            copied = end;
        }
        out.push_str(&text[copied..]);
        Spliced { text: out, changes }
    }

    fn placeholder(&mut self, finding: &Finding) -> String {
        let hash = self.key.hash("value", &finding.value);
        let kind = *self.kinds.entry(hash).or_insert_with(|| {
            count(&mut self.distinct, finding.kind);
            finding.kind
        });
        count(&mut self.replaced, kind);
        GateKey::placeholder_of(kind, &hash)
    }

    /// Returns what was replaced so far.
    pub fn report(&self) -> GateReport {
        GateReport {
            status: GateStatus::Full,
            covered: kinds().into_iter().map(str::to_owned).collect(),
            replaced: self.replaced.clone(),
            distinct: self.distinct.clone(),
            rule_sets: vec![
                format!("gitleaks {GITLEAKS_VERSION}"),
                format!("bashgym {}", env!("CARGO_PKG_VERSION")),
            ],
        }
    }
}

/// The kinds of findings the gate looks for, sorted.
pub fn kinds() -> Vec<&'static str> {
    Detector::shipped().map(Detector::kinds).unwrap_or_default()
}

fn count(counts: &mut BTreeMap<String, u64>, kind: &str) {
    if let Some(count) = counts.get_mut(kind) {
        *count += 1;
    } else {
        counts.insert(kind.to_owned(), 1);
    }
}

/// Whether a finding is surely inside of one string, if the text is JSON: it has no quote, a letter that JSON has nowhere
/// else, and its ends are in no escape. A placeholder in its place keeps the text valid then.
fn is_inside_string(json: &[u8], finding: &Finding) -> bool {
    /// The longest escape, `\u0000`, without its first byte.
    const ESCAPE: usize = 5;
    let Finding { start, end, .. } = *finding;
    let part = &json[start..end];
    let outside = |byte: &u8| {
        byte.is_ascii_digit()
            || byte.is_ascii_whitespace()
            || matches!(
                byte,
                b'[' | b']' | b'{' | b'}' | b':' | b',' | b'+' | b'-' | b'.' | b'E'
            )
            || b"truefalsn".contains(byte)
    };
    let whole_at = |at: usize| memchr::memchr(b'\\', &json[at.saturating_sub(ESCAPE)..at]).is_none();
    !part.iter().all(outside) && memchr::memchr(b'"', part).is_none() && whole_at(start) && whole_at(end)
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn has_bare_quote(text: &[u8]) -> bool {
    memchr::memchr_iter(b'"', text).any(|at| {
        let slashes = text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        slashes % 2 == 0
    })
}

/// Widens a finding that begins or ends inside of an escape.
fn snap(text: &[u8], finding: &mut Finding) {
    let slashes = |at: usize| text[..at].iter().rev().take_while(|byte| **byte == b'\\').count();
    if slashes(finding.start) % 2 == 1 {
        finding.start -= 1;
    }
    if slashes(finding.end) % 2 == 1 {
        let more = if text.get(finding.end) == Some(&b'u') {
            5
        } else {
            1
        };
        finding.end = (finding.end + more).min(text.len());
    }
}

fn floor_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn ceil_boundary(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at += 1;
    }
    at
}
