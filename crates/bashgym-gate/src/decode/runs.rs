//! Long runs of letters and digits: where base64, hex and random strings are.

/// The shortest run that is looked at.
pub(crate) const SHORTEST: usize = 24;
/// A line of wrapped base64 is at least this long.
const WRAPPED: usize = 60;

const fn classes() -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let letter = byte as u8;
        table[byte] = letter.is_ascii_alphanumeric() || matches!(letter, b'+' | b'/' | b'_' | b'-');
        byte += 1;
    }
    table
}

static IN_RUN: [bool; 256] = classes();

fn in_run(byte: u8) -> bool {
    IN_RUN[usize::from(byte)]
}

/// A run, in one piece or wrapped over lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// The pieces when the run is wrapped; empty when it is in one piece.
    pub(crate) pieces: Vec<(usize, usize)>,
}

impl Run {
    /// The run's letters without what wraps them.
    pub(crate) fn letters<'t>(&self, text: &'t [u8]) -> std::borrow::Cow<'t, [u8]> {
        if self.pieces.is_empty() {
            return (&text[self.start..self.end]).into();
        }
        let mut all = Vec::with_capacity(self.end - self.start);
        for (start, end) in &self.pieces {
            all.extend_from_slice(&text[*start..*end]);
        }
        all.into()
    }

    /// Where the letter at `index` stands in the text.
    pub(crate) fn source(&self, index: usize) -> usize {
        let mut left = index;
        for (start, end) in &self.pieces {
            if left < end - start {
                return start + left;
            }
            left -= end - start;
        }
        if self.pieces.is_empty() {
            self.start + index
        } else {
            self.end
        }
    }
}

/// Calls `take` for each run of [`SHORTEST`] letters or more.
///
/// Only the last letter of the next place where a run could be is looked at, and what is before it.
pub(crate) fn runs(text: &[u8], mut take: impl FnMut(Run)) {
    let mut at = SHORTEST - 1;
    while at < text.len() {
        // The nearest letter before that is in no run says where the next run begins at the earliest.
        let start = at + 1 - SHORTEST;
        if let Some(other) = text[start..=at].iter().rposition(|byte| !in_run(*byte)) {
            at = start + other + SHORTEST;
            continue;
        }
        let end = piece_end(text, at);
        let start = skip_escape(text, start);
        let mut run = Run {
            start,
            end,
            pieces: Vec::new(),
        };
        while run.end - run.pieces.last().map_or(run.start, |piece| piece.0) >= WRAPPED
            && let Some(next) = line_break(text, run.end)
            && text.get(next).copied().is_some_and(in_run)
        {
            if run.pieces.is_empty() {
                run.pieces.push((run.start, run.end));
            }
            run.end = piece_end(text, next);
            run.pieces.push((next, run.end));
        }
        at = run.end + SHORTEST;
        take(run);
    }
}

fn piece_end(text: &[u8], at: usize) -> usize {
    text[at..]
        .iter()
        .position(|byte| !in_run(*byte))
        .map_or(text.len(), |length| at + length)
}

/// The letters of an escape before a run are not part of it.
pub(crate) fn skip_escape(text: &[u8], start: usize) -> usize {
    if start == 0 || text[start - 1] != b'\\' {
        return start;
    }
    match text.get(start) {
        Some(b'n' | b'r' | b't' | b'b' | b'f' | b'/') => start + 1,
        Some(b'u') if text.len() > start + 5 => start + 5,
        _ => start,
    }
}

/// The place after a line break at `at`, written plainly or as an escape.
pub(crate) fn line_break(text: &[u8], at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    for form in [&b"\r\n"[..], b"\n", b"\\r\\n", b"\\n", b"\\\\r\\\\n", b"\\\\n"] {
        if rest.starts_with(form) {
            return Some(at + form.len());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        runs(text.as_bytes(), |run| {
            all.push(String::from_utf8_lossy(&run.letters(text.as_bytes())).into_owned());
        });
        all
    }

    #[test]
    fn long_runs_are_found_wherever_they_start() {
        let run = "A".repeat(SHORTEST);
        for before in 0..60 {
            let text = format!("{} {run} {}", "x ".repeat(before), "short words only here");
            assert_eq!(found(&text), std::slice::from_ref(&run), "{before}");
        }
        assert!(found("no long run is in this sentence, at all").is_empty());
        assert_eq!(found(&format!("a\\n{run}")), [run]);
    }

    #[test]
    fn wrapped_runs_are_one() {
        let line = "b".repeat(76);
        assert_eq!(
            found(&format!("\"{line}\\n{line}\\nend\"")),
            [format!("{line}{line}end")]
        );
        assert_eq!(found(&format!("{line}\r\n{line} x")), [format!("{line}{line}")]);
    }
}
