//! The second look at a text: only at what the replacements can have changed, since the rest is as it was.
//!
//! Keywords are where they were, so those of the first look are asked again if they look as far as a changed place. What
//! no keyword tells is near, or in one stretch without blanks.

use super::{Detector, Finding, Names, drop_passed};

/// How far around a changed place a finding may be that no keyword tells, besides in a stretch: more than an address.
const NEAR: usize = 160;
/// The longest keyword, and a placeholder that may stand before it.
const LONGEST_KEYWORD: usize = 64;
/// How far a stretch without blanks is followed: a run of base64 is one however long it is.
const STRETCH: usize = 16 << 10;

/// What a very long text needed is given back.
const MOST_KEPT: usize = 1 << 16;

/// How far around a keyword its targets look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Within { before: usize, after: usize },
    Everywhere,
}

impl Reach {
    /// The farther of both.
    pub(super) fn or(self, other: Self) -> Self {
        match (self, other) {
            (
                Self::Within { before, after },
                Self::Within {
                    before: more_before,
                    after: more_after,
                },
            ) => Self::Within {
                before: before.max(more_before),
                after: after.max(more_after),
            },
            _ => Self::Everywhere,
        }
    }
}

/// A replaced part of a text: where it stood, and where what replaces it stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    pub(crate) old: (usize, usize),
    pub(crate) new: (usize, usize),
}

#[derive(Debug, Clone, Copy)]
struct Keyword {
    at: u32,
    length: u16,
    place: u16,
}

/// What the first look at a text saw.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    keywords: Vec<Keyword>,
    /// Whether there is something that may reach over all of the text.
    everywhere: bool,
}

impl Seen {
    pub(super) fn clear(&mut self) {
        if self.keywords.capacity() > MOST_KEPT {
            self.keywords = Vec::new();
        }
        self.keywords.clear();
        self.everywhere = false;
    }

    pub(super) fn everywhere(&mut self) {
        self.everywhere = true;
    }

    pub(super) fn note(&mut self, reach: Reach, at: usize, length: usize, place: usize) {
        match (u32::try_from(at), u16::try_from(length), u16::try_from(place)) {
            (Ok(at), Ok(length), Ok(place)) if reach != Reach::Everywhere => {
                self.keywords.push(Keyword { at, length, place });
            }
            _ => self.everywhere(),
        }
    }
}

impl Detector {
    /// Finds what `changes` brought to light in a text of which `seen` is what a first look saw before them.
    ///
    /// Whatever is near them is looked at; when something is there, or when the surroundings have no clear border, all
    /// of the text is.
    pub(crate) fn find_again(
        &self,
        text: &[u8],
        changes: &[Change],
        names: &mut Names,
        seen: &mut Seen,
    ) -> Vec<Finding> {
        let windows = (!seen.everywhere).then(|| windows(text, changes)).flatten();
        let Some(windows) = windows else {
            return self.find_first(text, names, seen);
        };
        let mut found = Vec::new();
        for (start, end) in windows {
            let part = &text[start..end];
            self.elsewhere(part, names, 0, true, &mut found);
            drop_passed(part, names, 0, &mut found);
            if !found.is_empty() {
                return self.find_first(text, names, seen);
            }
        }
        self.keywords_again(text, changes, names, seen, &mut found);
        drop_passed(text, names, 0, &mut found);
        if found.is_empty() {
            return found;
        }
        self.find_first(text, names, seen)
    }

    /// Asks those keywords again that look as far as a changed place, and those that came into being there.
    fn keywords_again(
        &self,
        text: &[u8],
        changes: &[Change],
        names: &mut Names,
        seen: &Seen,
        out: &mut Vec<Finding>,
    ) {
        for keyword in &seen.keywords {
            let (at, length, place) = (
                keyword.at as usize,
                usize::from(keyword.length),
                usize::from(keyword.place),
            );
            let next = changes.partition_point(|change| change.old.1 <= at);
            let (before, behind) = (next.checked_sub(1).map(|last| changes[last]), changes.get(next));
            if behind.is_some_and(|change| change.old.0 < at + length) {
                continue;
            }
            let at = before.map_or(at, |change| at - change.old.1 + change.new.1);
            let Reach::Within {
                before: back,
                after: ahead,
            } = self.reaches[place]
            else {
                continue;
            };
            // A finding may begin behind a placeholder, which is looked at too.
            let touched = before.is_some_and(|change| change.new.1 + back + LONGEST_KEYWORD >= at)
                || behind.is_some_and(|change| change.new.0 <= at + length + ahead);
            if touched {
                self.keyword((text, at, length, place), names, true, out);
            }
        }
        let mut done = 0;
        for change in changes {
            let from = change.new.0.saturating_sub(LONGEST_KEYWORD).max(done);
            let to = (change.new.1 + LONGEST_KEYWORD).min(text.len());
            done = done.max(to.saturating_sub(LONGEST_KEYWORD));
            if from < to {
                self.filter.find(&text[from..to], |at, length, place| {
                    self.keyword((text, from + at, length, place), names, true, out);
                });
            }
        }
    }
}

