//! Near-duplicates by meaning: vectors of an embedder, each compared with those that stay.
//!
//! A vector is looked at in three steps, each cheaper and coarser than the next: 256 bits (on which side of random planes it
//! lies), then bytes, then the vector itself, which decides. A pair is given out only if its cosine says so. A pair above the
//! threshold is missed only if its bits differ by far more than they should: for one pair in about 30,000 ([`SIGMAS`]).

use std::thread;

use super::{joined, threads};
use crate::error::TracesError;

/// Random planes.
const PLANES: usize = 256;
const WORDS: usize = PLANES / 64;
/// How many standard deviations more bits than expected may differ.
const SIGMAS: f64 = 4.0;
/// What a cosine of bytes may be off.
const BYTE_ERROR: f32 = 0.02;
/// Vectors that are compared with all that stay before they are compared with each other.
const BLOCK: usize = 1_024;

/// Vectors that can be read again by their number, so that they need not be held in memory.
pub trait VectorSource: Sync {
    /// Returns how many there are.
    fn count(&self) -> usize;

    /// Returns a vector of unit length.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it cannot be read.
    fn vector(&self, index: usize) -> Result<Vec<f32>, TracesError>;
}

impl VectorSource for [Vec<f32>] {
    fn count(&self) -> usize {
        self.len()
    }

    fn vector(&self, index: usize) -> Result<Vec<f32>, TracesError> {
        Ok(self[index].clone())
    }
}

/// Why a vector goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Repeats {
    /// The number of the one that stays, which it is nearest to among those compared.
    pub kept: usize,
    /// Their cosine.
    pub similarity: f32,
}

/// What is held of all vectors.
struct Coarse {
    dimension: usize,
    signs: Vec<[u64; WORDS]>,
    bytes: Vec<i8>,
    scales: Vec<f32>,
    /// The most bits that may differ.
    most_bits: u32,
    threshold: f32,
}

/// Goes through the vectors in an order, the best first, and lets each go that is near one that stays: `None` for those that
/// stay. So whatever goes has one that stays within the threshold, and of those that stay no two are that near.
///
/// Memory holds a byte for each number of a vector. Work grows with the vectors times those that stay.
///
/// # Errors
///
/// [`TracesError::InvalidOption`] for a threshold that is not above 0.5 and at most 1, or vectors that are not of one length;
/// what the source says.
pub fn keep_distinct<S: VectorSource + ?Sized>(
    vectors: &S,
    order: &[usize],
    threshold: f32,
) -> Result<Vec<Option<Repeats>>, TracesError> {
    if !(threshold > 0.5 && threshold <= 1.0) {
        return Err(TracesError::InvalidOption {
            option: "threshold",
            value: threshold.to_string(),
            expected: "above 0.5, at most 1",
        });
    }
    let coarse = Coarse::of(vectors, order, threshold)?;
    let mut verdicts: Vec<Option<Repeats>> = vec![None; vectors.count()];
    let mut kept: Vec<usize> = Vec::new();
    for (at, block) in order.chunks(BLOCK).enumerate() {
        let first = at * BLOCK;
        let places: Vec<usize> = (first..first + block.len()).collect();
        let found = nearest_of_all(vectors, order, &coarse, &places, &kept)?;
        let before = kept.len();
        for (place, found) in places.into_iter().zip(found) {
            let found = match found {
                Some(found) => Some(found),
                None => nearest(vectors, order, &coarse, place, &kept[before..])?,
            };
            match found {
                Some(repeats) => verdicts[order[place]] = Some(repeats),
                None => kept.push(place),
            }
        }
    }
    Ok(verdicts)
}

/// The nearest of those that stay, for each place of a block.
fn nearest_of_all<S: VectorSource + ?Sized>(
    vectors: &S,
    order: &[usize],
    coarse: &Coarse,
    places: &[usize],
    kept: &[usize],
) -> Result<Vec<Option<Repeats>>, TracesError> {
    let chunk = places.len().div_ceil(threads()).max(1);
    thread::scope(|scope| {
        let running: Vec<_> = places
            .chunks(chunk)
            .map(|part| {
                scope.spawn(move || {
                    part.iter()
                        .map(|&place| nearest(vectors, order, coarse, place, kept))
                        .collect::<Result<Vec<_>, _>>()
                })
            })
            .collect();
        let mut all = Vec::with_capacity(places.len());
        for handle in running {
            all.extend(joined(handle)?);
        }
        Ok(all)
    })
}

