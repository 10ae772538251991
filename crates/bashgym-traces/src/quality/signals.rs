//! The signs in a task's messages.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use crate::model::{Message, MessageKind, ToolCall, ToolResult};

/// How a run of tests ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TestRun {
    Passed,
    Failed,
}

/// What the person said next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reply {
    Thanks,
    Correction,
    Retry,
    Next,
}

/// What became of the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Commit {
    Kept,
    Undone,
}

/// What the tool calls of a task show.
#[derive(Debug, Default)]
pub(crate) struct Facts<'t> {
    /// The last test run after the last edit.
    pub(crate) tests_after_last_edit: Option<TestRun>,
    /// Whether tests ran before it.
    pub(crate) tests_before_last_edit: bool,
    /// Test commands that passed after the last edit.
    pub(crate) passed: Vec<String>,
    /// Files that file tools wrote, in the order of first writing.
    pub(crate) written: Vec<String>,
    /// Failed ones among the last tool calls, and how many were looked at.
    pub(crate) last_results: Option<(usize, usize)>,
    /// Every call with its result.
    pub(crate) calls: Vec<(&'t ToolCall, &'t ToolResult)>,
}

/// Reads the signs of a task.
pub(crate) fn read(task: &[Message]) -> Facts<'_> {
    const LOOKED_AT: usize = 5;
    let mut facts = Facts::default();
    let mut open: HashMap<&str, &ToolCall> = HashMap::new();
    for message in task {
        for call in &message.tool_calls {
            open.insert(&call.id, call);
        }
        let Some(result) = &message.tool_result else {
            continue;
        };
        let Some(call) = open.remove(result.tool_call_id.as_str()) else {
            continue;
        };
        facts.calls.push((call, result));
        let arguments = Arguments::of(call);
        if arguments.edits(call) && !failed(result) {
            facts.tests_before_last_edit |= facts.tests_after_last_edit.take().is_some();
            facts.passed.clear();
            if let Some(path) = arguments.file_path
                && !facts.written.contains(&path)
            {
                facts.written.push(path);
            }
        } else if let Some(command) = arguments.command
            && runs_tests(&command)
        {
            let run = test_run(result);
            facts.tests_after_last_edit = Some(run);
            match run {
                TestRun::Passed if !facts.passed.contains(&command) => facts.passed.push(command),
                TestRun::Failed => facts.passed.retain(|earlier| *earlier != command),
                TestRun::Passed => {}
            }
        }
    }
    let last = facts.calls.len().min(LOOKED_AT);
    if last > 0 {
        let bad = facts.calls[facts.calls.len() - last..]
            .iter()
            .filter(|(_, result)| failed(result))
            .count();
        facts.last_results = Some((bad, last));
    }
    facts
}

/// The arguments that tell what a call does, under the names the agents use.
#[derive(Debug, Default)]
pub(crate) struct Arguments {
    pub(crate) command: Option<String>,
    pub(crate) file_path: Option<String>,
    patch: bool,
}

impl Arguments {
    pub(crate) fn of(call: &ToolCall) -> Self {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Command {
            Text(String),
            Words(Vec<String>),
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct Wire {
            #[serde(alias = "cmd", alias = "script")]
            command: Option<Command>,
            #[serde(
                alias = "filePath",
                alias = "path",
                alias = "notebook_path",
                alias = "absolute_path"
            )]
            file_path: Option<String>,
            #[serde(alias = "patch")]
            input: Option<serde::de::IgnoredAny>,
        }
        // Arguments of another shape tell nothing.
        let wire: Wire = serde_json::from_str(call.arguments.get()).unwrap_or_default();
        let command = wire.command.map(|command| match command {
            Command::Text(text) => text,
            // `["bash", "-lc", "cargo test"]`: the last word is the script.
            Command::Words(words) => match words.as_slice() {
                [_, flag, script] if flag.starts_with('-') && flag.ends_with('c') => script.clone(),
                _ => words.join(" "),
            },
        });
        let patch = wire.input.is_some() && call.name.contains("patch")
            || command.as_deref().is_some_and(|c| c.contains("*** Begin Patch"));
        Self {
            command,
            file_path: wire.file_path,
            patch,
        }
    }

    fn edits(&self, call: &ToolCall) -> bool {
        let name = call.name.to_ascii_lowercase();
        let by_name = [
            "edit",
            "write",
            "multiedit",
            "notebookedit",
            "apply_patch",
            "write_file",
            "replace",
            "create",
            "str_replace_editor",
            "str_replace",
        ];
        by_name.contains(&name.as_str()) || self.patch
    }
}

