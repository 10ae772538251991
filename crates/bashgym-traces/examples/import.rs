//! Imports session logs and prints one JSON line for each session, then the sums.
//!
//!     cargo run --release -p bashgym-traces --example import -- [--traces FILE] ~/.claude/projects
//!
//! `--traces FILE` writes every session whole to FILE, a line each.

use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_traces::{ImportEvent, ImportOptions, SessionSummary, find_session_files, import};

fn main() -> Result<(), Box<dyn Error>> {
    let mut paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let mut traces: Option<io::BufWriter<File>> = None;
    if paths.first().is_some_and(|first| first.as_os_str() == "--traces") && paths.len() > 1 {
        traces = Some(io::BufWriter::new(File::create(&paths[1])?));
        paths.drain(..2);
    }
    let files = find_session_files(&paths)?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut written = Ok(());
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        let line = match &event {
            ImportEvent::Session(trace) => {
                if let Some(traces) = &mut traces {
                    written = serde_json::to_writer(&mut *traces, trace)
                        .map_err(io::Error::from)
                        .and_then(|()| traces.write_all(b"\n"));
                }
                serde_json::to_string(&SessionSummary::from(&**trace))
            }
            ImportEvent::Problem(problem) => serde_json::to_string(problem),
            _ => return ControlFlow::Continue(()),
        };
        if written.is_ok() {
            written = line
                .map_err(io::Error::from)
                .and_then(|line| writeln!(out, "{line}"));
        }
        if written.is_ok() {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    written?;
    if let Some(mut traces) = traces {
        traces.flush()?;
    }
    writeln!(out, "{}", serde_json::to_string(&summary)?)?;
    Ok(())
}
