//! When a program that goes on until it is told is told to end.

use tokio::signal::unix::{SignalKind, signal};

use crate::error::{CliError, Kind};

/// Ends with SIGTERM or Ctrl-C; listens from this call on, not from when it is awaited.
pub(crate) fn asked_to_end() -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    let failed = |error| CliError::new(Kind::Io, "cannot listen for signals").because(error);
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
