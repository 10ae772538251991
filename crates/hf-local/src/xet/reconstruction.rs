//! How to rebuild a file: the terms that make it and the byte ranges that hold them.

use std::collections::BTreeMap;
use std::ops::Range;

use super::index::Segment;
use super::store::Shelf;
use super::wire::{ByteRange, ChunkRange, Term};
use super::{Result, XetError, XetHash};

/// The terms for a range of a file, and what to fetch for them.
#[derive(Debug)]
pub(super) struct Plan {
    /// Bytes of the first term before the first byte that was asked for.
    pub(super) offset_into_first_range: u64,
    pub(super) terms: Vec<Term>,
    /// For each xorb the ranges to fetch: in order, none touching another.
    pub(super) fetches: BTreeMap<XetHash, Vec<Fetch>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fetch {
    pub(super) chunks: Range<u32>,
    pub(super) bytes: Range<u64>,
}

impl Fetch {
    pub(super) fn wire_chunks(&self) -> ChunkRange {
        ChunkRange {
            start: self.chunks.start,
            end: self.chunks.end,
        }
    }

    pub(super) fn wire_bytes(&self) -> ByteRange {
        ByteRange {
            start: self.bytes.start,
            end: self.bytes.end - 1,
        }
    }
}

/// Plans `wanted`, which is not empty and lies inside the file. Blocks: reads xorb footers.
pub(super) fn plan(shelf: &Shelf, segments: &[Segment], wanted: &Range<u64>) -> Result<Plan> {
    let mut plan = Plan {
        offset_into_first_range: 0,
        terms: Vec::new(),
        fetches: BTreeMap::new(),
    };
    let mut segment_start = 0_u64;
    for segment in segments {
        let place = segment_start..segment_start + u64::from(segment.unpacked);
        segment_start = place.end;
        if place.end <= wanted.start {
            continue;
        }
        if place.start >= wanted.end {
            break;
        }
        let index = shelf.xorb_index(&segment.xorb)?;
        if segment.chunks.end > index.chunk_count() {
            return Err(XetError::Damaged {
                what: format!("a file names chunks xorb {} lacks", segment.xorb),
            });
        }
        // From here on in bytes of the unpacked xorb.
        let base = index.unpacked(&segment.chunks).start;
        let first = base + wanted.start.saturating_sub(place.start);
        let last = base + (wanted.end.min(place.end) - place.start) - 1;
        let chunks = index.chunk_at(first)..index.chunk_at(last) + 1;
        let unpacked = index.unpacked(&chunks);
        if plan.terms.is_empty() {
            plan.offset_into_first_range = first - unpacked.start;
        }
        plan.terms.push(Term {
            hash: segment.xorb.to_string(),
            unpacked_length: u32::try_from(unpacked.end - unpacked.start).unwrap_or(u32::MAX),
            range: ChunkRange {
                start: chunks.start,
                end: chunks.end,
            },
        });
        let bytes = index.packed(&chunks);
        plan.fetches
            .entry(segment.xorb)
            .or_default()
            .push(Fetch { chunks, bytes });
    }
    for fetches in plan.fetches.values_mut() {
        merge(fetches);
    }
    Ok(plan)
}

/// Sorts, and joins what touches.
fn merge(fetches: &mut Vec<Fetch>) {
    fetches.sort_by_key(|fetch| fetch.chunks.start);
    fetches.dedup_by(|next, kept| {
        let touches = next.chunks.start <= kept.chunks.end;
        if touches {
            kept.chunks.end = kept.chunks.end.max(next.chunks.end);
            kept.bytes.end = kept.bytes.end.max(next.bytes.end);
        }
        touches
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_are_fetched_once() {
        let fetch = |chunks: Range<u32>| Fetch {
            bytes: u64::from(chunks.start) * 10..u64::from(chunks.end) * 10,
            chunks,
        };
        let mut fetches = vec![fetch(6..8), fetch(0..2), fetch(1..3), fetch(3..4), fetch(0..1)];
        merge(&mut fetches);
        assert_eq!(fetches, [fetch(0..4), fetch(6..8)]);
    }
}
