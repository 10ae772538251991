//! Tokens of a known form that were cut, wrapped over lines, or taken apart into several strings.

use super::{Finding, RANK_SPECIAL};
use crate::decode::{line_break, skip_escape};
use crate::rules::{entropy, looks_random};

/// How far apart two strings may be that hold one token: the keys and brackets of a streamed event.
const SEAM: usize = 160;

/// How far behind its prefix a token may end: its longest body, with a seam between every eight letters of it.
pub(super) const LONGEST: usize = 94 + 13 * (SEAM + 64);

/// A token by its prefix.
#[derive(Debug)]
pub(super) struct Cut {
    pub(super) prefix: &'static str,
    pub(super) kind: &'static str,
    /// Letters behind the prefix of a whole token.
    full: usize,
}

const fn cut(prefix: &'static str, kind: &'static str, full: usize) -> Cut {
    Cut { prefix, kind, full }
}

pub(super) const CUTS: &[Cut] = &[
    cut("hf_", "hf_token", 34),
    cut("sk-ant-api03-", "anthropic_key", 93),
    cut("sk-proj-", "openai_key", 48),
    cut("ghp_", "github_token", 36),
    cut("gho_", "github_token", 36),
    cut("ghs_", "github_token", 36),
    cut("github_pat_", "github_token", 82),
    cut("glpat-", "gitlab_token", 20),
    cut("akia", "aws_access_key", 16),
    cut("xoxb-", "slack_token", 40),
    cut("xoxp-", "slack_token", 40),
    cut("aiza", "google_key", 35),
    cut("npm_", "npm_token", 36),
    cut("pypi-", "pypi_token", 60),
    cut("sk_live_", "stripe_key", 24),
    cut("dop_v1_", "digitalocean_token", 64),
    cut("hvs.", "vault_token", 90),
    cut("dapi", "databricks_token", 32),
    cut("dckr_pat_", "docker_token", 27),
    cut("eyj", "jwt", 60),
];

impl Cut {
    fn is_body(&self, byte: u8) -> bool {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-') || (self.kind == "jwt" && byte == b'.')
    }

    fn run(&self, text: &[u8], at: usize) -> usize {
        text[at..].iter().take_while(|byte| self.is_body(**byte)).count()
    }

    fn has_case(&self, word: &[u8]) -> bool {
        match self.prefix {
            "akia" => word == b"AKIA",
            "aiza" => word == b"AIza",
            "eyj" => word == b"eyJ",
            lower => word == lower.as_bytes(),
        }
    }
}

/// Whether a word begins at `at`; the letter of an escape is not part of it.
fn begins(text: &[u8], at: usize) -> bool {
    at == 0
        || !(text[at - 1].is_ascii_alphanumeric() || text[at - 1] == b'_')
        || skip_escape(text, at - 1) == at
}

/// Finds a token that a line break, the border of a string or a cut keeps from having its full length.
///
/// Parts on both sides of a string's border are findings of their own, so that the strings stay strings.
pub(super) fn cut_token(cut: &Cut, text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let prefix = at + cut.prefix.len();
    if !cut.has_case(&text[at..prefix]) || !begins(text, at) {
        return;
    }
    let mut body: Vec<u8> = Vec::new();
    let mut parts = vec![(at, prefix)];
    let mut end = prefix;
    let mut joined = false;
    loop {
        let length = cut.run(text, end).min(cut.full - body.len());
        body.extend_from_slice(&text[end..end + length]);
        end += length;
        if let Some(part) = parts.last_mut() {
            part.1 = end;
        }
        if body.len() >= cut.full {
            break;
        }
        let missing = cut.full - body.len();
        let Some(seam) = seam(cut, text, end, body.len(), missing) else {
            break;
        };
        joined = true;
        end = seam.next;
        if seam.strings {
            parts.push((end, end));
        }
    }
    let full = body.len() >= cut.full;
    if full && !joined {
        return;
    }
    let random = body.iter().any(u8::is_ascii_digit) && looks_random(&body) && entropy(&body) >= 2.5;
    if full || (body.len() >= 6 && random && is_cut(text, end)) {
        let value = [cut.prefix.as_bytes(), body.as_slice()].concat();
        for (start, end) in parts {
            out.push(Finding::plain(start, end, cut.kind, RANK_SPECIAL, &value));
        }
    }
}

