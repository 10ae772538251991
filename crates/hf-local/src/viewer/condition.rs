//! Conditions over rows: `"score" >= 0.5 AND NOT "agent" = 'codex'`.

use std::cmp::Ordering;

use serde_json::{Value, json};

/// How deep brackets and NOT may go.
const DEEPEST: usize = 64;

/// A column, or a field of one: `"metadata"."score"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

impl Path {
    pub(super) fn of<'r>(&self, row: &'r Value) -> &'r Value {
        self.0
            .iter()
            .fold(row, |value, name| value.get(name).unwrap_or(&Value::Null))
    }

    /// The column itself.
    pub(super) fn column(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    Compare(Path, Operator, Value),
    IsNull(Path, bool),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
}

/// What rows are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OrderBy {
    pub(super) column: Path,
    pub(super) descending: bool,
}

impl Condition {
    /// Whether it holds of a row; nothing where a null leaves it open.
    pub(super) fn holds(&self, row: &Value) -> Option<bool> {
        match self {
            Self::Compare(path, operator, literal) => {
                let ordering = compare(path.of(row), literal)?;
                Some(match operator {
                    Operator::Equal => ordering.is_eq(),
                    Operator::NotEqual => ordering.is_ne(),
                    Operator::Less => ordering.is_lt(),
                    Operator::LessOrEqual => ordering.is_le(),
                    Operator::Greater => ordering.is_gt(),
                    Operator::GreaterOrEqual => ordering.is_ge(),
                })
            }
            Self::IsNull(path, wanted) => Some(path.of(row).is_null() == *wanted),
            Self::And(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Self::Or(a, b) => match (a.holds(row), b.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Self::Not(inner) => inner.holds(row).map(|holds| !holds),
        }
    }

    /// The columns it names.
    pub(super) fn columns(&self) -> Vec<&str> {
        match self {
            Self::Compare(path, ..) | Self::IsNull(path, _) => vec![path.column()],
            Self::And(a, b) | Self::Or(a, b) => [a.columns(), b.columns()].concat(),
            Self::Not(inner) => inner.columns(),
        }
    }
}

/// Compares two values of one kind.
pub(super) fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => match (a.as_i64(), b.as_i64()) {
            (Some(a), Some(b)) => Some(a.cmp(&b)),
            _ => a.as_f64()?.partial_cmp(&b.as_f64()?),
        },
        _ => None,
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Column(String),
    Literal(Value),
    Operator(Operator),
    Word(String),
    Sign(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let operator = [
            ("<>", Operator::NotEqual),
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=", Operator::Equal),
            (">", Operator::Greater),
            ("<", Operator::Less),
        ]
        .into_iter()
        .find(|(sign, _)| rest.starts_with(sign));
        if let Some((sign, operator)) = operator {
            tokens.push(Token::Operator(operator));
            rest = &rest[sign.len()..];
        } else if matches!(first, '"' | '\'') {
            let (quoted, behind) = quoted(rest, first)?;
            tokens.push(if first == '"' {
                Token::Column(quoted)
            } else {
                Token::Literal(json!(quoted))
            });
            rest = behind;
        } else if matches!(first, '(' | ')' | '.') {
            tokens.push(Token::Sign(first));
            rest = &rest[1..];
        } else {
            let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '+');
            let end = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            if end == 0 {
                return Err(format!("has the sign {first:?} where none can be"));
            }
            let word = &rest[..end];
            let number = serde_json::from_str::<serde_json::Number>(word.trim_start_matches('+'));
            tokens.push(match (number, word.to_ascii_uppercase()) {
                (Ok(number), _) => Token::Literal(Value::Number(number)),
                (_, upper) if upper == "TRUE" || upper == "FALSE" => Token::Literal(json!(upper == "TRUE")),
                (_, upper) => Token::Word(upper),
            });
            rest = &rest[end..];
        }
        rest = rest.trim_start();
    }
    Ok(tokens)
}

/// Reads a quoted text; the quote itself is written twice.
fn quoted(text: &str, quote: char) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            out.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            out.push(quote);
        } else {
            return Ok((out, &text[at + 1..]));
        }
    }
    Err(format!("has a {quote} without its end"))
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
}

/// Reads a condition.
///
/// # Errors
/// What is wrong with it, as the end of a sentence about the parameter.
pub(super) fn condition(text: &str) -> Result<Condition, String> {
    let mut parser = Parser::of(text)?;
    let condition = parser.or(0)?;
    parser.ended()?;
    Ok(condition)
}

