//! Connections that can be cut on purpose.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

const UNLIMITED: i64 = i64::MAX;

/// Accepts connections of one origin.
#[derive(Debug)]
pub(crate) struct HubListener {
    pub(crate) tcp: TcpListener,
    /// Cancelled when connections that did not end by themselves have to.
    pub(crate) force: CancellationToken,
}

impl Listener for HubListener {
    type Io = HubStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            match self.tcp.accept().await {
                Ok((tcp, addr)) => {
                    if let Err(error) = tcp.set_nodelay(true) {
                        tracing::debug!(%error, "could not switch off Nagle's algorithm");
                    }
                    let cut = Arc::new(Cut {
                        left: AtomicI64::new(UNLIMITED),
                    });
                    let forced = Box::pin(self.force.clone().cancelled_owned());
                    return (HubStream { tcp, cut, forced }, addr);
                }
                Err(error) => {
                    // Out of file descriptors, most likely: they come back.
                    tracing::error!(%error, "could not accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// Lets a request have its own connection reset.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    cut: Arc<Cut>,
}

#[derive(Debug)]
struct Cut {
    /// How many more bytes may be written before the connection is reset.
    left: AtomicI64,
}

impl Peer {
    /// Resets the connection once `bytes` more have been written.
    pub(crate) fn reset_after(&self, bytes: u64) {
        self.cut
            .left
            .store(i64::try_from(bytes).unwrap_or(UNLIMITED - 1), Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, HubListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HubListener>) -> Self {
        Self {
            cut: Arc::clone(&stream.io().cut),
        }
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) struct HubStream {
    tcp: TcpStream,
    cut: Arc<Cut>,
    forced: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HubStream {
    fn allowance(&self) -> io::Result<usize> {
        match self.cut.left.load(Ordering::Relaxed) {
            UNLIMITED => Ok(usize::MAX),
            left if left <= 0 => {
                // Zero linger: closing sends RST, not FIN.
                self.tcp.set_zero_linger()?;
                Err(io::Error::from(io::ErrorKind::ConnectionReset))
            }
            left => Ok(usize::try_from(left).unwrap_or(usize::MAX)),
        }
    }

    fn wrote(&self, bytes: usize) {
        if self.cut.left.load(Ordering::Relaxed) != UNLIMITED {
            self.cut
                .left
                .fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        }
    }

    fn poll_forced(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.forced.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for HubStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.tcp).poll_read(cx, buf) {
            Poll::Pending => {
                self.poll_forced(cx)?;
                Poll::Pending
            }
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for HubStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let allowed = self.allowance()?.min(buf.len());
        match Pin::new(&mut self.tcp).poll_write(cx, &buf[..allowed]) {
            Poll::Pending => {
                self.poll_forced(cx)?;
                Poll::Pending
            }
            Poll::Ready(wrote) => {
                let wrote = wrote?;
                self.wrote(wrote);
                Poll::Ready(Ok(wrote))
            }
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.allowance()? < usize::MAX {
            let first = bufs
                .iter()
                .find(|buf| !buf.is_empty())
                .map_or(&[][..], |buf| &**buf);
            return self.poll_write(cx, first);
        }
        match Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs) {
            Poll::Pending => {
                self.poll_forced(cx)?;
                Poll::Pending
            }
            ready @ Poll::Ready(_) => ready,
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.allowance()?;
        Poll::Ready(ready!(Pin::new(&mut self.tcp).poll_shutdown(cx)))
    }
}
