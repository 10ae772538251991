//! Near-duplicates: which texts say almost the same, found without comparing each with each.
//!
//! [`find_near_duplicates`] hashes the word shingles of every text into a `MinHash` sketch, looks up candidates with
//! locality-sensitive hashing, and compares candidates by the exact Jaccard similarity of their shingles, so that a pair it
//! reports is a pair. Memory holds the bands of the sketches (100 bytes a text), not the texts.

mod contamination;
mod meaning;
mod minhash;
mod pairs;

use std::borrow::Cow;
use std::thread;

use serde::{Deserialize, Serialize};

pub use self::contamination::{EvalSet, EvalSetReport};
pub use self::meaning::{Repeats, VectorSource, keep_distinct};
pub(crate) use self::minhash::shingles;
use self::minhash::{BANDS, Bands, bands};
pub use self::pairs::Pair;
pub(crate) use self::pairs::jaccard;
use crate::error::TracesError;

/// How near-duplicates are found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DedupOptions {
    /// From this Jaccard similarity of their word shingles on, two texts are near-duplicates; from 0.5 to 1.
    pub threshold: f64,
}

impl Default for DedupOptions {
    fn default() -> Self {
        Self { threshold: 0.7 }
    }
}

impl DedupOptions {
    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`TracesError::InvalidOption`] when the threshold is out of range.
    pub fn validate(&self) -> Result<(), TracesError> {
        if (0.5..=1.0).contains(&self.threshold) {
            return Ok(());
        }
        Err(TracesError::InvalidOption {
            option: "threshold",
            value: self.threshold.to_string(),
            expected: "from 0.5 to 1",
        })
    }
}

/// Texts that can be read again by their number, so that they need not be held in memory.
pub trait TextSource: Sync {
    /// Returns how many texts there are.
    fn count(&self) -> usize;

    /// Returns a text.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it cannot be read.
    fn text(&self, index: usize) -> Result<Cow<'_, str>, TracesError>;
}

impl<T: AsRef<str> + Sync> TextSource for [T] {
    fn count(&self) -> usize {
        self.len()
    }

    fn text(&self, index: usize) -> Result<Cow<'_, str>, TracesError> {
        Ok(Cow::Borrowed(self[index].as_ref()))
    }
}

/// Turns texts into vectors, where a model for that is at hand; nearness in meaning then adds to nearness in words.
pub trait Embedder: Sync {
    /// Returns a vector of unit length for each text, all of the same dimension.
    ///
    /// # Errors
    ///
    /// What the model says when it cannot.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, TracesError>;
}

/// Finds the pairs of near-duplicates among the texts, ordered by their numbers.
///
/// Every text that is near another has at least one pair, to a text with a smaller number where there is one; not every
/// pair inside a larger cluster is listed. Work grows with the texts and their length, not with the square of their number.
///
/// # Errors
///
/// [`TracesError::InvalidOption`] for a threshold out of range; [`TracesError::Io`] when a text cannot be read.
pub fn find_near_duplicates<S: TextSource + ?Sized>(
    texts: &S,
    options: DedupOptions,
) -> Result<Vec<Pair>, TracesError> {
    options.validate()?;
    let sketches = sketch_all(texts)?;
    pairs::verified(texts, &sketches, options.threshold)
}

/// Finds pairs by the cosine of their vectors, each text compared with each of a block: for the candidates an embedder is
/// asked about, not for millions.
///
/// # Errors
///
/// What the embedder or the source of the texts says.
pub fn find_similar_by_meaning<S: TextSource + ?Sized>(
    texts: &S,
    embedder: &dyn Embedder,
    threshold: f32,
) -> Result<Vec<Pair>, TracesError> {
    const BATCH: usize = 32;
    let mut vectors: Vec<Vec<f32>> = Vec::with_capacity(texts.count());
    for start in (0..texts.count()).step_by(BATCH) {
        let batch = (start..texts.count().min(start + BATCH))
            .map(|n| texts.text(n))
            .collect::<Result<Vec<_>, _>>()?;
        let batch: Vec<&str> = batch.iter().map(AsRef::as_ref).collect();
        vectors.extend(embedder.embed(&batch)?);
    }
    let mut found = Vec::new();
    for (second, vector) in vectors.iter().enumerate() {
        for (first, earlier) in vectors[..second].iter().enumerate() {
            let cosine: f32 = vector.iter().zip(earlier).map(|(a, b)| a * b).sum();
            if cosine >= threshold {
                found.push(Pair {
                    first,
                    second,
                    similarity: f64::from(cosine),
                });
            }
        }
    }
    Ok(found)
}

/// The bands of all texts, `BANDS` in a row for each; a text without a word has none.
struct Sketches {
    bands: Vec<u32>,
    empty: Vec<bool>,
}

