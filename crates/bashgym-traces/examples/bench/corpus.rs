//! A seeded corpus of sessions as Claude Code and Codex write them, with planted secrets, copies and damage.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::Result;

/// Part of every planted secret, and of nothing else.
pub(crate) const MARK: &str = "Zq7Kw";

/// Numbers that look random and are the same in every run (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 8
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).unwrap_or(0)
    }

    /// A word of a vocabulary in which few words are common and many are rare.
    pub(crate) fn word(&mut self) -> String {
        const SYLLABLES: [&str; 24] = [
            "par", "ser", "con", "fig", "re", "build", "test", "ing", "mod", "ule", "in", "dex", "han",
            "dle", "str", "eam", "val", "ue", "log", "ger", "cache", "key", "run", "ner",
        ];
        let width = 4 + self.below(9);
        let rank = self.below(1 << width);
        let mut rest = rank + 24;
        let mut word = String::new();
        while rest > 0 {
            word.push_str(SYLLABLES[rest % 24]);
            rest /= 24;
        }
        word
    }

    /// A text of `least` words, and up to `spread` more.
    pub(crate) fn text(&mut self, least: usize, spread: usize) -> String {
        let words = least + self.below(spread);
        let mut text = String::new();
        for n in 0..words {
            if n > 0 {
                text.push(if n % 17 == 0 { '\n' } else { ' ' });
            }
            text.push_str(&self.word());
        }
        text
    }

    fn code(&mut self, least: usize, spread: usize) -> String {
        let lines = least + self.below(spread);
        let mut text = String::new();
        for n in 0..lines {
            let (a, b, c) = (self.word(), self.word(), self.word());
            let line = match self.below(4) {
                0 => format!("{n:>5}\tlet {a} = {b}.{c}(&self.{a}, {n})?;\n"),
                1 => format!("{n:>5}\t    if {a}_{b} != \"{c}\" {{\n"),
                2 => format!("{n:>5}\t/// {a} {b} {c} of the {a}, see `{b}::{c}`.\n"),
                _ => format!("src/{a}/{b}.rs:{n}: {c}\n"),
            };
            text.push_str(&line);
        }
        text
    }

    fn secret(&mut self) -> String {
        let tail: String = (0..28)
            .map(|_| {
                char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[self.below(62)])
            })
            .collect();
        match self.below(4) {
            0 => format!("hf_{MARK}{}a", &tail[..28]),
            1 => format!("ghp_{MARK}{}abc", &tail),
            2 => format!("sk-ant-api03-{MARK}{tail}{tail}"),
            _ => format!("glpat-{MARK}{}", &tail[..16]),
        }
    }
}

#[derive(Default)]
struct Truth {
    secrets: Vec<String>,
    sessions: u64,
    copies: u64,
    broken: u64,
    surrogates: u64,
    bytes: u64,
}

pub(crate) fn write(dir: &Path, truth_path: &Path, megabytes: u64) -> Result<Value> {
    let mut random = Random::new(42);
    let mut truth = Truth::default();
    fs::create_dir_all(dir)?;
    let mut earlier: Option<Vec<String>> = None;
    while truth.bytes < megabytes * 1_000_000 {
        let n = truth.sessions;
        let is_codex = n % 4 == 3;
        let lines = match &earlier {
            // The same conversation under another id: a copy that must not count twice.
            Some(lines) if n % 25 == 24 => {
                truth.copies += 1;
                let (old, new) = (id(n - 1), id(n));
                lines.iter().map(|line| line.replace(&old, &new)).collect()
            }
            _ if is_codex => codex(n, &mut random, &mut truth),
            _ => claude(n, &mut random, &mut truth),
        };
        let name = if is_codex && n % 25 != 24 {
            format!("rollout-2026-03-01T10-00-00-{}.jsonl", id(n))
        } else {
            format!("{}.jsonl", id(n))
        };
        let mut out = BufWriter::new(fs::File::create(dir.join(name))?);
        for (at, line) in lines.iter().enumerate() {
            truth.bytes += line.len() as u64 + 1;
            out.write_all(line.as_bytes())?;
            out.write_all(b"\n")?;
            if n % 40 == 7 && at == 3 {
                out.write_all(&[0; 512])?;
                out.write_all(b"\n")?;
                truth.broken += 1;
            }
        }
        if n % 30 == 11 {
            out.write_all(b"{\"type\":\"assistant\",\"message\":{\"role\":\"assi")?;
            truth.broken += 1;
        }
        out.flush()?;
        truth.sessions += 1;
        earlier = Some(lines);
    }
    fs::write(
        truth_path,
        json!({ "mark": MARK, "secrets": truth.secrets }).to_string(),
    )?;
    Ok(json!({
        "sessions": truth.sessions, "secrets": truth.secrets.len(), "copies": truth.copies,
        "broken": truth.broken, "surrogates": truth.surrogates, "bytes": truth.bytes,
    }))
}

fn id(n: u64) -> String {
    format!("{n:08x}-1111-4222-8333-{n:012x}")
}

