//! The rule set: gitleaks' rules and ours, as data.

mod accept;
mod toml;

use std::sync::OnceLock;

use regex::bytes::{Regex, RegexBuilder};

use self::accept::Accept;
pub(crate) use self::accept::{entropy, looks_random};
use self::toml::{RawAllow, RawRule};

/// The version of the gitleaks rule set in use.
pub const GITLEAKS_VERSION: &str = "8.30.1";

const OWN: &str = include_str!("../../data/bashgym.toml");
const GITLEAKS: &str = include_str!("../../data/gitleaks.toml");
/// What ends most rules of gitleaks. It wants a quote, a blank or the end; a comma or bracket ends a token just as well.
const GITLEAKS_END: &str = r#"(?:[\x60'"\s;]|\\[nr]|$)"#;
const OUR_END: &str = r"(?:[^0-9A-Za-z_+/=-]|$)";
/// How most rules of gitleaks that go by a name begin. The secret is a group behind it, so it only costs time.
const GITLEAKS_START: &str = r"[\w.-]{0,50}?";
/// The most a compiled rule may take.
const SIZE_LIMIT: usize = 8 << 20;

/// A rule file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RulesError {
    /// The file is not of the known form.
    #[error("the rule file is wrong at line {line}: {problem}")]
    File {
        /// The line.
        line: usize,
        /// What is wrong.
        problem: String,
    },
}

/// A rule of gitleaks that is not used as it is, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleNote {
    /// The rule's id.
    pub rule: String,
    /// Whether it is left out altogether.
    pub left_out: bool,
    /// Why.
    pub why: String,
}

/// Rules of gitleaks whose keywords are too short to look for, with longer ones. `None` leaves the rule out.
const SHORT_KEYWORDS: &[(&str, Option<&[&str]>, &str)] = &[
    (
        "jwt",
        Some(&["eyj"]),
        "looked for from `eyJ` on, how every JSON header begins",
    ),
    (
        "azure-ad-client-secret",
        Some(&[
            "0q~", "1q~", "2q~", "3q~", "4q~", "5q~", "6q~", "7q~", "8q~", "9q~",
        ]),
        "looked for by the digit before `Q~` too",
    ),
    (
        "twilio-api-key",
        None,
        "the rule twilio-key of this project takes its place",
    ),
    (
        "vault-service-token",
        Some(&["hvs."]),
        "the old form `s.` and 24 letters is any method call in code",
    ),
];

/// Findings that a rule leaves alone.
#[derive(Debug)]
struct Allow {
    regexes: Vec<Regex>,
    stopwords: Option<aho_corasick::AhoCorasick>,
    on_match: bool,
}

impl Allow {
    fn takes(&self, matched: &[u8], secret: &[u8]) -> bool {
        let target = if self.on_match { matched } else { secret };
        self.regexes.iter().any(|regex| regex.is_match(target))
            || self
                .stopwords
                .as_ref()
                .is_some_and(|words| words.is_match(secret))
    }
}

/// One rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) kind: String,
    pub(crate) keywords: Vec<String>,
    /// How far before and behind a keyword a match may reach.
    pub(crate) before: usize,
    pub(crate) after: usize,
    /// Whether an operator must follow the keyword.
    pub(crate) template: bool,
    /// Whether the rule is of this project.
    pub(crate) own: bool,
    /// Whether the keyword need not be part of the match.
    pub(crate) near: bool,
    /// Whether the keyword's letters must be capitals, as they are in the match.
    pub(crate) exact: bool,
    /// A byte that must follow the keyword.
    pub(crate) needs: Option<u8>,
    /// Smaller is stronger.
    pub(crate) rank: usize,
    source: String,
    group: usize,
    entropy: f64,
    accept: Accept,
    allow: Vec<Allow>,
    regex: OnceLock<Option<Regex>>,
}

impl Rule {
    fn regex(&self) -> Option<&Regex> {
        self.regex.get_or_init(|| compile(&self.source).ok()).as_ref()
    }

