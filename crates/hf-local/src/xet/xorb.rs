//! Xorbs on disk: what one looks like, and how one is received and checked.
//!
//! A stored xorb is the official format: chunks, each behind an 8-byte header, then a footer with the hash and the
//! place of every chunk. Clients send the chunks; the footer is written here, from what was seen.
//!
//! # Source
//!
//! xet-core 1.8.0 `xorb_object/xorb_object_format.rs` and `xorb_object/xorb_chunk_format.rs`.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use lz4_flex::frame::FrameDecoder;
use tempfile::NamedTempFile;
use xet_core_structures::merklehash::{MerkleHash, compute_data_hash, xorb_hash};
use xet_core_structures::xorb_object::byte_grouping::bg4::bg4_regroup;
use xet_core_structures::xorb_object::{XorbObject, XorbObjectInfoV1};

use super::{Result, XetError, XetHash};

/// Length of the header in front of each chunk, in bytes.
pub(super) const CHUNK_HEADER_BYTES: usize = 8;

/// The longest a chunk may be once unpacked, in bytes.
pub(super) const MAX_CHUNK_BYTES: usize = 128 * 1024;

/// The most a xorb may hold once unpacked, in bytes.
const MAX_XORB_BYTES: u64 = 64 * 1024 * 1024;

/// The most chunks a xorb may hold.
const MAX_XORB_CHUNKS: usize = 8 * 1024;

/// The most a client may send for one xorb: the chunks, their headers, and the footer that older clients add.
pub(super) const MAX_XORB_BODY_BYTES: u64 = MAX_XORB_BYTES + 1024 * 1024;

const FOOTER_IDENT: &[u8] = b"XETBLOB";

/// How a chunk is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Stored,
    Lz4,
    /// The bytes of each 4-byte group apart, then LZ4: good for floats.
    GroupedLz4,
}

/// The header in front of a chunk.
///
/// # Shape
///
/// Version (1 byte, 0), packed length (3 bytes, little-endian), packing (1 byte), unpacked length (3 bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ChunkHeader {
    pub(super) packed: usize,
    pub(super) packing: Packing,
    pub(super) unpacked: usize,
}

impl ChunkHeader {
    pub(super) fn parse(bytes: [u8; CHUNK_HEADER_BYTES]) -> Result<Self, String> {
        let [version, p0, p1, p2, packing, u0, u1, u2] = bytes;
        if version != 0 {
            return Err(format!("a chunk has version {version}; only 0 is known"));
        }
        let packing = match packing {
            0 => Packing::Stored,
            1 => Packing::Lz4,
            2 => Packing::GroupedLz4,
            other => {
                return Err(format!(
                    "a chunk is packed in way {other}; only 0, 1 and 2 are known"
                ));
            }
        };
        let length = |low, mid, high| usize::from(low) | usize::from(mid) << 8 | usize::from(high) << 16;
        let header = Self {
            packed: length(p0, p1, p2),
            packing,
            unpacked: length(u0, u1, u2),
        };
        if header.unpacked == 0 || header.unpacked > MAX_CHUNK_BYTES {
            return Err(format!(
                "a chunk has {} bytes; it may have 1 to {MAX_CHUNK_BYTES}",
                header.unpacked
            ));
        }
        if header.packed > 2 * MAX_CHUNK_BYTES
            || (packing == Packing::Stored && header.packed != header.unpacked)
        {
            return Err(format!(
                "a chunk of {} bytes is packed in {}",
                header.unpacked, header.packed
            ));
        }
        Ok(header)
    }
}

/// Unpacks one chunk into `out`, which is exactly as long as the header says. Never makes more than that.
pub(super) fn unpack_chunk(header: ChunkHeader, packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    debug_assert_eq!(out.len(), header.unpacked);
    match header.packing {
        Packing::Stored => out.copy_from_slice(packed),
        Packing::Lz4 => unpack_lz4(packed, out)?,
        Packing::GroupedLz4 => {
            let mut grouped = vec![0; out.len()];
            unpack_lz4(packed, &mut grouped)?;
            out.copy_from_slice(&bg4_regroup(&grouped));
        }
    }
    Ok(())
}

