//! One run of the training loop.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use candle_core::{Tensor, Var};

use super::checkpoint::{Checkpoints, Exact, Identity, Progress};
use super::corpus::Corpus;
use super::memory;
use super::optimizer::{AdamW, learning_rate};
use super::workers::Workers;
use super::{Data, TrainOutcome, notice};
use crate::clock::Clock;
use crate::config::TrainConfig;
use crate::error::{EngineError, Result};
use crate::event::{EndReason, TrainEvent, ValidationSource};
use crate::export::export;
use crate::model::ops::with_values;
use crate::model::{Llama, WeightSpec, initial_weights, kernels, variables, weight_specs};
use crate::rng::Rng;
use crate::stop::StopFlag;
use crate::tokenizer::ChatTokenizer;

/// How many of the last steps' losses are averaged for the report.
const RECENT_LOSSES: usize = 20;
/// How many of the last steps tell the speed.
const RECENT_TIMES: usize = 10;
/// About how many evaluations a run has if not told otherwise.
const EVALUATIONS: u64 = 8;
/// The streams of random numbers that order the data, one an epoch, start here.
const ORDER_STREAM: u64 = 1 << 41;
/// The stream that chooses the sequences to measure on.
const EVAL_STREAM: u64 = 1 << 42;

pub(super) struct Session<'a> {
    out_dir: &'a Path,
    config: &'a TrainConfig,
    tokenizer: &'a ChatTokenizer,
    data: &'a Data,
    clock: &'a dyn Clock,
    workers: Workers,
    specs: Vec<WeightSpec>,
    vars: Vec<Var>,
    model: Llama,
    adam: AdamW,
    checkpoints: Checkpoints,
    eval_sequences: Vec<u32>,
    val_tokens: u64,
    total_steps: u64,
    eval_every: u64,
    progress: Progress,
    best: Option<Vec<Vec<f32>>>,
    order: Order,
    /// The clock's time at which this run would have started from step 0.
    started: f64,
    last_checkpoint: (u64, f64),
}

/// The order of the sequences in one epoch.
struct Order {
    epoch: Option<u64>,
    sequences: Vec<u32>,
}

