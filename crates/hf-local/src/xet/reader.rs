//! Reading files and xorbs in spans of bytes that go out as they are.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::XetError;
use super::index::Segment;
use super::store::Shelf;
use super::xorb::{CHUNK_HEADER_BYTES, ChunkHeader, MAX_CHUNK_BYTES, XorbIndex, unpack_chunk};

/// How much is read at once, in bytes. Large enough that the cost of a read is small beside that of its bytes.
pub(super) const SPAN_BYTES: usize = 512 * 1024;

/// The most chunks in one span: each takes two slices of a vectored read, and the kernel takes 1024.
const SPAN_CHUNKS: usize = 256;

/// How many buffers are kept for reuse. Fresh ones cost page faults, which cost more than the read.
const POOLED_BUFFERS: usize = 16;

/// Buffers that are used again once the last byte in them has been sent.
#[derive(Debug, Default)]
pub(super) struct BufferPool(Mutex<Vec<Vec<u8>>>);

impl BufferPool {
    fn take(self: &Arc<Self>, length: usize) -> PooledBuffer {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut bytes = spare.unwrap_or_else(|| vec![0; SPAN_BYTES]);
        if bytes.len() < length {
            bytes.resize(length, 0);
        }
        PooledBuffer {
            bytes,
            length,
            pool: Arc::clone(self),
        }
    }
}

struct PooledBuffer {
    bytes: Vec<u8>,
    length: usize,
    pool: Arc<BufferPool>,
}

impl PooledBuffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }
}

impl AsRef<[u8]> for PooledBuffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.len() > 2 * SPAN_BYTES {
            return;
        }
        let mut spares = self.pool.0.lock().unwrap_or_else(PoisonError::into_inner);
        if spares.len() < POOLED_BUFFERS {
            spares.push(bytes);
        }
    }
}

/// Something that can be read span by span. Reading blocks.
pub(super) trait Spans: Send + 'static {
    fn next_span(&mut self) -> io::Result<Option<Bytes>>;
}

/// Streams `spans`, one read ahead. No thread waits while the receiver is slow.
pub(super) fn stream<S: Spans>(mut spans: S) -> impl Stream<Item = io::Result<Bytes>> + Send + use<S> {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let read = tokio::task::spawn_blocking(move || {
                let span = spans.next_span();
                (spans, span)
            });
            let span = match read.await {
                Ok((returned, span)) => {
                    spans = returned;
                    span.transpose()
                }
                Err(error) => {
                    // The stream must not look complete.
                    sender.send(Err(io::Error::other(error))).await.ok();
                    return;
                }
            };
            let Some(span) = span else { return };
            let last = span.is_err();
            if sender.send(span).await.is_err() || last {
                return;
            }
        }
    });
    ReceiverStream::new(receiver)
}

/// A range of the bytes of a stored xorb, as they are on disk.
pub(super) struct RawSpans {
    file: File,
    left: Range<u64>,
    pool: Arc<BufferPool>,
    started: bool,
}

impl RawSpans {
    pub(super) fn new(file: File, range: Range<u64>, pool: Arc<BufferPool>) -> Self {
        Self {
            file,
            left: range,
            pool,
            started: false,
        }
    }
}

impl Spans for RawSpans {
    fn next_span(&mut self) -> io::Result<Option<Bytes>> {
        let length = usize::try_from(self.left.end - self.left.start)
            .unwrap_or(usize::MAX)
            .min(SPAN_BYTES);
        if length == 0 {
            return Ok(None);
        }
        if !self.started {
            self.file.seek(SeekFrom::Start(self.left.start))?;
            self.started = true;
        }
        let mut buffer = self.pool.take(length);
        self.file.read_exact(buffer.as_mut())?;
        self.left.start += length as u64;
        Ok(Some(Bytes::from_owner(buffer)))
    }
}

struct OpenXorb {
    file: File,
    position: u64,
    index: Arc<XorbIndex>,
}

/// A range of the bytes of a file, rebuilt from its xorbs.
pub(super) struct FileSpans {
    shelf: Arc<Shelf>,
    segments: Vec<Segment>,
    /// The segment being read, and its xorb once opened.
    segment: usize,
    open: Option<OpenXorb>,
    /// The next chunk to read of that xorb.
    chunk: u32,
    /// Bytes to pass over before the first that is wanted.
    skip: u64,
    /// Bytes still wanted.
    left: u64,
    packed: Vec<u8>,
}

impl FileSpans {
    /// Reads `range` of the file that `segments` make; the range lies inside the file.
    pub(super) fn new(shelf: Arc<Shelf>, segments: Vec<Segment>, range: &Range<u64>) -> Self {
        let mut skip = range.start;
        let mut segment = 0;
        while let Some(length) = segments.get(segment).map(|segment| u64::from(segment.unpacked))
            && skip >= length
        {
            skip -= length;
            segment += 1;
        }
        Self {
            shelf,
            segments,
            segment,
            open: None,
            chunk: 0,
            skip,
            left: range.end - range.start,
            packed: Vec::new(),
        }
    }

