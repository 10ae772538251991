//! Shards: what a client wants registered, and the proof that it holds.

use std::collections::BTreeSet;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sha2::{Digest, Sha256};
use xet_core_structures::merklehash::{MerkleHash, file_hash};
use xet_core_structures::metadata_shard::chunk_verification::range_hash_from_chunks;
use xet_core_structures::metadata_shard::file_structs::MDBFileInfo;
use xet_core_structures::metadata_shard::shard_in_memory::MDBInMemoryShard;
use xet_core_structures::metadata_shard::streaming_shard::process_shard_file_info_section;
use xet_core_structures::metadata_shard::xorb_structs::{
    MDBXorbInfo, XorbChunkSequenceEntry, XorbChunkSequenceHeader,
};
use xet_core_structures::metadata_shard::{MDBShardFileHeader, MDBShardInfo, hash_is_global_dedup_eligible};

use super::index::{NewFile, Registration, Segment};
use super::reader::{FileSpans, Spans};
use super::store::Shelf;
use super::{Result, XetError, XetFile, XetHash};

/// The longest shard a client may send, in bytes.
pub(super) const MAX_SHARD_BYTES: usize = 64 * 1024 * 1024;

/// How long a client may use the hashes of an answer to a chunk query.
const KNOWN_CHUNKS_LIFETIME: Duration = Duration::from_hours(24);

/// The most xorbs one answer to a chunk query describes: about 16 GiB of data in 10 MB.
const MAX_KNOWN_XORBS: usize = 256;

/// A file as a shard claims it.
#[derive(Debug)]
pub(super) struct ClaimedFile {
    pub(super) hash: XetHash,
    segments: Vec<Segment>,
    /// For each segment, a hash that only one who has its chunks can make.
    proofs: Vec<MerkleHash>,
    pub(super) sha256: Option<[u8; 32]>,
    /// The claim about SHA-256 was checked before.
    pub(super) sha256_known: bool,
}

/// How far a check has come, for the client that waits.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) verified: AtomicU64,
    pub(super) total: AtomicU64,
}

/// Reads the files out of a shard. The xorbs it describes are passed over: the store knows its own.
pub(super) fn parse(shard: &[u8]) -> Result<Vec<ClaimedFile>> {
    let malformed = |error: xet_core_structures::CoreError| {
        XetError::rejected(format!("the shard cannot be read: {error}"))
    };
    let mut reader = Cursor::new(shard);
    MDBShardFileHeader::deserialize(&mut reader).map_err(malformed)?;
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    let budget = shard.len() as u64 - reader.position();
    process_shard_file_info_section(
        &mut reader,
        |view| {
            if seen.insert(XetHash::from(view.file_hash())) {
                files.push(MDBFileInfo::from(&view));
            }
            Ok(())
        },
        Some(budget),
    )
    .map_err(malformed)?;
    files.into_iter().map(claim).collect()
}

fn claim(info: MDBFileInfo) -> Result<ClaimedFile> {
    let hash = XetHash::from(info.metadata.file_hash);
    if !info.contains_verification() {
        return Err(XetError::rejected(format!(
            "the shard has no verification entries for file {hash}"
        )));
    }
    let sha256 = match info.metadata_ext {
        // In a shard it is kept as a xet hash whose text is the digest's hex.
        Some(ext) => Some(
            <[u8; 32]>::try_from(hex::decode(ext.sha256.hex()).unwrap_or_default()).map_err(|_| {
                XetError::rejected(format!(
                    "the SHA-256 the shard gives for file {hash} is not 32 bytes"
                ))
            })?,
        ),
        None => None,
    };
    let segments = info
        .segments
        .iter()
        .map(|segment| Segment {
            xorb: segment.xorb_hash.into(),
            chunks: segment.chunk_index_start..segment.chunk_index_end,
            unpacked: segment.unpacked_segment_bytes,
        })
        .collect();
    let proofs = info.verification.iter().map(|entry| entry.range_hash).collect();
    Ok(ClaimedFile {
        hash,
        segments,
        proofs,
        sha256,
        sha256_known: false,
    })
}

