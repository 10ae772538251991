//! Finds secrets and personal data in a text, whatever hides them.

mod cut;
mod filter;
mod names;
mod personal;
mod special;

use std::collections::HashMap;
use std::sync::OnceLock;

use base64::Engine as _;

use self::filter::Filter;
pub(crate) use self::names::{Names, SHORTEST_KNOWN};
use crate::decode::{self, Run, View};
use crate::rules::{Rule, RuleSet, RulesError};

/// How deep encodings inside encodings are followed.
const MAX_DEPTH: usize = 4;
/// How many levels of escapes around one place are taken away.
const MAX_ESCAPES: usize = 6;
/// A run of base64 this long is decoded even if it holds no text: pictures carry text too.
const PICTURE: usize = 256;
/// The rank of findings of code, between rules for a service and rules for anything that looks like a secret.
const RANK_KNOWN: usize = 0;
const RANK_SPECIAL: usize = 1;
const RANK_RULES: usize = 10;
const RANK_PERSONAL: usize = 10_000;
const RANK_ENTROPY: usize = 20_000;

/// How a finding is written in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is, or with escapes in it.
    Plain,
    /// In base64, between these decoded bytes of the same groups.
    Base64 {
        before: Vec<u8>,
        after: Vec<u8>,
        /// How many decoded bytes the secret has there.
        length: usize,
        url_safe: bool,
    },
}

/// Something that must not leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) kind: &'static str,
    /// Smaller is stronger.
    pub(crate) rank: usize,
    /// The secret itself, decoded.
    pub(crate) value: Vec<u8>,
    pub(crate) form: Form,
}

impl Finding {
    fn plain(start: usize, end: usize, kind: &'static str, rank: usize, value: &[u8]) -> Self {
        Self {
            start,
            end,
            kind,
            rank,
            value: value.to_vec(),
            form: Form::Plain,
        }
    }
}

/// What a keyword of the filter stands for.
#[derive(Debug, Clone, Copy)]
enum Target {
    Rule(usize),
    Home,
    PrivateKey,
    KeyEnd,
    Cut(usize),
    Ipv6,
}

/// The compiled filter over all rules.
#[derive(Debug)]
pub(crate) struct Detector {
    rules: &'static RuleSet,
    filter: Filter,
    /// What each keyword stands for.
    targets: Vec<Vec<Target>>,
    /// How escapes of plain letters begin.
    odd: [memchr::memmem::Finder<'static>; 2],
}

impl Detector {
    /// Returns the detector of the shipped rules, made once.
    pub(crate) fn shipped() -> Result<&'static Self, RulesError> {
        static DETECTOR: OnceLock<Result<Detector, RulesError>> = OnceLock::new();
        DETECTOR
            .get_or_init(|| RuleSet::shipped().map(Self::new))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn new(rules: &'static RuleSet) -> Self {
        let mut targets: Vec<Vec<Target>> = Vec::new();
        let mut words: HashMap<String, usize> = HashMap::new();
        let mut add = |word: &str, target| {
            let place = *words.entry(word.to_ascii_lowercase()).or_insert_with(|| {
                targets.push(Vec::new());
                targets.len() - 1
            });
            targets[place].push(target);
        };
        for (n, rule) in rules.rules.iter().enumerate() {
            for word in &rule.keywords {
                add(word, Target::Rule(n));
            }
        }
        for word in special::HOME_WORDS {
            add(word, Target::Home);
        }
        add("-----begin", Target::PrivateKey);
        add("-----end", Target::KeyEnd);
        for (n, cut) in cut::CUTS.iter().enumerate() {
            add(cut.prefix, Target::Cut(n));
        }
        for word in personal::IPV6_WORDS {
            add(word, Target::Ipv6);
        }
        Self {
            rules,
            filter: Filter::new(words),
            targets,
            odd: [r"\u00", r"\x"].map(memchr::memmem::Finder::new),
        }
    }

    /// The kinds of findings, sorted.
    pub(crate) fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<&'static str> = self.rules.rules.iter().map(|rule| rule.kind.as_str()).collect();
        kinds.extend(cut::CUTS.iter().map(|cut| cut.kind));
        kinds.extend([
            "private_key",
            "known_secret",
            "denied",
            "high_entropy",
            "user_name",
        ]);
        kinds.extend(["email", "phone", "ip_address"]);
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    }

