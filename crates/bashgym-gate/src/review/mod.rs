//! What people decide about findings, and how a finding is shown to them.

mod policy;

use std::fmt::Write as _;

pub use self::policy::{Policy, PolicyError, Verdict};
use crate::detect::Finding;

/// How much of the text around a finding is shown, in bytes.
const AROUND: usize = 60;

/// Hides a value but for what tells it apart: its length, and two letters on each side of a long one.
pub(crate) fn mask(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    let letters: Vec<char> = text.chars().collect();
    let show = |part: &[char]| -> String {
        part.iter()
            .map(|letter| if letter.is_control() { '.' } else { *letter })
            .collect()
    };
    if letters.len() < 12 {
        return format!("({} letters)", letters.len());
    }
    format!(
        "{}***{} ({} letters)",
        show(&letters[..2]),
        show(&letters[letters.len() - 2..]),
        letters.len()
    )
}

/// The text around a finding, with it and every other finding masked.
pub(crate) fn context(text: &[u8], all: &[Finding], index: usize) -> String {
    let finding = &all[index];
    let start = finding.start.saturating_sub(AROUND);
    let end = text.len().min(finding.end + AROUND);
    let mut out = String::new();
    let mut at = start;
    for other in all {
        if other.end <= at || other.start >= end {
            continue;
        }
        out.push_str(&String::from_utf8_lossy(&text[at..other.start.max(at)]));
        if other.start == finding.start {
            let _ = write!(out, "[{}: {}]", other.kind, mask(&other.value));
        } else {
            let _ = write!(out, "[{}]", other.kind);
        }
        at = other.end;
    }
    if at < end {
        out.push_str(&String::from_utf8_lossy(&text[at..end]));
    }
    // What a log holds must not move the cursor of whoever reads it.
    out.chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect()
}
