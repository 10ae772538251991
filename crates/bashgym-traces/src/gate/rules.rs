//! What the basic gate looks for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::{Captures, Regex};

use super::replace::Placeholders;

/// One kind of finding.
struct Spec {
    kind: &'static str,
    /// Texts one of which every finding contains.
    anchors: &'static [&'static str],
    /// The pattern; group 1 is what is replaced, or the whole match without one.
    pattern: &'static str,
    /// Tells a finding from a look-alike.
    accept: fn(&str) -> bool,
}

fn any(_: &str) -> bool {
    true
}

const SECRET_WORDS: &[&str] = &[
    "token",
    "TOKEN",
    "Token",
    "secret",
    "SECRET",
    "Secret",
    "passw",
    "PASSW",
    "Passw",
    "api_key",
    "API_KEY",
    "apiKey",
    "api-key",
    "apikey",
    "APIKEY",
    "ApiKey",
    "access_key",
    "ACCESS_KEY",
    "accessKey",
    "AccessKey",
    "PRIVATE_KEY",
];

/// Order matters: a format that another would also match comes first.
const SPECS: &[Spec] = &[
    Spec {
        kind: "private_key",
        anchors: &["PRIVATE KEY"],
        pattern: r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
        accept: any,
    },
    Spec {
        kind: "url_password",
        anchors: &["://"],
        pattern: r#"://[^/\s:@"'<>]*:([^/\s:@"'<>]{3,})@"#,
        accept: not_variable,
    },
    Spec {
        kind: "hf_token",
        anchors: &["hf_", "api_org_"],
        pattern: r"\b(?:hf|api_org)_[A-Za-z0-9]{20,}",
        accept: any,
    },
    Spec {
        kind: "anthropic_key",
        anchors: &["sk-ant-"],
        pattern: r"\bsk-ant-[A-Za-z0-9_-]{16,}",
        accept: any,
    },
    Spec {
        kind: "openai_key",
        anchors: &["sk-"],
        pattern: r"\bsk-(?:proj-|svcacct-|admin-|or-v1-)?[A-Za-z0-9_-]{20,}",
        accept: has_digit,
    },
    Spec {
        kind: "github_token",
        anchors: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        pattern: r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_[A-Za-z0-9_]{22,})",
        accept: any,
    },
    Spec {
        kind: "gitlab_token",
        anchors: &["glpat-"],
        pattern: r"\bglpat-[A-Za-z0-9_-]{20,}",
        accept: any,
    },
    Spec {
        kind: "aws_access_key",
        anchors: &["AKIA", "ASIA"],
        pattern: r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        accept: any,
    },
    Spec {
        kind: "slack_token",
        anchors: &["xox", "hooks.slack.com"],
        pattern: r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}|https://hooks\.slack\.com/services/[A-Za-z0-9/_-]{20,}",
        accept: any,
    },
    Spec {
        kind: "google_key",
        anchors: &["AIza"],
        pattern: r"\bAIza[0-9A-Za-z_-]{35}",
        accept: any,
    },
    Spec {
        kind: "stripe_key",
        anchors: &["k_live_", "k_test_"],
        pattern: r"\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}",
        accept: any,
    },
    Spec {
        kind: "npm_token",
        anchors: &["npm_"],
        pattern: r"\bnpm_[A-Za-z0-9]{36}",
        accept: any,
    },
    Spec {
        kind: "pypi_token",
        anchors: &["pypi-"],
        pattern: r"\bpypi-[A-Za-z0-9_-]{50,}",
        accept: any,
    },
    Spec {
        kind: "jwt",
        anchors: &["eyJ"],
        pattern: r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        accept: any,
    },
    Spec {
        kind: "bearer_token",
        anchors: &["earer", "EARER"],
        pattern: r"(?i)\bbearer\s+([A-Za-z0-9._~+/-]{16,}=*)",
        accept: has_digit,
    },
    // A variable in capitals that is set to a value, as in a shell or an environment file.
    Spec {
        kind: "secret_assignment",
        anchors: SECRET_WORDS,
        pattern: r#"\b[A-Z0-9_]*(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|ACCESS_KEY(?:_ID)?|PRIVATE_KEY)=\\?["']?([^\s"'`\\,;$<>(){}\[\]&|]{6,})"#,
        accept: looks_like_value,
    },
    // A name and a quoted value, in code or configuration.
    Spec {
        kind: "secret_assignment",
        anchors: SECRET_WORDS,
        pattern: r#"(?i)(?:token|secret|passw(?:or)?d|passwd|api[_-]?key|access[_-]?key)\\?["']?\s*(?:=>|:=|=|:)\s*\\?["']([^\s"'`\\<>${}]{6,})\\?["']"#,
        accept: looks_like_value,
    },
    // A name and a bare value that no one would type as a word.
    Spec {
        kind: "secret_assignment",
        anchors: SECRET_WORDS,
        pattern: r"(?i)(?:token|secret|passw(?:or)?d|passwd|api[_-]?key|access[_-]?key)\s*[=:]\s*([A-Za-z0-9+/_-]{16,}={0,2})(?:\s|$)",
        accept: looks_random,
    },
    Spec {
        kind: "email",
        anchors: &["@"],
        pattern: r"[A-Za-z0-9][A-Za-z0-9._%+-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}",
        accept: is_address,
    },
];

