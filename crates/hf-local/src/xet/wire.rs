//! What the CAS says on the wire. Kept apart from the client's own types, so that a change there is seen as a change.
//!
//! # Source
//!
//! xet-core 1.8.0 `cas_types/mod.rs`.

use std::collections::BTreeMap;

use serde::Serialize;

/// A range of chunks, the end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ChunkRange {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A range of bytes as HTTP writes it: the end inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ByteRange {
    pub(super) start: u64,
    pub(super) end: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Term {
    pub(super) hash: String,
    pub(super) unpacked_length: u32,
    pub(super) range: ChunkRange,
}

/// `GET /v1/reconstructions/{file}`.
#[derive(Debug, Serialize)]
pub(super) struct ReconstructionV1 {
    pub(super) offset_into_first_range: u64,
    pub(super) terms: Vec<Term>,
    pub(super) fetch_info: BTreeMap<String, Vec<FetchInfo>>,
}

#[derive(Debug, Serialize)]
pub(super) struct FetchInfo {
    pub(super) range: ChunkRange,
    pub(super) url: String,
    pub(super) url_range: ByteRange,
}

/// `GET /v1/reconstructions?file_id=…`.
#[derive(Debug, Default, Serialize)]
pub(super) struct BatchReconstruction {
    pub(super) files: BTreeMap<String, Vec<Term>>,
    pub(super) fetch_info: BTreeMap<String, Vec<FetchInfo>>,
}

/// `GET /v2/reconstructions/{file}`.
#[derive(Debug, Serialize)]
pub(super) struct ReconstructionV2 {
    pub(super) offset_into_first_range: u64,
    pub(super) terms: Vec<Term>,
    pub(super) xorbs: BTreeMap<String, Vec<MultiRangeFetch>>,
}

#[derive(Debug, Serialize)]
pub(super) struct MultiRangeFetch {
    pub(super) url: String,
    pub(super) ranges: Vec<RangeDescriptor>,
}

#[derive(Debug, Serialize)]
pub(super) struct RangeDescriptor {
    pub(super) chunks: ChunkRange,
    pub(super) bytes: ByteRange,
}

/// `POST /v1/xorbs/{prefix}/{hash}`.
#[derive(Debug, Serialize)]
pub(super) struct XorbUploaded {
    pub(super) was_inserted: bool,
}

/// `POST /v1/shards`: 0 when everything in it was known, 1 when something was registered.
#[derive(Debug, Serialize)]
pub(super) struct ShardUploaded {
    pub(super) result: u8,
}

/// A line of `POST /v2/shards`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ShardEvent {
    Validating { verified: u64, total: u64 },
    Committing { stage: &'static str },
    Result,
    Error { message: String, retryable: bool },
}