    /// Calls `take(start, end, whole_start, whole_end)` for each finding of the rule in a text.
    pub(crate) fn find(&self, text: &[u8], mut take: impl FnMut(usize, usize, usize, usize)) {
        let Some(regex) = self.regex() else { return };
        if !regex.is_match(text) {
            return;
        }
        for found in regex.captures_iter(text) {
            let Some(whole) = found.get(0) else { continue };
            let part = if self.group > 0 {
                found.get(self.group)
            } else {
                found.iter().skip(1).flatten().next()
            };
            let part = part.unwrap_or(whole);
            let secret = part.as_bytes();
            if secret.is_empty() || !(self.accept)(secret) || entropy(secret) < self.entropy {
                continue;
            }
            if self
                .allow
                .iter()
                .any(|allow| allow.takes(whole.as_bytes(), secret))
            {
                continue;
            }
            take(part.start(), part.end(), whole.start(), whole.end());
        }
    }
}

fn compile(source: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(source)
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .build()
}

/// All rules, with what is known about those not used.
#[derive(Debug)]
pub struct RuleSet {
    pub(crate) rules: Vec<Rule>,
    global: Allow,
    gitleaks_rules: usize,
    notes: Vec<RuleNote>,
}

impl RuleSet {
    /// Returns the rules this crate ships, read once.
    ///
    /// # Errors
    ///
    /// [`RulesError`] if a file that was compiled in cannot be read: then nothing may pass.
    pub fn shipped() -> Result<&'static Self, RulesError> {
        static RULES: OnceLock<Result<RuleSet, RulesError>> = OnceLock::new();
        RULES
            .get_or_init(|| Self::parse(OWN, GITLEAKS))
            .as_ref()
            .map_err(Clone::clone)
    }

    fn parse(own: &str, gitleaks: &str) -> Result<Self, RulesError> {
        let mut notes = Vec::new();
        let mut rules = Vec::new();
        for raw in toml::parse(own)?.rules {
            if let Some(rule) = build(raw, rules.len(), &mut notes) {
                rules.push(rule);
            }
        }
        let file = toml::parse(gitleaks)?;
        let gitleaks_rules = file.rules.len();
        for raw in file.rules {
            if let Some(rule) = build(raw, rules.len(), &mut notes) {
                rules.push(rule);
            }
        }
        let global = build_allow("the list for all rules", &file.allow, &mut notes);
        Ok(Self {
            rules,
            global,
            gitleaks_rules,
            notes,
        })
    }

    /// How many rules of gitleaks there are, used or not.
    pub fn gitleaks_rules(&self) -> usize {
        self.gitleaks_rules
    }

    /// Rules of gitleaks that are left out or narrowed, and why.
    pub fn notes(&self) -> &[RuleNote] {
        &self.notes
    }

    /// The rules whose pattern does not compile. This compiles all of them.
    pub fn broken(&self) -> Vec<&str> {
        self.rules
            .iter()
            .filter(|rule| rule.regex().is_none())
            .map(|rule| rule.kind.as_str())
            .collect()
    }

    /// Whether gitleaks takes a value for a placeholder, a variable or a path.
    pub(crate) fn is_harmless(&self, secret: &[u8]) -> bool {
        self.global.takes(secret, secret)
    }
}