/// Starts with literals only: a class at the start would keep the engine from skipping ahead.
const HOME: &str = r"(/home/|/Users/|:\\Users\\|:\\\\Users\\\\)([A-Za-z0-9][A-Za-z0-9._-]*)";
const HOME_ANCHORS: &[&str] = &["/home/", "/Users/", ":\\Users\\", ":\\\\Users\\\\"];
const USER_NAME: &str = "user_name";

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

/// Returns the kinds the rules look for.
pub(super) fn kinds() -> Vec<String> {
    let kinds: BTreeSet<_> = SPECS.iter().map(|s| s.kind).chain([USER_NAME]).collect();
    kinds.into_iter().map(str::to_owned).collect()
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|b| b.is_ascii_digit())
}

fn looks_random(text: &str) -> bool {
    has_digit(text) && text.bytes().any(|b| b.is_ascii_alphabetic())
}

fn not_variable(text: &str) -> bool {
    !text.starts_with(['$', '{', '%'])
}

/// Whether a text could be a secret's value rather than a name for one.
pub(super) fn looks_like_value(text: &str) -> bool {
    let plain = text.len() >= 6
        && not_variable(text)
        && !text.starts_with('<')
        && !text.chars().any(char::is_whitespace);
    let reference = [
        "process.env",
        "os.environ",
        "env.",
        "self.",
        "config.",
        "secrets.",
        "request.",
    ]
    .iter()
    .any(|start| text.starts_with(start));
    plain && !reference
}

/// Whether an object key names a secret.
pub(super) fn is_sensitive_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase().replace(['-', '_'], "");
    [
        "password",
        "passwd",
        "secret",
        "apikey",
        "accesskey",
        "accesstoken",
        "authtoken",
        "clientsecret",
        "token",
    ]
    .iter()
    .any(|end| key.ends_with(end))
}

fn is_address(text: &str) -> bool {
    const FILE_ENDS: [&str; 8] = [".png", ".jpg", ".jpeg", ".svg", ".gif", ".webp", ".js", ".css"];
    !text.starts_with("git@") && !FILE_ENDS.iter().any(|end| text.ends_with(end))
}

#[derive(Debug)]
struct Rule {
    kind: &'static str,
    pattern: Regex,
    accept: fn(&str) -> bool,
}

/// The compiled rules, and the user names learned so far.
#[derive(Debug)]
pub(super) struct Rules {
    anchors: AhoCorasick,
    /// The rules an anchor stands for, as bits.
    anchor_bits: Vec<u32>,
    specs: Vec<Rule>,
    home: Regex,
    home_bit: u32,
    names: BTreeSet<String>,
    name_pattern: Option<Regex>,
}

