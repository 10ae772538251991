//! Finds many keywords in one pass: three letters at a time against a table that fits the first-level cache.

/// Different keys of three letters.
const KEYS: usize = 1 << 15;
/// Letters that are looked at together.
const GRAM: usize = 3;
/// How many places are looked at before keywords are compared.
const BLOCK: usize = 1024;

/// A keyword and what to do where it stands.
#[derive(Debug)]
struct Entry {
    gram: u32,
    /// Where the three letters stand in the keyword.
    offset: usize,
    word: Box<[u8]>,
    target: usize,
}

impl Entry {
    fn key(&self) -> usize {
        let [_, a, b, c] = self.gram.to_be_bytes();
        usize::from(key_of(a, b, c))
    }

    fn kind(&self) -> u8 {
        let [_, a, b, c] = self.gram.to_be_bytes();
        kind_of(a, b, c)
    }
}

/// The keywords of a rule set. Letters are compared without regard to case.
#[derive(Debug)]
pub(super) struct Filter {
    /// The bits of [`kind_of`] with which letters of a keyword may be, by key.
    seen: Box<[u8; KEYS]>,
    /// Entries by key; the slot holds the first and one behind the last.
    slots: Vec<(u32, u32)>,
    slot_of: Box<[u16]>,
    entries: Vec<Entry>,
}

/// What words of logs and code are full of. A keyword is looked for by other letters of it, if it has any.
const COMMON: &str = "abl ace ack ada add ado age ail ake ale ali ame and ant app are ars ase ass ast ata ate ati att \
     aut bas ble boo cal ces cod com con cou cre cur dar dat dec den des dis ear eck eco eda ele enc \
     end ent era erm ern ers ess est eta fac fin ful gem gen gin git har her hoo hor hub ida ify imp \
     ine ini int ion itb ith itt ive joi ken key las lau lin loa loc mai map mat mer min nal nch nde \
     nic nte ntf nti ntr oca ode oin oke oks oli one onf ont ook oot ori ork ost oun pac pat pla ppl \
     pri pro pti ran red res ret rna roo sec sen ser ses sha sio son spa ssi sum tad tai tat tch ten \
     ter tes tho thu tio tli tok tra tre try tte ttr uen unc unt use uth wit wor";

/// Three letters as one number, without regard to case.
fn gram_of(letters: &[u8]) -> u32 {
    (u32::from(letters[0]) << 16 | u32::from(letters[1]) << 8 | u32::from(letters[2])) | 0x20_2020
}

/// The key of three letters: five bits of each, which is as good as a hash and quicker.
#[expect(
    clippy::inline_always,
    reason = "it must be compiled with the caller's wide registers"
)]
#[inline(always)]
fn key_of(a: u8, b: u8, c: u8) -> u16 {
    u16::from(a & 31) << 10 | u16::from(b & 31) << 5 | u16::from(c & 31)
}

/// What the key leaves out: which of the three are letters, and which are digits and signs.
#[expect(
    clippy::inline_always,
    reason = "it must be compiled with the caller's wide registers"
)]
#[inline(always)]
fn kind_of(a: u8, b: u8, c: u8) -> u8 {
    a >> 6 & 1 | b >> 5 & 2 | c >> 4 & 4
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

fn rarity(gram: &[u8]) -> (bool, u32) {
    let common = COMMON.split(' ').any(|common| common.as_bytes() == gram);
    (common, gram.iter().map(|byte| frequency(*byte)).product())
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
                    .min_by_key(|(_, gram)| rarity(gram))
                    .map_or((0, &word[..3]), |found| found);
                let gram = gram_of(rarest);
                Entry {
                    gram,
                    offset,
                    word,
                    target,
                }
            })
            .collect();
        entries.sort_by_key(Entry::key);
        #[expect(
            clippy::large_stack_arrays,
            reason = "made once; its fixed size spares a check for each letter"
        )]
        let mut seen = Box::new([0_u8; KEYS]);
        let mut slot_of = vec![0_u16; KEYS].into_boxed_slice();
        let mut slots: Vec<(u32, u32)> = Vec::new();
        let mut at = 0;
        while at < entries.len() {
            let key = entries[at].key();
            let end = at
                + entries[at..]
                    .iter()
                    .take_while(|entry| entry.key() == key)
                    .count();
            seen[key] = entries[at..end]
                .iter()
                .fold(0, |bits, entry| bits | 1 << entry.kind());
            slot_of[key] = u16::try_from(slots.len()).unwrap_or(u16::MAX);
            slots.push((
                u32::try_from(at).unwrap_or(u32::MAX),
                u32::try_from(end).unwrap_or(u32::MAX),
            ));
            at = end;
        }
        Self {
            seen,
            slots,
            slot_of,
            entries,
        }
    }

    /// Calls `take(position, length, target)` for each keyword, in the order of the places of their rarest letters.
    pub(super) fn find(&self, text: &[u8], mut take: impl FnMut(usize, usize, usize)) {
        let arch = pulp::Arch::new();
        let mut places = [0_u16; BLOCK];
        let mut base = 0;
        // Letters behind the end of the text are none of any keyword.
        let mut last = [0_u8; BLOCK + GRAM - 1];
        while base + GRAM <= text.len() {
            let rest = &text[base..];
            let block = rest.first_chunk().unwrap_or_else(|| {
                last[..rest.len()].copy_from_slice(rest);
                &last
            });
            let count = arch.dispatch(|| self.candidates(block, &mut places));
            for place in &places[..count] {
                let at = base + usize::from(*place);
                if at + GRAM <= text.len() {
                    self.verify(text, at, &mut take);
                }
            }
            base += BLOCK;
        }
    }

    /// Writes where letters of a keyword may begin in a block; returns how many places there are.
    ///
    /// Nothing is called and no branch depends on the text: the first loop is done many letters at a time, the second
    /// stays in registers.
    #[expect(
        clippy::inline_always,
        reason = "it must be compiled with the caller's wide registers"
    )]
    #[inline(always)]
    fn candidates(&self, block: &[u8; BLOCK + GRAM - 1], places: &mut [u16; BLOCK]) -> usize {
        let mut keys = [0_u16; BLOCK];
        let mut kinds = [0_u8; BLOCK];
        let letters = || block.iter().zip(&block[1..]).zip(&block[2..]);
        for (key, ((a, b), c)) in keys.iter_mut().zip(letters()) {
            *key = key_of(*a, *b, *c);
        }
        for (kind, ((a, b), c)) in kinds.iter_mut().zip(letters()) {
            *kind = kind_of(*a, *b, *c);
        }
        let mut count = 0;
        for (at, (key, kind)) in (0_u16..).zip(keys.iter().zip(&kinds)) {
            places[count % BLOCK] = at;
            count += usize::from(self.seen[usize::from(*key) % KEYS] >> (kind & 7) & 1);
        }
        count
    }

    #[inline(never)]
    fn verify(&self, text: &[u8], at: usize, take: &mut impl FnMut(usize, usize, usize)) {
        let gram = gram_of(&text[at..at + GRAM]);
        let key = usize::from(key_of(text[at], text[at + 1], text[at + 2]));
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
        fn every_keyword_is_found(text in "[a-cA-C_-]{0,40}", front in prop_oneof![Just(0), 1_015..1_030_usize], words in proptest::collection::vec("[a-c_-]{3,6}", 1..9)) {
            // Words lie over the ends of blocks too.
            let text = format!("{}{text}", ".".repeat(front));
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
