//! Calls of tools in what a model says, found as it is said.

use serde_json::Value;

use super::{TOOL_CALL_END_TOKEN, TOOL_CALL_TOKEN};

/// A part of what a model says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolCallText {
    /// Plain text.
    Text(String),
    /// A whole call.
    Call {
        /// The tool.
        name: String,
        /// Its arguments as JSON.
        arguments: String,
    },
}

/// Tells calls from text while a model speaks: `<tool_call>{"name": .., "arguments": ..}</tool_call>`.
///
/// What is between the marks and no call stays text, marks included.
#[derive(Debug)]
pub struct ToolCallSplitter {
    splits: bool,
    held: String,
}

impl ToolCallSplitter {
    /// Starts; if `splits` is false everything is text.
    pub fn new(splits: bool) -> Self {
        Self {
            splits,
            held: String::new(),
        }
    }

    /// Takes in text and gives what is certain by now.
    pub fn push(&mut self, text: &str) -> Vec<ToolCallText> {
        if !self.splits {
            return vec![ToolCallText::Text(text.to_owned())];
        }
        self.held.push_str(text);
        let mut parts = Vec::new();
        while let Some(start) = self.held.find(TOOL_CALL_TOKEN) {
            let inside = start + TOOL_CALL_TOKEN.len();
            let Some(length) = self.held[inside..].find(TOOL_CALL_END_TOKEN) else {
                self.tell(start, &mut parts);
                return parts;
            };
            let end = inside + length + TOOL_CALL_END_TOKEN.len();
            match call(&self.held[inside..inside + length]) {
                Some(call) => {
                    self.tell(start, &mut parts);
                    self.held.drain(..end - start);
                    parts.push(call);
                }
                None => self.tell(end, &mut parts),
            }
        }
        // The beginning of a mark may be at the end.
        let most = TOOL_CALL_TOKEN.len() - 1;
        let kept = (1..=most.min(self.held.len()))
            .rev()
            .find(|length| self.held.ends_with(&TOOL_CALL_TOKEN[..*length]))
            .unwrap_or(0);
        self.tell(self.held.len() - kept, &mut parts);
        parts
    }

    /// Gives what is left at the end: a call that was not closed is text.
    pub fn finish(&mut self) -> Vec<ToolCallText> {
        let mut parts = Vec::new();
        self.tell(self.held.len(), &mut parts);
        parts
    }

    fn tell(&mut self, until: usize, parts: &mut Vec<ToolCallText>) {
        if until > 0 {
            let text: String = self.held.drain(..until).collect();
            parts.push(ToolCallText::Text(text));
        }
    }
}

fn call(text: &str) -> Option<ToolCallText> {
    let value: Value = serde_json::from_str(text.trim()).ok()?;
    let name = value.get("name")?.as_str()?.to_owned();
    let arguments = match value.get("arguments") {
        Some(Value::String(text)) => text.clone(),
        Some(arguments) => arguments.to_string(),
        None => "{}".to_owned(),
    };
    Some(ToolCallText::Call { name, arguments })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(pieces: &[&str]) -> (String, Vec<String>) {
        let mut splitter = ToolCallSplitter::new(true);
        let mut parts: Vec<ToolCallText> = pieces.iter().flat_map(|piece| splitter.push(piece)).collect();
        parts.extend(splitter.finish());
        let (mut text, mut calls) = (String::new(), Vec::new());
        for part in parts {
            match part {
                ToolCallText::Text(more) => text.push_str(&more),
                ToolCallText::Call { name, arguments } => calls.push(format!("{name} {arguments}")),
            }
        }
        (text, calls)
    }

    #[test]
    fn calls_are_found_however_the_text_comes() {
        let whole = "so <tool_call>{\"name\": \"bash\", \"arguments\": {\"command\": \"ls\"}}</tool_call> é<tool_call>{\"name\": \"x\"}</tool_call><b";
        let want = (
            "so  é<b".to_owned(),
            vec!["bash {\"command\":\"ls\"}".to_owned(), "x {}".to_owned()],
        );
        assert_eq!(split(&[whole]), want);
        let letters: Vec<String> = whole.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(split(&letters), want);
    }

    #[test]
    fn what_is_no_call_stays_text() {
        for text in [
            "<tool_call>ls</tool_call>",
            "<tool_call>{\"name\": \"bash\"",
            "<tool_call>{\"arguments\": {}}</tool_call> on",
        ] {
            assert_eq!(split(&[text]), (text.to_owned(), Vec::new()));
        }
    }
}
