//! File name patterns, read as the official client reads them.

use hf_core::HfError;

use crate::invalid;

/// A set of patterns, any of which may match.
///
/// `*` is any text, slashes included; `?` one character; `[a-z]` and `[!a-z]` a set. A pattern that ends with a slash
/// means everything below that folder.
///
/// # Source
///
/// `huggingface_hub` 2.4.0 `utils/_paths.py` `filter_repo_objects`, which uses Python's `fnmatch`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns(Vec<Vec<Piece>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Any,
    One,
    Literal(char),
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Patterns {
    /// Reads patterns.
    pub(crate) fn parse<S: AsRef<str>>(patterns: &[S]) -> Result<Self, HfError> {
        patterns
            .iter()
            .map(|pattern| parse_one(pattern.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Says whether any pattern matches the whole of `path`.
    pub(crate) fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        self.0.iter().any(|pattern| matches(pattern, &path))
    }
}

fn parse_one(pattern: &str) -> Result<Vec<Piece>, HfError> {
    if pattern.is_empty() {
        return Err(invalid("a file pattern is empty; use * to mean every file"));
    }
    let mut pieces = Vec::new();
    let chars: Vec<char> = pattern.chars().collect();
    let mut index = 0;
    while index < chars.len() {
        match chars[index] {
            '*' => {
                if pieces.last() != Some(&Piece::Any) {
                    pieces.push(Piece::Any);
                }
            }
            '?' => pieces.push(Piece::One),
            '[' => {
                // As in fnmatch, a bracket that is never closed is a bracket.
                if let Some((set, end)) = parse_set(&chars, index + 1) {
                    pieces.push(set);
                    index = end;
                } else {
                    pieces.push(Piece::Literal('['));
                }
            }
            c => pieces.push(Piece::Literal(c)),
        }
        index += 1;
    }
    if pattern.ends_with('/') {
        pieces.push(Piece::Any);
    }
    Ok(pieces)
}

/// Reads a set whose text starts at `start`; returns it with the index of its closing bracket.
fn parse_set(chars: &[char], start: usize) -> Option<(Piece, usize)> {
    let negated = chars.get(start) == Some(&'!');
    let first = if negated { start + 1 } else { start };
    // A closing bracket at the first place is a member.
    let end = (first + 1..chars.len()).find(|index| chars[*index] == ']')?;
    let mut ranges = Vec::new();
    let mut index = first;
    while index < end {
        if index + 2 < end && chars[index + 1] == '-' {
            ranges.push((chars[index], chars[index + 2]));
            index += 3;
        } else {
            ranges.push((chars[index], chars[index]));
            index += 1;
        }
    }
    Some((Piece::Set { negated, ranges }, end))
}

/// Matches with one point of return, so the work is at most the product of both lengths.
fn matches(pattern: &[Piece], path: &[char]) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while from < path.len() {
        let here = match pattern.get(at) {
            Some(Piece::Any) => {
                retry = Some((at, from));
                at += 1;
                continue;
            }
            Some(Piece::One) => true,
            Some(Piece::Literal(c)) => *c == path[from],
            Some(Piece::Set { negated, ranges }) => {
                ranges
                    .iter()
                    .any(|(low, high)| (*low..=*high).contains(&path[from]))
                    != *negated
            }
            None => false,
        };
        if here {
            at += 1;
            from += 1;
        } else if let Some((any, consumed)) = retry {
            at = any + 1;
            from = consumed + 1;
            retry = Some((any, from));
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|piece| *piece == Piece::Any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(pattern: &str, path: &str) -> bool {
        Patterns::parse(&[pattern]).unwrap().matches(path)
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, path, expected) in [
            ("*.jsonl", "train.jsonl", true),
            ("*.jsonl", "data/train.jsonl", true),
            ("*.jsonl", "train.json", false),
            ("data/*", "data/a/b", true),
            ("data/", "data/a/b", true),
            ("data/", "data2/a", false),
            ("?.txt", "a.txt", true),
            ("?.txt", "ab.txt", false),
            ("[a-c].txt", "b.txt", true),
            ("[!a-c].txt", "b.txt", false),
            ("[!a-c].txt", "d.txt", true),
            ("[]].txt", "].txt", true),
            ("[.txt", "[.txt", true),
            ("**/x", "a/x", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("*", "", true),
        ] {
            assert_eq!(hit(pattern, path), expected, "{pattern} on {path}");
        }
        assert!(Patterns::parse(&[""]).is_err());
    }

    #[test]
    fn many_stars_stay_fast() {
        let pattern = "*a".repeat(200);
        assert!(!hit(&pattern, &"a".repeat(150)));
        assert!(!hit(&pattern, &format!("{}b", "a".repeat(5_000))));
    }
}
