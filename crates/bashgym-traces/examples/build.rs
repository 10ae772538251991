//! Imports session logs and builds a dataset from them; prints the manifest.
//!
//!     cargo run --release -p bashgym-traces --example build -- OUT ~/.claude/projects

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_traces::{BuildOptions, DatasetBuilder, ImportEvent, ImportOptions, find_session_files, import};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let out = args.next().ok_or("usage: build OUT PATH…")?;
    let files = find_session_files(&args.collect::<Vec<_>>())?;
    let mut builder = DatasetBuilder::new(BuildOptions::new(out))?;
    let mut failed = None;
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event
            && let Err(e) = builder.add(&trace)
        {
            failed = Some(e);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(e) = failed {
        return Err(e.into());
    }
    builder.record_import(&summary);
    let manifest = builder.finish()?;
    writeln!(
        io::stdout().lock(),
        "{}",
        serde_json::to_string_pretty(&manifest)?
    )?;
    Ok(())
}
