//! Reading files in pieces.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use axum::body::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

const PIECE: u64 = 256 * 1024;
/// Pieces that may wait for the socket.
const AHEAD: usize = 4;

/// Reads a part of a file on a thread of its own, a few pieces ahead of the reader.
pub(super) fn stream(path: PathBuf, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        if let Err(error) = send(&path, range, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    ReceiverStream::new(receiver).boxed()
}

fn send(path: &Path, range: Range<u64>, to: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let mut left = range.end.saturating_sub(range.start);
    while left > 0 {
        let want = left.min(PIECE);
        let mut piece = Vec::with_capacity(usize::try_from(want).unwrap_or(0));
        let got = Read::by_ref(&mut file).take(want).read_to_end(&mut piece)? as u64;
        if got < want {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        left -= got;
        if to.blocking_send(Ok(Bytes::from(piece))).is_err() {
            // The client hung up.
            return Ok(());
        }
    }
    Ok(())
}
