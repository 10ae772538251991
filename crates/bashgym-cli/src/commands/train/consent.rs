//! Asking before something that cannot be undone.

use std::io::{BufRead, IsTerminal, Write};

use crate::error::{CliError, Kind};

/// Asks `question`. Without a person to ask, only `--yes` says yes.
pub(super) fn ask(question: &str, hint: &str) -> Result<(), CliError> {
    let refused = |message: &str| Err(CliError::new(Kind::Usage, message).hint(hint));
    if !std::io::stdin().is_terminal() {
        return refused("nobody is there to say yes");
    }
    let mut screen = anstream::stderr();
    // A screen that cannot be written to gets no answer either.
    let _ = write!(screen, "{question} [y/N] ").and_then(|()| screen.flush());
    let mut answer = String::new();
    let read = std::io::stdin().lock().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    refused("not started")
}