/// Whether a call failed.
pub(crate) fn failed(result: &ToolResult) -> bool {
    result.is_error || result.exit_status.is_some_and(|status| status != 0)
}

fn pattern(text: &'static str) -> Option<Regex> {
    RegexBuilder::new(text).case_insensitive(true).build().ok()
}

fn matches(pattern: &LazyLock<Option<Regex>>, text: &str) -> bool {
    pattern.as_ref().is_some_and(|p| p.is_match(text))
}

/// Whether a shell command runs tests.
pub(crate) fn runs_tests(command: &str) -> bool {
    static TESTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"(?:^|[\s;&|(/])(?:cargo\s+(?:\+\S+\s+)?(?:test|nextest)|py\.?test|python3?\s+-m\s+(?:pytest|unittest)|(?:npm|pnpm|yarn|bun)\s+(?:run\s+)?test|npx\s+(?:vitest|jest|mocha|playwright\s+test)|vitest|jest|mocha|go\s+test|deno\s+test|dotnet\s+test|mvn\s+(?:\S+\s+)*(?:test|verify)|gradlew?\s+(?:\S+\s+)*(?:test|check)|ctest|tox|nox|rspec|phpunit|mix\s+test|swift\s+test|zig\s+(?:build\s+)?test|rake\s+test|make\s+(?:\S+\s+)*(?:test|check))(?:$|[\s;&|):])",
        )
    });
    matches(&TESTS, command)
}

/// A pipe hides the exit status of the tests, so their output counts too.
fn test_run(result: &ToolResult) -> TestRun {
    static FAILURES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"test result: failed|\b[1-9]\d* (?:tests? )?failed\b|\bfailed[:=] ?[1-9]|\b[1-9]\d* (?:failing|failures?|errors?)\b|^FAILED\b|\bFAIL\b[:\s]|\berror\[E\d+\]|could not compile|Traceback \(most recent call last\)|command not found",
        )
    });
    if failed(result) || matches(&FAILURES, &result.content) {
        TestRun::Failed
    } else {
        TestRun::Passed
    }
}

/// Reads what the person said after a task; `None` when nobody said anything.
pub(crate) fn reply(after: &[Message]) -> Option<Reply> {
    static THANKS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"^\W*(?:ok(?:ay)?[,.! ]+)?(?:thanks|thank you|thx|ty\b|great|perfect|awesome|nice|excellent|lgtm|looks good|well done|good (?:job|work)|works(?: now| great)?\b|it works|love it|amazing|danke|merci|gracias|commit (?:this|it|that)|ship it|merge it)",
        )
    });
    static CORRECTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"^\W*(?:no\b|nope|wrong|stop\b|wait\b|actually,? (?:no|that)|that'?s (?:not|wrong)|that is (?:not|wrong)|this is (?:not|wrong)|not what|you (?:broke|forgot|missed|didn'?t|did not)|undo|revert|roll ?back|why did you|it (?:still )?(?:doesn'?t|does not|isn'?t|fails|is broken))|\bstill (?:fails?|failing|broken|not working|doesn'?t|the same error)|\b(?:doesn'?t|does not|didn'?t) work\b|\bnot what i (?:asked|wanted|meant)|\byou broke\b",
        )
    });
    static RETRY: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(r"^\W*(?:(?:please )?(?:try|do it|run it) again|again\b|retry|one more time|redo)")
    });
    let next = after
        .iter()
        .find(|m| m.kind == MessageKind::Prompt && !m.rewound)?;
    let text = &next.text;
    Some(if matches(&CORRECTION, text) {
        Reply::Correction
    } else if matches(&RETRY, text) {
        Reply::Retry
    } else if matches(&THANKS, text) {
        Reply::Thanks
    } else {
        Reply::Next
    })
}

