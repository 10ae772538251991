//! Request bodies that flow from disk.
//!
//! A thread reads, the transport pulls, and a short queue lies between, so memory does not grow with the file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::stream;
use hf_core::{ByteStream, HfError, TransportError, TransportKind};
use tokio::sync::mpsc;

use crate::{invalid, io_error};

/// How many pieces may wait for the network.
const QUEUE: usize = 8;
/// The size of a piece.
pub(super) const PIECE: usize = 192 * 1024;

/// Where a body leaves the reason when it cannot go on; the transport only sees that it broke.
#[derive(Debug, Clone, Default)]
pub(super) struct FaultSlot(Arc<Mutex<Option<HfError>>>);

impl FaultSlot {
    pub(super) fn put(&self, error: HfError) {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
    }

    pub(super) fn take(&self) -> Option<HfError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The sending side of a body made on a thread.
pub(super) struct PieceSender(mpsc::Sender<Result<Bytes, TransportError>>);

impl PieceSender {
    /// Hands over a piece; false when nobody wants more.
    pub(super) fn send(&self, bytes: impl Into<Bytes>) -> bool {
        let bytes = bytes.into();
        bytes.is_empty() || self.0.blocking_send(Ok(bytes)).is_ok()
    }
}

/// Makes a body from what `produce` sends. An error is left in `slot` and breaks the body.
pub(super) fn produced(
    slot: FaultSlot,
    produce: impl FnOnce(&PieceSender) -> Result<(), HfError> + Send + 'static,
) -> ByteStream {
    let (sender, receiver) = mpsc::channel(QUEUE);
    tokio::task::spawn_blocking(move || {
        let sender = PieceSender(sender);
        if let Err(error) = produce(&sender) {
            let message = error.to_string();
            slot.put(error);
            let _ = sender
                .0
                .blocking_send(Err(TransportError::new(TransportKind::InvalidRequest, message)));
        }
    });
    Box::pin(stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|piece| (piece, receiver))
    }))
}

/// A part of a file as a body. `sent` is told how many bytes each piece had.
pub(super) fn file_part(
    path: PathBuf,
    offset: u64,
    length: u64,
    slot: FaultSlot,
    sent: impl Fn(u64) + Send + 'static,
) -> ByteStream {
    produced(slot, move |sender| {
        let mut file = File::open(&path).map_err(|error| io_error("open", &path, error))?;
        file.seek(SeekFrom::Start(offset))
            .map_err(|error| io_error("read", &path, error))?;
        let mut left = length;
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            let mut piece = vec![0; want];
            let read = fill(&mut file, &mut piece).map_err(|error| io_error("read", &path, error))?;
            if read == 0 {
                return Err(changed(&path));
            }
            piece.truncate(read);
            left -= read as u64;
            if !sender.send(piece) {
                return Ok(());
            }
            sent(read as u64);
        }
        Ok(())
    })
}

/// Reads until `buffer` is full or the file ends.
pub(super) fn fill(file: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// The error for a file that is no longer what was hashed.
pub(super) fn changed(path: &Path) -> HfError {
    invalid(format!(
        "{} changed while it was being uploaded; nothing was committed. Wait until it is finished, then upload again",
        path.display()
    ))
}