/// Reads what rows are sorted by.
///
/// # Errors
/// As [`condition`].
pub(super) fn order_by(text: &str) -> Result<OrderBy, String> {
    let mut parser = Parser::of(text)?;
    let column = parser.path()?;
    let descending = parser.word("DESC");
    if !descending {
        parser.word("ASC");
    }
    parser.ended()?;
    Ok(OrderBy { column, descending })
}

impl Parser {
    fn of(text: &str) -> Result<Self, String> {
        Ok(Self {
            tokens: tokens(text)?.into_iter().peekable(),
        })
    }

    fn word(&mut self, word: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Word(known) if known == word))
            .is_some()
    }

    fn sign(&mut self, sign: char) -> bool {
        self.tokens.next_if(|token| *token == Token::Sign(sign)).is_some()
    }

    fn ended(&mut self) -> Result<(), String> {
        match self.tokens.next() {
            None => Ok(()),
            Some(token) => Err(format!("goes on behind its end with {token:?}")),
        }
    }

    fn or(&mut self, depth: usize) -> Result<Condition, String> {
        let mut left = self.and(depth)?;
        while self.word("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Condition, String> {
        let mut left = self.not(depth)?;
        while self.word("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > DEEPEST {
            return Err("goes too deep".to_owned());
        }
        if self.word("NOT") {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.sign('(') {
            let inner = self.or(depth + 1)?;
            return if self.sign(')') {
                Ok(inner)
            } else {
                Err("has a bracket without its end".to_owned())
            };
        }
        let path = self.path()?;
        if self.word("IS") {
            let wanted = !self.word("NOT");
            return if self.word("NULL") {
                Ok(Condition::IsNull(path, wanted))
            } else {
                Err("must say NULL behind IS".to_owned())
            };
        }
        match (self.tokens.next(), self.tokens.next()) {
            (Some(Token::Operator(operator)), Some(Token::Literal(literal))) => {
                Ok(Condition::Compare(path, operator, literal))
            }
            _ => Err(
                "must compare a column with a number, a text in single quotes, or true or false".to_owned(),
            ),
        }
    }

    fn path(&mut self) -> Result<Path, String> {
        let mut names = Vec::new();
        loop {
            match self.tokens.next() {
                Some(Token::Column(name)) => names.push(name),
                _ => return Err("must name a column in double quotes".to_owned()),
            }
            if !self.sign('.') {
                return Ok(Path(names));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holds(text: &str) -> Option<bool> {
        let row =
            json!({ "n": 3, "x": 0.5, "t": "it's", "b": true, "none": null, "m": { "n": 7 }, "a \"b\"": 1 });
        condition(text)
            .unwrap_or_else(|why| panic!("{text}: {why}"))
            .holds(&row)
    }

    #[test]
    fn conditions_hold_or_not_as_in_sql() {
        for (text, wanted) in [
            (r#""n" = 3"#, Some(true)),
            (r#""n"<>3"#, Some(false)),
            (r#""n" >= 3 AND "x" < 1"#, Some(true)),
            (r#""n" > 3 OR "t" = 'it''s'"#, Some(true)),
            (r#"NOT ("n" > 2 and "b" = TRUE)"#, Some(false)),
            (r#""n" > 5 OR "n" < 5 AND "x" > 1"#, Some(false)),
            (r#""none" = 1"#, None),
            (r#"NOT "none" = 1"#, None),
            (r#""none" = 1 OR "n" = 3"#, Some(true)),
            (r#""none" IS NULL"#, Some(true)),
            (r#""n" IS NOT NULL"#, Some(true)),
            (r#""m"."n" = 7"#, Some(true)),
            (r#""a ""b""" = 1"#, Some(true)),
            (r#""n" > -1.5"#, Some(true)),
            (r#""t" = 3"#, None),
        ] {
            assert_eq!(holds(text), wanted, "{text}");
        }
    }

    #[test]
    fn what_is_no_condition_says_why() {
        for (text, why) in [
            ("", "double quotes"),
            ("n = 3", "double quotes"),
            (r#""n" = "#, "compare"),
            (r#""n" = 'x"#, "without its end"),
            (r#"("n" = 1"#, "bracket"),
            (r#""n" = 1 "m""#, "behind its end"),
            (r#""n" = 1; drop"#, "';'"),
            (&"NOT ".repeat(1_000), "deep"),
        ] {
            let error = condition(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(order_by(r#""n" DESC"#).unwrap().descending);
        assert!(!order_by(r#""n""#).unwrap().descending);
        assert!(order_by(r#""n" DOWN"#).is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}", sql in "(\"a\"|'b'|[()<>=.]| |NOT|AND|[0-9]|é){0,20}") {
            let _ = condition(&text);
            let _ = condition(&sql);
            let _ = order_by(&sql);
        }
    }
}
