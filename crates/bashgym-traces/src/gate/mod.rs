//! The gate that text passes before it may become part of a dataset.
//!
//! What exists is the basic pass: well-known token formats, assignments that look like secrets, e-mail addresses, and user
//! names in home paths. It is no promise that nothing else is in the text, and [`GateStatus::Basic`] says so.

mod replace;
mod rules;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::replace::{Placeholders, rewrite_strings};
use self::rules::{Rules, is_sensitive_key};
use crate::model::Trace;

/// How thoroughly a dataset was cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateStatus {
    /// Known token formats, secret-looking assignments, e-mail addresses and home paths were replaced. Other secrets may remain.
    Basic,
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
}

/// Replaces secrets and personal data; the same value gets the same placeholder as long as the gate lives.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    placeholders: Placeholders,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// Creates a gate with the basic rules.
    pub fn new() -> Self {
        Self {
            rules: Rules::basic(),
            placeholders: Placeholders::default(),
        }
    }

    /// Learns the user name of a session from the folders it names, so that the name is also found outside of paths.
    pub fn learn(&mut self, trace: &Trace) {
        let paths = trace
            .cwd
            .iter()
            .chain(&trace.files.read)
            .chain(&trace.files.written);
        for path in paths {
            self.rules.learn_names(path, &mut self.placeholders);
        }
    }

    /// Cleans a text.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        self.rules.clean(text, &mut self.placeholders)
    }

    /// Cleans the strings inside a JSON text and leaves every other byte as it is.
    ///
    /// The result is valid JSON if the input is. A string whose key names a secret is replaced as a whole.
    pub fn json<'t>(&mut self, json: &'t str) -> Cow<'t, str> {
        // An escape can hide what the rules look for; anything else shows in the raw text.
        let hidden = json.contains("\\u") || json.contains("\\/");
        if !hidden && !self.rules.may_match(json) {
            return Cow::Borrowed(json);
        }
        let Self { rules, placeholders } = self;
        rewrite_strings(json, |key, text| {
            if key.is_some_and(is_sensitive_key) && rules::looks_like_value(text) {
                return Cow::Owned(placeholders.replace("secret_assignment", text));
            }
            rules.clean(text, placeholders)
        })
    }

    /// Returns what was replaced so far.
    pub fn report(&self) -> GateReport {
        GateReport {
            status: GateStatus::Basic,
            covered: rules::kinds(),
            replaced: self.placeholders.replaced.clone(),
            distinct: self.placeholders.distinct(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean(text: &str) -> String {
        Gate::new().text(text).into_owned()
    }

    /// Builds a token at run time, so that no scanner takes this file for a leak.
    fn fake(prefix: &str, length: usize) -> String {
        format!(
            "{prefix}{}",
            "Fake0Token1Value2"
                .repeat(8)
                .chars()
                .take(length)
                .collect::<String>()
        )
    }

    #[test]
    fn known_tokens_are_replaced() {
        for (kind, token) in [
            ("HF_TOKEN", fake("hf_", 34)),
            ("OPENAI_KEY", fake("sk-proj-", 48)),
            ("ANTHROPIC_KEY", fake("sk-ant-api03-", 60)),
            ("GITHUB_TOKEN", fake("ghp_", 36)),
            ("GITHUB_TOKEN", fake("github_pat_", 60)),
            ("GITLAB_TOKEN", fake("glpat-", 20)),
            ("SLACK_TOKEN", fake("xoxb-", 30)),
            ("GOOGLE_KEY", fake("AIza", 35)),
            ("NPM_TOKEN", fake("npm_", 36)),
            ("STRIPE_KEY", fake("sk_live_", 24)),
            ("AWS_ACCESS_KEY", format!("AKIA{}", "FAKE1234FAKE1234")),
            (
                "JWT",
                format!("{}.{}.{}", fake("eyJ", 20), fake("eyJ", 30), fake("", 30)),
            ),
        ] {
            let text = format!("before {token} after");
            assert_eq!(clean(&text), format!("before <{kind}_1> after"), "{kind}");
            let inside = format!("export X=\"{token}\"\n");
            assert!(!clean(&inside).contains(&token), "{inside}");
        }
    }

    #[test]
    fn private_keys_go_as_a_whole_even_when_cut() {
        let head = concat!("-----BEGIN RSA ", "PRIVATE KEY-----");
        let tail = concat!("-----END RSA ", "PRIVATE KEY-----");
        assert_eq!(
            clean(&format!("a\n{head}\nMIIfake\n{tail}\nb")),
            "a\n<PRIVATE_KEY_1>\nb"
        );
        assert_eq!(clean(&format!("a\n{head}\nMIIfake\nmore")), "a\n<PRIVATE_KEY_1>");
    }

    #[test]
    fn assignments_are_found_and_code_is_left_alone() {
        for (text, expected) in [
            ("DB_PASSWORD=hunter2hunter2", "DB_PASSWORD=<SECRET_ASSIGNMENT_1>"),
            (
                "export SERVICE_TOKEN='abc123def'",
                "export SERVICE_TOKEN='<SECRET_ASSIGNMENT_1>'",
            ),
            (
                "password: \"correct-horse\"",
                "password: \"<SECRET_ASSIGNMENT_1>\"",
            ),
            (
                "api_key = \\\"a1b2c3d4e5\\\"",
                "api_key = \\\"<SECRET_ASSIGNMENT_1>\\\"",
            ),
            (
                "postgres://app:s3cr3tpw@db:5432/x",
                "postgres://app:<URL_PASSWORD_1>@db:5432/x",
            ),
            (
                "Authorization: Bearer abcdefghij0123456789",
                "Authorization: Bearer <BEARER_TOKEN_1>",
            ),
        ] {
            assert_eq!(clean(text), expected);
        }
        for code in [
            "let token = parser.next_token();",
            "token: String,",
            "password = request.form['password']",
            "TOKEN=$HF_TOKEN",
            "API_KEY=${API_KEY}",
            "if token == expected {",
            "secrets: inherit",
            "see https://example.com/a@b and x@2x.png",
            "git clone git@github.com:acme/app.git",
        ] {
            assert_eq!(clean(code), code);
        }
    }

    #[test]
    fn people_become_numbered_and_stay_the_same() {
        let mut gate = Gate::new();
        assert_eq!(
            gate.text("jane.roe@corp.example wrote /Users/janeroe/src/a.rs; joe@corp.example")
                .into_owned(),
            "<EMAIL_1> wrote /Users/user1/src/a.rs; <EMAIL_2>"
        );
        assert_eq!(
            gate.text("/home/other/x, C:\\Users\\janeroe\\y, branch janeroe/fix, -Users-janeroe-src")
                .into_owned(),
            "/home/user2/x, C:\\Users\\user1\\y, branch user1/fix, -Users-user1-src"
        );
        assert_eq!(
            gate.text("ping jane.roe@corp.example").into_owned(),
            "ping <EMAIL_1>"
        );
        let report = gate.report();
        assert_eq!((report.replaced["email"], report.distinct["email"]), (3, 2));
        assert_eq!(report.distinct["user_name"], 2);
    }

    #[test]
    fn a_second_pass_changes_nothing() {
        let text = format!(
            "{} /home/someone/x a@b.example PASSWORD=abc123def4",
            fake("hf_", 34)
        );
        let once = clean(&text);
        assert_eq!(clean(&once), once);
    }

    #[test]
    fn json_keeps_its_bytes_outside_of_findings() {
        let mut gate = Gate::new();
        let same = r#"{"n": 1.50, "path":"a\/b", "x" : [true, null]}"#;
        assert!(matches!(gate.json(same), Cow::Borrowed(_)));
        let token = fake("hf_", 34);
        let json =
            format!(r#"{{"cmd": "a\n\"{token}\"", "n":1.50,"password":"plainword","k":["/home/zed/x"]}}"#);
        assert_eq!(
            gate.json(&json),
            r#"{"cmd": "a\n\"<HF_TOKEN_1>\"", "n":1.50,"password":"<SECRET_ASSIGNMENT_1>","k":["/home/user1/x"]}"#
        );
    }
}