/// The first of those that stay that is near enough, and nearer than its equals in bytes.
fn nearest<S: VectorSource + ?Sized>(
    vectors: &S,
    order: &[usize],
    coarse: &Coarse,
    place: usize,
    kept: &[usize],
) -> Result<Option<Repeats>, TracesError> {
    let mut candidates: Vec<(f32, usize)> = kept
        .iter()
        .filter(|&&other| coarse.bits_agree(place, other))
        .map(|&other| (coarse.cosine(place, other), other))
        .filter(|(cosine, _)| *cosine >= coarse.threshold - BYTE_ERROR)
        .collect();
    if candidates.is_empty() {
        return Ok(None);
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let own = vectors.vector(order[place])?;
    for (_, other) in candidates {
        let similarity = dot(&own, &vectors.vector(order[other])?);
        if similarity >= coarse.threshold {
            return Ok(Some(Repeats {
                kept: order[other],
                similarity,
            }));
        }
    }
    Ok(None)
}

impl Coarse {
    /// Reads all vectors once. Places are those in the order.
    fn of<S: VectorSource + ?Sized>(
        vectors: &S,
        order: &[usize],
        threshold: f32,
    ) -> Result<Self, TracesError> {
        // Rounding may leave the cosine of equal vectors a little below 1.
        let threshold = threshold.min(1.0 - 1e-5);
        let angle = f64::from(threshold).acos() / std::f64::consts::PI;
        let planes = PLANES as f64;
        let most = planes.mul_add(angle, SIGMAS * (planes * angle * (1.0 - angle)).sqrt());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 256"
        )]
        let most_bits = most.ceil() as u32;
        let mut all = Self {
            dimension: 0,
            signs: Vec::with_capacity(order.len()),
            bytes: Vec::new(),
            scales: Vec::with_capacity(order.len()),
            most_bits,
            threshold,
        };
        let mut planes: Vec<f32> = Vec::new();
        for &number in order {
            let vector = vectors.vector(number)?;
            if all.signs.is_empty() {
                all.dimension = vector.len();
                planes = random_planes(vector.len());
            }
            if vector.len() != all.dimension || vector.iter().any(|it| !it.is_finite()) {
                return Err(TracesError::InvalidOption {
                    option: "a vector of the embedder",
                    value: format!("{} numbers", vector.len()),
                    expected: "finite numbers, as many in each vector",
                });
            }
            all.add(&vector, &planes);
        }
        Ok(all)
    }

    fn add(&mut self, vector: &[f32], planes: &[f32]) {
        let mut signs = [0_u64; WORDS];
        if self.dimension > 0 {
            for (n, plane) in planes.chunks_exact(self.dimension).enumerate() {
                signs[n / 64] |= u64::from(dot(vector, plane) >= 0.0) << (n % 64);
            }
        }
        self.signs.push(signs);
        let largest = vector
            .iter()
            .fold(f32::MIN_POSITIVE, |most, it| most.max(it.abs()));
        let scale = largest / 127.0;
        self.scales.push(scale);
        #[expect(clippy::cast_possible_truncation, reason = "at most 127 from 0")]
        self.bytes.extend(
            vector
                .iter()
                .map(|it| (it / scale).round().clamp(-127.0, 127.0) as i8),
        );
    }

    fn bits_agree(&self, a: usize, b: usize) -> bool {
        let differ: u32 = self.signs[a]
            .iter()
            .zip(&self.signs[b])
            .map(|(a, b)| (a ^ b).count_ones())
            .sum();
        differ <= self.most_bits
    }

    fn cosine(&self, a: usize, b: usize) -> f32 {
        let row = |n: usize| &self.bytes[n * self.dimension..(n + 1) * self.dimension];
        let sum: i32 = row(a)
            .iter()
            .zip(row(b))
            .map(|(a, b)| i32::from(*a) * i32::from(*b))
            .sum();
        sum as f32 * self.scales[a] * self.scales[b]
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Directions of no preference, the same each time: sums of uniform numbers are near enough to normal ones.
fn random_planes(dimension: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        // The upper 24 bits are exact in a float.
        (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
    };
    (0..dimension * PLANES)
        .map(|_| next() + next() + next() + next())
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unit(seed: u64, dimension: usize) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0xD134_2543_DE82_EF95) | 1;
        let raw: Vec<f32> = (0..dimension)
            .map(|_| {
                let mut sum = 0.0;
                for _ in 0..4 {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    sum += (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5;
                }
                sum
            })
            .collect();
        scaled(raw)
    }

    fn scaled(raw: Vec<f32>) -> Vec<f32> {
        let length = dot(&raw, &raw).sqrt();
        raw.into_iter().map(|it| it / length).collect()
    }

    /// A vector whose cosine to `base` is `cosine`.
    fn near(base: &[f32], seed: u64, cosine: f32) -> Vec<f32> {
        let other = unit(seed, base.len());
        let along = dot(base, &other);
        let across = scaled(other.iter().zip(base).map(|(o, b)| o - along * b).collect());
        let aside = (1.0 - cosine * cosine).sqrt();
        base.iter()
            .zip(across)
            .map(|(b, a)| cosine * b + aside * a)
            .collect()
    }

    #[test]
    fn planted_neighbours_are_found_and_nothing_else_goes() {
        const CLUSTERS: usize = 1_500;
        let mut vectors = Vec::new();
        let mut planted = 0;
        for n in 0..CLUSTERS {
            let base = unit(n as u64 + 1, 96);
            if n % 3 == 0 {
                vectors.push(near(&base, 900_000 + n as u64, 0.93));
                planted += 1;
            }
            if n % 3 == 1 {
                // Near, but not near enough.
                vectors.push(near(&base, 900_000 + n as u64, 0.87));
            }
            vectors.push(base);
        }
        let order: Vec<usize> = (0..vectors.len()).collect();
        let verdicts = keep_distinct(vectors.as_slice(), &order, 0.9).unwrap();
        let gone: Vec<(usize, Repeats)> = verdicts
            .iter()
            .enumerate()
            .filter_map(|(n, it)| it.map(|it| (n, it)))
            .collect();
        for (n, repeats) in &gone {
            assert!(dot(&vectors[*n], &vectors[repeats.kept]) >= 0.9);
            assert!(verdicts[repeats.kept].is_none());
        }
        // One miss in about 30,000 is what the bits allow; of 500 there is none.
        assert_eq!(gone.len(), planted);
    }

    #[test]
    fn the_better_one_stays_and_a_chain_does_not_fall_as_a_whole() {
        let a = unit(1, 64);
        let b = near(&a, 2, 0.92);
        // Near b, not near a.
        let c = near(&b, 3, 0.92);
        assert!(dot(&a, &c) < 0.9);
        let vectors = [a, b, c];
        let first_first = keep_distinct(vectors.as_slice(), &[0, 1, 2], 0.9).unwrap();
        assert_eq!(first_first[1].unwrap().kept, 0);
        assert!(first_first[0].is_none() && first_first[2].is_none());
        let middle_first = keep_distinct(vectors.as_slice(), &[1, 0, 2], 0.9).unwrap();
        assert_eq!(
            (middle_first[0].unwrap().kept, middle_first[2].unwrap().kept),
            (1, 1)
        );
    }

    #[test]
    fn equal_vectors_are_equal_at_the_highest_threshold_and_odd_ones_are_refused() {
        let a = unit(7, 33);
        let vectors = [a.clone(), unit(8, 33), a];
        let verdicts = keep_distinct(vectors.as_slice(), &[0, 1, 2], 1.0).unwrap();
        assert_eq!(verdicts[2].unwrap().kept, 0);
        assert!(verdicts[1].is_none());
        let uneven = [unit(1, 3), unit(1, 4)];
        assert!(keep_distinct(uneven.as_slice(), &[0, 1], 0.9).is_err());
        assert!(keep_distinct([vec![f32::NAN]].as_slice(), &[0], 0.9).is_err());
        assert!(keep_distinct(uneven.as_slice(), &[], 0.5).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

        /// The same as the plain definition, one after the other with all cosines.
        #[test]
        fn it_keeps_what_the_definition_keeps(seeds in prop::collection::vec((1_u64..40, 0_u64..4), 0..60)) {
            let vectors: Vec<Vec<f32>> = seeds
                .iter()
                .map(|(base, aside)| if *aside == 0 { unit(*base, 48) } else { near(&unit(*base, 48), 500 + aside, 0.97) })
                .collect();
            let order: Vec<usize> = (0..vectors.len()).rev().collect();
            let verdicts = keep_distinct(vectors.as_slice(), &order, 0.92).unwrap();
            let mut kept: Vec<usize> = Vec::new();
            for &n in &order {
                let is_near = kept.iter().any(|&k| dot(&vectors[n], &vectors[k]) >= 0.92);
                prop_assert_eq!(verdicts[n].is_some(), is_near);
                if !is_near { kept.push(n); }
            }
        }
    }
}
