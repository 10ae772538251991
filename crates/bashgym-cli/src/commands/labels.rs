//! `bashgym sessions label`: what a person says about a session.

use std::path::PathBuf;

use bashgym_traces::quality::{Label, Labels};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::context::Context;
use crate::error::CliError;
use crate::files::write_whole;

/// Says whether a session did what it should.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym sessions label 2f6c1d0e-8c1b-4a53-9d3b-0e4b1a7f0f11 good")]
pub(crate) struct LabelArgs {
    /// The session's id
    #[arg(value_name = "SESSION")]
    session: String,
    /// What is said about it
    #[arg(value_name = "LABEL")]
    label: Said,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Said {
    /// It did what it should
    Good,
    /// It did not
    Bad,
}

/// The file of the labels given on this machine.
pub(crate) fn labels_file(context: &Context) -> PathBuf {
    context.home_path().join("labels.jsonl")
}

pub(crate) fn label(args: &LabelArgs, session_id: &str, context: &Context) -> Result<(), CliError> {
    let label = match args.label {
        Said::Good => Label::Good,
        Said::Bad => Label::Bad,
    };
    context.home()?;
    let path = labels_file(context);
    let mut labels = Labels::read(&path)?;
    labels.set(session_id, label);
    write_whole(&path, labels.to_lines().as_bytes())?;
    if context.output.is_json() {
        return context
            .output
            .json(&json!({ "session_id": session_id, "label": label }));
    }
    context
        .output
        .note(format!("{session_id} is labelled {}.", label.as_str()));
    Ok(())
}

impl LabelArgs {
    /// The session as it was named.
    pub(crate) fn session(&self) -> &str {
        &self.session
    }
}