    /// Finds everything in a text; sorted, and no two overlap.
    pub(crate) fn find(&self, text: &[u8], names: &mut Names) -> Vec<Finding> {
        let mut found = Vec::new();
        self.scan(text, names, 0, true, &mut found);
        merge(text, found)
    }

    /// `textual` is false for decoded bytes that are no text: only what has a form of its own is looked for there.
    fn scan(&self, text: &[u8], names: &mut Names, depth: usize, textual: bool, out: &mut Vec<Finding>) {
        let first = out.len();
        self.filter.find(text, |at, length, place| {
            // Whether something is assigned here is asked once for all rules of a keyword.
            let mut assigned = [None; 2];
            for target in &self.targets[place] {
                match *target {
                    Target::Rule(n) => {
                        let rule = &self.rules.rules[n];
                        if !textual && (rule.template || rule.near) {
                            continue;
                        }
                        let behind = at + length;
                        let fits = !rule.template
                            || *assigned[usize::from(rule.own)]
                                .get_or_insert_with(|| special::assignment_ahead(text, behind, rule.own));
                        // The kind in a placeholder of ours is no name for what stands behind it.
                        if fits && !(rule.template && in_placeholder(text, at)) {
                            self.apply(rule, text, at, length, out);
                        }
                    }
                    Target::Home if textual => special::home(text, at, length, names, out),
                    Target::PrivateKey => special::private_key(text, at, out),
                    Target::KeyEnd => special::key_end(text, at, out),
                    Target::Cut(n) => cut::cut_token(&cut::CUTS[n], text, at, out),
                    Target::Ipv6 if textual => personal::ipv6(text, at, out),
                    _ => {}
                }
            }
        });
        names.find(text, textual, out);
        if textual {
            personal::find(text, out);
        }
        if depth < MAX_DEPTH {
            decode::runs(text, |run| self.run(text, &run, names, depth, textual, out));
            if textual {
                self.percent(text, names, depth, out);
                self.odd_escapes(text, names, depth, out);
            }
        }
        let own = names;
        let mut at = first;
        while at < out.len() {
            if touches_placeholder(text, &out[at]) || own.is_allowed(&out[at]) {
                out.swap_remove(at);
            } else {
                at += 1;
            }
        }
    }

