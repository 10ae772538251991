//! Word shingles and their `MinHash` bands.

use xxhash_rust::xxh3::xxh3_64;

/// Words in a shingle.
const WORDS: usize = 3;
/// Hash functions of a sketch. 25 bands of 5 rows use 125 of them: a pair with a Jaccard similarity of 0.7 shares a band
/// with a probability of 0.99, one of 0.2 with 0.008.
const PERMUTATIONS: usize = 128;
const ROWS: usize = 5;
pub(super) const BANDS: usize = 25;

pub(super) type Bands = [u32; BANDS];

/// Calls `take` with the hash of each word: a run of letters and digits, in lower case.
pub(super) fn words(text: &str, mut take: impl FnMut(u64)) {
    let bytes = text.as_bytes();
    let mut lower = Vec::with_capacity(32);
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b >= 0x80 || b == b'_';
    let mut at = 0;
    while at < bytes.len() {
        if !is_word(bytes[at]) {
            at += 1;
            continue;
        }
        let start = at;
        let mut upper = false;
        let mut wide = false;
        while at < bytes.len() && is_word(bytes[at]) {
            upper |= bytes[at].is_ascii_uppercase();
            wide |= bytes[at] >= 0x80;
            at += 1;
        }
        let word = &bytes[start..at];
        if wide {
            // Punctuation such as `…` counts as a word only next to a letter.
            let word = text[start..at].to_lowercase();
            if word.chars().any(char::is_alphanumeric) {
                take(xxh3_64(word.as_bytes()));
            }
        } else if upper {
            lower.clear();
            lower.extend(word.iter().map(u8::to_ascii_lowercase));
            take(xxh3_64(&lower));
        } else {
            take(xxh3_64(word));
        }
    }
}

/// Fills `out` with the hashes of the distinct word shingles of a text, sorted. A text of one or two words is one shingle.
pub(crate) fn shingles(text: &str, out: &mut Vec<u64>) {
    ngrams::<WORDS>(text, out);
}

/// Fills `out` with the hashes of the distinct runs of `N` words, sorted; a shorter text is one run.
pub(super) fn ngrams<const N: usize>(text: &str, out: &mut Vec<u64>) {
    out.clear();
    let mut window = [0_u64; N];
    let mut seen = 0_usize;
    words(text, |hash| {
        window.rotate_left(1);
        window[N - 1] = hash;
        seen += 1;
        if seen >= N {
            out.push(combine(&window));
        }
    });
    if seen > 0 && seen < N {
        out.push(combine(&window[N - seen..]));
    }
    out.sort_unstable();
    out.dedup();
}

fn combine(hashes: &[u64]) -> u64 {
    hashes.iter().fold(0x51_7C_C1_B7_27_22_0A_95, |sum, &hash| {
        mix(sum.rotate_left(23) ^ hash)
    })
}

fn mix(mut value: u64) -> u64 {
    value = (value ^ (value >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    value ^ (value >> 32)
}

/// Returns the band hashes of a set of shingles.
///
/// The hash functions are `a + i * b` for the two halves of a shingle's hash: sums and minima of 32-bit numbers, which
/// the compiler turns into vector instructions.
pub(super) fn bands(shingles: &[u64]) -> Bands {
    let mut minima = [i32::MAX; PERMUTATIONS];
    for &shingle in shingles {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves of a hash")]
        let (mut value, step) = (shingle as i32, (shingle >> 32) as i32 | 1);
        let steps: [i32; 4] = [0, step, step.wrapping_mul(2), step.wrapping_mul(3)];
        for lanes in minima.chunks_exact_mut(4) {
            for (lane, add) in lanes.iter_mut().zip(steps) {
                *lane = (*lane).min(value.wrapping_add(add));
            }
            value = value.wrapping_add(step.wrapping_mul(4));
        }
    }
    let mut out = [0; BANDS];
    for (band, out) in out.iter_mut().enumerate() {
        // Rows far apart from each other: neighbours of the progression hang together more.
        let sum = (0..ROWS).fold(band as u64, |sum, row| {
            mix(sum.rotate_left(17) ^ u64::from(minima[row * BANDS + band].cast_unsigned()))
        });
        #[expect(
            clippy::cast_possible_truncation,
            reason = "half of a hash is enough for a candidate"
        )]
        {
            *out = (sum >> 16) as u32;
        }
    }
    out
}
