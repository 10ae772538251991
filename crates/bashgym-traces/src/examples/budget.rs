//! What fits into a row, and how texts that do not are cut.

use super::tokens::estimate_tokens;

/// What texts take of the two budgets.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Size {
    pub(super) chars: usize,
    pub(super) tokens: usize,
}

impl Size {
    pub(super) fn of(text: &str) -> Self {
        Self {
            chars: chars(text),
            tokens: estimate_tokens(text),
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.chars += other.chars;
        self.tokens += other.tokens;
    }

    fn fits(self, room: Self) -> bool {
        self.chars <= room.chars && self.tokens <= room.tokens
    }

    pub(super) fn less(self, other: Self) -> Self {
        Self {
            chars: self.chars.saturating_sub(other.chars),
            tokens: self.tokens.saturating_sub(other.tokens),
        }
    }
}

/// Chooses the steps that fit: the last one that does, and as many right before it as there is room for.
pub(super) fn fit(steps: &[Size], room: Size) -> Option<(usize, usize)> {
    const NOTE: Size = Size {
        chars: 48,
        tokens: 16,
    };
    let mut all = Size::default();
    for step in steps {
        all.add(*step);
    }
    if all.fits(room) {
        return Some((0, steps.len()));
    }
    let room = room.less(NOTE);
    let last = steps.iter().rposition(|s| s.fits(room))?;
    let mut left = room.less(steps[last]);
    let mut from = last;
    while from > 0 && steps[from - 1].fits(left) {
        from -= 1;
        left = left.less(steps[from]);
    }
    Some((from, last + 1))
}

/// A word that is longer is cut where the limit falls.
const LONGEST_WORD: usize = 64;

/// Cuts the middle out of a text that is longer than `limit` characters and says so in its place. Words stay whole: half a name is
/// another name, to whoever looks for names.
pub(super) fn shorten(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    let length = chars(text);
    if length <= limit {
        return false;
    }
    let head = limit * 2 / 3;
    let tail = limit - head;
    let at = |n: usize| {
        if length == text.len() {
            return n;
        }
        text.char_indices().nth(n).map_or(text.len(), |(at, _)| at)
    };
    let (start, end) = (at(head), at(length - tail));
    let start = start - half_word(text[..start].chars().rev(), text[start..].chars().next());
    let end = end + half_word(text[end..].chars(), text[..end].chars().next_back());
    let note = format!("\n[... {} characters left out ...]\n", chars(&text[start..end]));
    text.replace_range(start..end, &note);
    true
}

/// How many bytes lead away from a cut to the end of the word it falls in; none if `beyond`, the character on its other side, is
/// of no word.
fn half_word(away: impl Iterator<Item = char>, beyond: Option<char>) -> usize {
    let is_word = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '@' | '+');
    if !beyond.is_some_and(|c| is_word(&c)) {
        return 0;
    }
    let half: Vec<char> = away.take_while(is_word).take(LONGEST_WORD + 1).collect();
    if half.len() > LONGEST_WORD {
        return 0;
    }
    half.into_iter().map(char::len_utf8).sum()
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(chars: usize) -> Size {
        Size { chars, tokens: 1 }
    }

    fn room(chars: usize) -> Size {
        Size { chars, tokens: 100 }
    }

    #[test]
    fn the_closing_steps_are_kept() {
        assert_eq!(fit(&[step(10), step(10)], room(20)), Some((0, 2)));
        assert_eq!(fit(&[step(60), step(60), step(60)], room(170)), Some((1, 3)));
        assert_eq!(fit(&[step(10), step(900)], room(200)), Some((0, 1)));
        assert_eq!(fit(&[step(900)], room(200)), None);
        let few = Size {
            chars: 1_000,
            tokens: 18,
        };
        assert_eq!(
            fit(&[step(1); 30], few),
            Some((28, 30)),
            "the tokens are a limit of their own"
        );
    }

    #[test]
    fn long_texts_lose_their_middle_and_say_so() {
        let mut text = "→".repeat(100);
        assert!(shorten(&mut text, 30));
        assert_eq!(
            text,
            format!(
                "{}\n[... 70 characters left out ...]\n{}",
                "→".repeat(20),
                "→".repeat(10)
            )
        );
        let mut short = "→".repeat(30);
        assert!(!shorten(&mut short, 30));
    }

    #[test]
    fn a_cut_falls_between_words() {
        let whole = "see /Users/user_65th3j6c/src and write to jané-9@mail.example again ".repeat(4);
        let words: std::collections::HashSet<&str> = whole.split([' ', '/']).collect();
        for limit in 1..chars(&whole) {
            let mut text = whole.clone();
            assert!(shorten(&mut text, limit));
            let (head, rest) = text.split_once("\n[... ").unwrap();
            let (count, tail) = rest.split_once(" characters left out ...]\n").unwrap();
            let count: usize = count.parse().unwrap();
            assert_eq!(chars(head) + count + chars(tail), chars(&whole));
            assert!(chars(head) + chars(tail) <= limit);
            for word in head.split([' ', '/']).chain(tail.split([' ', '/'])) {
                assert!(words.contains(word), "{word:?} at {limit}");
            }
        }
    }
}
