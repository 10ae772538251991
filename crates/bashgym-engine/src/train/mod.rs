//! Trains a model from a data set folder.

mod checkpoint;
mod corpus;
mod memory;
mod optimizer;
mod session;
mod workers;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::chat::{END_TOKEN, PAD_TOKEN, START_TOKEN, TOOL_CALL_END_TOKEN, TOOL_CALL_TOKEN, segments};
use crate::clock::{Clock, SystemClock};
use crate::config::TrainConfig;
use crate::data::{LostRows, RowReader};
use crate::error::{EngineError, Result};
use crate::event::{EndReason, TrainEvent, ValidationSource};
use crate::files::create_dir;
use crate::rng::Rng;
use crate::stop::StopFlag;
use crate::tokenizer::ChatTokenizer;
use corpus::Corpus;
use session::Session;

/// The training file of a data set folder.
const TRAIN_FILE: &str = "train.jsonl";
/// The validation file of a data set folder.
const VAL_FILE: &str = "val.jsonl";
/// What a run keeps for itself beside the model, and must not be published with it.
const WORK_DIR: &str = "checkpoints";
/// With fewer sequences than this none is held out.
const MIN_SEQUENCES_TO_HOLD_OUT: usize = 5;
/// With fewer rows than this the user is told not to expect much.
const FEW_ROWS: u64 = 20;
/// The stream of random numbers that chooses the tokenizer's sample.
const SAMPLE_STREAM: u64 = 1 << 40;

/// What a finished run gives. Also the content of `bashgym_result.json`, its files aside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainOutcome {
    /// The program that trained.
    pub engine: String,
    /// The options in effect, after any change that memory forced.
    pub config: TrainConfig,
    /// Weights of the model.
    pub parameters: u64,
    /// Tokens in the vocabulary.
    pub vocab_size: usize,
    /// Rows trained on.
    pub train_rows: u64,
    /// Rows measured on.
    pub val_rows: u64,
    /// Rows that could not be used.
    pub lost: LostRows,
    /// Tokens in the training data.
    pub train_tokens: u64,
    /// Those of them that are learned.
    pub learned_tokens: u64,
    /// Training sequences.
    pub sequences: u64,
    /// Where the validation loss comes from.
    pub validation: ValidationSource,
    /// Learned tokens the validation loss is measured on.
    pub val_tokens: u64,
    /// Steps done.
    pub steps: u64,
    /// The step whose weights were kept.
    pub best_step: u64,
    /// Mean training loss over the last steps, in nats per learned token.
    pub train_loss: f64,
    /// Validation loss of the untrained model, in nats per learned token.
    pub val_loss_before: Option<f64>,
    /// Validation loss of the model that was written.
    pub val_loss_after: Option<f64>,
    /// Tokens that went through training, repeats included.
    pub tokens_trained: u64,
    /// Seconds of training, evaluations and earlier runs included, preparation not.
    pub seconds: f64,
    /// Tokens trained on in a second, evaluations included.
    pub tokens_per_second: f64,
    /// Threads in use.
    pub threads: usize,
    /// Why the run ended.
    pub reason: EndReason,
    /// The model's files, to publish.
    #[serde(skip)]
    pub files: Vec<PathBuf>,
}

/// Trains a model on `dataset_dir` (`train.jsonl`, and `val.jsonl` if there is one) and writes it to `out_dir`.
///
/// The same seed, data and options give the same weights, bit for bit, on the same kind of machine, for any number of
/// threads, as long as `max_seconds` does not end the run. Other processors may round differently.
///
/// Checkpoints go to `out_dir/checkpoints`, which is removed once the model is written. A run that was stopped or killed
/// goes on from there when it is called again with the same data and options.
///
/// # Errors
/// [`EngineError::DataMissing`], [`EngineError::NoUsableRows`], [`EngineError::BadConfig`],
/// [`EngineError::MemoryLimit`] and [`EngineError::CheckpointMismatch`] before anything is trained;
/// [`EngineError::Interrupted`] when `stop` was raised, after a checkpoint; [`EngineError::Diverged`] and
/// [`EngineError::Io`] at any time.
pub fn train(
    dataset_dir: &Path,
    out_dir: &Path,
    config: &TrainConfig,
    sink: &mut dyn FnMut(TrainEvent),
    stop: &StopFlag,
) -> Result<TrainOutcome> {
    train_with_clock(dataset_dir, out_dir, config, sink, stop, &SystemClock::start())
}

