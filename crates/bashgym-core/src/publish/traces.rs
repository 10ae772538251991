//! Sessions as they are, but for what the gate found: what the Hub shows as agent traces.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_gate::{Gate, GateReport};
use bashgym_traces::{
    Agent, ImportEvent, ImportOptions, SessionFile, TracesError, detect_agent, import, open_log, sts,
};
use serde::Serialize;

use crate::CoreError;

/// Cleaned sessions in a folder.
#[derive(Debug, Clone, Serialize)]
pub struct CleanTraces {
    /// One file a session.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
    /// Sessions, by agent.
    pub agents: BTreeMap<&'static str, u64>,
    /// Bytes in all files.
    pub size_bytes: u64,
    /// Lines of logs that are no JSON objects, so that no viewer could read them; they are left out.
    pub lost_lines: u64,
    /// Files of no agent known here, and why others could not be used.
    pub skipped: Vec<(PathBuf, String)>,
    /// What was replaced, by kind.
    pub redactions: BTreeMap<String, u64>,
}

/// Writes cleaned copies of session logs into `out`: Claude Code's, Codex' and Pi's own lines, and for other agents the Hub's
/// simple format. This call blocks.
///
/// Every log goes through the gate twice, so that a name told late is found early too.
///
/// # Errors
///
/// [`CoreError::Traces`] and [`CoreError::Io`] when a file cannot be read or written, or when no session is left.
pub fn clean_traces(files: &[SessionFile], gate: &mut Gate, out: &Path) -> Result<CleanTraces, CoreError> {
    let mut done = CleanTraces {
        files: Vec::new(),
        agents: BTreeMap::new(),
        size_bytes: 0,
        lost_lines: 0,
        skipped: Vec::new(),
        redactions: BTreeMap::new(),
    };
    let mut taken = HashSet::new();
    for file in files {
        let agent = match detect_agent(&file.path) {
            Ok(Some(agent)) => agent,
            Ok(None) => {
                done.skipped.push((
                    file.path.clone(),
                    "it is the log of no agent known here".to_owned(),
                ));
                continue;
            }
            Err(error) => {
                done.skipped.push((file.path.clone(), error.to_string()));
                continue;
            }
        };
        match agent {
            Agent::ClaudeCode | Agent::Codex | Agent::Pi => {
                let target = free_name(out, &file.path, &mut taken);
                raw(&file.path, agent, &target, gate, &mut done)?;
            }
            _ => simple(file, out, &mut taken, gate, &mut done)?,
        }
    }
    if done.files.is_empty() {
        return Err(TracesError::NoSessionFiles {
            paths: files.iter().map(|file| file.path.clone()).collect(),
            packed: None,
        }
        .into());
    }
    Ok(done)
}

/// A name of its own for each file, since agents use the same in many folders.
fn free_name(out: &Path, source: &Path, taken: &mut HashSet<String>) -> PathBuf {
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split(".jsonl").next().unwrap_or_default();
    let stem: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') {
                c
            } else {
                '_'
            }
        })
        .collect();
    let mut free = stem.clone();
    let mut copy = 1;
    while !taken.insert(free.clone()) {
        copy += 1;
        free = format!("{stem}-{copy}");
    }
    out.join(format!("{free}.jsonl"))
}

fn raw(
    source: &Path,
    agent: Agent,
    target: &Path,
    gate: &mut Gate,
    done: &mut CleanTraces,
) -> Result<(), CoreError> {
    pass(source, gate, &mut std::io::sink())?;
    let before = gate.report();
    let mut to = create(target)?;
    let lost = pass(source, gate, &mut to)?;
    finish(to, target, agent, &before, gate, done)?;
    done.lost_lines += lost;
    Ok(())
}

/// Cleans the lines that are JSON objects; returns how many are not.
fn pass(source: &Path, gate: &mut Gate, to: &mut impl Write) -> Result<u64, CoreError> {
    let mut from = BufReader::with_capacity(1 << 18, open_log(source)?);
    let (mut line, mut lost) = (Vec::new(), 0);
    while from
        .read_until(b'\n', &mut line)
        .map_err(CoreError::io("read", source))?
        > 0
    {
        let text = String::from_utf8_lossy(line.trim_ascii());
        let object = text.starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        if object {
            let clean = gate.json(&text);
            to.write_all(clean.as_bytes())
                .and_then(|()| to.write_all(b"\n"))
                .map_err(CoreError::io("write a copy of", source))?;
        } else {
            lost += u64::from(!text.is_empty());
        }
        line.clear();
    }
    Ok(lost)
}

fn simple(
    file: &SessionFile,
    out: &Path,
    taken: &mut HashSet<String>,
    gate: &mut Gate,
    done: &mut CleanTraces,
) -> Result<(), CoreError> {
    let mut failed = None;
    let mut found = 0_u64;
    import(
        std::slice::from_ref(file),
        &ImportOptions::default(),
        &mut |event| {
            let ImportEvent::Session(trace) = event else {
                return ControlFlow::Continue(());
            };
            found += 1;
            let name = PathBuf::from(format!("{}-{}.jsonl", trace.agent.as_str(), trace.session_id));
            let target = free_name(out, &name, taken);
            let mut lines = Vec::new();
            let written = sts::write(&trace, &mut lines)
                .map_err(CoreError::io("write", &target))
                .and_then(|()| {
                    trace.cwd.iter().for_each(|cwd| gate.learn_path(cwd));
                    let before = gate.report();
                    let mut to = create(&target)?;
                    gate.log(&mut lines.as_slice(), &mut to)
                        .map_err(CoreError::io("write", &target))?;
                    finish(to, &target, trace.agent, &before, gate, done)
                });
            match written {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => {
                    failed = Some(error);
                    ControlFlow::Break(())
                }
            }
        },
    )?;
    if found == 0 && failed.is_none() {
        done.skipped
            .push((file.path.clone(), "no session is in it".to_owned()));
    }
    failed.map_or(Ok(()), Err)
}

fn create(target: &Path) -> Result<BufWriter<File>, CoreError> {
    File::create_new(target)
        .map(BufWriter::new)
        .map_err(CoreError::io("create", target))
}

fn finish(
    mut to: BufWriter<File>,
    target: &Path,
    agent: Agent,
    before: &GateReport,
    gate: &Gate,
    done: &mut CleanTraces,
) -> Result<(), CoreError> {
    to.flush().map_err(CoreError::io("write", target))?;
    let size = to
        .get_ref()
        .metadata()
        .map_err(CoreError::io("look at", target))?
        .len();
    if size == 0 {
        done.skipped
            .push((target.to_path_buf(), "no line of it is JSON".to_owned()));
        return Ok(());
    }
    for (kind, count) in gate.report().replaced {
        let new = count - before.replaced.get(&kind).copied().unwrap_or(0);
        if new > 0 {
            *done.redactions.entry(kind).or_default() += new;
        }
    }
    *done.agents.entry(agent.as_str()).or_default() += 1;
    done.size_bytes += size;
    done.files.push(target.to_path_buf());
    Ok(())
}