fn sketch_all<S: TextSource + ?Sized>(texts: &S) -> Result<Sketches, TracesError> {
    let count = texts.count();
    let mut all = Sketches {
        bands: vec![0; count * BANDS],
        empty: vec![false; count],
    };
    let chunk = count.div_ceil(threads()).max(1);
    thread::scope(|scope| {
        let parts = all
            .bands
            .chunks_mut(chunk * BANDS)
            .zip(all.empty.chunks_mut(chunk))
            .enumerate();
        let running: Vec<_> = parts
            .map(|(part, (out, empty))| {
                scope.spawn(move || -> Result<(), TracesError> {
                    let mut hashes = Vec::new();
                    for (at, (out, empty)) in out.chunks_mut(BANDS).zip(empty).enumerate() {
                        let text = texts.text(part * chunk + at)?;
                        shingles(&text, &mut hashes);
                        *empty = hashes.is_empty();
                        let row: Bands = bands(&hashes);
                        out.copy_from_slice(&row);
                    }
                    Ok(())
                })
            })
            .collect();
        running.into_iter().try_for_each(joined)
    })?;
    Ok(all)
}

fn joined<T>(handle: thread::ScopedJoinHandle<'_, Result<T, TracesError>>) -> Result<T, TracesError> {
    handle
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A text of words that no other seed shares in this order.
    fn words(seed: u64, count: usize) -> Vec<String> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        (0..count)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                format!("w{}", state % 5_000)
            })
            .collect()
    }

    fn exact(a: &str, b: &str) -> f64 {
        let (mut x, mut y) = (Vec::new(), Vec::new());
        shingles(a, &mut x);
        shingles(b, &mut y);
        pairs::jaccard(&x, &y)
    }

    #[test]
    fn planted_edits_are_found_and_nothing_else() {
        let mut texts: Vec<String> = (0..2_000).map(|n| words(n, 60).join(" ")).collect();
        let mut planted = Vec::new();
        for n in (0..2_000_usize).step_by(5) {
            let mut copy: Vec<String> = texts[n].split(' ').map(str::to_owned).collect();
            for k in 0..=(n % 4) {
                copy[(n * 7 + k * 19) % 60] = format!("edit{k}");
            }
            let copy = copy.join(" ");
            if exact(&texts[n], &copy) >= 0.7 {
                planted.push((n, texts.len()));
            }
            texts.push(copy);
        }
        assert!(planted.len() >= 300);
        let found = find_near_duplicates(texts.as_slice(), DedupOptions::default()).unwrap();
        for pair in &found {
            let similarity = exact(&texts[pair.first], &texts[pair.second]);
            assert!(pair.first < pair.second && similarity >= 0.7);
            assert!((similarity - pair.similarity).abs() < 1e-12);
        }
        let hit = planted
            .iter()
            .filter(|(a, b)| found.iter().any(|p| (p.first, p.second) == (*a, *b)))
            .count();
        assert!(hit * 100 >= planted.len() * 97, "{hit} of {}", planted.len());
    }

    #[test]
    fn a_bucket_of_equal_texts_costs_no_square() {
        struct Counting(std::sync::atomic::AtomicUsize);
        impl TextSource for Counting {
            fn count(&self) -> usize {
                20_000
            }
            fn text(&self, _: usize) -> Result<Cow<'_, str>, TracesError> {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                Ok(Cow::Borrowed(
                    "the same words in every one of them, whatever the number",
                ))
            }
        }
        let texts = Counting(std::sync::atomic::AtomicUsize::new(0));
        let found = find_near_duplicates(&texts, DedupOptions::default()).unwrap();
        assert_eq!(found.len(), 19_999);
        assert!(texts.0.into_inner() < 20_000 * 4);
    }

    #[test]
    fn texts_without_words_are_no_duplicates() {
        let texts = ["", "  \n", "…", ""];
        assert_eq!(
            find_near_duplicates(texts.as_slice(), DedupOptions::default()).unwrap(),
            []
        );
    }

    #[test]
    fn an_embedder_finds_what_shares_no_word() {
        struct Length;
        impl Embedder for Length {
            fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, TracesError> {
                let vector = |even: bool| if even { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
                Ok(texts.iter().map(|t| vector(t.len() % 2 == 0)).collect())
            }
        }
        let found = find_similar_by_meaning(["ab", "c", "defg"].as_slice(), &Length, 0.9).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].first, found[0].second), (0, 2));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_texts_a_reported_pair_is_a_pair(texts in prop::collection::vec("[ab ]{0,24}", 0..40)) {
            let found = find_near_duplicates(texts.as_slice(), DedupOptions::default()).unwrap();
            for pair in &found {
                prop_assert!(exact(&texts[pair.first], &texts[pair.second]) >= 0.7);
            }
            // Equal texts are never missed.
            for (second, text) in texts.iter().enumerate() {
                let equal = texts[..second].iter().any(|t| t == text) && text.chars().any(char::is_alphanumeric);
                prop_assert!(!equal || found.iter().any(|p| p.second == second));
            }
        }
    }
}
