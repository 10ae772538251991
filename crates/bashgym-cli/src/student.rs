//! The model engine, plugged into what the product asks of a student.

use std::io::{BufRead, BufReader};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bashgym_core::CoreError;
use bashgym_core::plan::{ChatRenderer, LoadedChat};
use bashgym_core::run::{Completion, StudentSampler};
use bashgym_core::trainer::{self, TrainerConfig};
use bashgym_engine::{
    ChatMessage, ChatRow, EngineError, GenerateOptions, Generator, HubChat, Json, Preset, TrainConfig,
};

use crate::error::{CliError, Kind};

/// Tokens of a sampled completion at most.
const SAMPLE_TOKENS: usize = 80;

/// The engine's configuration for what a person decided.
pub(crate) fn train_config(config: &TrainerConfig) -> TrainConfig {
    let preset = match config.preset {
        trainer::Preset::Tiny => Preset::Tiny,
        trainer::Preset::Small => Preset::Small,
        trainer::Preset::Base => Preset::Base,
    };
    let mut engine = TrainConfig::preset(preset);
    engine.seed = config.seed;
    if config.max_steps.is_some() {
        engine.max_steps = config.max_steps;
    }
    if let Some(seconds) = config.max_seconds {
        engine.max_seconds = Some(seconds as f64);
    }
    if let Some(seconds) = config.checkpoint_every_seconds {
        engine.checkpoint_every_seconds = seconds;
    }
    engine.resume = true;
    engine
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        let kind = match &error {
            EngineError::NoUsableRows { .. } | EngineError::BadModel { .. } => Kind::Data,
            EngineError::DataMissing { .. } => Kind::NotFound,
            EngineError::Io { .. } => Kind::Io,
            EngineError::Interrupted { .. } => Kind::Interrupted,
            EngineError::BadConfig { .. } => Kind::Usage,
            _ => Kind::Internal,
        };
        let message = error.to_string();
        Self::new(kind, message).because(error)
    }
}

/// Renders and counts with another model's own chat template and tokenizer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineChat;

struct LoadedEngineChat(HubChat);

impl ChatRenderer for EngineChat {
    fn load(&self, dir: &Path) -> Result<Box<dyn LoadedChat>, String> {
        let chat = HubChat::load(dir).map_err(|error| error.to_string())?;
        Ok(Box::new(LoadedEngineChat(chat)))
    }
}

impl LoadedChat for LoadedEngineChat {
    fn render(
        &self,
        messages: &serde_json::Value,
        tools: &serde_json::Value,
        add_generation_prompt: bool,
    ) -> Result<String, String> {
        self.0
            .render(messages, tools, add_generation_prompt)
            .map_err(|error| error.to_string())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, String> {
        self.0.count_tokens(text).map_err(|error| error.to_string())
    }
}

/// Samples with the embedded engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EngineSampler;

#[async_trait]
impl StudentSampler for EngineSampler {
    async fn sample(
        &self,
        model_dir: &Path,
        dataset_dir: &Path,
        count: u32,
        seed: u64,
    ) -> Result<Vec<Completion>, CoreError> {
        let (model_dir, dataset_dir) = (model_dir.to_path_buf(), dataset_dir.to_path_buf());
        tokio::task::spawn_blocking(move || sample(&model_dir, &dataset_dir, count, seed))
            .await
            .unwrap_or_else(|error| {
                Err(CoreError::Sampling {
                    message: error.to_string(),
                })
            })
    }
}

fn sample(model_dir: &Path, dataset_dir: &Path, count: u32, seed: u64) -> Result<Vec<Completion>, CoreError> {
    let failed = |error: EngineError| CoreError::Sampling {
        message: error.to_string(),
    };
    let generator = Generator::load(model_dir).map_err(failed)?;
    let mut completions = Vec::new();
    for (number, prompt) in (0_u64..).zip(prompts(dataset_dir, count as usize)) {
        let options = GenerateOptions {
            max_new_tokens: SAMPLE_TOKENS,
            temperature: 0.7,
            top_p: 0.9,
            seed: seed.wrapping_add(number),
            ..GenerateOptions::default()
        };
        let generated = generator
            .chat(&prompt, &[], &options, &mut |_| ControlFlow::Continue(()))
            .map_err(failed)?;
        completions.push(Completion {
            prompt: prompt
                .last()
                .map(|message| message.content.text().into_owned())
                .unwrap_or_default(),
            completion: generated.text,
            tokens: generated.completion_tokens as u64,
        });
    }
    Ok(completions)
}

/// The first things that people said in held-out rows; in training rows where nothing is held out.
fn prompts(dataset_dir: &Path, count: usize) -> Vec<Vec<ChatMessage>> {
    ["val.jsonl", "train.jsonl"]
        .into_iter()
        .map(|name| dataset_dir.join(name))
        .map(|path| prompts_of(&path, count))
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn prompts_of(path: &PathBuf, count: usize) -> Vec<Vec<ChatMessage>> {
    let Ok(file) = std::fs::File::open(path) else {
        return Vec::new();
    };
    BufReader::new(file)
        .lines()
        .map_while(Result::ok)
        .filter_map(|line| serde_json::from_str::<Json>(&line).ok())
        .filter_map(|row| ChatRow::from_json(&row).ok())
        .filter_map(|row| {
            let first = row.messages.into_iter().find(|message| message.role == "user")?;
            (!first.content.text().trim().is_empty()).then(|| vec![first])
        })
        .take(count)
        .collect()
}
