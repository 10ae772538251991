//! Finds secrets and personal data in a text, whatever hides them.

mod again;
mod cut;
mod filter;
mod hidden;
mod merge;
mod names;
mod personal;
mod special;

use std::collections::HashMap;
use std::sync::OnceLock;

use self::again::Reach;
pub(crate) use self::again::{Change, Seen};
use self::filter::Filter;
pub(crate) use self::merge::encode_form;
use self::merge::{in_placeholder, merge, touches_placeholder};
pub(crate) use self::names::{Names, SHORTEST_KNOWN};
use crate::decode::{self, View};
use crate::rules::{Rule, RuleSet, RulesError};

/// How deep encodings inside encodings are followed.
const MAX_DEPTH: usize = 4;
/// How many levels of escapes around one place are taken away.
const MAX_ESCAPES: usize = 6;
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
    /// How far around each keyword its targets look.
    reaches: Vec<Reach>,
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
        let reaches = targets.iter().map(|targets| reach(rules, targets)).collect();
        Self {
            rules,
            filter: Filter::new(words),
            targets,
            reaches,
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
        self.scan(text, names, 0, true, &mut found, None);
        merge(text, found)
    }

    /// As [`Self::find`], and keeps what a second look needs.
    pub(crate) fn find_first(&self, text: &[u8], names: &mut Names, seen: &mut Seen) -> Vec<Finding> {
        let mut found = Vec::new();
        seen.clear();
        self.scan(text, names, 0, true, &mut found, Some(seen));
        merge(text, found)
    }

    /// `textual` is false for decoded bytes that are no text: only what has a form of its own is looked for there.
    fn scan(
        &self,
        text: &[u8],
        names: &mut Names,
        depth: usize,
        textual: bool,
        out: &mut Vec<Finding>,
        mut seen: Option<&mut Seen>,
    ) {
        let first = out.len();
        self.filter.find(text, |at, length, place| {
            if let Some(seen) = &mut seen {
                seen.note(self.reaches[place], at, length, place);
            }
            self.keyword((text, at, length, place), names, textual, out);
        });
        if self.elsewhere(text, names, depth, textual, out)
            && let Some(seen) = seen
        {
            seen.everywhere();
        }
        drop_passed(text, names, first, out);
    }

    /// Finds what no keyword tells; says whether there were escapes of plain letters, which reach far.
    fn elsewhere(
        &self,
        text: &[u8],
        names: &mut Names,
        depth: usize,
        textual: bool,
        out: &mut Vec<Finding>,
    ) -> bool {
        names.find(text, textual, out);
        let mut odd = false;
        if textual {
            personal::find(text, out);
        }
        if depth < MAX_DEPTH {
            decode::runs(text, |run| self.run(text, &run, names, depth, textual, out));
            if textual {
                self.percent(text, names, depth, out);
                odd = self.odd_escapes(text, names, depth, out);
            }
        }
        odd
    }

    /// Does what is to be done where a keyword stands.
    fn keyword(
        &self,
        (text, at, length, place): (&[u8], usize, usize, usize),
        names: &mut Names,
        textual: bool,
        out: &mut Vec<Finding>,
    ) {
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
}

/// How far the targets of a keyword look.
fn reach(rules: &RuleSet, targets: &[Target]) -> Reach {
    let nothing = Reach::Within { before: 0, after: 0 };
    targets.iter().fold(nothing, |reach, target| {
        reach.or(match *target {
            Target::Rule(n) => Reach::Within {
                before: rules.rules[n].before,
                after: rules.rules[n].after,
            },
            Target::Cut(_) => Reach::Within {
                before: 1,
                after: cut::LONGEST,
            },
            // A key goes over many lines, and what is left of one may be far from what was replaced.
            Target::PrivateKey | Target::KeyEnd => Reach::Everywhere,
            Target::Home | Target::Ipv6 => Reach::Within { before: 8, after: 72 },
        })
    })
}

/// Takes away, from `first` on, what is a placeholder already and what a review let pass.
fn drop_passed(text: &[u8], names: &Names, first: usize, out: &mut Vec<Finding>) {
    let mut at = first;
    while at < out.len() {
        if touches_placeholder(text, &out[at]) || names.is_allowed(&out[at]) {
            out.swap_remove(at);
        } else {
            at += 1;
        }
    }
}

pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'+' | b'/' | b'=')
}