fn unpack_lz4(packed: &[u8], out: &mut [u8]) -> Result<(), String> {
    let mut decoder = FrameDecoder::new(packed);
    decoder
        .read_exact(out)
        .map_err(|_| "a chunk does not unpack to the length in its header".to_owned())?;
    match decoder.read(&mut [0; 1]) {
        Ok(0) => Ok(()),
        Ok(_) | Err(_) => Err("a chunk unpacks to more than the length in its header".to_owned()),
    }
}

/// Where the chunks of a xorb are.
#[derive(Debug)]
pub(super) struct XorbIndex {
    hashes: Vec<MerkleHash>,
    /// Where each chunk ends in the file.
    packed_ends: Vec<u32>,
    /// Where each chunk ends once all before it are unpacked.
    unpacked_ends: Vec<u32>,
}

impl XorbIndex {
    /// Reads the index at the end of a stored xorb.
    pub(super) fn read(file: &File, hash: &XetHash) -> Result<Self> {
        let mut reader = BufReader::new(file);
        let info = XorbObject::deserialize(&mut reader)
            .map_err(|error| XetError::Damaged {
                what: format!("xorb {hash} has no readable footer ({error})"),
            })?
            .info;
        let index = Self {
            hashes: info.chunk_hashes,
            packed_ends: info.chunk_boundary_offsets,
            unpacked_ends: info.unpacked_chunk_offsets,
        };
        let rising = |ends: &[u32]| ends.windows(2).all(|pair| pair[0] < pair[1]);
        if index.hashes.is_empty()
            || index.packed_ends.len() != index.hashes.len()
            || index.unpacked_ends.len() != index.hashes.len()
            || !rising(&index.packed_ends)
            || !rising(&index.unpacked_ends)
        {
            return Err(XetError::Damaged {
                what: format!("the footer of xorb {hash} contradicts itself"),
            });
        }
        Ok(index)
    }