impl Rules {
    #[expect(
        clippy::expect_used,
        reason = "the patterns are constants, and a test compiles them"
    )]
    pub(super) fn basic() -> Self {
        let home_bit = 1 << SPECS.len();
        let mut literals: Vec<&str> = Vec::new();
        let mut anchor_rules: Vec<u32> = Vec::new();
        let all = SPECS
            .iter()
            .enumerate()
            .map(|(n, spec)| (1 << n, spec.anchors))
            .chain([(home_bit, HOME_ANCHORS)]);
        for (bit, anchors) in all {
            for anchor in anchors {
                if let Some(at) = literals.iter().position(|l| l == anchor) {
                    anchor_rules[at] |= bit;
                } else {
                    literals.push(anchor);
                    anchor_rules.push(bit);
                }
            }
        }
        let rules = SPECS
            .iter()
            .map(|spec| Rule {
                kind: spec.kind,
                pattern: Regex::new(spec.pattern).expect("a valid pattern"),
                accept: spec.accept,
            })
            .collect();
        Self {
            anchors: AhoCorasick::builder()
                .match_kind(MatchKind::LeftmostFirst)
                .build(&literals)
                .expect("few and short literals"),
            anchor_bits: anchor_rules,
            specs: rules,
            home: Regex::new(HOME).expect("a valid pattern"),
            home_bit,
            names: BTreeSet::new(),
            name_pattern: None,
        }
    }

    fn candidates(&self, text: &str) -> u32 {
        let mut found = 0;
        for hit in self.anchors.find_iter(text) {
            found |= self.anchor_bits[hit.pattern().as_usize()];
        }
        found
    }

    /// Whether any rule could find something in the text.
    pub(super) fn may_match(&self, text: &str) -> bool {
        self.anchors.is_match(text)
            || self
                .name_pattern
                .as_ref()
                .is_some_and(|names| names.is_match(text))
    }

    pub(super) fn clean<'t>(&mut self, text: &'t str, placeholders: &mut Placeholders) -> Cow<'t, str> {
        let found = self.candidates(text);
        let mut text = Cow::Borrowed(text);
        if found != 0 {
            for (n, rule) in self.specs.iter().enumerate() {
                if found & (1 << n) != 0 {
                    text = replace(rule, text, placeholders);
                }
            }
            if found & self.home_bit != 0 {
                self.learn_names(&text, placeholders);
                text = replace_with(&self.home, text, |found| {
                    let name = &found[2];
                    if is_placeholder(name) {
                        return None;
                    }
                    let number = placeholders.number(USER_NAME, name);
                    Some(format!("{}user{number}", &found[1]))
                });
            }
        }
        if let Some(names) = &self.name_pattern {
            text = replace_with(names, text, |found| {
                let number = placeholders.number(USER_NAME, &found[0]);
                Some(format!("user{number}"))
            });
        }
        text
    }

    /// Learns the names in the home paths of a text.
    pub(super) fn learn_names(&mut self, text: &str, placeholders: &mut Placeholders) {
        const MOST: usize = 1_000;
        let mut learned = false;
        for found in self.home.captures_iter(text) {
            let name = found[2].trim_end_matches('.');
            let personal = name.len() >= 3
                && !is_placeholder(name)
                && !COMMON_NAMES.contains(&name.to_ascii_lowercase().as_str());
            if personal && self.names.len() < MOST && !self.names.contains(name) {
                placeholders.peek(USER_NAME, name);
                self.names.insert(name.to_owned());
                learned = true;
            }
        }
        if learned {
            let names: Vec<_> = self.names.iter().map(|name| regex::escape(name)).collect();
            self.name_pattern = Regex::new(&format!(r"\b(?:{})\b", names.join("|"))).ok();
        }
    }
}

fn is_placeholder(name: &str) -> bool {
    name.strip_prefix("user")
        .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
}

fn replace<'t>(rule: &Rule, text: Cow<'t, str>, placeholders: &mut Placeholders) -> Cow<'t, str> {
    replace_with(&rule.pattern, text, |found| {
        let whole = found.get(0)?;
        let part = found.get(1).unwrap_or(whole);
        if !(rule.accept)(part.as_str()) {
            return None;
        }
        let placeholder = placeholders.replace(rule.kind, part.as_str());
        let (before, after) = (part.start() - whole.start(), part.end() - whole.start());
        Some(format!(
            "{}{placeholder}{}",
            &whole.as_str()[..before],
            &whole.as_str()[after..]
        ))
    })
}

/// Replaces the matches for which `new` gives a text.
fn replace_with<'t>(
    pattern: &Regex,
    text: Cow<'t, str>,
    mut new: impl FnMut(&Captures<'_>) -> Option<String>,
) -> Cow<'t, str> {
    let mut out = String::new();
    let mut copied = 0;
    for found in pattern.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        if let Some(replacement) = new(&found) {
            out.push_str(&text[copied..whole.start()]);
            out.push_str(&replacement);
            copied = whole.end();
        }
    }
    if copied == 0 {
        return text;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}
