//! Finds many keywords in one pass: three letters at a time against a bitmap that fits the first-level cache.

/// Bits of the bitmap.
const BITS: usize = 1 << 16;

/// A keyword and what to do where it stands.
#[derive(Debug)]
struct Entry {
    gram: u32,
    /// Where the three letters stand in the keyword.
    offset: usize,
    word: Box<[u8]>,
    target: usize,
}

/// The keywords of a rule set. Letters are compared without regard to case.
#[derive(Debug)]
pub(super) struct Filter {
    bits: Box<[u64]>,
    /// Entries by hash; the slot holds the first and one behind the last.
    slots: Vec<(u32, u32)>,
    slot_of: Box<[u16]>,
    entries: Vec<Entry>,
}

fn fold(byte: u8) -> u32 {
    u32::from(byte | 0x20)
}

fn hash(gram: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// How often letters are seen in text and code, roughly, in thousandths.
fn frequency(byte: u8) -> u32 {
    match byte.to_ascii_lowercase() {
        b'e' | b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' | b' ' => 70,
        b'l' | b'd' | b'c' | b'u' | b'm' | b'p' | b'h' | b'"' | b'/' | b'\\' => 35,
        b'f' | b'g' | b'y' | b'w' | b'b' | b'_' | b'.' | b'-' | b':' => 18,
        b'v' | b'k' | b'x' => 8,
        b'0'..=b'9' => 12,
        _ => 3,
    }
}

impl Filter {
    /// Takes `(keyword, target)` pairs. Keywords are three letters or longer.
    pub(super) fn new(words: impl IntoIterator<Item = (String, usize)>) -> Self {
        let mut entries: Vec<Entry> = words
            .into_iter()
            .filter(|(word, _)| word.len() >= 3)
            .map(|(word, target)| {
                let word: Box<[u8]> = word.to_ascii_lowercase().into_bytes().into();
                let (offset, rarest) = word
                    .windows(3)
                    .enumerate()
                    .min_by_key(|(_, gram)| gram.iter().map(|byte| frequency(*byte)).product::<u32>())
                    .map_or((0, &word[..3]), |found| found);
                let gram = rarest.iter().fold(0, |gram, byte| gram << 8 | fold(*byte));
                Entry {
                    gram,
                    offset,
                    word,
                    target,
                }
            })
            .collect();
        entries.sort_by_key(|entry| hash(entry.gram));
        let mut bits = vec![0_u64; BITS / 64].into_boxed_slice();
        let mut slot_of = vec![0_u16; BITS].into_boxed_slice();
        let mut slots: Vec<(u32, u32)> = Vec::new();
        let mut at = 0;
        while at < entries.len() {
            let key = hash(entries[at].gram);
            let end = at
                + entries[at..]
                    .iter()
                    .take_while(|entry| hash(entry.gram) == key)
                    .count();
            bits[key / 64] |= 1 << (key % 64);
            slot_of[key] = u16::try_from(slots.len()).unwrap_or(u16::MAX);
            slots.push((
                u32::try_from(at).unwrap_or(u32::MAX),
                u32::try_from(end).unwrap_or(u32::MAX),
            ));
            at = end;
        }
        Self {
            bits,
            slots,
            slot_of,
            entries,
        }
    }

    /// Calls `take(position, length, target)` for each keyword, in the order of their ends.
    pub(super) fn find(&self, text: &[u8], mut take: impl FnMut(usize, usize, usize)) {
        let [first, second, rest @ ..] = text else { return };
        let mut gram = fold(*first) << 8 | fold(*second);
        for (at, byte) in rest.iter().enumerate() {
            gram = (gram << 8 | fold(*byte)) & 0x00FF_FFFF;
            let key = hash(gram) & (BITS - 1);
            if self.bits[key / 64] >> (key % 64) & 1 == 1 {
                self.verify(text, at, gram, key, &mut take);
            }
        }
    }

    fn verify(
        &self,
        text: &[u8],
        at: usize,
        gram: u32,
        key: usize,
        take: &mut impl FnMut(usize, usize, usize),
    ) {
        let (first, end) = self.slots[usize::from(self.slot_of[key])];
        for entry in &self.entries[first as usize..end as usize] {
            if entry.gram != gram || at < entry.offset {
                continue;
            }
            let start = at - entry.offset;
            let found = text
                .get(start..start + entry.word.len())
                .is_some_and(|part| part.eq_ignore_ascii_case(&entry.word));
            if found {
                take(start, entry.word.len(), entry.target);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_keyword_is_found(text in "[a-cA-C_-]{0,40}", words in proptest::collection::vec("[a-c_-]{3,6}", 1..9)) {
            let filter = Filter::new(words.iter().cloned().enumerate().map(|(n, word)| (word, n)));
            let mut got = Vec::new();
            filter.find(text.as_bytes(), |at, length, target| got.push((at, length, target)));
            got.sort_unstable();
            let lower = text.to_ascii_lowercase();
            let mut expected = Vec::new();
            for (n, word) in words.iter().enumerate() {
                for at in 0..lower.len() {
                    if lower[at..].starts_with(word.as_str()) {
                        expected.push((at, word.len(), n));
                    }
                }
            }
            expected.sort_unstable();
            prop_assert_eq!(got, expected);
        }
    }
}