    pub(super) fn chunk_count(&self) -> u32 {
        u32::try_from(self.hashes.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn hashes(&self, chunks: Range<u32>) -> &[MerkleHash] {
        &self.hashes[chunks.start as usize..chunks.end as usize]
    }

    /// Where chunks `range` are in the file.
    pub(super) fn packed(&self, chunks: &Range<u32>) -> Range<u64> {
        start_of(&self.packed_ends, chunks.start)..start_of(&self.packed_ends, chunks.end)
    }

    /// Where chunks `range` are in the unpacked xorb.
    pub(super) fn unpacked(&self, chunks: &Range<u32>) -> Range<u64> {
        start_of(&self.unpacked_ends, chunks.start)..start_of(&self.unpacked_ends, chunks.end)
    }

    pub(super) fn unpacked_length(&self, chunk: u32) -> u64 {
        let range = self.unpacked(&(chunk..chunk + 1));
        range.end - range.start
    }

    pub(super) fn packed_length(&self, chunk: u32) -> u64 {
        let range = self.packed(&(chunk..chunk + 1));
        range.end - range.start
    }

    /// The chunk that holds the byte at `offset` of the unpacked xorb.
    pub(super) fn chunk_at(&self, offset: u64) -> u32 {
        let chunk = self
            .unpacked_ends
            .partition_point(|&end| u64::from(end) <= offset);
        u32::try_from(chunk).unwrap_or(u32::MAX)
    }
}

fn start_of(ends: &[u32], chunk: u32) -> u64 {
    chunk
        .checked_sub(1)
        .map_or(0, |before| u64::from(ends[before as usize]))
}

/// A xorb on its way in. Each chunk is unpacked, hashed and written as soon as it is complete; the file gets its name
/// only when the hash over all of them is the one the client named.
pub(super) struct XorbReceiver {
    expected: XetHash,
    file: BufWriter<NamedTempFile>,
    /// What has arrived and is no whole chunk yet.
    pending: Vec<u8>,
    /// The chunks are over; what still comes is a footer, which is not needed.
    in_footer: bool,
    chunks: Vec<(MerkleHash, u64)>,
    packed_ends: Vec<u32>,
    unpacked_ends: Vec<u32>,
    packed: u64,
    unpacked: u64,
    scratch: Vec<u8>,
}

impl XorbReceiver {
    pub(super) fn new(expected: XetHash, temporary: &Path) -> Result<Self> {
        let file = NamedTempFile::new_in(temporary).map_err(XetError::io("make a temporary file"))?;
        Ok(Self {
            expected,
            file: BufWriter::with_capacity(0, file),
            pending: Vec::new(),
            in_footer: false,
            chunks: Vec::new(),
            packed_ends: Vec::new(),
            unpacked_ends: Vec::new(),
            packed: 0,
            unpacked: 0,
            scratch: vec![0; MAX_CHUNK_BYTES],
        })
    }

    /// Takes what arrived. Blocks: hashes and writes.
    pub(super) fn push(&mut self, pieces: &[Bytes]) -> Result<()> {
        if self.in_footer {
            return Ok(());
        }
        for piece in pieces {
            self.pending.extend_from_slice(piece);
        }
        let mut done = 0;
        while let Some(header) = self.pending[done..].first_chunk::<CHUNK_HEADER_BYTES>() {
            if header.starts_with(FOOTER_IDENT) {
                self.in_footer = true;
                break;
            }
            let header = ChunkHeader::parse(*header).map_err(XetError::rejected)?;
            let body = done + CHUNK_HEADER_BYTES;
            let Some(packed) = self.pending.get(body..body + header.packed) else {
                break;
            };
            let hash = match header.packing {
                Packing::Stored => compute_data_hash(packed),
                Packing::Lz4 | Packing::GroupedLz4 => {
                    let out = &mut self.scratch[..header.unpacked];
                    unpack_chunk(header, packed, out).map_err(XetError::rejected)?;
                    compute_data_hash(out)
                }
            };
            done = body + header.packed;
            self.packed += (CHUNK_HEADER_BYTES + header.packed) as u64;
            self.unpacked += header.unpacked as u64;
            if self.chunks.len() == MAX_XORB_CHUNKS || self.unpacked > MAX_XORB_BYTES {
                return Err(XetError::rejected(format!(
                    "a xorb may hold {MAX_XORB_CHUNKS} chunks and {MAX_XORB_BYTES} bytes; this one holds more"
                )));
            }
            self.chunks.push((hash, header.unpacked as u64));
            // Both fit: a xorb is at most 64 MiB unpacked, and its chunks take at most twice that.
            self.packed_ends
                .push(u32::try_from(self.packed).unwrap_or(u32::MAX));
            self.unpacked_ends
                .push(u32::try_from(self.unpacked).unwrap_or(u32::MAX));
        }
        self.file
            .write_all(&self.pending[..done])
            .map_err(XetError::io("write a xorb"))?;
        self.pending.drain(..done);
        if self.in_footer {
            self.pending = Vec::new();
        }
        Ok(())
    }

    /// Checks the whole and moves it to `path`, durably. Blocks.
    pub(super) fn finish(mut self, path: &Path) -> Result<()> {
        if !self.pending.is_empty() {
            return Err(XetError::rejected("the xorb ends in the middle of a chunk"));
        }
        if self.chunks.is_empty() {
            return Err(XetError::rejected("the xorb holds no chunk"));
        }
        let hash = XetHash::from(xorb_hash(&self.chunks));
        if hash != self.expected {
            return Err(XetError::rejected(format!(
                "the chunks sent make xorb {hash}, not {}",
                self.expected
            )));
        }
        let mut info = XorbObjectInfoV1::default();
        info.xorb_hash = hash.merkle();
        info.num_chunks = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
        info.chunk_hashes = self.chunks.iter().map(|(hash, _)| *hash).collect();
        info.chunk_boundary_offsets = self.packed_ends;
        info.unpacked_chunk_offsets = self.unpacked_ends;
        info.fill_in_boundary_offsets();
        let mut footer = Vec::with_capacity(info.serialized_length() + 4);
        XorbObject::serialize_given_info(&mut footer, info).map_err(|error| XetError::Damaged {
            what: format!("no footer could be made for xorb {hash} ({error})"),
        })?;
        let store = || {
            self.file.write_all(&footer)?;
            let file = self
                .file
                .into_inner()
                .map_err(std::io::IntoInnerError::into_error)?;
            file.as_file().sync_all()?;
            let folder = path.parent().unwrap_or(Path::new("."));
            std::fs::create_dir_all(folder)?;
            file.persist(path).map_err(|error| error.error)?;
            File::open(folder)?.sync_all()
        };
        store().map_err(XetError::io("keep a xorb"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use xet_core_structures::xorb_object::{CompressionScheme, serialize_chunk};

    use super::*;

    /// Packs `chunks` as a client would; returns the hash and the body to upload.
    pub(crate) fn pack(chunks: &[Vec<u8>], scheme: CompressionScheme) -> (XetHash, Vec<u8>) {
        let mut body = Vec::new();
        for chunk in chunks {
            serialize_chunk(chunk, &mut body, scheme).unwrap();
        }
        let hashes: Vec<_> = chunks
            .iter()
            .map(|chunk| (compute_data_hash(chunk), chunk.len() as u64))
            .collect();
        (xorb_hash(&hashes).into(), body)
    }

    fn receive(hash: XetHash, body: &[u8], piece: usize) -> Result<XorbIndex> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ab").join("xorb");
        let mut receiver = XorbReceiver::new(hash, dir.path())?;
        for piece in body.chunks(piece) {
            receiver.push(&[Bytes::copy_from_slice(piece)])?;
        }
        receiver.finish(&path)?;
        XorbIndex::read(&File::open(&path).unwrap(), &hash)
    }

    fn rejection(result: Result<XorbIndex>) -> String {
        match result {
            Err(XetError::Rejected { reason }) => reason,
            other => panic!("expected a rejection, got {other:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn what_a_client_packs_is_received_in_pieces_of_any_size(
            chunks in prop::collection::vec(prop::collection::vec(0_u8..4, 1..3000), 1..12),
            scheme in prop::sample::select(vec![CompressionScheme::None, CompressionScheme::LZ4, CompressionScheme::ByteGrouping4LZ4]),
            piece in 1_usize..5000,
        ) {
            let (hash, body) = pack(&chunks, scheme);
            let index = receive(hash, &body, piece).unwrap();
            prop_assert_eq!(index.chunk_count() as usize, chunks.len());
            let total: usize = chunks.iter().map(Vec::len).sum();
            prop_assert_eq!(index.unpacked(&(0..index.chunk_count())), 0..total as u64);
            prop_assert_eq!(index.packed(&(0..index.chunk_count())), 0..body.len() as u64);
            for (number, chunk) in (0..).zip(&chunks) {
                prop_assert_eq!(index.hashes(number..number + 1), &[compute_data_hash(chunk)]);
                prop_assert_eq!(index.chunk_at(index.unpacked(&(number..number + 1)).start), number);
            }
        }

        #[test]
        fn no_bytes_can_make_the_receiver_panic(body in prop::collection::vec(any::<u8>(), 0..4000), piece in 1_usize..500) {
            prop_assert!(receive(XetHash::from([1; 32]), &body, piece).is_err());
        }
    }

    #[test]
    fn a_footer_from_an_older_client_is_taken_and_ignored() {
        let chunks = vec![vec![1; 5000], vec![2; 700]];
        let (hash, mut body) = pack(&chunks, CompressionScheme::LZ4);
        body.extend_from_slice(b"XETBLOB\x01 and whatever else it says");
        assert_eq!(receive(hash, &body, 64).unwrap().chunk_count(), 2);
    }

    #[test]
    fn a_xorb_that_is_not_what_it_is_named_is_refused() {
        let (hash, mut body) = pack(&[vec![1; 5000], vec![2; 700]], CompressionScheme::None);
        let last = body.len() - 1;
        body[last] ^= 1;
        assert!(rejection(receive(hash, &body, 1000)).contains(&format!("not {hash}")));
        assert!(rejection(receive(hash, &body[..last], 1000)).contains("middle of a chunk"));
        assert!(rejection(receive(hash, b"", 1)).contains("no chunk"));
    }

    #[test]
    fn a_chunk_that_unpacks_to_more_than_it_says_is_refused() {
        let bomb = CompressionScheme::LZ4
            .compress_from_slice(&vec![0; 1 << 20])
            .unwrap()
            .into_owned();
        let packed = u32::try_from(bomb.len()).unwrap().to_le_bytes();
        let mut body = vec![0, packed[0], packed[1], packed[2], 1, 100, 0, 0];
        body.extend_from_slice(&bomb);
        assert!(rejection(receive(XetHash::from([1; 32]), &body, 1000)).contains("more than the length"));
    }
}