impl<'a> Session<'a> {
    #[expect(
        clippy::too_many_arguments,
        reason = "called once, with what `train` prepared"
    )]
    pub(super) fn start(
        out_dir: &'a Path,
        work_dir: &Path,
        config: &'a TrainConfig,
        threads: usize,
        tokenizer: &'a ChatTokenizer,
        data: &'a Data,
        sink: &mut dyn FnMut(TrainEvent),
        clock: &'a dyn Clock,
    ) -> Result<Self> {
        let specs = weight_specs(&config.model);
        let identity = Identity::new(
            config,
            data.train.checksum,
            data.val.as_ref().map(|val| val.checksum),
        );
        let checkpoints = Checkpoints::new(work_dir.to_path_buf(), specs.clone(), identity);
        checkpoints.clean();
        let resumed = if config.resume {
            checkpoints.load(&mut |path, why| {
                let message = format!(
                    "the checkpoint {} is damaged and passed over: {why}",
                    path.display()
                );
                notice(sink, "checkpoint_damaged", message);
            })?
        } else {
            checkpoints.clear()?;
            None
        };
        let fresh = Progress {
            step: 0,
            seconds: 0.0,
            recent_losses: Vec::new(),
            val_loss_before: None,
            last_eval: None,
            best_eval: None,
        };
        let (progress, weights, adam, best) = match resumed {
            Some(checkpoint) => {
                notice(
                    sink,
                    "resumed",
                    format!("training goes on from {}", checkpoint.path.display()),
                );
                (
                    checkpoint.progress,
                    checkpoint.weights,
                    checkpoint.adam,
                    checkpoint.best,
                )
            }
            None => (
                fresh,
                initial_weights(&config.model, config.seed),
                AdamW::new(&specs),
                None,
            ),
        };
        let vars = variables(&specs, weights)?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let model = Llama::new(&config.model, &tensors, config.sequence_length)?;

        let mut eval_sequences = match &data.val {
            Some(val) => val.sequences.clone(),
            None => data.held_out.clone(),
        };
        Rng::new(config.seed, EVAL_STREAM).shuffle(&mut eval_sequences);
        eval_sequences.truncate(config.eval_max_sequences);
        eval_sequences.sort_unstable();

        let total_steps = planned_steps(config, data.train.sequences.len());
        let eval_every = match config.eval_every_steps {
            0 => (total_steps / EVALUATIONS).max(1),
            every => every,
        };
        let started = clock.elapsed_seconds() - progress.seconds;
        let session = Self {
            out_dir,
            config,
            tokenizer,
            data,
            clock,
            workers: Workers::start(threads)?,
            specs,
            vars,
            model,
            adam,
            checkpoints,
            eval_sequences,
            val_tokens: 0,
            total_steps,
            eval_every,
            last_checkpoint: (progress.step, progress.seconds),
            progress,
            best,
            order: Order {
                epoch: None,
                sequences: Vec::new(),
            },
            started,
        };
        sink(TrainEvent::Start {
            parameters: config.model.parameters(),
            vocab_size: config.model.vocab_size,
            train_rows: data.train.rows,
            val_rows: session.val_rows(),
            lost: data.lost.clone(),
            train_tokens: data.train.tokens,
            learned_tokens: data.train.learned_tokens,
            sequences: data.train.sequences.len() as u64,
            total_steps,
            resumed_step: session.progress.step,
            validation: data.source,
            threads: session.workers.len(),
            memory_bytes: memory::estimate(config, threads),
            seed: config.seed,
        });
        Ok(session)
    }

    fn val_rows(&self) -> u64 {
        match (&self.data.val, self.data.source) {
            (Some(val), ValidationSource::File) => val.rows,
            _ => 0,
        }
    }

    fn seconds(&self) -> f64 {
        self.clock.elapsed_seconds() - self.started
    }

    /// Gives the share of the run that is done after `step` steps, by steps or by time, whichever is further.
    fn share_done(&self, step: u64, seconds: f64) -> f64 {
        let by_steps = step as f64 / self.total_steps.max(1) as f64;
        let by_time = self.config.max_seconds.map_or(0.0, |most| seconds / most);
        by_steps.max(by_time)
    }

    pub(super) fn run(mut self, sink: &mut dyn FnMut(TrainEvent), stop: &StopFlag) -> Result<TrainOutcome> {
        if self.progress.step == 0 && self.progress.val_loss_before.is_none() {
            self.progress.val_loss_before = self.evaluate(sink)?.map(Exact);
        }
        let mut times = VecDeque::from([self.seconds()]);
        let mut reason = EndReason::Steps;
        let tokens_per_step = (self.config.batch_size * self.config.sequence_length) as f64;
        while self.progress.step < self.total_steps {
            if stop.is_stopped() {
                let checkpoint = self.save_checkpoint(sink)?;
                return Err(EngineError::Interrupted {
                    step: self.progress.step,
                    checkpoint: Some(checkpoint),
                });
            }
            let now = self.seconds();
            if self.config.max_seconds.is_some_and(|most| now >= most) {
                reason = EndReason::Seconds;
                break;
            }
            let step = self.progress.step + 1;
            let rate = learning_rate(self.config, self.share_done(step, now));
            let (loss, gradient_norm) = self.step(step, rate)?;
            self.progress.step = step;
            self.progress.recent_losses.push(Exact(loss));
            let surplus = self.progress.recent_losses.len().saturating_sub(RECENT_LOSSES);
            self.progress.recent_losses.drain(..surplus);

            let now = self.seconds();
            times.push_back(now);
            if times.len() > RECENT_TIMES {
                times.pop_front();
            }
            let per_step = (now - times[0]) / (times.len() - 1).max(1) as f64;
            if step.is_multiple_of(self.config.log_every_steps.max(1)) || step == self.total_steps {
                let left = (self.total_steps - step) as f64 * per_step;
                let left = self
                    .config
                    .max_seconds
                    .map_or(left, |most| left.min((most - now).max(0.0)));
                sink(TrainEvent::Step {
                    step,
                    total_steps: self.total_steps,
                    epoch: self.epochs_done(step),
                    loss,
                    learning_rate: rate,
                    gradient_norm,
                    tokens_per_second: if per_step > 0.0 {
                        tokens_per_step / per_step
                    } else {
                        0.0
                    },
                    eta_seconds: left,
                });
            }
            if step.is_multiple_of(self.eval_every) && step < self.total_steps {
                let before = self.seconds();
                self.evaluate(sink)?;
                // Measuring is not training: it must not count against the speed.
                let spent = self.seconds() - before;
                for time in &mut times {
                    *time += spent;
                }
            }
            self.checkpoint_if_due(sink)?;
        }
        self.finish(reason, sink)
    }

    fn epochs_done(&self, step: u64) -> f64 {
        (step * self.config.batch_size as u64) as f64 / self.data.train.sequences.len() as f64
    }

    /// Gives the sequences of a step: consecutive ones of the epochs' random orders.
    fn sequences_of(&mut self, step: u64) -> Vec<u32> {
        let all = &self.data.train.sequences;
        let first = (step - 1) * self.config.batch_size as u64;
        (first..first + self.config.batch_size as u64)
            .map(|place| {
                let epoch = place / all.len() as u64;
                if self.order.epoch != Some(epoch) {
                    self.order.sequences.clone_from(all);
                    Rng::new(self.config.seed, ORDER_STREAM + epoch).shuffle(&mut self.order.sequences);
                    self.order.epoch = Some(epoch);
                }
                self.order.sequences[usize::try_from(place % all.len() as u64).unwrap_or(0)]
            })
            .collect()
    }

    /// Takes one optimiser step. Gives the loss and the gradient's length.
    fn step(&mut self, step: u64, rate: f64) -> Result<(f64, f64)> {
        let sequences = self.sequences_of(step);
        let parts = sequences
            .chunks(self.config.micro_batch_size)
            .map(|part| self.data.train.batch(part))
            .collect::<Result<Vec<_>>>()?;
        let targets: usize = parts.iter().map(|part| part.targets.len()).sum();
        let scale = 1.0 / targets.max(1) as f32;
        let mut total = 0.0;
        let mut gradients: Vec<Vec<f32>> = Vec::new();
        for wave in parts.chunks(self.workers.len()) {
            let results = self.workers.run(wave, |part| {
                let loss = self.model.loss(part, scale, true)?;
                let mut store = loss.backward()?;
                let gradients: Vec<Option<Tensor>> = self.vars.iter().map(|var| store.remove(var)).collect();
                Ok((f64::from(loss.to_scalar::<f32>()?), gradients))
            })?;
            for (loss, part) in results {
                total += loss;
                if gradients.is_empty() {
                    gradients = self.specs.iter().map(|spec| vec![0.0; spec.elements()]).collect();
                }
                for (sum, gradient) in gradients.iter_mut().zip(part) {
                    let Some(gradient) = gradient else { continue };
                    with_values(&gradient, |gradient| kernels::add_scaled(sum, gradient, 1.0))?;
                }
            }
        }
        if !total.is_finite() {
            return Err(EngineError::Diverged { step });
        }
        let norm = self
            .adam
            .step(self.config, &self.specs, &self.vars, &gradients, step, rate)?;
        Ok((total, norm))
    }

    /// Measures the model and keeps its weights if it is the best so far.
    fn evaluate(&mut self, sink: &mut dyn FnMut(TrainEvent)) -> Result<Option<f64>> {
        if self.eval_sequences.is_empty() {
            return Ok(None);
        }
        let corpus: &Corpus = self.data.val.as_ref().unwrap_or(&self.data.train);
        let mut parts = Vec::new();
        for part in self.eval_sequences.chunks(self.config.micro_batch_size) {
            parts.push(part.to_vec());
        }
        let (mut total, mut tokens) = (0.0, 0_u64);
        for wave in parts.chunks(self.workers.len()) {
            let results = self.workers.run(wave, |part| {
                let batch = corpus.batch(part)?;
                let loss = self.model.loss(&batch, 1.0, false)?.to_scalar::<f32>()?;
                Ok((f64::from(loss), batch.targets.len() as u64))
            })?;
            for (loss, count) in results {
                total += loss;
                tokens += count;
            }
        }
        let step = self.progress.step;
        let val_loss = total / tokens.max(1) as f64;
        if !val_loss.is_finite() {
            return Err(EngineError::Diverged { step });
        }
        let best = step > 0
            && self
                .progress
                .best_eval
                .is_none_or(|(_, Exact(loss))| val_loss < loss);
        if best {
            self.progress.best_eval = Some((step, Exact(val_loss)));
            self.best = Some(self.weights()?);
        }
        self.val_tokens = tokens;
        self.progress.last_eval = Some((step, Exact(val_loss)));
        sink(TrainEvent::Eval {
            step,
            val_loss,
            val_tokens: tokens,
            best,
        });
        Ok(Some(val_loss))
    }

    fn weights(&self) -> Result<Vec<Vec<f32>>> {
        Ok(self
            .vars
            .iter()
            .map(|var| with_values(var, <[f32]>::to_vec))
            .collect::<Result<_, _>>()?)
    }

    fn checkpoint_if_due(&mut self, sink: &mut dyn FnMut(TrainEvent)) -> Result<()> {
        let (step, seconds) = self.last_checkpoint;
        let by_steps = self.config.checkpoint_every_steps;
        let by_seconds = self.config.checkpoint_every_seconds;
        let due = (by_steps > 0 && self.progress.step - step >= by_steps)
            || (by_seconds > 0.0 && self.seconds() - seconds >= by_seconds);
        if due && self.progress.step < self.total_steps {
            self.save_checkpoint(sink)?;
        }
        Ok(())
    }

    fn save_checkpoint(&mut self, sink: &mut dyn FnMut(TrainEvent)) -> Result<PathBuf> {
        self.progress.seconds = self.seconds();
        let weights = self.weights()?;
        let path = self
            .checkpoints
            .save(&self.progress, &weights, &self.adam, self.best.as_deref())?;
        self.last_checkpoint = (self.progress.step, self.progress.seconds);
        sink(TrainEvent::Checkpoint {
            step: self.progress.step,
            path: path.clone(),
        });
        Ok(path)
    }

    fn finish(mut self, reason: EndReason, sink: &mut dyn FnMut(TrainEvent)) -> Result<TrainOutcome> {
        if self
            .progress
            .last_eval
            .is_none_or(|(step, _)| step != self.progress.step)
        {
            self.evaluate(sink)?;
        }
        let last = self.weights()?;
        let (best_step, weights) = match (&self.progress.best_eval, self.best.take()) {
            (Some((step, _)), Some(best)) => (*step, best),
            _ => (self.progress.step, last),
        };
        let recent = &self.progress.recent_losses;
        let train_loss = recent.iter().map(|loss| loss.0).sum::<f64>() / recent.len().max(1) as f64;
        let seconds = self.seconds();
        let tokens_trained =
            self.progress.step * self.config.batch_size as u64 * self.config.sequence_length as u64;
        let mut outcome = TrainOutcome {
            engine: concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")).to_owned(),
            config: self.config.clone(),
            parameters: self.config.model.parameters(),
            vocab_size: self.config.model.vocab_size,
            train_rows: self.data.train.rows,
            val_rows: self.val_rows(),
            lost: self.data.lost.clone(),
            train_tokens: self.data.train.tokens,
            learned_tokens: self.data.train.learned_tokens,
            sequences: self.data.train.sequences.len() as u64,
            validation: self.data.source,
            val_tokens: self.val_tokens,
            steps: self.progress.step,
            best_step,
            train_loss,
            val_loss_before: self.progress.val_loss_before.map(|loss| loss.0),
            val_loss_after: self.progress.best_eval.map(|(_, loss)| loss.0),
            tokens_trained,
            seconds,
            tokens_per_second: if seconds > 0.0 {
                tokens_trained as f64 / seconds
            } else {
                0.0
            },
            threads: self.workers.len(),
            reason,
            files: Vec::new(),
        };
        let result = serde_json::to_value(&outcome).unwrap_or_default();
        outcome.files = export(
            self.out_dir,
            &self.config.model,
            self.tokenizer,
            &self.specs,
            &weights,
            &result,
        )?;
        sink(TrainEvent::Done {
            steps: outcome.steps,
            best_step,
            train_loss,
            val_loss_before: outcome.val_loss_before,
            val_loss_after: outcome.val_loss_after,
            seconds,
            reason,
        });
        Ok(outcome)
    }
}

fn planned_steps(config: &TrainConfig, sequences: usize) -> u64 {
    let batch = config.batch_size as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; a cast saturates"
    )]
    let by_epochs = (config.epochs * sequences as f64 / batch).ceil() as u64;
    let tokens_per_step = (config.batch_size * config.sequence_length) as u64;
    let by_tokens = config
        .max_tokens
        .map_or(u64::MAX, |most| most.div_ceil(tokens_per_step));
    by_epochs
        .min(by_tokens)
        .min(config.max_steps.unwrap_or(u64::MAX))
        .max(1)
}