fn build(mut raw: RawRule, rank: usize, notes: &mut Vec<RuleNote>) -> Option<Rule> {
    let mut note = |left_out, why: String| {
        notes.push(RuleNote {
            rule: raw.id.clone(),
            left_out,
            why,
        });
    };
    if raw.path.is_some() {
        note(
            true,
            "it needs the path of a file, which a session does not have".to_owned(),
        );
        return None;
    }
    let Some(source) = raw.regex.take() else {
        note(true, "it has no pattern".to_owned());
        return None;
    };
    if let Some((_, keywords, why)) = SHORT_KEYWORDS
        .iter()
        .find(|(id, _, _)| *id == raw.id && raw.kind.is_none())
    {
        note(keywords.is_none(), (*why).to_owned());
        raw.keywords = (*keywords)?.iter().map(|word| (*word).to_owned()).collect();
    }
    let template = raw.template || source.contains(r"(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)");
    let mut source = source.replacen(GITLEAKS_START, "", 1);
    if let Some(start) = source.strip_suffix(GITLEAKS_END) {
        source = format!("{start}{OUR_END}");
    }
    let parsed = regex_syntax::ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .build()
        .parse(&source);
    let longest = match parsed {
        Ok(hir) => hir.properties().maximum_len(),
        Err(error) => {
            note(true, format!("its pattern does not compile: {error}"));
            return None;
        }
    };
    if raw.keywords.iter().any(|word| word.len() < 3) {
        note(true, "its keyword is too short to look for".to_owned());
        return None;
    }
    let Some(accept) = accept::by_name(raw.accept.as_deref()) else {
        note(true, "its check is not known".to_owned());
        return None;
    };
    let pattern = source.to_ascii_lowercase();
    let inside = |word: &String| {
        let plain = word.trim_matches(|letter: char| !letter.is_ascii_alphanumeric());
        pattern.contains(plain)
    };
    let near = raw.near || !raw.keywords.iter().any(inside);
    let kind = raw.kind.clone().unwrap_or_else(|| raw.id.replace('-', "_"));
    let allow = raw
        .allow
        .iter()
        .filter(|allow| allow.paths.is_empty() && allow.target != "line")
        .map(|allow| build_allow(&raw.id, allow, notes))
        .collect();
    Some(Rule {
        kind,
        keywords: raw.keywords,
        before: if template {
            48
        } else {
            longest.map_or(160, |longest| longest.min(160)) + 1
        },
        after: if template {
            256
        } else {
            longest.map_or(700, |longest| longest.min(700)) + 2
        },
        template,
        own: raw.kind.is_some(),
        near,
        exact: raw.exact,
        needs: raw.needs.and_then(|needs| needs.bytes().next()),
        rank,
        source,
        group: raw.secret_group,
        entropy: raw.entropy.unwrap_or(0.0),
        accept,
        allow,
        regex: OnceLock::new(),
    })
}

fn build_allow(rule: &str, raw: &RawAllow, notes: &mut Vec<RuleNote>) -> Allow {
    let mut regexes = Vec::new();
    for source in &raw.regexes {
        // Go takes a lone brace for itself; here it must be escaped.
        match compile(source).or_else(|_| compile(&source.replace("{{", r"\{\{").replace("}}", r"\}\}"))) {
            Ok(regex) => regexes.push(regex),
            Err(_) => notes.push(RuleNote {
                rule: rule.to_owned(),
                left_out: false,
                why: format!("an exception does not compile, so it finds more: {source}"),
            }),
        }
    }
    let stopwords = (!raw.stopwords.is_empty())
        .then(|| {
            aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(&raw.stopwords)
                .ok()
        })
        .flatten();
    Allow {
        regexes,
        stopwords,
        on_match: raw.target == "match",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_gitleaks_is_used_or_named_with_the_reason() {
        let rules = RuleSet::shipped().unwrap();
        assert_eq!(rules.gitleaks_rules(), 222);
        let left_out: Vec<&str> = rules
            .notes()
            .iter()
            .filter(|note| note.left_out)
            .map(|note| note.rule.as_str())
            .collect();
        assert_eq!(
            left_out,
            [
                "freemius-secret-key",
                "hashicorp-tf-password",
                "kubernetes-secret-yaml",
                "nuget-config-password",
                "pkcs12-file",
                "twilio-api-key",
            ]
        );
        assert_eq!(rules.broken(), Vec::<&str>::new());
        let own = toml::parse(OWN).unwrap().rules.len();
        assert_eq!(rules.rules.len(), own + 222 - left_out.len());
    }

    #[test]
    fn a_rule_file_of_another_form_is_refused() {
        for text in [
            "[other]\n",
            "[[rules]]\nid = 3\n",
            "[[rules]]\nid \n",
            "[[rules]]\nregex = '''x\n",
        ] {
            assert!(toml::parse(text).is_err(), "{text}");
        }
    }
}
