//! Reads the part of TOML that rule files use.
//!
//! The files are generated, or written beside this code: anything outside of that part is an error, not a guess.

use super::RulesError;

/// A rule as a file gives it.
#[derive(Debug, Default, Clone)]
pub(super) struct RawRule {
    pub(super) id: String,
    pub(super) description: String,
    pub(super) kind: Option<String>,
    pub(super) regex: Option<String>,
    pub(super) path: Option<String>,
    pub(super) secret_group: usize,
    pub(super) entropy: Option<f64>,
    pub(super) keywords: Vec<String>,
    pub(super) accept: Option<String>,
    pub(super) needs: Option<String>,
    pub(super) template: bool,
    pub(super) near: bool,
    pub(super) exact: bool,
    pub(super) allow: Vec<RawAllow>,
}

/// Findings that a rule leaves alone.
#[derive(Debug, Default, Clone)]
pub(super) struct RawAllow {
    pub(super) regexes: Vec<String>,
    pub(super) stopwords: Vec<String>,
    pub(super) paths: Vec<String>,
    pub(super) target: String,
}

/// The rules of a file, and the list that holds for all of them.
#[derive(Debug, Default)]
pub(super) struct RawFile {
    pub(super) allow: RawAllow,
    pub(super) rules: Vec<RawRule>,
}

enum Value {
    Text(String),
    List(Vec<String>),
    Number(f64),
    Bool(bool),
}

impl Value {
    fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    fn list(self) -> Option<Vec<String>> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }
}

#[derive(Clone, Copy)]
enum Table {
    Top,
    Global,
    Rule,
    Allow,
}

/// Parses a rule file.
pub(super) fn parse(text: &str) -> Result<RawFile, RulesError> {
    let mut file = RawFile::default();
    let mut table = Table::Top;
    let mut rest = Reader { text, at: 0 };
    loop {
        rest.skip();
        if rest.at >= text.len() {
            return Ok(file);
        }
        if rest.here().starts_with('[') {
            let line = rest.line();
            table = match line.trim() {
                "[allowlist]" => Table::Global,
                "[[rules]]" => {
                    file.rules.push(RawRule::default());
                    Table::Rule
                }
                "[[rules.allowlists]]" => {
                    if let Some(rule) = file.rules.last_mut() {
                        rule.allow.push(RawAllow::default());
                    }
                    Table::Allow
                }
                other => return Err(rest.wrong(&format!("the table {other} is not known"))),
            };
            continue;
        }
        let key = rest.key()?;
        let value = rest.value()?;
        let known = match table {
            Table::Top => true,
            Table::Global => set_allow(&mut file.allow, &key, value),
            Table::Rule => file
                .rules
                .last_mut()
                .is_some_and(|rule| set_rule(rule, &key, value)),
            Table::Allow => file
                .rules
                .last_mut()
                .and_then(|rule| rule.allow.last_mut())
                .is_some_and(|allow| set_allow(allow, &key, value)),
        };
        if !known {
            return Err(rest.wrong(&format!("the key {key} is not known, or has another type")));
        }
    }
}

fn set_rule(rule: &mut RawRule, key: &str, value: Value) -> bool {
    match (key, value) {
        ("id", Value::Text(text)) => rule.id = text,
        ("description", Value::Text(text)) => rule.description = text,
        ("kind", Value::Text(text)) => rule.kind = Some(text),
        ("regex", Value::Text(text)) => rule.regex = Some(text),
        ("path", Value::Text(text)) => rule.path = Some(text),
        ("accept", Value::Text(text)) => rule.accept = Some(text),
        ("needs", Value::Text(text)) => rule.needs = Some(text),
        ("keywords", Value::List(list)) => rule.keywords = list,
        ("entropy", Value::Number(number)) => rule.entropy = Some(number),
        ("template", Value::Bool(on)) => rule.template = on,
        ("near", Value::Bool(on)) => rule.near = on,
        ("exact", Value::Bool(on)) => rule.exact = on,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a group's number is small"
        )]
        ("secretGroup", Value::Number(number)) => rule.secret_group = number as usize,
        _ => return false,
    }
    true
}

fn set_allow(allow: &mut RawAllow, key: &str, value: Value) -> bool {
    match key {
        "description" | "condition" => value.text().is_some(),
        "regexTarget" => value.text().map(|text| allow.target = text).is_some(),
        "regexes" => value.list().map(|list| allow.regexes = list).is_some(),
        "stopwords" => value.list().map(|list| allow.stopwords = list).is_some(),
        "paths" => value.list().map(|list| allow.paths = list).is_some(),
        _ => false,
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn here(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn wrong(&self, problem: &str) -> RulesError {
        let line = self.text[..self.at.min(self.text.len())].matches('\n').count() + 1;
        RulesError::File {
            line,
            problem: problem.to_owned(),
        }
    }

    /// Skips blanks and comments.
    fn skip(&mut self) {
        loop {
            let here = self.here();
            let blank = here.len() - here.trim_start().len();
            self.at += blank;
            if self.here().starts_with('#') {
                self.line();
            } else if blank == 0 {
                return;
            }
        }
    }

    fn line(&mut self) -> &'t str {
        let here = self.here();
        let end = here.find('\n').unwrap_or(here.len());
        self.at += end;
        &here[..end]
    }

    fn key(&mut self) -> Result<String, RulesError> {
        let here = self.here();
        let end = here
            .find('=')
            .filter(|end| !here[..*end].contains('\n'))
            .ok_or_else(|| self.wrong("a key and a value were expected"))?;
        self.at += end + 1;
        Ok(here[..end].trim().to_owned())
    }

    fn value(&mut self) -> Result<Value, RulesError> {
        self.skip();
        let here = self.here();
        if here.starts_with('[') {
            self.at += 1;
            let mut list = Vec::new();
            loop {
                self.skip();
                if self.here().starts_with(']') {
                    self.at += 1;
                    return Ok(Value::List(list));
                }
                list.push(self.string()?);
                self.skip();
                if self.here().starts_with(',') {
                    self.at += 1;
                }
            }
        }
        if here.starts_with(['"', '\'']) {
            return Ok(Value::Text(self.string()?));
        }
        let line = self.line().trim();
        match line {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            number => number
                .parse()
                .map(Value::Number)
                .map_err(|_| self.wrong(&format!("{number} is no value"))),
        }
    }

    fn string(&mut self) -> Result<String, RulesError> {
        for quote in ["'''", "'"] {
            if let Some(inside) = self.here().strip_prefix(quote) {
                let end = inside
                    .find(quote)
                    .ok_or_else(|| self.wrong("a text does not end"))?;
                self.at += quote.len() * 2 + end;
                return Ok(inside[..end].to_owned());
            }
        }
        let inside = self
            .here()
            .strip_prefix('"')
            .ok_or_else(|| self.wrong("a text was expected"))?;
        let mut out = String::new();
        let mut letters = inside.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.at += at + 2;
                    return Ok(out);
                }
                '\\' => match letters.next() {
                    Some((_, 'n')) => out.push('\n'),
                    Some((_, 't')) => out.push('\t'),
                    Some((_, same @ ('"' | '\\'))) => out.push(same),
                    _ => return Err(self.wrong("an escape is not known")),
                },
                other => out.push(other),
            }
        }
        Err(self.wrong("a text does not end"))
    }
}
