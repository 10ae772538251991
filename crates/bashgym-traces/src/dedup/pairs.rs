//! From shared bands to verified pairs.

use std::collections::HashSet;
use std::thread;

use serde::{Deserialize, Serialize};

use super::minhash::{BANDS, shingles};
use super::{Sketches, TextSource, joined, threads};
use crate::error::TracesError;
use crate::split::UnionFind;

/// How many texts of a bucket, one after the other, the rest is compared with.
const ROUNDS: usize = 4;

/// Two texts that say almost the same.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Pair {
    /// The number of the earlier text.
    pub first: usize,
    /// The number of the later text.
    pub second: usize,
    /// How much they share, from 0 to 1.
    pub similarity: f64,
}

/// Compares texts that share a band, and returns the pairs at or above the threshold.
pub(super) fn verified<S: TextSource + ?Sized>(
    texts: &S,
    sketches: &Sketches,
    threshold: f64,
) -> Result<Vec<Pair>, TracesError> {
    let count = sketches.empty.len();
    let mut clusters = UnionFind::new(count);
    let mut found = Vec::new();
    let mut unlike: HashSet<(u32, u32)> = HashSet::new();
    let mut keyed: Vec<u64> = Vec::with_capacity(count);
    for band in 0..BANDS {
        keyed.clear();
        keyed.extend(
            (0..count)
                .filter(|&n| !sketches.empty[n])
                .map(|n| u64::from(sketches.bands[n * BANDS + band]) << 32 | n as u64),
        );
        keyed.sort_unstable();
        let mut buckets: Vec<Vec<u32>> = keyed
            .chunk_by(|a, b| a >> 32 == b >> 32)
            .filter(|bucket| bucket.len() > 1)
            .map(|bucket| bucket.iter().map(|&key| number(key)).collect())
            .collect();
        for _ in 0..ROUNDS {
            let candidates = candidates(&buckets, &mut clusters, &unlike);
            for (pair, similarity) in candidates.iter().zip(compare(texts, &candidates)?) {
                if similarity < threshold {
                    unlike.insert(*pair);
                    continue;
                }
                let (first, second) = (pair.0 as usize, pair.1 as usize);
                clusters.join(first, second);
                found.push(Pair {
                    first,
                    second,
                    similarity,
                });
            }
            for bucket in &mut buckets {
                let first = clusters.root(bucket[0] as usize);
                bucket.retain(|&text| clusters.root(text as usize) != first);
            }
            buckets.retain(|bucket| bucket.len() > 1);
            if buckets.is_empty() {
                break;
            }
        }
    }
    found.sort_unstable_by_key(|pair| (pair.first, pair.second));
    Ok(found)
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is the number of the text"
)]
fn number(key: u64) -> u32 {
    key as u32
}

/// Returns the pairs of each bucket's first text with the others, without those whose answer is known.
fn candidates(
    buckets: &[Vec<u32>],
    clusters: &mut UnionFind,
    unlike: &HashSet<(u32, u32)>,
) -> Vec<(u32, u32)> {
    let mut out = Vec::new();
    for bucket in buckets {
        let first = bucket[0];
        let root = clusters.root(first as usize);
        out.extend(
            bucket[1..]
                .iter()
                .map(|&second| (first, second))
                .filter(|pair| clusters.root(pair.1 as usize) != root && !unlike.contains(pair)),
        );
    }
    out
}

/// Returns the similarity of each pair.
fn compare<S: TextSource + ?Sized>(texts: &S, candidates: &[(u32, u32)]) -> Result<Vec<f64>, TracesError> {
    let chunk = candidates.len().div_ceil(threads()).max(64);
    thread::scope(|scope| {
        let running: Vec<_> = candidates
            .chunks(chunk)
            .map(|part| {
                scope.spawn(move || -> Result<Vec<f64>, TracesError> {
                    let (mut a, mut b) = (Vec::new(), Vec::new());
                    let mut held = None;
                    part.iter()
                        .map(|&(first, second)| {
                            if held != Some(first) {
                                shingles(&texts.text(first as usize)?, &mut a);
                                held = Some(first);
                            }
                            shingles(&texts.text(second as usize)?, &mut b);
                            Ok(jaccard(&a, &b))
                        })
                        .collect()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(candidates.len());
        for handle in running {
            all.extend(joined(handle)?);
        }
        Ok(all)
    })
}

/// Returns the shared part of two sorted sets.
pub(crate) fn jaccard(a: &[u64], b: &[u64]) -> f64 {
    let (mut at, mut with, mut shared) = (0, 0, 0_usize);
    while at < a.len() && with < b.len() {
        match a[at].cmp(&b[with]) {
            std::cmp::Ordering::Less => at += 1,
            std::cmp::Ordering::Greater => with += 1,
            std::cmp::Ordering::Equal => {
                shared += 1;
                at += 1;
                with += 1;
            }
        }
    }
    let all = a.len() + b.len() - shared;
    if all == 0 { 0.0 } else { shared as f64 / all as f64 }
}
