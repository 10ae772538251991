//! Text and arguments in the forms several agents share.

use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::lenient::{Content, Int};
use super::lines::replace_lone_surrogates;
use crate::report::ImportReport;

pub(crate) fn file_stem(path: &Path) -> String {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("session");
    name.split('.').next().unwrap_or(name).to_owned()
}

pub(crate) fn empty_object() -> Box<RawValue> {
    RawValue::from_string("{}".to_owned()).unwrap_or_default()
}

pub(crate) fn push_paragraph(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}

/// Joins the text blocks of a result; other blocks leave their name in brackets.
pub(crate) fn flatten(content: Content<'_>, report: &mut ImportReport) -> String {
    match content {
        Content::None => String::new(),
        Content::Text(text) => text.into_owned(),
        Content::Blocks(mut blocks) => {
            if let [only] = blocks.as_mut_slice()
                && matches!(only.kind.or_empty(), "text" | "input_text" | "output_text")
            {
                return std::mem::take(&mut only.text).into_string();
            }
            let mut text = String::new();
            for block in blocks {
                match block.kind.or_empty() {
                    "text" | "input_text" | "output_text" => push_paragraph(&mut text, block.text.or_empty()),
                    other => {
                        report.lost_block(other);
                        push_paragraph(&mut text, &format!("[{other}]"));
                    }
                }
            }
            text
        }
    }
}

/// Gives the arguments as an object: as logged, from the JSON text they were logged as, or wrapped when they are neither.
pub(crate) fn json_arguments(raw: Option<&RawValue>) -> Box<RawValue> {
    let Some(raw) = raw else { return empty_object() };
    if raw.get().starts_with('{') {
        return raw.to_owned();
    }
    let Ok(text) = serde_json::from_str::<String>(raw.get()) else {
        return empty_object();
    };
    let mut bytes = text.trim().as_bytes().to_vec();
    replace_lone_surrogates(&mut bytes);
    let object = String::from_utf8(bytes)
        .ok()
        .and_then(|text| RawValue::from_string(text).ok());
    match object {
        Some(object) if object.get().starts_with('{') => object,
        _ if text.trim().is_empty() => empty_object(),
        _ => wrap("input", &text),
    }
}

pub(crate) fn wrap(key: &str, text: &str) -> Box<RawValue> {
    let object = serde_json::to_string(text)
        .map(|text| format!("{{\"{key}\":{text}}}"))
        .and_then(RawValue::from_string);
    object.unwrap_or_else(|_| empty_object())
}

/// Reads a time given as milliseconds since 1970.
pub(crate) fn millis(n: Int) -> Option<Timestamp> {
    n.0.filter(|&n| n > 0)
        .and_then(|n| Timestamp::from_millisecond(n).ok())
}

/// Finds a whole number behind `mark` at the start of one of the text's lines.
pub(crate) fn number_after(text: &str, mark: &str) -> Option<i32> {
    text.lines()
        .find_map(|line| line.strip_prefix(mark)?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_objects_as_logged() {
        let raw = |s: &str| RawValue::from_string(s.to_owned()).unwrap();
        let get = |s: &str| json_arguments(Some(&raw(s))).get().to_owned();
        assert_eq!(
            get(r#""{\"command\": [\"ls\",  \"-l\"]}""#),
            r#"{"command": ["ls",  "-l"]}"#
        );
        assert_eq!(get(r#"{"query":1.50}"#), r#"{"query":1.50}"#);
        assert_eq!(get(r#""{\"cut\": ""#), r#"{"input":"{\"cut\": "}"#);
        assert_eq!(get("null"), "{}");
        assert_eq!(get(r#""{\"a\":\"\\ud83d\"}""#), r#"{"a":"\ufffd"}"#);
    }
}
