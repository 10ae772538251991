//! Imports session logs and prints one JSON line for each session, then the sums.
//!
//!     cargo run --release -p bashgym-traces --example import -- ~/.claude/projects

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_traces::{ImportEvent, ImportOptions, SessionSummary, find_session_files, import};

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let files = find_session_files(&paths)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        let line = match &event {
            ImportEvent::Session(trace) => serde_json::to_string(&SessionSummary::from(&**trace)),
            ImportEvent::Problem(problem) => serde_json::to_string(problem),
            _ => return ControlFlow::Continue(()),
        };
        written = line
            .map_err(io::Error::from)
            .and_then(|line| writeln!(out, "{line}"));
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    written?;
    writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    Ok(())
}
