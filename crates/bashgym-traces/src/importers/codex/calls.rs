//! Arguments and results of tool calls, in the forms Codex has used.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::importers::content::flatten;
use crate::importers::lenient::{Content, Flag, Int, Text};
use crate::report::ImportReport;

/// The result of a call, in any of the forms Codex has used.
#[derive(Default)]
pub(super) struct Output {
    pub(super) text: String,
    pub(super) exit_status: Option<i32>,
    pub(super) failed: bool,
}

impl Output {
    pub(super) fn read(raw: &RawValue, report: &mut ImportReport) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Wrapped<'a> {
            #[serde(borrow)]
            content: Content<'a>,
            #[serde(borrow)]
            output: Text<'a>,
            success: Option<Flag>,
            metadata: Option<Metadata>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Metadata {
            exit_code: Int,
        }
        let content: Content<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
        if let Content::Text(text) = &content
            && text.starts_with("{\"")
            && let Ok(inner) = serde_json::from_str::<Wrapped<'_>>(text)
            && inner.output.0.is_some()
        {
            let exit_status = inner
                .metadata
                .and_then(|m| m.exit_code.0)
                .and_then(|code| i32::try_from(code).ok());
            return Self {
                text: inner.output.into_string(),
                exit_status,
                failed: false,
            };
        }
        let mut failed = false;
        // Most results are texts; asking them for fields would only format an error as long as they are.
        let wrapped = raw
            .get()
            .starts_with('{')
            .then(|| serde_json::from_str::<Wrapped<'_>>(raw.get()).ok())
            .flatten();
        let text = match wrapped {
            Some(wrapped) if !matches!(wrapped.content, Content::None) => {
                failed = wrapped.success.is_some_and(|ok| !ok.0);
                flatten(wrapped.content, report)
            }
            _ => flatten(content, report),
        };
        let exit_status = exit_status(&text);
        Self {
            text,
            exit_status,
            failed,
        }
    }
}

/// Finds the exit status in the head that the shell tools put before their output.
fn exit_status(text: &str) -> Option<i32> {
    const MARKS: [&str; 2] = ["Exit code: ", "Process exited with code "];
    text.lines()
        .take(6)
        .take_while(|line| *line != "Output:")
        .find_map(|line| {
            let number = MARKS.iter().find_map(|mark| line.strip_prefix(mark))?;
            number.trim().parse().ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_of_all_forms_give_text_and_status() {
        let mut report = ImportReport::default();
        let mut read = |s: &str| {
            let raw = RawValue::from_string(s.to_owned()).unwrap();
            let out = Output::read(&raw, &mut report);
            (out.text, out.exit_status, out.failed)
        };
        assert_eq!(
            read(r#""{\"output\":\"no\",\"metadata\":{\"exit_code\":2}}""#),
            ("no".to_owned(), Some(2), false)
        );
        let text = "Exit code: 1\nWall time: 0.1 seconds\nOutput:\nExit code: 7";
        assert_eq!(
            read(&serde_json::to_string(text).unwrap()),
            (text.to_owned(), Some(1), false)
        );
        assert_eq!(
            read(r#"[{"type":"input_text","text":"a"}]"#),
            ("a".to_owned(), None, false)
        );
        assert_eq!(
            read(r#"{"type":"input_text","text":"b"}"#),
            ("b".to_owned(), None, false)
        );
        assert_eq!(
            read(r#"{"content":"c","success":false}"#),
            ("c".to_owned(), None, true)
        );
    }
}