/// What stands between two parts of a token.
struct Seam {
    /// Where the next part begins.
    next: usize,
    /// Whether the parts are in two strings.
    strings: bool,
}

fn seam(cut: &Cut, text: &[u8], at: usize, have: usize, missing: usize) -> Option<Seam> {
    let fits = |next: usize| {
        let rest = cut.run(text, next);
        // What goes on must look like the rest of a token, not like the next sentence; where little is known before the
        // seam, all of the rest must be there.
        let part = &text[next..next + rest.min(missing)];
        if have >= 4 {
            rest >= missing.min(8) && looks_like_rest(part)
        } else {
            rest >= missing && looks_random(part)
        }
    };
    let broken = [at, at + slashes(text, at)]
        .into_iter()
        .find_map(|end| line_break(text, end));
    if let Some(line) = broken {
        return [line, margin(text, line)]
            .into_iter()
            .find(|next| fits(*next))
            .map(|next| Seam { next, strings: false });
    }
    let quote = at + slashes(text, at);
    if !matches!(text.get(quote), Some(b'"' | b'\'' | b'`')) {
        return None;
    }
    let most = text.len().min(quote + SEAM);
    (quote + 1..most)
        .filter(|open| text[*open] == text[quote])
        .map(|open| open + 1)
        .find(|next| fits(*next))
        .map(|next| Seam { next, strings: true })
}

/// Backslashes at a place: those that escape a quote, or end a line of a shell command.
fn slashes(text: &[u8], at: usize) -> usize {
    let all = text[at..].iter().take_while(|byte| **byte == b'\\').count();
    // Those of an escaped line break belong to it.
    let letter = matches!(text.get(at + all), Some(b'n' | b'r'));
    all - usize::from(letter) * all.min(if all >= 4 { 2 } else { 1 })
}

/// The place behind what tools write before a line: blanks, a number, a bar, the sign of a diff or a quote.
fn margin(text: &[u8], line: usize) -> usize {
    let most = text.len().min(line + 24);
    let mut at = line;
    let mut number = false;
    while at < most {
        match text[at] {
            b' ' | b'\t' | b'|' | b'>' | b'+' => at += 1,
            b'\\' if text.get(at + 1) == Some(&b't') => at += 2,
            b'0'..=b'9' if !number => {
                let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
                let behind = &text[at + digits..];
                let ends = [&b"\t"[..], b"\\t", b" |", b"|", b":", b" ", "\u{2192}".as_bytes()];
                let Some(end) = ends.iter().find(|end| behind.starts_with(end)) else {
                    break;
                };
                number = true;
                at += digits + end.len();
            }
            _ => break,
        }
    }
    at
}

fn looks_like_rest(part: &[u8]) -> bool {
    let digits = part.iter().any(u8::is_ascii_digit);
    let upper = part.iter().skip(1).any(u8::is_ascii_uppercase);
    let lower = part.iter().any(u8::is_ascii_lowercase);
    digits || (upper && lower)
}

/// Whether a text is cut at `at`.
fn is_cut(text: &[u8], at: usize) -> bool {
    let rest = &text[at.min(text.len())..];
    rest.is_empty()
        || [
            "…", "...", "\\u2026", "\\n[", "\n[", " [", "[", "<", "\\n…", "\n…", "\\n...", "\n...", " …",
            "\"", "\\\"", "***",
        ]
        .iter()
        .any(|mark| rest.starts_with(mark.as_bytes()))
}
