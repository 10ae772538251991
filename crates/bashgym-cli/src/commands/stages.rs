//! `bashgym data import|redact|score|dedup|split`: the stages of a build, one by one.

use std::path::{Path, PathBuf};

use bashgym_core::publish::{BuildConfig, DatasetBuild, write_card};
use bashgym_traces::quality::Labels;
use bashgym_traces::{ImportOptions, RowKind, StageRecord, TracesError, WorkDir, find_session_files};
use clap::Args;
use serde_json::json;

use crate::commands::labels::labels_file;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::inputs::{inputs, share};

/// What the rows are, and what is left out.
#[derive(Debug, Args)]
pub(crate) struct RowFlags {
    /// Kinds of rows: sft, preference, rlvr, distillation; the first one lies at the root of the folder
    #[arg(long, value_name = "KIND", value_delimiter = ',', default_value = "sft")]
    rows: Vec<RowKind>,
    /// Leave out tasks with a lower score, from 0 to 1
    #[arg(long, value_name = "SCORE", default_value_t = 0.3)]
    min_score: f64,
    /// From this similarity on, rows are near-duplicates; from 0.5 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.7)]
    near_duplicates: f64,
    /// A file whose items must not be trained on: one item a line, as text or JSON
    #[arg(long, value_name = "FILE")]
    eval: Vec<PathBuf>,
    /// What people said about sessions; `bashgym sessions label` writes the usual file
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The most a row may hold, by an estimate of its tokens
    #[arg(long, value_name = "N", default_value_t = 8_192)]
    max_tokens: usize,
}

impl RowFlags {
    /// The file of labels that was named.
    pub(crate) fn labels(&self) -> Option<&Path> {
        self.labels.as_deref()
    }

    pub(crate) fn config(
        &self,
        work_dir: Option<PathBuf>,
        context: &Context,
    ) -> Result<BuildConfig, CliError> {
        let labels = self.labels.clone().unwrap_or_else(|| labels_file(context));
        let mut config = BuildConfig {
            rows: self.rows.clone(),
            labels: Labels::read(&labels)?,
            eval_files: self.eval.clone(),
            work_dir,
            ..BuildConfig::default()
        };
        config.quality.min_score = self.min_score;
        config.dedup.threshold = self.near_duplicates;
        config.examples.max_tokens = self.max_tokens;
        // Where more tokens are asked for, the limit of characters must not be in the way.
        config.examples.max_chars = config.examples.max_chars.max(self.max_tokens.saturating_mul(4));
        Ok(config)
    }
}

/// Reads session logs into a work folder.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The folder in which stages leave their output; after this stage it holds what the logs hold, secrets included
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
}

/// Takes secrets out of imported sessions.
#[derive(Debug, Args)]
pub(crate) struct RedactArgs {
    /// The folder in which stages leave their output
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// The repository the dataset is meant for: placeholders are then like those of no other dataset
    #[arg(long, value_name = "NAMESPACE/NAME")]
    repo: Option<hf_core::RepoId>,
}

/// Makes rows, or decides which ones go.
#[derive(Debug)]
pub(crate) struct RowArgs {
    work: PathBuf,
    flags: RowFlags,
}

impl RowArgs {
    pub(crate) fn new(work: Option<PathBuf>, flags: RowFlags) -> Result<Self, CliError> {
        let missing = || CliError::new(Kind::Usage, "--work DIR is missing");
        Ok(Self {
            work: work.ok_or_else(missing)?,
            flags,
        })
    }
}

/// Divides the rows and writes the dataset.
#[derive(Debug, Args)]
pub(crate) struct SplitArgs {
    /// The folder in which stages leave their output
    #[arg(long, value_name = "DIR")]
    work: PathBuf,
    /// The folder to write: train.jsonl, val.jsonl, metadata.json, README.md
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Decides which sessions are held out
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// The share of rows held out for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val_fraction: f64,
    #[command(flatten)]
    flags: RowFlags,
}