/// Reads whether the task's work was committed, and whether something later took it back.
pub(crate) fn commit(task: &[Message], after: &[Message]) -> Option<Commit> {
    static COMMITS: LazyLock<Option<Regex>> =
        LazyLock::new(|| pattern(r"\bgit\s+(?:-C\s+\S+\s+)?commit\b|\bgh\s+pr\s+(?:create|merge)\b"));
    static UNDOES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        pattern(
            r"\bgit\s+(?:-C\s+\S+\s+)?(?:revert\b|reset\s+--hard|checkout\s+(?:HEAD\s+)?--\s|restore\s+(?:--staged\s+)?\.)",
        )
    });
    let ran = |messages: &[Message], pattern: &LazyLock<Option<Regex>>| {
        let worked: Vec<&str> = messages
            .iter()
            .filter_map(|m| m.tool_result.as_ref())
            .filter(|result| !failed(result))
            .map(|result| result.tool_call_id.as_str())
            .collect();
        messages.iter().flat_map(|m| &m.tool_calls).any(|call| {
            worked.contains(&call.id.as_str())
                && Arguments::of(call).command.is_some_and(|c| matches(pattern, &c))
        })
    };
    // Only the next task can be blamed on this one.
    let next = after
        .iter()
        .enumerate()
        .filter(|(_, m)| m.kind.opens_segment())
        .nth(1)
        .map_or(after.len(), |(at, _)| at);
    let undone = ran(&after[..next], &UNDOES);
    let committed = ran(task, &COMMITS);
    let edited = || {
        task.iter()
            .flat_map(|m| &m.tool_calls)
            .any(|call| Arguments::of(call).edits(call))
    };
    if undone && (committed || edited()) {
        Some(Commit::Undone)
    } else {
        committed.then_some(Commit::Kept)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::prompt;
    use super::*;

    #[test]
    fn test_commands_are_told_from_others() {
        for command in [
            "cargo test",
            "cd app && cargo +nightly nextest run",
            "python -m pytest -q tests | tail -5",
            "npm run test -- --watch=false",
            "./gradlew clean test",
            "make check",
            "go test ./...",
        ] {
            assert!(runs_tests(command), "{command}");
        }
        for command in [
            "cat tests/a.rs",
            "cargo build",
            "git commit -m 'add test'",
            "ls test",
            "latest",
        ] {
            assert!(!runs_tests(command), "{command}");
        }
    }

    #[test]
    fn output_tells_what_a_pipe_hides() {
        let result = |content: &str, is_error, exit_status| ToolResult {
            tool_call_id: "c".to_owned(),
            content: content.to_owned(),
            is_error,
            exit_status,
        };
        for (content, error, status, expected) in [
            (
                "test result: ok. 12 passed; 0 failed",
                false,
                None,
                TestRun::Passed,
            ),
            ("===== 3 passed in 0.1s =====", false, Some(0), TestRun::Passed),
            ("===== 1 failed, 3 passed =====", false, Some(0), TestRun::Failed),
            ("Tests: 2 failed, 9 passed", false, None, TestRun::Failed),
            ("error[E0308]: mismatched types", false, None, TestRun::Failed),
            ("ok", true, None, TestRun::Failed),
            ("", false, Some(101), TestRun::Failed),
        ] {
            assert_eq!(test_run(&result(content, error, status)), expected, "{content}");
        }
    }

    #[test]
    fn replies_are_read() {
        for (text, expected) in [
            ("Thanks, that works!", Reply::Thanks),
            ("perfect. now add docs", Reply::Thanks),
            ("no, I meant the other file", Reply::Correction),
            ("it still fails with the same error", Reply::Correction),
            ("try again", Reply::Retry),
            ("Now write the docs", Reply::Next),
            ("Note the new option in the README", Reply::Next),
        ] {
            assert_eq!(reply(&[prompt(text)]), Some(expected), "{text}");
        }
        assert_eq!(reply(&[]), None);
    }
}