    fn apply(&self, rule: &'static Rule, text: &[u8], at: usize, length: usize, out: &mut Vec<Finding>) {
        let behind = at + length;
        if rule.exact
            && !text[at..behind.min(at + 2)]
                .iter()
                .all(|byte| !byte.is_ascii_lowercase())
        {
            return;
        }
        let end = text.len().min(behind + rule.after);
        if let Some(needed) = rule.needs {
            let blank = text[behind..end]
                .iter()
                .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'<'))
                .unwrap_or(end - behind);
            if memchr::memchr(needed, &text[behind..behind + blank]).is_none() {
                return;
            }
        }
        let start = at.saturating_sub(rule.before);
        let window = &text[start..end];
        let mut take = |view: Option<&View>, bytes: &[u8]| {
            rule.find(bytes, |part, part_end, whole, whole_end| {
                let place = |from, to| match view {
                    Some(view) => view.source(from, to),
                    None => (from, to),
                };
                let (whole, whole_end) = place(whole, whole_end);
                if !rule.near && (start + whole >= behind || start + whole_end <= at) {
                    return;
                }
                let value = &bytes[part..part_end];
                let generic = rule.template || rule.near;
                if generic && self.rules.is_harmless(value) {
                    return;
                }
                let (from, to) = place(part, part_end);
                let (from, mut to) = (start + from, start + to);
                // The keyword names the value; one inside of a value names nothing.
                if rule.template && from < behind {
                    return;
                }
                if to == end {
                    to += text[end..]
                        .iter()
                        .take_while(|byte| is_token_byte(**byte))
                        .count();
                }
                let rank = RANK_RULES + rule.rank;
                out.push(Finding::plain(from, to, rule.kind.as_str(), rank, value));
            });
        };
        take(None, window);
        let mut level = decode::unescape(window);
        let mut levels = 0;
        while let Some(view) = level {
            take(Some(&view), &view.bytes);
            levels += 1;
            if levels == MAX_ESCAPES {
                break;
            }
            level = decode::unescape_again(&view);
        }
    }

    /// Looks into a run of letters: hex, base64, or just random.
    fn run(
        &self,
        text: &[u8],
        run: &Run,
        names: &mut Names,
        depth: usize,
        textual: bool,
        out: &mut Vec<Finding>,
    ) {
        let letters = run.letters(text);
        if letters.iter().all(u8::is_ascii_hexdigit) {
            if let Some(view) = decode::printable_hex(&letters) {
                self.inside(&view, names, depth, out, |from, to| {
                    (run.source(from), run.source(to - 1) + 1)
                });
            }
            return;
        }
        let picture = letters.len() >= PICTURE;
        let last = if picture && run.start > 0 { 0 } else { 3 };
        for shift in 0..=last {
            let (whole, _) = letters[shift..].as_chunks::<4>();
            let plain = looks_like_coded_text(whole);
            if !plain && !picture {
                continue;
            }
            let Some(bytes) = decode::base64(&letters[shift..]) else {
                continue;
            };
            let is_text = plain && std::str::from_utf8(&bytes).is_ok();
            let mut inner = Vec::new();
            self.scan(&bytes, names, depth + 1, is_text, &mut inner);
            let url_safe = letters.iter().any(|byte| matches!(byte, b'-' | b'_'));
            for found in merge(&bytes, inner) {
                let first = found.start / 3;
                let end = found.end.div_ceil(3).min(bytes.len().div_ceil(3));
                let from = run.source(shift + first * 4);
                let to = run.source((shift + end * 4 - 1).min(letters.len() - 1)) + 1;
                out.push(Finding {
                    start: from,
                    end: to,
                    form: Form::Base64 {
                        before: bytes[first * 3..found.start].to_vec(),
                        after: bytes[found.end..(end * 3).min(bytes.len())].to_vec(),
                        length: found.end - found.start,
                        url_safe,
                    },
                    ..found
                });
            }
            if plain {
                return;
            }
        }
        if textual && run.pieces.is_empty() && special::is_random(&letters) {
            out.push(Finding::plain(
                run.start,
                run.end,
                "high_entropy",
                RANK_ENTROPY,
                &letters,
            ));
        }
    }

    /// Scans decoded bytes and puts what is found where it stands in the source.
    fn inside(
        &self,
        view: &View,
        names: &mut Names,
        depth: usize,
        out: &mut Vec<Finding>,
        place: impl Fn(usize, usize) -> (usize, usize),
    ) {
        let mut inner = Vec::new();
        self.scan(&view.bytes, names, depth + 1, true, &mut inner);
        for found in inner {
            let (from, to) = view.source(found.start, found.end);
            let (start, end) = place(from, to);
            out.push(Finding {
                start,
                end,
                form: Form::Plain,
                ..found
            });
        }
    }

    /// Looks behind percent signs, one stretch without blanks at a time.
    fn percent(&self, text: &[u8], names: &mut Names, depth: usize, out: &mut Vec<Finding>) {
        let mut done = 0;
        for at in memchr::memchr_iter(b'%', text) {
            let coded = text
                .get(at + 1..at + 3)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit));
            if at < done || !coded {
                continue;
            }
            let start = stretch_start(text, at, done);
            let end = stretch_end(text, at);
            done = end;
            let mut level = decode::percent(&text[start..end]);
            // Twice coded is common: an address inside an address.
            if let Some(view) = level.take() {
                self.inside(&view, names, depth, out, |from, to| (start + from, start + to));
            }
        }
    }

    /// Looks behind escapes of plain letters, which no ordinary encoder writes.
    fn odd_escapes(&self, text: &[u8], names: &mut Names, depth: usize, out: &mut Vec<Finding>) {
        let mut done = 0;
        // A byte of its own in ASCII is written in one of these two ways.
        let mut places: Vec<usize> = self.odd[0].find_iter(text).collect();
        places.extend(self.odd[1].find_iter(text));
        places.sort_unstable();
        for at in places {
            if at < done || !special::escapes_a_letter(&text[at..]) {
                continue;
            }
            let start = at.saturating_sub(128).max(done);
            let end = text.len().min(at + 1024);
            done = end;
            if let Some(view) = decode::unescape(&text[start..end]) {
                self.inside(&view, names, depth, out, |from, to| (start + from, start + to));
            }
        }
    }
}

