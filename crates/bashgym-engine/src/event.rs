//! What a training run tells while it runs.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::data::LostRows;

/// Begins every progress line, so that it can be told from other output.
pub const LINE_MARKER: &str = "[bashgym] ";

/// Where the validation loss comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValidationSource {
    /// `val.jsonl`.
    File,
    /// The last training sequences, held out because there is no usable `val.jsonl`. One session may lie on both sides,
    /// so the loss can look better than it is.
    HeldOutTail,
    /// Nothing: there is too little data to hold any out, and no validation loss is given.
    None,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// All planned steps were taken.
    Steps,
    /// `max_seconds` ran out.
    Seconds,
}

/// One piece of progress.
///
/// # Shape
/// An object with the key `event`; see [`TrainEvent::to_line`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TrainEvent {
    /// Something is being prepared: `tokenizer`, `tokens`.
    Prepare {
        /// What is being prepared.
        phase: String,
    },
    /// Something the user should know, and the run goes on.
    Notice {
        /// A stable name: `few_rows`, `held_out`, `no_validation`, `memory_reduced`, `checkpoint_damaged`,
        /// `lost_rows`, `resumed`.
        code: String,
        /// What happened, and what to do about it.
        message: String,
    },
    /// Training starts.
    Start {
        /// Weights of the model.
        parameters: u64,
        /// Tokens in the vocabulary.
        vocab_size: usize,
        /// Rows trained on.
        train_rows: u64,
        /// Rows measured on.
        val_rows: u64,
        /// Rows that could not be used.
        lost: LostRows,
        /// Tokens in the training data.
        train_tokens: u64,
        /// Those of them that are learned, the assistant's.
        learned_tokens: u64,
        /// Training sequences.
        sequences: u64,
        /// Optimiser steps planned.
        total_steps: u64,
        /// Steps already done by an earlier run.
        resumed_step: u64,
        /// Where the validation loss comes from.
        validation: ValidationSource,
        /// Threads in use.
        threads: usize,
        /// What the run will need, by estimate.
        memory_bytes: u64,
        /// The seed.
        seed: u64,
    },
    /// The model was measured on the validation data.
    Eval {
        /// Steps done; 0 is the untrained model.
        step: u64,
        /// Mean loss per learned token, in nats.
        val_loss: f64,
        /// Learned tokens measured.
        val_tokens: u64,
        /// Whether this is the best trained model so far.
        best: bool,
    },
    /// A step was taken.
    Step {
        /// Steps done.
        step: u64,
        /// Steps planned.
        total_steps: u64,
        /// Passes over the data so far.
        epoch: f64,
        /// Mean loss per learned token of the step's batch, in nats.
        loss: f64,
        /// The learning rate used.
        learning_rate: f64,
        /// Length of the gradient before it was scaled down.
        gradient_norm: f64,
        /// Tokens trained on in a second, over the last steps.
        tokens_per_second: f64,
        /// Seconds left, by estimate.
        eta_seconds: f64,
    },
    /// The run can be resumed from here.
    Checkpoint {
        /// Steps done.
        step: u64,
        /// The checkpoint's folder.
        path: PathBuf,
    },
    /// The model is written.
    Done {
        /// Steps done.
        steps: u64,
        /// The step whose weights were kept.
        best_step: u64,
        /// Mean training loss over the last steps.
        train_loss: f64,
        /// Validation loss of the untrained model.
        val_loss_before: Option<f64>,
        /// Validation loss of the model that was written.
        val_loss_after: Option<f64>,
        /// Seconds of training, earlier runs included.
        seconds: f64,
        /// Why the run ended.
        reason: EndReason,
    },
    /// An event of a newer version.
    #[serde(other)]
    Unknown,
}

impl TrainEvent {
    /// Gives the event as one line: [`LINE_MARKER`], then JSON.
    pub fn to_line(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_else(|_| r#"{"event":"unknown"}"#.to_owned());
        format!("{LINE_MARKER}{json}")
    }

    /// Reads a line of output. None if it is not a progress line, or a broken one.
    pub fn parse_line(line: &str) -> Option<Self> {
        let (_, json) = line.split_once(LINE_MARKER)?;
        serde_json::from_str(json.trim_end()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_the_round_trip() {
        let event = TrainEvent::Step {
            step: 3,
            total_steps: 9,
            epoch: 0.5,
            loss: 4.25,
            learning_rate: 1e-3,
            gradient_norm: 1.5,
            tokens_per_second: 9000.0,
            eta_seconds: 12.0,
        };
        let line = event.to_line();
        assert!(
            line.starts_with(r#"[bashgym] {"event":"step","step":3,"total_steps":9,"#),
            "{line}"
        );
        assert_eq!(TrainEvent::parse_line(&line), Some(event.clone()));
        assert_eq!(
            TrainEvent::parse_line(&format!("2026-01-01T00:00:00Z {line}\r\n")),
            Some(event)
        );
    }

    #[test]
    fn other_lines_are_no_events_and_new_events_are_unknown() {
        assert_eq!(TrainEvent::parse_line("step 3"), None);
        assert_eq!(TrainEvent::parse_line("[bashgym] {cut"), None);
        assert_eq!(
            TrainEvent::parse_line(r#"[bashgym] {"event":"hop","x":1}"#),
            Some(TrainEvent::Unknown)
        );
    }
}