/// [`train`] by another clock.
///
/// # Errors
/// Those of [`train`].
pub fn train_with_clock(
    dataset_dir: &Path,
    out_dir: &Path,
    config: &TrainConfig,
    sink: &mut dyn FnMut(TrainEvent),
    stop: &StopFlag,
    clock: &dyn Clock,
) -> Result<TrainOutcome> {
    config.check()?;
    let mut config = config.clone();
    let train_path = dataset_dir.join(TRAIN_FILE);
    // Asked first, so that a wrong folder leaves nothing behind.
    RowReader::open(&train_path)?;
    let work_dir = out_dir.join(WORK_DIR);
    create_dir(&work_dir)?;

    let wanted = if config.threads == 0 {
        std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
    } else {
        config.threads
    };
    // More threads than parts of a batch would wait.
    let threads = wanted.min(config.batch_size.div_ceil(config.micro_batch_size));
    let limit = config.memory_limit_bytes.or_else(memory::free_bytes);
    let (threads, reduced) = memory::fit(&mut config, threads, limit)?;
    if let Some(message) = reduced {
        notice(sink, "memory_reduced", message);
    }

    sink(TrainEvent::Prepare {
        phase: "tokenizer".to_owned(),
    });
    let tokenizer = train_tokenizer(&train_path, &config)?;
    config.model.vocab_size = tokenizer.vocab_size();
    interrupted_before_training(stop)?;

    sink(TrainEvent::Prepare {
        phase: "tokens".to_owned(),
    });
    let data = read_data(dataset_dir, &work_dir, &tokenizer, &config, sink)?;
    interrupted_before_training(stop)?;

    let session = Session::start(
        out_dir, &work_dir, &config, threads, &tokenizer, &data, sink, clock,
    )?;
    let outcome = session.run(sink, stop)?;
    // There is nothing left to resume, and only the model should be found here. A leftover would do no harm.
    let _ = std::fs::remove_dir_all(&work_dir);
    Ok(outcome)
}

fn interrupted_before_training(stop: &StopFlag) -> Result<()> {
    if stop.is_stopped() {
        Err(EngineError::Interrupted {
            step: 0,
            checkpoint: None,
        })
    } else {
        Ok(())
    }
}

fn notice(sink: &mut dyn FnMut(TrainEvent), code: &str, message: String) {
    sink(TrainEvent::Notice {
        code: code.to_owned(),
        message,
    });
}

/// What is trained and measured on.
pub(crate) struct Data {
    train: Corpus,
    val: Option<Corpus>,
    /// Sequences of `train` that are measured on instead of trained on.
    held_out: Vec<u32>,
    source: ValidationSource,
    lost: LostRows,
}