fn stretch_start(text: &[u8], at: usize, least: usize) -> usize {
    let least = least.max(at.saturating_sub(512));
    text[least..at]
        .iter()
        .rposition(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'))
        .map_or(least, |before| least + before + 1)
}

fn stretch_end(text: &[u8], at: usize) -> usize {
    let most = text.len().min(at + 4096);
    text[at..most]
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'\\'))
        .map_or(most, |length| at + length)
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=')
}

/// Whether groups of base64 decode to text: its bytes have no high bit.
fn looks_like_coded_text(groups: &[[u8; 4]]) -> bool {
    let seen = groups.len().min(64);
    if seen < 6 {
        return false;
    }
    let plain = groups[..seen]
        .iter()
        .filter(|group| {
            let [a, b, c, _] = **group;
            index(a) & 0b10_0000 == 0 && index(b) & 0b00_1000 == 0 && index(c) & 0b00_0010 == 0
        })
        .count();
    plain * 4 >= seen * 3
}

fn index(letter: u8) -> u8 {
    match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' | b'-' => 62,
        _ => 63,
    }
}

/// Whether a place is inside of a placeholder of ours.
fn in_placeholder(text: &[u8], at: usize) -> bool {
    let least = at.saturating_sub(64);
    text[least..at]
        .iter()
        .rposition(|byte| *byte == b'<')
        .and_then(|open| {
            let start = least + open;
            let length = crate::replace::is_placeholder_start(&text[start..])?;
            Some(start + length > at)
        })
        .unwrap_or(false)
}

/// Whether a finding is, or reaches into, a placeholder of ours.
fn touches_placeholder(text: &[u8], found: &Finding) -> bool {
    in_placeholder(text, found.start)
        || memchr::memchr_iter(b'<', &found.value)
            .any(|open| crate::replace::is_placeholder_start(&found.value[open..]).is_some())
}

/// Sorts findings and joins those that overlap; the strongest gives its kind.
fn merge(text: &[u8], mut found: Vec<Finding>) -> Vec<Finding> {
    found.sort_by(|a, b| (a.start, a.rank, b.end).cmp(&(b.start, b.rank, a.end)));
    let mut merged: Vec<Finding> = Vec::with_capacity(found.len());
    for next in found {
        if let Some(last) = merged.last_mut()
            && next.start < last.end
        {
            if next.start == last.start && next.end == last.end {
                if next.rank < last.rank {
                    *last = next;
                }
                continue;
            }
            let start = last.start;
            let end = last.end.max(next.end);
            let covers = |one: &Finding| one.start == start && one.end == end && one.form == Form::Plain;
            let stronger = if next.rank < last.rank { &next } else { &*last };
            if covers(stronger) {
                *last = stronger.clone();
                continue;
            }
            let value = match stronger.form {
                Form::Plain => stronger.value.clone(),
                Form::Base64 { .. } => text[start..end].to_vec(),
            };
            *last = Finding::plain(start, end, stronger.kind, stronger.rank, &value);
            continue;
        }
        merged.push(next);
    }
    merged
}

/// Encodes a replacement in base64 so that the groups around it stay as they are.
pub(crate) fn encode_form(form: &Form, placeholder: &str) -> String {
    let Form::Base64 {
        before,
        after,
        length: removed,
        url_safe,
    } = form
    else {
        return placeholder.to_owned();
    };
    let mut bytes = before.clone();
    bytes.extend_from_slice(placeholder.as_bytes());
    let length = before.len() + *removed + after.len();
    while (bytes.len() + after.len()) % 3 != length % 3 {
        bytes.push(b'*');
    }
    bytes.extend_from_slice(after);
    let mut text = String::new();
    if *url_safe {
        decode::URL_SAFE.encode_string(&bytes, &mut text);
    } else {
        decode::STANDARD.encode_string(&bytes, &mut text);
    }
    // The padding, if there is any, stands behind the run and stays there.
    text.trim_end_matches('=').to_owned()
}