/// The parts of a text around changed places, or nothing where looking at all of it is better.
fn windows(text: &[u8], changes: &[Change]) -> Option<Vec<(usize, usize)>> {
    if text.len() <= 2 * NEAR {
        return None;
    }
    let mut windows: Vec<(usize, usize)> = Vec::with_capacity(changes.len());
    let mut size = 0;
    for change in changes {
        let (start, end) = change.new;
        let from = stretch_start(text, start.saturating_sub(NEAR))?;
        let to = stretch_end(text, (end + NEAR).min(text.len()))?;
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
    use crate::detect::encode_form;
    use crate::replace::GateKey;
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

    /// Replaces what was found, as the gate does, with another name for each.
    fn replaced(text: &str, found: &[Finding]) -> (String, Vec<Change>) {
        let mut out = String::new();
        let (mut changes, mut copied) = (Vec::new(), 0);
        for finding in found {
            let (start, end) = (finding.start.max(copied), finding.end);
            out.push_str(&text[copied..start]);
            let from = out.len();
            let name = GateKey::public().placeholder(finding.kind, &finding.value);
            out.push_str(&encode_form(&finding.form, &name));
            changes.push(Change {
                old: (start, end),
                new: (from, out.len()),
            });
            copied = end;
        }
        out.push_str(&text[copied..]);
        (out, changes)
    }

    proptest! {
        #[test]
        fn a_second_look_finds_what_a_whole_one_finds(
            parts in proptest::collection::vec(
                prop_oneof![
                    4 => "[a-z \\n]{0,300}",
                    3 => piece(),
                    1 => Just("curl -s https://h.example/x ".to_owned()),
                    1 => Just("api_key: ".to_owned()),
                    1 => Just("\",\"delta\":\"".to_owned()),
                    1 => Just("ghp_a1B2c3D4e5F6a1B2".to_owned()),
                    1 => Just("c3D4e5F6a1B2c3D4e5F6".to_owned()),
                ],
                1..24,
            ),
        ) {
            let detector = Detector::shipped().unwrap();
            let text = parts.concat();
            let (mut names, mut seen) = (Names::default(), Seen::default());
            // Names learned on the way are looked for everywhere, by a whole look.
            detector.find(text.as_bytes(), &mut names);
            let first = detector.find_first(text.as_bytes(), &mut names, &mut seen);
            let (text, changes) = replaced(&text, &first);
            let learned = names.learned();
            let whole = detector.find(text.as_bytes(), &mut names.clone());
            let again = detector.find_again(text.as_bytes(), &changes, &mut names, &mut seen);
            prop_assume!(names.learned() == learned);
            prop_assert_eq!(again, whole);
        }
    }

    fn change(start: usize, end: usize) -> Change {
        Change {
            old: (start, end),
            new: (start, end),
        }
    }

    #[test]
    fn only_the_surroundings_are_looked_at() {
        let text = format!("{} x {}", "word ".repeat(2_000), "word ".repeat(2_000));
        let windows = windows(text.as_bytes(), &[change(10_001, 10_002)]).unwrap();
        assert_eq!(windows.len(), 1);
        assert!(windows[0].1 - windows[0].0 < 2 * NEAR + 20);
        assert!(super::windows(text.as_bytes(), &[change(1, 2), change(19_000, 19_001)]).is_some());
        let run = "A".repeat(100_000);
        assert!(super::windows(run.as_bytes(), &[change(50_000, 50_001)]).is_none());
    }

    #[test]
    fn a_key_is_looked_for_in_all_of_the_text() {
        let text = format!("{}-----END PRIVATE KEY-----", "word ".repeat(2_000));
        let mut seen = Seen::default();
        let detector = Detector::shipped().unwrap();
        detector.find_first(text.as_bytes(), &mut Names::default(), &mut seen);
        assert!(seen.everywhere);
    }

    #[test]
    fn no_keyword_is_longer_than_what_is_looked_at_around_a_change() {
        let rules = &Detector::shipped().unwrap().rules.rules;
        let longest = rules
            .iter()
            .flat_map(|rule| &rule.keywords)
            .map(String::len)
            .max();
        assert!(longest.unwrap() < LONGEST_KEYWORD);
    }
}