fn read_data(
    dataset_dir: &Path,
    work_dir: &Path,
    tokenizer: &ChatTokenizer,
    config: &TrainConfig,
    sink: &mut dyn FnMut(TrainEvent),
) -> Result<Data> {
    let train_path = dataset_dir.join(TRAIN_FILE);
    let length = config.sequence_length;
    let mut train = Corpus::build(&train_path, &work_dir.join("train.tokens"), tokenizer, length)?;
    if train.sequences.is_empty() {
        return Err(EngineError::NoUsableRows {
            path: train_path,
            lost: train.lost,
        });
    }
    let val_path = dataset_dir.join(VAL_FILE);
    let val = match Corpus::build(&val_path, &work_dir.join("val.tokens"), tokenizer, length) {
        Ok(val) => Some(val),
        Err(EngineError::DataMissing { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut lost = train.lost.clone();
    if let Some(val) = &val {
        lost.broken += val.lost.broken;
        lost.no_messages += val.lost.no_messages;
        lost.no_assistant += val.lost.no_assistant;
        lost.too_long += val.lost.too_long;
        lost.examples.extend(val.lost.examples.iter().cloned());
        lost.examples.truncate(5);
    }
    if lost.total() > 0 {
        notice(
            sink,
            "lost_rows",
            format!("{} rows could not be used: {lost}", lost.total()),
        );
    }
    if train.rows < FEW_ROWS {
        let message = format!(
            "there are only {} rows to train on: the model will repeat them and know little else",
            train.rows
        );
        notice(sink, "few_rows", message);
    }
    let val = val.filter(|val| !val.sequences.is_empty());
    let mut held_out = Vec::new();
    let source = if val.is_some() {
        ValidationSource::File
    } else if train.sequences.len() >= MIN_SEQUENCES_TO_HOLD_OUT && config.held_out_share > 0.0 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a length"
        )]
        let count = ((train.sequences.len() as f64 * config.held_out_share) as usize).max(1);
        held_out = train
            .sequences
            .split_off(train.sequences.len() - count.min(train.sequences.len() - 1));
        let message = format!(
            "there is no usable {VAL_FILE}: the last {} training sequences are held out to measure on; they may share a session with the others, so the loss can look better than it is",
            held_out.len()
        );
        notice(sink, "held_out", message);
        ValidationSource::HeldOutTail
    } else {
        let message = format!(
            "there is no usable {VAL_FILE} and too little training data to hold any out: no validation loss will be given"
        );
        notice(sink, "no_validation", message);
        ValidationSource::None
    };
    Ok(Data {
        train,
        val,
        held_out,
        source,
        lost,
    })
}

/// Learns the vocabulary from the training rows: all of them, or a seeded sample of a large file.
fn train_tokenizer(path: &Path, config: &TrainConfig) -> Result<ChatTokenizer> {
    let mut reader = RowReader::open(path)?;
    let size = std::fs::metadata(path)
        .map_err(EngineError::io("read", path))?
        .len();
    let share = config.tokenizer_sample_bytes as f64 / size.max(1) as f64;
    let mut rng = Rng::new(config.seed, SAMPLE_STREAM);
    let failure = Mutex::new(None);
    let mut rows = 0_u64;
    let rows_seen = &mut rows;
    let texts = std::iter::from_fn(|| {
        loop {
            match reader.next_row() {
                Ok(Some(row)) => {
                    let chosen = rng.unit() < share || *rows_seen == 0;
                    *rows_seen += 1;
                    if chosen {
                        let pieces =
                            segments(&row.messages, &row.tools).flat_map(|it| without_markers(&it.text));
                        return Some(pieces.collect::<Vec<_>>());
                    }
                }
                Ok(None) => return None,
                Err(error) => {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    return None;
                }
            }
        }
    })
    .flatten();
    let tokenizer = ChatTokenizer::train(texts, config.model.vocab_size);
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    if rows == 0 {
        return Err(EngineError::NoUsableRows {
            path: path.to_path_buf(),
            lost: reader.lost().clone(),
        });
    }
    tokenizer
}

/// Cuts the chat format's markers out, which are tokens of their own already.
fn without_markers(text: &str) -> Vec<String> {
    let mut pieces = vec![text];
    for marker in [
        PAD_TOKEN,
        START_TOKEN,
        END_TOKEN,
        TOOL_CALL_TOKEN,
        TOOL_CALL_END_TOKEN,
    ] {
        pieces = pieces.into_iter().flat_map(|piece| piece.split(marker)).collect();
    }
    pieces
        .into_iter()
        .filter(|piece| !piece.is_empty())
        .map(str::to_owned)
        .collect()
}
