//! The parts that `cargo xtask bench data` measures, each a process of its own.
//!
//!     bench RESULT (corpus|parse|read|import|gate|build|texts|texts-load|dedup|split-make|split) ARGUMENTS…

mod corpus;
mod rows;
mod texts;

use std::error::Error;
use std::fs;
use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::Path;

use bashgym_traces::{
    BuildOptions, DatasetBuilder, Gate, ImportEvent, ImportOptions, SessionFile, Trace, find_session_files,
    import,
};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let [result, what, rest @ ..] = args.as_slice() else {
        return Err("usage: bench RESULT PART ARGUMENTS…".into());
    };
    let value = match (*what, rest) {
        ("corpus", [dir, truth, megabytes]) => {
            corpus::write(Path::new(dir), Path::new(truth), megabytes.parse()?)?
        }
        ("parse", [dir]) => parse(dir)?,
        ("read", [dir]) => {
            let mut sessions = 0_u64;
            each(dir, |_| {
                sessions += 1;
                Ok(())
            })?;
            json!({ "sessions": sessions })
        }
        ("import", [dir, out]) => {
            let mut builder = DatasetBuilder::new(BuildOptions::new(*out))?;
            each(dir, |trace| Ok(builder.take(trace)?))?;
            let rows = builder.progress().rows;
            // The rows are written; dividing them is not part of this bench.
            drop(builder);
            fs::create_dir_all(out)?;
            json!({ "rows": rows })
        }
        ("gate", [dir, truth]) => gate(dir, Path::new(truth))?,
        ("build", [dir, out]) => {
            let mut builder = DatasetBuilder::new(BuildOptions::new(*out))?;
            each(dir, |trace| Ok(builder.take(trace)?))?;
            let manifest = builder.finish()?;
            json!({
                "rows": manifest.rows_train + manifest.rows_val,
                "exact_removed": manifest.dedup.exact_removed,
                "near_removed": manifest.dedup.near_removed,
            })
        }
        ("texts", [path, count]) => texts::write(Path::new(path), count.parse()?)?,
        ("texts-load", [path]) => json!({ "texts": texts::load(Path::new(path))?.0.len() }),
        ("dedup", [path]) => texts::search(Path::new(path))?,
        ("split-make", [work, megabytes]) => rows::make(Path::new(work), megabytes.parse()?)?,
        ("split", [work, out]) => rows::split(Path::new(work), Path::new(out))?,
        _ => return Err(format!("there is no part `{what}` with these arguments").into()),
    };
    fs::write(result, value.to_string())?;
    Ok(())
}

fn files(dir: &str) -> Result<Vec<SessionFile>> {
    Ok(find_session_files(&[dir])?)
}

fn each(dir: &str, mut take: impl FnMut(Trace) -> Result<()>) -> Result<()> {
    let mut failed = None;
    import(&files(dir)?, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event
            && let Err(error) = take(*trace)
        {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    failed.map_or(Ok(()), Err)
}

/// The limit: every line read and parsed into a value, and nothing done with it.
fn parse(dir: &str) -> Result<Value> {
    let (mut lines, mut broken) = (0_u64, 0_u64);
    for file in files(dir)? {
        let mut reader = BufReader::with_capacity(1 << 18, fs::File::open(&file.path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            lines += 1;
            broken += u64::from(serde_json::from_slice::<Value>(&line).is_err());
            line.clear();
        }
    }
    Ok(json!({ "lines": lines, "broken": broken }))
}

/// The gate over the text of every line, without an import.
fn gate(dir: &str, truth: &Path) -> Result<Value> {
    let truth: Value = serde_json::from_slice(&fs::read(truth)?)?;
    let secrets: Vec<&str> = truth["secrets"]
        .as_array()
        .ok_or("no list of secrets")?
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let mut gate = Gate::new();
    let mut left = std::collections::BTreeSet::new();
    let prefix = corpus::MARK;
    for file in files(dir)? {
        let mut reader = BufReader::with_capacity(1 << 18, fs::File::open(&file.path)?);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line)? > 0 {
            let text = std::str::from_utf8(&line)
                .map_or_else(|_| String::from_utf8_lossy(&line), std::borrow::Cow::Borrowed);
            let clean = gate.json(&text);
            // Every planted secret holds the mark, so only lines with it are looked at closely.
            if clean.contains(prefix) {
                left.extend(secrets.iter().copied().filter(|secret| clean.contains(secret)));
            }
            line.clear();
        }
    }
    Ok(json!({ "planted": secrets.len(), "found": secrets.len() - left.len() }))
}
