//! `bashgym data scan`: what the gate finds, never the secrets themselves.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bashgym_gate::{GITLEAKS_VERSION, Hit, RuleSet, Scanner, kinds};
use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::gate::HomeGate;
use crate::output::{bytes, plain};

/// How much is read at a time.
const PIECE: usize = 256 * 1024;

/// Looks for secrets and personal data.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym data scan ~/.claude/projects --format json")]
pub(crate) struct ScanArgs {
    /// Session logs, dataset folders or any text files; `-` reads standard input
    #[arg(value_name = "PATH", required_unless_present = "kinds")]
    paths: Vec<PathBuf>,
    /// List the kinds that are looked for and the rules behind them
    #[arg(long)]
    kinds: bool,
}

/// The sums of a scan.
#[derive(Debug, Default)]
pub(crate) struct Sums {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) findings: u64,
    pub(super) by_kind: BTreeMap<&'static str, u64>,
    /// Files the gate cannot look inside.
    pub(super) unreadable: Vec<PathBuf>,
}

pub(super) fn run(args: &ScanArgs, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    if args.kinds {
        return list_kinds(context);
    }
    let mut scanner = HomeGate::open(context)?.scanner()?;
    let sums = each_file(&args.paths, &mut scanner, |file, hit| {
        if output.is_json() {
            output.json(&json!({
                "event": "finding", "kind": hit.kind, "file": file, "line": hit.line, "placeholder": hit.placeholder,
                "id": hit.id, "offset": hit.offset, "length": hit.length,
            }))
        } else {
            output.line(format!(
                "{}:{}: {} {}",
                plain(&file.display().to_string()),
                hit.line,
                hit.kind,
                hit.placeholder
            ))
        }
    })?;
    if output.is_json() {
        output.json(&json!({
            "event": "summary", "files": sums.files, "bytes": sums.bytes, "findings": sums.findings,
            "by_kind": sums.by_kind, "unreadable": sums.unreadable,
        }))?;
    }
    output.note(format!(
        "{} files, {}: {} findings{}",
        sums.files,
        bytes(sums.bytes),
        sums.findings,
        sums.by_kind
            .iter()
            .map(|(kind, count)| format!("\n  {kind}: {count}"))
            .collect::<Vec<_>>()
            .concat()
    ));
    for file in &sums.unreadable {
        output.note(format!("not looked into, it is compressed: {}", file.display()));
    }
    if sums.findings > 0 {
        output.note("Look at each: bashgym data review PATH. A dataset that is built has them replaced.");
        return Err(CliError::silent(Kind::Data));
    }
    if let Some(first) = sums.unreadable.first() {
        return Err(CliError::new(
            Kind::Io,
            format!("{} files could not be looked into", sums.unreadable.len()),
        )
        .hint(format!("unpack {} and scan it again", first.display())));
    }
    Ok(())
}

fn list_kinds(context: &Context) -> Result<(), CliError> {
    let rules = RuleSet::shipped()?;
    if context.output.is_json() {
        let notes: Vec<_> = rules
            .notes()
            .iter()
            .map(|note| json!({ "rule": note.rule, "left_out": note.left_out, "why": note.why }))
            .collect();
        return context.output.json(&json!({
            "event": "kinds", "kinds": kinds(), "gitleaks": GITLEAKS_VERSION, "gitleaks_rules": rules.gitleaks_rules(),
            "gitleaks_notes": notes,
        }));
    }
    for kind in kinds() {
        context.output.line(kind)?;
    }
    for note in rules.notes() {
        let how = if note.left_out { "left out" } else { "changed" };
        context.output.note(format!(
            "gitleaks {GITLEAKS_VERSION}, {} is {how}: {}",
            note.rule, note.why
        ));
    }
    Ok(())
}

/// Scans the files below some paths, one after the other.
pub(crate) fn each_file(
    paths: &[PathBuf],
    scanner: &mut Scanner,
    mut take: impl FnMut(&Path, &Hit) -> Result<(), CliError>,
) -> Result<Sums, CliError> {
    let mut sums = Sums::default();
    for path in paths {
        if path.as_os_str() == "-" {
            scan_one(&mut std::io::stdin().lock(), path, scanner, &mut sums, &mut take)?;
            continue;
        }
        for file in files_below(path)? {
            let packed = file
                .extension()
                .and_then(|end| end.to_str())
                .is_some_and(|end| matches!(end, "zst" | "gz" | "xz" | "bz2" | "zip" | "parquet"));
            if packed {
                sums.unreadable.push(file);
                continue;
            }
            let mut open = File::open(&file).map_err(|error| io_error("open", &file, error))?;
            scan_one(&mut open, &file, scanner, &mut sums, &mut take)?;
        }
    }
    Ok(sums)
}

fn scan_one(
    from: &mut impl Read,
    name: &Path,
    scanner: &mut Scanner,
    sums: &mut Sums,
    take: &mut impl FnMut(&Path, &Hit) -> Result<(), CliError>,
) -> Result<(), CliError> {
    scanner.restart();
    sums.files += 1;
    let mut piece = vec![0; PIECE];
    let mut hits = Vec::new();
    loop {
        let read = match from.read(&mut piece) {
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_error("read", name, error)),
        };
        if read == 0 {
            scanner.finish(&mut hits);
        } else {
            sums.bytes += read as u64;
            scanner.feed(&piece[..read], &mut hits);
        }
        for hit in hits.drain(..) {
            sums.findings += 1;
            *sums.by_kind.entry(hit.kind).or_default() += 1;
            take(name, &hit)?;
        }
        if read == 0 {
            return Ok(());
        }
    }
}

/// The files below a path, sorted; links are not followed.
fn files_below(path: &Path) -> Result<Vec<PathBuf>, CliError> {
    let kind = std::fs::metadata(path).map_err(|error| io_error("open", path, error))?;
    if !kind.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|error| io_error("list", &folder, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| io_error("list", &folder, error))?;
            let kind = entry
                .file_type()
                .map_err(|error| io_error("look at", &entry.path(), error))?;
            if kind.is_dir() && entry.file_name() != ".git" {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