pub(crate) fn import(args: &ImportArgs, context: &Context) -> Result<(), CliError> {
    tokio::task::block_in_place(|| {
        let files = find_session_files(&inputs(&args.paths)?)?;
        let work = WorkDir::new(&args.work);
        let done = work.import(&files, &ImportOptions::default(), &mut |_| {
            std::ops::ControlFlow::Continue(())
        })?;
        tell(&done, context)
    })
}

pub(crate) fn redact(args: &RedactArgs, context: &Context) -> Result<(), CliError> {
    tokio::task::block_in_place(|| {
        let mut gate = HomeGate::open(context)?.gate()?;
        if let Some(repo) = &args.repo {
            gate = gate.for_dataset(repo.as_str());
        }
        tell(&WorkDir::new(&args.work).redact(gate.into())?, context)
    })
}

pub(crate) fn score(args: &RowArgs, context: &Context) -> Result<(), CliError> {
    tokio::task::block_in_place(|| {
        let work = WorkDir::new(&args.work);
        let build = build(&args.flags, None, context)?;
        let done = work.score(&build.options())?;
        let mut failed = None;
        work.scores(|session, tasks| {
            for task in tasks {
                let shown = if context.output.is_json() {
                    context.output.json(&json!({
                        "event": "score", "session_id": session, "segment": task.segment,
                        "example_id": task.example_id, "score": task.score.value, "parts": task.score.parts,
                    }))
                } else {
                    context
                        .output
                        .line(format!("{session} {} {}", task.segment, task.score))
                };
                if let Err(error) = shown {
                    failed = Some(error);
                    return Err(TracesError::Stopped);
                }
            }
            Ok(())
        })
        .or_else(|error| failed.map_or_else(|| Err(error.into()), Err))?;
        tell(&done, context)
    })
}

pub(crate) fn dedup(args: &RowArgs, context: &Context) -> Result<(), CliError> {
    tokio::task::block_in_place(|| {
        let build = build(&args.flags, None, context)?;
        tell(&WorkDir::new(&args.work).dedup(&build.options())?, context)
    })
}

pub(crate) fn split(args: &SplitArgs, context: &Context) -> Result<(), CliError> {
    tokio::task::block_in_place(|| {
        let build = DatasetBuild {
            seed: args.seed,
            val_fraction: args.val_fraction,
            ..build(&args.flags, Some(args.out.clone()), context)?
        };
        let manifest = WorkDir::new(&args.work).split(&build.options())?;
        write_card(&args.out, &manifest, None)?;
        if context.output.is_json() {
            return context.output.json(&json!({
                "event": "stage", "stage": "split", "dir": args.out, "sessions": manifest.sessions,
                "splits": manifest.splits, "losses": manifest.losses,
            }));
        }
        context.output.line(args.out.display())?;
        context.output.note(format!(
            "{} rows to train on, {} held out",
            manifest.rows_train, manifest.rows_val
        ));
        Ok(())
    })
}

fn build(flags: &RowFlags, out: Option<PathBuf>, context: &Context) -> Result<DatasetBuild, CliError> {
    Ok(DatasetBuild {
        inputs: Vec::new(),
        out_dir: out.unwrap_or_default(),
        seed: 42,
        val_fraction: 0.1,
        repo_id: None,
        config: flags.config(None, context)?,
    })
}

fn tell(done: &StageRecord, context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(&json!({
            "event": "stage", "stage": done.stage, "reused": done.reused, "sessions": done.sessions,
            "counts": done.counts, "output": done.output,
        }));
    }
    let counts: Vec<String> = done
        .counts
        .iter()
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    context.output.note(format!(
        "{}: {} sessions{}{}",
        done.stage,
        done.sessions,
        if counts.is_empty() {
            String::new()
        } else {
            format!("; {}", counts.join(", "))
        },
        if done.reused { "; nothing had changed" } else { "" },
    ));
    Ok(())
}
