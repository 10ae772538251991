//! The second look at a text: only around what was replaced, since the rest is as it was when nothing more was found.

use super::{Detector, Finding, Names};

/// How far around a changed place a finding may be that was not there before: more than any pattern reaches.
const REACH: usize = 1024;
/// How far a stretch without blanks is followed beyond that: a run of base64 is one however long it is.
const STRETCH: usize = 16 << 10;

impl Detector {
    /// Finds what replacements at `changed` brought to light.
    ///
    /// Whatever is near them is looked at; when something is there, or when the surroundings have no clear border, all
    /// of the text is.
    pub(crate) fn find_again(
        &self,
        text: &[u8],
        changed: &[(usize, usize)],
        names: &mut Names,
    ) -> Vec<Finding> {
        let Some(windows) = windows(text, changed) else {
            return self.find(text, names);
        };
        for (start, end) in windows {
            if !self.find(&text[start..end], names).is_empty() {
                return self.find(text, names);
            }
        }
        Vec::new()
    }
}

/// The parts of a text around changed places, or nothing where looking at all of it is better.
fn windows(text: &[u8], changed: &[(usize, usize)]) -> Option<Vec<(usize, usize)>> {
    // A key goes over many lines, and what is left of one may be far from what was replaced.
    if text.len() <= 2 * REACH || memchr::memmem::find(text, b"-----").is_some() {
        return None;
    }
    let mut windows: Vec<(usize, usize)> = Vec::with_capacity(changed.len());
    let mut size = 0;
    for &(start, end) in changed {
        let from = stretch_start(text, start.saturating_sub(REACH))?;
        let to = stretch_end(text, (end + REACH).min(text.len()))?;
        match windows.last_mut() {
            Some(last) if from <= last.1 => {
                size += to.saturating_sub(last.1);
                last.1 = last.1.max(to);
            }
            _ => {
                size += to - from;
                windows.push((from, to));
            }
        }
    }
    (size * 4 <= text.len() * 3).then_some(windows)
}

fn is_border(byte: u8) -> bool {
    matches!(byte, b' ' | b'"' | b'\t')
}

/// The beginning of the stretch without blanks that a place is in.
fn stretch_start(text: &[u8], at: usize) -> Option<usize> {
    let least = at.saturating_sub(STRETCH);
    match text[least..at].iter().rposition(|byte| is_border(*byte)) {
        Some(before) => Some(least + before),
        None => (least == 0).then_some(0),
    }
}

fn stretch_end(text: &[u8], at: usize) -> Option<usize> {
    let most = text.len().min(at + STRETCH);
    match text[at..most].iter().position(|byte| is_border(*byte)) {
        Some(length) => Some(at + length),
        None => (most == text.len()).then_some(most),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pieces of logs with what the gate looks for, and with what it puts there.
    fn piece() -> impl Strategy<Value = String> {
        prop_oneof![
            6 => "[a-z ,.]{20,400}",
            1 => Just("/home/jane/".to_owned()),
            1 => Just("ghp_a1B2c3D4e5F6a1B2c3D4e5F6a1B2c3D4e5F6".to_owned()),
            1 => Just("password = \\\"Zq81vLm30sKw\\\"".to_owned()),
            1 => Just("<HF_TOKEN_bcdfghjk>".to_owned()),
            1 => Just(" user_bcdfghjk ".to_owned()),
            1 => "[A-Za-z0-9+/]{30,90}",
            1 => Just("%2Fhome%2Fjane%2F".to_owned()),
            1 => Just("https://app:".to_owned()),
            1 => Just("@db.corp.example/x".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn a_second_look_finds_what_a_whole_one_finds(
            before in proptest::collection::vec("[a-z \\n]{0,300}", 0..12),
            near in proptest::collection::vec(piece(), 1..6),
            far in proptest::collection::vec("[a-z \\n]{0,300}", 0..12),
        ) {
            let detector = Detector::shipped().unwrap();
            // What is far from the changed place holds nothing, as after a first look.
            let (before, near, far) = (before.concat(), near.concat(), far.concat());
            let text = format!("{before} {near} {far}");
            let changed = (before.len() + 1, before.len() + 1 + near.len());
            let whole = detector.find(text.as_bytes(), &mut Names::default());
            let again = detector.find_again(text.as_bytes(), &[changed], &mut Names::default());
            // A name may be learned on the way, so that it finds more.
            prop_assert_eq!(again.is_empty(), whole.is_empty());
            prop_assert!(whole.iter().all(|found| again.contains(found)));
        }
    }

    #[test]
    fn only_the_surroundings_are_looked_at() {
        let text = format!("{} x {}", "word ".repeat(2_000), "word ".repeat(2_000));
        let windows = windows(text.as_bytes(), &[(10_001, 10_002)]).unwrap();
        assert_eq!(windows.len(), 1);
        assert!(windows[0].1 - windows[0].0 < 2 * REACH + 20);
        assert!(super::windows(text.as_bytes(), &[(1, 2), (19_000, 19_001)]).is_some());
        let key = format!("{text}-----END PRIVATE KEY-----");
        assert!(super::windows(key.as_bytes(), &[(1, 2)]).is_none());
        let run = "A".repeat(100_000);
        assert!(super::windows(run.as_bytes(), &[(50_000, 50_001)]).is_none());
    }
}