    fn read_span(&mut self) -> Result<Option<Bytes>, XetError> {
        if self.left == 0 {
            return Ok(None);
        }
        let Some(segment) = self.segments.get(self.segment) else {
            return Err(XetError::Damaged {
                what: "the terms of a file end before the file does".to_owned(),
            });
        };
        let mut xorb = if let Some(open) = self.open.take() {
            open
        } else {
            let (file, index) = self.shelf.open_xorb(&segment.xorb)?;
            if segment.chunks.end > index.chunk_count() {
                return Err(XetError::Damaged {
                    what: format!("a file names chunks xorb {} lacks", segment.xorb),
                });
            }
            let start = index.unpacked(&segment.chunks).start;
            self.chunk = index.chunk_at(start + self.skip);
            self.skip -= index.unpacked(&(0..self.chunk)).end - start;
            OpenXorb {
                file,
                position: u64::MAX,
                index,
            }
        };

        let index = Arc::clone(&xorb.index);
        let wanted = self.skip.saturating_add(self.left);
        let mut chunks = self.chunk..self.chunk;
        let (mut unpacked, mut all_stored) = (0_u64, true);
        while chunks.end < segment.chunks.end && (chunks.len() < SPAN_CHUNKS) && unpacked < wanted {
            let length = index.unpacked_length(chunks.end);
            if !chunks.is_empty() && unpacked + length > SPAN_BYTES as u64 {
                break;
            }
            unpacked += length;
            all_stored &= index.packed_length(chunks.end) == length + CHUNK_HEADER_BYTES as u64;
            chunks.end += 1;
        }

        let mut buffer = self
            .shelf
            .buffers()
            .take(usize::try_from(unpacked).unwrap_or(usize::MAX));
        let read = if all_stored && read_stored(&mut xorb, &chunks, buffer.as_mut())? {
            Ok(())
        } else {
            read_packed(&mut xorb, &chunks, &mut self.packed, buffer.as_mut())
        };
        read.map_err(|what| XetError::Damaged {
            what: format!("xorb {}: {what}", segment.xorb),
        })?;

        self.chunk = chunks.end;
        if chunks.end == segment.chunks.end {
            self.segment += 1;
        } else {
            self.open = Some(xorb);
        }
        let span = Bytes::from_owner(buffer);
        let start = usize::try_from(self.skip).unwrap_or(usize::MAX).min(span.len());
        let length = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(span.len() - start);
        self.skip = 0;
        self.left -= length as u64;
        Ok(Some(span.slice(start..start + length)))
    }
}

impl Spans for FileSpans {
    fn next_span(&mut self) -> io::Result<Option<Bytes>> {
        self.read_span().map_err(io::Error::other)
    }
}

fn move_to(xorb: &mut OpenXorb, position: u64) -> Result<(), XetError> {
    if xorb.position != position {
        xorb.file
            .seek(SeekFrom::Start(position))
            .map_err(XetError::io("read a xorb"))?;
    }
    Ok(())
}

/// Reads chunks that look stored as they are, headers to one side, so that their bytes lie together without a copy.
/// Answers false if one of them is packed after all.
fn read_stored(xorb: &mut OpenXorb, chunks: &Range<u32>, out: &mut [u8]) -> Result<bool, XetError> {
    let packed = xorb.index.packed(chunks);
    move_to(xorb, packed.start)?;
    let mut headers = [0; SPAN_CHUNKS * CHUNK_HEADER_BYTES];
    let mut slices = Vec::with_capacity(chunks.len() * 2);
    let (mut headers_left, mut out_left) = (&mut headers[..], out);
    for chunk in chunks.clone() {
        let length = usize::try_from(xorb.index.unpacked_length(chunk)).unwrap_or(usize::MAX);
        let (header, rest) = headers_left.split_at_mut(CHUNK_HEADER_BYTES);
        headers_left = rest;
        let (body, rest) = out_left.split_at_mut(length);
        out_left = rest;
        slices.push(IoSliceMut::new(header));
        slices.push(IoSliceMut::new(body));
    }
    read_exact_vectored(&mut xorb.file, &mut slices).map_err(XetError::io("read a xorb"))?;
    xorb.position = packed.end;
    Ok(headers
        .chunks_exact(CHUNK_HEADER_BYTES)
        .take(chunks.len())
        .zip(chunks.clone())
        .all(|(header, chunk)| {
            let header = header.first_chunk().map(|header| ChunkHeader::parse(*header));
            matches!(header, Some(Ok(header)) if header.packing == super::xorb::Packing::Stored
            && header.unpacked as u64 == xorb.index.unpacked_length(chunk))
        }))
}

fn read_exact_vectored(file: &mut File, mut slices: &mut [IoSliceMut<'_>]) -> io::Result<()> {
    IoSliceMut::advance_slices(&mut slices, 0);
    while !slices.is_empty() {
        match file.read_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => IoSliceMut::advance_slices(&mut slices, read),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_packed(
    xorb: &mut OpenXorb,
    chunks: &Range<u32>,
    packed: &mut Vec<u8>,
    out: &mut [u8],
) -> Result<(), String> {
    let place = xorb.index.packed(chunks);
    let length = usize::try_from(place.end - place.start).unwrap_or(usize::MAX);
    if packed.len() < length {
        packed.resize(length, 0);
    }
    let packed = &mut packed[..length];
    let mut read = || {
        if xorb.position != place.start {
            xorb.file.seek(SeekFrom::Start(place.start))?;
        }
        xorb.file.read_exact(packed)
    };
    read().map_err(|error| format!("its chunks could not be read ({error})"))?;
    xorb.position = place.end;
    let (mut packed, mut out) = (&packed[..], out);
    for chunk in chunks.clone() {
        let header = packed.first_chunk().ok_or("it ends in a chunk header")?;
        let header = ChunkHeader::parse(*header)?;
        let (body, rest) = packed[CHUNK_HEADER_BYTES..]
            .split_at_checked(header.packed)
            .ok_or("it ends in a chunk")?;
        packed = rest;
        if header.unpacked as u64 != xorb.index.unpacked_length(chunk) {
            return Err(format!("chunk {chunk} is not as long as the footer says"));
        }
        let (into, rest) = out.split_at_mut(header.unpacked);
        out = rest;
        unpack_chunk(header, body, into)?;
    }
    Ok(())
}

const _: () = assert!(
    MAX_CHUNK_BYTES <= SPAN_BYTES,
    "a span holds at least one chunk of any size"
);
