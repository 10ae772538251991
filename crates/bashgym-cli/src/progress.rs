//! A run as a person watches it: a line a stage, and the training as it goes.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bashgym_core::events::{RunEvent, RunResult, StageStatus};
use bashgym_core::run::{Completion, Stage};
use indicatif::{ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde_json::{Map, Value};

use crate::bar::plain_bar;
use crate::error::CliError;
use crate::output::{Output, plain};

/// How often the spinner of a waiting stage moves.
const TICK: Duration = Duration::from_millis(120);

/// Draws a run on standard error.
pub(crate) struct RunScreen {
    output: Output,
    bar: ProgressBar,
    losses: Mutex<Losses>,
}

#[derive(Default)]
struct Losses {
    first: Option<f64>,
    evaluations: Vec<(u64, f64)>,
}

impl RunScreen {
    pub(crate) fn new(output: Output) -> Self {
        Self {
            output,
            bar: plain_bar(output),
            losses: Mutex::default(),
        }
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Shows an event.
    pub(crate) fn show(&self, event: &RunEvent) {
        if !self.output.is_human() {
            return;
        }
        match event {
            RunEvent::Run {
                run_id,
                continued,
                state,
            } => {
                let how = if *continued {
                    format!("goes on from `{state}`")
                } else {
                    "begins".to_owned()
                };
                self.say(&format!("{} {}", format!("Run {run_id}").bold(), how));
            }
            RunEvent::Stage {
                stage,
                status,
                detail,
            } => match status {
                StageStatus::Started => self.started(*stage),
                StageStatus::Progress => self.progress(*stage, detail),
                StageStatus::Finished => self.finished(*stage, detail),
                StageStatus::Failed => {
                    self.bar.finish_and_clear();
                    self.say(&format!("{} {}", "✗".red(), stage.as_str()));
                }
            },
            RunEvent::Result(_) => self.bar.finish_and_clear(),
        }
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| self.output.note(line));
    }

    fn started(&self, stage: Stage) {
        let doing = match stage {
            Stage::Import => "reading sessions",
            Stage::Publish => "pushing the dataset",
            Stage::Submit => "submitting the job",
            Stage::Train => "training",
            Stage::Verify => "looking for the model",
            Stage::Sample => "asking the student",
        };
        self.bar.reset();
        self.bar.set_length(0);
        self.bar.set_style(spinner());
        self.bar.set_message(doing);
        self.bar.enable_steady_tick(TICK);
    }

    fn progress(&self, stage: Stage, detail: &Map<String, Value>) {
        match stage {
            Stage::Import => {
                if let (Some(done), Some(total)) =
                    (number(detail, "files_done"), number(detail, "files_total"))
                {
                    self.bar
                        .set_message(format!("reading sessions: {done:.0} of {total:.0} files"));
                }
            }
            Stage::Train => self.training(detail),
            _ => {}
        }
    }

    fn training(&self, detail: &Map<String, Value>) {
        let Some(progress) = detail.get("progress").and_then(Value::as_object) else {
            if let Some(line) = detail.get("line").and_then(Value::as_str)
                && !line.starts_with("=====")
            {
                self.say(&format!("  {}", plain(line).dimmed()));
            }
            return;
        };
        let event = progress.get("event").and_then(Value::as_str).unwrap_or_default();
        let mut losses = self.losses.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            "start" => {
                let count = |key| {
                    number(progress, key)
                        .map(|n| format!("{n:.0}"))
                        .unwrap_or_default()
                };
                self.say(&format!(
                    "  {}",
                    format!(
                        "a student of {} parameters, {} tokens of text",
                        count("parameters"),
                        count("train_tokens")
                    )
                    .dimmed()
                ));
            }
            "step" => {
                let (Some(step), Some(total)) = (number(progress, "step"), number(progress, "total_steps"))
                else {
                    return;
                };
                let loss = number(progress, "loss").unwrap_or(f64::NAN);
                losses.first.get_or_insert(loss);
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a count of steps"
                )]
                {
                    self.bar.set_length(total as u64);
                    self.bar.set_position(step as u64);
                }
                self.bar.set_style(steps());
                let left = number(progress, "eta_seconds")
                    .map(|s| format!(", {s:.0} s left"))
                    .unwrap_or_default();
                self.bar.set_message(format!("loss {loss:.2}{left}"));
            }
            "eval" => {
                if let (Some(step), Some(loss)) = (number(progress, "step"), number(progress, "val_loss")) {
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "a count of steps"
                    )]
                    losses.evaluations.push((step as u64, loss));
                    let width = (loss * 6.0).clamp(0.0, 60.0);
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "clamped above"
                    )]
                    let bar = "▇".repeat(width as usize);
                    self.say(&format!(
                        "  step {step:>5.0}  validation loss {loss:>6.3}  {}",
                        bar.cyan()
                    ));
                }
            }
            _ => {}
        }
    }

    fn finished(&self, stage: Stage, detail: &Map<String, Value>) {
        self.bar.finish_and_clear();
        let text = |key| {
            detail
                .get(key)
                .and_then(Value::as_str)
                .map(plain)
                .unwrap_or_default()
        };
        let count = |key| number(detail, key).map_or_else(|| "?".to_owned(), |n| format!("{n:.0}"));
        let told = match stage {
            Stage::Import => {
                let mut told = format!(
                    "{} sessions gave {} rows to train on and {} held out",
                    count("sessions"),
                    count("rows_train"),
                    count("rows_val")
                );
                if number(detail, "redactions").is_some_and(|n| n > 0.0) {
                    let _ = write!(
                        told,
                        "; {} secrets and personal details replaced",
                        count("redactions")
                    );
                }
                if number(detail, "problems").is_some_and(|n| n > 0.0) {
                    let _ = write!(
                        told,
                        "; {} lines or files could not be read in full",
                        count("problems")
                    );
                }
                told
            }
            Stage::Publish => format!(
                "dataset {} at {}",
                text("dataset_repo"),
                short(&text("dataset_revision"))
            ),
            Stage::Submit => format!("job {} on {}", text("job_id"), text("flavor")),
            Stage::Train => match number(detail, "running_seconds") {
                Some(seconds) => format!("the job completed after {seconds:.0} s"),
                None => "the job completed".to_owned(),
            },
            Stage::Verify => format!(
                "model {} at {}: validation loss {} before, {} after",
                text("model_repo"),
                short(&text("model_revision")),
                loss(number(detail, "val_loss_before")),
                loss(number(detail, "val_loss_after")),
            ),
            Stage::Sample => {
                self.completions(detail);
                return;
            }
        };
        self.say(&format!("{} {:<8} {told}", "✓".green(), stage.as_str()));
    }

    fn completions(&self, detail: &Map<String, Value>) {
        let Some(completions) = detail
            .get("completions")
            .and_then(|value| serde_json::from_value::<Vec<Completion>>(value.clone()).ok())
        else {
            return;
        };
        self.say(&format!(
            "{} {:<8} what the student says to prompts it has not seen:",
            "✓".green(),
            "sample"
        ));
        for completion in completions {
            self.say(&format!(
                "\n  {} {}",
                "prompt ".dimmed(),
                one_line(&completion.prompt, 160)
            ));
            self.say(&format!(
                "  {} {}",
                "student".cyan(),
                one_line(&completion.completion, 400)
            ));
        }
        self.say("");
    }

    /// Says where everything is, and what to type next.
    pub(crate) fn finish(&self, result: &RunResult) -> Result<(), CliError> {
        self.bar.finish_and_clear();
        if self.output.is_json() {
            return Ok(());
        }
        if !self.output.is_human() {
            return self.output.line(&result.model_repo);
        }
        self.output.line(format!(
            "{} in {:.0} s. The trainer measured a validation loss of {} before training and {} after.",
            "Done".green().bold(),
            result.seconds,
            loss(result.val_loss_before),
            loss(result.val_loss_after),
        ))?;
        self.output.line(format!(
            "  dataset  {} at {}",
            result.dataset_repo,
            short(&result.dataset_revision)
        ))?;
        self.output.line(format!(
            "  model    {} at {}",
            result.model_repo,
            short(&result.model_revision)
        ))?;
        self.output
            .line(format!("  files    {}", result.model_dir.display()))?;
        self.output.line(format!(
            "Next: bashgym generate {} --prompt 'Fix the failing test'",
            result.model_repo
        ))?;
        self.output
            .line(format!("      bashgym jobs logs {}", result.job_id))?;
        self.output.line(format!(
            "      bashgym data pull {} ./dataset",
            result.dataset_repo
        ))
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.cyan} {msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn steps() -> ProgressStyle {
    ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn number(map: &Map<String, Value>, key: &str) -> Option<f64> {
    map.get(key).and_then(Value::as_f64)
}

fn loss(value: Option<f64>) -> String {
    value.map_or_else(|| "not measured".to_owned(), |loss| format!("{loss:.3}"))
}

pub(crate) fn short(revision: &str) -> &str {
    revision.get(..8).unwrap_or(revision)
}

/// The beginning of a text on one line.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let joined = plain(text).split_whitespace().collect::<Vec<_>>().join(" ");
    match joined.char_indices().nth(limit) {
        Some((cut, _)) => format!("{}…", &joined[..cut]),
        None => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(one_line("é\n\né  é", 3), "é é…");
    }
}
