//! Repository cards: the `README.md` of a dataset or model repository.
//!
//! A card is YAML front matter, which the Hub and its dataset viewer read, and a Markdown body for people. Names
//! come from session logs and repositories, so they are treated as hostile: the front matter goes through a YAML
//! serialiser, and the body escapes what Markdown or HTML would interpret.

mod dataset;
mod model;

use std::fmt::Write as _;

use hf_core::HfError;
use serde::Serialize;

pub use dataset::{
    CardColumn, CardConfig, CardFeature, CardFeatureKind, CardSplit, DatasetCard, size_category,
};
pub use model::ModelCard;

/// A named fact shown as a row of a card's table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardFact {
    /// What is stated, such as `sessions`.
    pub name: String,
    /// The statement, such as `120`.
    pub value: String,
}

impl CardFact {
    /// Makes a fact from anything that prints.
    pub fn new(name: impl Into<String>, value: impl std::fmt::Display) -> Self {
        Self {
            name: name.into(),
            value: value.to_string(),
        }
    }
}

/// Splits a card into its YAML front matter and its body.
///
/// Returns `None` when the text does not start with front matter. The rule is the Hub's: a first line of three
/// dashes, then everything up to the next line that is exactly three dashes.
///
/// # Source
///
/// `huggingface_hub` 2.4.0 `repocard.py`, `REGEX_YAML_BLOCK`.
pub fn split_front_matter(text: &str) -> Option<(&str, &str)> {
    let rest = text.trim_start_matches('\u{feff}').trim_start();
    let rest = rest.strip_prefix("---")?;
    let rest = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n'))?;
    let mut offset = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end_matches(['\n', '\r']) == "---" {
            return Some((&rest[..offset], &rest[offset + line.len()..]));
        }
        offset += line.len();
    }
    None
}

/// Writes the front matter block, dashes included.
pub(crate) fn front_matter<T: Serialize>(value: &T) -> Result<String, HfError> {
    // Block scalars would put text of the user on lines of its own; quoted scalars keep every value on one.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let yaml = serde_saphyr::to_string_with_options(value, options).map_err(|error| {
        crate::invalid(format!("the card's front matter cannot be written as YAML: {error}; remove unusual characters from its names"))
    })?;
    Ok(format!("---\n{}\n---\n", yaml.trim_end()))
}

/// Makes text fit one line: control characters, line separators and text-direction overrides become spaces.
fn one_line(text: &str) -> String {
    let cleaned: String = text
        .chars()
        .map(|c| {
            let breaks = c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            if breaks { ' ' } else { c }
        })
        .collect();
    cleaned.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Escapes text for a Markdown paragraph or table cell.
fn prose(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '!' | '~' | '$' => {
                escaped.push('\\');
                escaped.push(c);
            }
            _ => escaped.push(c),
        }
    }
    escaped
}

/// Shows text as code inside a table cell.
fn code(text: &str) -> String {
    let text = one_line(text).replace('|', "\\|");
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    let fence = "`".repeat(longest + 1);
    if longest == 0 {
        format!("{fence}{text}{fence}")
    } else {
        format!("{fence} {text} {fence}")
    }
}

/// Writes a table of facts, or nothing when there are none.
fn fact_table(out: &mut String, head: [&str; 2], facts: &[CardFact]) {
    if facts.is_empty() {
        return;
    }
    let _ = write!(out, "| {} | {} |\n| --- | --- |\n", head[0], head[1]);
    for fact in facts {
        let _ = writeln!(out, "| {} | {} |", prose(&fact.name), prose(&fact.value));
    }
    out.push('\n');
}

/// Writes a number with thousands separated, as the Hub's pages do.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn front_matter_ends_at_the_first_line_of_dashes() {
        let (yaml, body) = split_front_matter("---\na: 1\n---\n# Title\n---\n").unwrap();
        assert_eq!(yaml, "a: 1\n");
        assert_eq!(body, "# Title\n---\n");
        assert!(split_front_matter("# Title\n").is_none());
        assert!(split_front_matter("---\na: 1\n").is_none());
    }

    #[test]
    fn code_survives_backticks_and_pipes() {
        assert_eq!(code("a"), "`a`");
        assert_eq!(code("a`b"), "`` a`b ``");
        assert_eq!(code("a|b"), "`a\\|b`");
    }

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(999), "999");
        assert_eq!(thousands(1_000), "1,000");
        assert_eq!(thousands(1_234_567), "1,234,567");
    }
}
