//! `bashgym data build`: how far it is, and what came of it.

use bashgym_core::publish::{BuildProgress, DatasetBuild, build_dataset_dir};
use comfy_table::Table;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::BuildArgs;
use crate::bar::bar;
use crate::context::Context;
use crate::error::{CliError, io_error};
use crate::gate::HomeGate;
use crate::inputs::inputs;
use crate::output::{Output, plain, table};

/// Problems of files that are named one by one.
const PROBLEMS_SHOWN: usize = 5;

pub(super) async fn run(args: BuildArgs, context: &Context) -> Result<(), CliError> {
    let out = std::path::absolute(&args.out).map_err(|error| io_error("find", &args.out, error))?;
    let build = DatasetBuild {
        inputs: inputs(&args.paths)?,
        out_dir: out.clone(),
        seed: args.seed,
        val_fraction: args.val_fraction,
        repo_id: args.repo.as_ref().map(ToString::to_string),
        config: args.flags.config(args.work.clone(), context)?,
    };
    let gate = HomeGate::open(context)?.gate()?;
    let screen = Screen::new(context.output);
    let (progress, mut updates) = tokio::sync::mpsc::channel(16);
    let watch = async {
        while let Some(update) = updates.recv().await {
            screen.show(update);
        }
    };
    let (done, ()) = tokio::join!(build_dataset_dir(build, gate.into(), progress), watch);
    screen.bar.finish_and_clear();
    let (built, manifest) = done?;
    let output = context.output;
    if output.is_json() {
        return output.json(&json!({ "event": "manifest", "dir": built.dir, "manifest": manifest }));
    }
    if output.is_human() {
        output.aside(summary(&manifest));
    }
    output.line(out.display())?;
    output.note(format!(
        "{} sessions gave {} rows to train on and {} held out. Look at README.md there, then: bashgym data push {} NAME",
        built.sessions,
        built.rows_train,
        built.rows_val,
        args.out.display()
    ));
    Ok(())
}

/// The files that are read, drawn on standard error for a person.
struct Screen {
    bar: ProgressBar,
}

impl Screen {
    fn new(output: Output) -> Self {
        Self {
            bar: bar(output, "{bar:30.cyan/dim} {pos}/{len} files, {eta} left, {msg}"),
        }
    }

    fn show(&self, update: BuildProgress) {
        self.bar.set_length(update.files_total);
        self.bar.set_position(update.files_done);
        self.bar.set_message(format!("{} rows", update.rows));
    }
}

/// What was replaced, left out or cut, and what could not be read.
fn summary(manifest: &Value) -> Table {
    let mut shown = table(&["what", "how many"]);
    shown.add_row(["replaced", &counted(&manifest["redactions_by_kind"])]);
    shown.add_row(["left out or cut", &counted(&manifest["losses"])]);
    shown.add_row(["not read in full", &unread(manifest)]);
    shown
}

/// The counts of a report that are not zero, the largest first, a line each.
fn counted(report: &Value) -> String {
    let counts = report.as_object().into_iter().flatten();
    let mut counts: Vec<(&str, u64)> = counts
        .filter_map(|(name, count)| Some((name.as_str(), count.as_u64().filter(|count| *count > 0)?)))
        .collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines: Vec<String> = counts
        .into_iter()
        .map(|(name, count)| format!("{count} {}", name.replace('_', " ")))
        .collect();
    or_nothing(&lines)
}

/// Lines and files that could not be read in full, by name.
fn unread(manifest: &Value) -> String {
    let listed = manifest["problems_listed"].as_array().into_iter().flatten();
    let mut lines: Vec<String> = listed
        .take(PROBLEMS_SHOWN)
        .map(|problem| {
            let file = plain(problem["file"].as_str().unwrap_or("-"));
            let line = problem["line"]
                .as_u64()
                .map_or_else(String::new, |line| format!(":{line}"));
            format!(
                "{file}{line}: {}",
                plain(problem["reason"].as_str().unwrap_or("-"))
            )
        })
        .collect();
    let more = manifest["problems"]
        .as_u64()
        .unwrap_or_default()
        .saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("and {more} more; --format json names them"));
    }
    or_nothing(&lines)
}

fn or_nothing(lines: &[String]) -> String {
    if lines.is_empty() {
        return "nothing".to_owned();
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_what_was_replaced_left_out_and_not_read() {
        let manifest = json!({
            "redactions_by_kind": {"email": 2, "user_name": 30, "aws_key": 0},
            "losses": {"tool_outputs_cut": 7, "duplicate_rows": 0},
            "problems": 7,
            "problems_listed": (1..=6).map(|line| json!({"file": "a.jsonl", "line": line, "reason": "not valid JSON"})).collect::<Vec<_>>(),
        });
        let shown = summary(&manifest).to_string();
        let lines: Vec<&str> = shown.lines().map(str::trim).collect();
        assert!(lines.iter().any(|line| line.ends_with("30 user name")), "{shown}");
        assert!(
            lines.iter().any(|line| line.ends_with("7 tool outputs cut")),
            "{shown}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.ends_with("a.jsonl:5: not valid JSON")),
            "{shown}"
        );
        assert!(
            lines
                .iter()
                .any(|line| line.ends_with("and 2 more; --format json names them")),
            "{shown}"
        );
        assert!(!shown.contains("aws") && !shown.contains("duplicate"), "{shown}");
        assert!(summary(&json!({})).to_string().contains("nothing"));
    }
}