/// Checks every claim against the xorbs in the store. Blocks: reads footers, and the files whose SHA-256 is new.
pub(super) fn verify(
    shelf: &Arc<Shelf>,
    claims: Vec<ClaimedFile>,
    progress: &Progress,
) -> Result<Registration> {
    let mut new = Registration::default();
    let (mut xorbs, mut chunks) = (BTreeSet::new(), BTreeSet::new());
    progress.total.store(claims.len() as u64, Ordering::Relaxed);
    for claimed in claims {
        let mut file_chunks = Vec::new();
        for (segment, proof) in claimed.segments.iter().zip(&claimed.proofs) {
            let index = match shelf.xorb_index(&segment.xorb) {
                Err(XetError::NotFound { .. }) => {
                    return Err(XetError::rejected(format!(
                        "file {} is made of xorb {}, which was not uploaded",
                        claimed.hash, segment.xorb
                    )));
                }
                index => index?,
            };
            let range = &segment.chunks;
            if range.is_empty() || range.end > index.chunk_count() {
                return Err(XetError::rejected(format!(
                    "file {} names chunks {}..{} of xorb {}, which has {}",
                    claimed.hash,
                    range.start,
                    range.end,
                    segment.xorb,
                    index.chunk_count()
                )));
            }
            let place = index.unpacked(range);
            if place.end - place.start != u64::from(segment.unpacked) {
                return Err(XetError::rejected(format!(
                    "file {} takes {} bytes for chunks of xorb {} that have {}",
                    claimed.hash,
                    segment.unpacked,
                    segment.xorb,
                    place.end - place.start
                )));
            }
            let hashes = index.hashes(range.clone());
            if range_hash_from_chunks(hashes) != *proof {
                return Err(XetError::rejected(format!(
                    "the verification entry of file {} for xorb {} is wrong",
                    claimed.hash, segment.xorb
                )));
            }
            file_chunks.extend(
                hashes
                    .iter()
                    .zip(range.clone())
                    .map(|(hash, chunk)| (*hash, index.unpacked_length(chunk))),
            );
            if xorbs.insert(segment.xorb) {
                let all = index.hashes(0..index.chunk_count());
                chunks.extend(
                    all.iter()
                        .filter(|hash| hash_is_global_dedup_eligible(hash))
                        .map(|hash| XetHash::from(*hash)),
                );
            }
        }
        let actual = XetHash::from(file_hash(&file_chunks));
        if actual != claimed.hash {
            return Err(XetError::rejected(format!(
                "the shard calls {} a file whose hash is {actual}",
                claimed.hash
            )));
        }
        // Clients ask for the first chunk of every file, whatever its hash.
        chunks.extend(file_chunks.first().map(|(hash, _)| XetHash::from(*hash)));
        let size = file_chunks.iter().map(|(_, length)| length).sum();
        let file = XetFile {
            hash: claimed.hash,
            size,
        };
        drop(file_chunks);
        if let (Some(sha256), false) = (claimed.sha256, claimed.sha256_known) {
            let actual = sha256_of(shelf, &claimed.segments, size)?;
            if actual != sha256 {
                return Err(XetError::rejected(format!(
                    "the shard gives file {} the SHA-256 {}; its bytes have {}",
                    claimed.hash,
                    hex::encode(sha256),
                    hex::encode(actual)
                )));
            }
        }
        new.files.push(NewFile {
            file,
            segments: claimed.segments,
            sha256: claimed.sha256,
        });
        progress.verified.fetch_add(1, Ordering::Relaxed);
    }
    new.xorbs = xorbs.into_iter().collect();
    new.chunks = chunks.into_iter().collect();
    Ok(new)
}

fn sha256_of(shelf: &Arc<Shelf>, segments: &[Segment], size: u64) -> Result<[u8; 32]> {
    let mut spans = FileSpans::new(Arc::clone(shelf), segments.to_vec(), &(0..size));
    let mut hasher = Sha256::new();
    while let Some(span) = spans.next_span().map_err(XetError::io("read a file back"))? {
        hasher.update(&span);
    }
    Ok(hasher.finalize().into())
}

/// Makes the answer to a chunk query: a shard that describes `xorbs`, its chunk hashes keyed, so that it is of use
/// only to one who has the chunks. Blocks.
pub(super) fn describe(shelf: &Shelf, xorbs: &[XetHash]) -> Result<Vec<u8>> {
    let mut described = MDBInMemoryShard::default();
    for xorb in xorbs.iter().take(MAX_KNOWN_XORBS) {
        let index = shelf.xorb_index(xorb)?;
        let all = 0..index.chunk_count();
        let chunks: Vec<_> = index
            .hashes(all.clone())
            .iter()
            .zip(all.clone())
            .map(|(hash, chunk)| {
                let start = u32::try_from(index.unpacked(&(chunk..chunk)).start).unwrap_or(u32::MAX);
                let length = u32::try_from(index.unpacked_length(chunk)).unwrap_or(u32::MAX);
                XorbChunkSequenceEntry::new(*hash, length, start)
            })
            .collect();
        let mut metadata = XorbChunkSequenceHeader::new(
            xorb.merkle(),
            index.chunk_count(),
            u32::try_from(index.unpacked(&all).end).unwrap_or(u32::MAX),
        );
        metadata.num_bytes_on_disk = u32::try_from(index.packed(&all).end).unwrap_or(u32::MAX);
        described
            .add_xorb_block(MDBXorbInfo { metadata, chunks })
            .map_err(no_shard)?;
    }
    let plain = described.to_bytes().map_err(no_shard)?;
    let mut keyed = Vec::with_capacity(plain.len());
    let key = MerkleHash::from(rand::random::<[u8; 32]>());
    MDBShardInfo::export_as_keyed_shard_streaming(
        &mut Cursor::new(&plain),
        &mut keyed,
        key,
        KNOWN_CHUNKS_LIFETIME,
        false,
        true,
        true,
    )
    .map_err(no_shard)?;
    Ok(keyed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn no_shard(error: xet_core_structures::CoreError) -> XetError {
    XetError::Damaged {
        what: format!("no shard could be made for a chunk query ({error})"),
    }
}