fn plant(text: &mut String, random: &mut Random, truth: &mut Truth) {
    if random.below(12) == 0 {
        let secret = random.secret();
        text.push_str("\nexport SERVICE=");
        text.push_str(&secret);
        text.push('\n');
        truth.secrets.push(secret);
    }
}

fn claude(n: u64, random: &mut Random, truth: &mut Truth) -> Vec<String> {
    let session = id(n);
    let mut lines: Vec<String> = Vec::new();
    let mut record = |kind: &str, message: Value| {
        let at = lines.len();
        let parent = at.checked_sub(1).map(|p| format!("{session}-{p:04}"));
        lines.push(
            json!({
                "parentUuid": parent, "isSidechain": false, "userType": "external", "cwd": "/home/dana/app",
                "sessionId": session, "version": "2.1.33", "gitBranch": "main", "type": kind, "message": message,
                "uuid": format!("{session}-{at:04}"),
                "timestamp": format!("2026-03-01T{:02}:{:02}:{:02}.000Z", 8 + at / 3600, at / 60 % 60, at % 60),
            })
            .to_string(),
        );
    };
    let assistant = |block: Value, message: String| {
        json!({
            "id": message, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
            "content": [block], "stop_reason": null,
            "usage": {"input_tokens": 4, "cache_read_input_tokens": 20_000, "cache_creation_input_tokens": 300, "output_tokens": 8},
        })
    };
    for task in 0..2 + random.below(4) {
        let mut prompt = random.text(12, 60);
        plant(&mut prompt, random, truth);
        record("user", json!({"role": "user", "content": prompt}));
        for step in 0..3 + random.below(12) {
            let message = format!("msg_{n}_{task}_{step}");
            let call = format!("toolu_{n}_{task}_{step}");
            let says = random.text(10, 40);
            record(
                "assistant",
                assistant(json!({"type": "text", "text": says}), message.clone()),
            );
            let (name, input) = match random.below(3) {
                0 => (
                    "Read",
                    json!({"file_path": format!("/home/dana/app/src/{}.rs", random.word())}),
                ),
                1 => (
                    "Edit",
                    json!({"file_path": format!("/home/dana/app/src/{}.rs", random.word()),
                           "old_string": random.code(4, 0), "new_string": random.code(6, 0)}),
                ),
                _ => (
                    "Bash",
                    json!({"command": "cargo test --workspace", "description": random.text(5, 0)}),
                ),
            };
            record(
                "assistant",
                assistant(
                    json!({"type": "tool_use", "id": call, "name": name, "input": input}),
                    message,
                ),
            );
            let mut output = random.code(10, 150);
            plant(&mut output, random, truth);
            if random.below(60) == 0 {
                output.push_str("HALF-A-PAIR");
                truth.surrogates += 1;
            }
            record(
                "user",
                json!({"role": "user", "content": [
                    {"type": "tool_result", "tool_use_id": call, "content": output, "is_error": random.below(9) == 0},
                ]}),
            );
        }
        let answer = random.text(30, 60);
        record(
            "assistant",
            assistant(
                json!({"type": "text", "text": answer}),
                format!("msg_{n}_{task}_end"),
            ),
        );
    }
    for line in &mut lines {
        if line.contains("HALF-A-PAIR") {
            *line = line.replace("HALF-A-PAIR", "\\ud83d");
        }
    }
    lines
}

fn codex(n: u64, random: &mut Random, truth: &mut Truth) -> Vec<String> {
    let session = id(n);
    let mut lines: Vec<String> = Vec::new();
    let mut record = |kind: &str, payload: Value| {
        let at = lines.len();
        let time = format!(
            "2026-03-02T{:02}:{:02}:{:02}.000Z",
            8 + at / 3600,
            at / 60 % 60,
            at % 60
        );
        lines.push(json!({"timestamp": time, "type": kind, "payload": payload}).to_string());
    };
    record(
        "session_meta",
        json!({"id": session, "timestamp": "2026-03-02T08:00:00.000Z", "cwd": "/home/dana/app",
               "originator": "codex_cli_rs", "cli_version": "0.60.0", "source": "cli"}),
    );
    record(
        "turn_context",
        json!({"cwd": "/home/dana/app", "model": "gpt-5.1-codex", "approval_policy": "on-request"}),
    );
    for task in 0..=random.below(4) {
        let mut prompt = random.text(12, 60);
        plant(&mut prompt, random, truth);
        record("event_msg", json!({"type": "user_message", "message": prompt}));
        record(
            "response_item",
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]}),
        );
        for step in 0..3 + random.below(10) {
            let call = format!("call_{n}_{task}_{step}");
            let arguments = json!({"command": format!("sed -n 1,80p src/{}.rs", random.word())}).to_string();
            record(
                "response_item",
                json!({"type": "function_call", "name": "shell_command", "arguments": arguments, "call_id": call}),
            );
            let mut output = random.code(10, 150);
            plant(&mut output, random, truth);
            record(
                "response_item",
                json!({"type": "function_call_output", "call_id": call, "output": output}),
            );
        }
        let answer = random.text(30, 60);
        record(
            "response_item",
            json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": answer}]}),
        );
    }
    lines
}
