//! The model engine, plugged into the embedded Hub's inference.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use bashgym_engine::{
    EmbedOptions, Encoder, EngineError, FinishReason, GenerateOptions, Generator, ScoredToken,
    ToolCallSplitter, ToolCallText,
};
use hf_local::{
    ChatEnd, ChatPiece, ChatTask, EmbedTask, InferenceEngine, InferenceFailure, InferenceTask, LoadedModel,
    ModelListing, ModelPlan, StopWatch, TokenScore,
};
use serde_json::Value;

/// Runs what [`bashgym_engine`] runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalEngine;

/// Files an engine reads besides the weights, where they are there.
const BESIDE: [&str; 8] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "generation_config.json",
    "modules.json",
    "1_Pooling/config.json",
    "sentence_bert_config.json",
];
const WEIGHTS: &str = "model.safetensors";

impl InferenceEngine for LocalEngine {
    fn plan(&self, model: &ModelListing) -> Option<ModelPlan> {
        let size = |name: &str| model.files.iter().find(|(path, _)| path == name).map(|it| it.1);
        let Some(weights) = size(WEIGHTS) else {
            return gguf_plan(model);
        };
        let config = model.config.as_ref()?;
        let text = |key: &str| config.get(key).and_then(Value::as_str);
        let is_a = |name: &str| {
            config
                .get("architectures")
                .and_then(Value::as_array)
                .is_some_and(|list| list.iter().any(|it| it == name))
        };
        size("tokenizer.json")?;
        let task = match text("model_type")? {
            "llama" => InferenceTask::Conversational,
            "bert" if is_a("BertForSequenceClassification") => InferenceTask::TextClassification,
            "bert" => InferenceTask::FeatureExtraction,
            _ => return None,
        };
        let is_half = matches!(
            text("torch_dtype").or_else(|| text("dtype")),
            Some("bfloat16" | "float16")
        );
        Some(ModelPlan {
            task,
            files: BESIDE
                .into_iter()
                .filter(|name| size(name).is_some())
                .chain([WEIGHTS])
                .map(str::to_owned)
                .collect(),
            memory_bytes: weights * if is_half { 2 } else { 1 },
            context_length: config.get("max_position_embeddings").and_then(Value::as_u64),
            supports_tools: task == InferenceTask::Conversational,
        })
    }

    fn load(&self, dir: &Path, plan: &ModelPlan) -> Result<Arc<dyn LoadedModel>, InferenceFailure> {
        if plan.task != InferenceTask::Conversational {
            return Ok(Arc::new(Encodes(
                Encoder::load(dir).map_err(|error| failure(&error))?,
            )));
        }
        let gguf = plan.files.iter().find(|name| is_gguf(name));
        let generator = match gguf {
            Some(name) => Generator::load_gguf(&dir.join(name)),
            None => Generator::load(dir),
        };
        Ok(Arc::new(Chats(generator.map_err(|error| failure(&error))?)))
    }
}

fn is_gguf(name: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|it| it.eq_ignore_ascii_case("gguf"))
}

/// A repository with one GGUF file. Of several, the smallest: it is the one a CPU is quickest with.
fn gguf_plan(model: &ModelListing) -> Option<ModelPlan> {
    let (name, size) = model
        .files
        .iter()
        .filter(|(name, _)| is_gguf(name))
        .min_by_key(|(_, size)| *size)?;
    Some(ModelPlan {
        task: InferenceTask::Conversational,
        files: vec![name.clone()],
        // Four bits a weight become 32 in memory; the file is in memory too while it is read.
        memory_bytes: size.saturating_mul(9),
        context_length: None,
        supports_tools: true,
    })
}

fn failure(error: &EngineError) -> InferenceFailure {
    match error {
        EngineError::BadRequest { .. } | EngineError::Template { .. } => {
            InferenceFailure::Request(error.to_string())
        }
        // Folders of this machine are nobody's business who asks a model.
        EngineError::BadModel { file, why } => {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            InferenceFailure::Model(format!("{name}: {why}"))
        }
        _ => InferenceFailure::Engine(error.to_string()),
    }
}

struct Chats(Generator);

impl LoadedModel for Chats {
    fn chat(
        &self,
        task: &ChatTask,
        on_piece: &mut dyn FnMut(ChatPiece) -> ControlFlow<()>,
    ) -> Result<ChatEnd, InferenceFailure> {
        let usual = GenerateOptions::default();
        let options = GenerateOptions {
            max_new_tokens: task.max_tokens.unwrap_or(usize::MAX).min(self.0.context_length()),
            temperature: task.temperature.unwrap_or(usual.temperature),
            top_p: task.top_p.unwrap_or(if task.temperature.is_some() {
                1.0
            } else {
                usual.top_p
            }),
            seed: task.seed,
            stop: task.stop.clone(),
            truncate_prompt: false,
            ..usual
        };
        let mut splitter = ToolCallSplitter::new(!task.tools.is_null());
        let mut calls = 0_usize;
        let mut tell = |parts: Vec<ToolCallText>, tokens: Vec<TokenScore>| {
            let mut tokens = tokens;
            for part in parts {
                let piece = match part {
                    ToolCallText::Text(text) => ChatPiece::Text {
                        text,
                        tokens: std::mem::take(&mut tokens),
                    },
                    ToolCallText::Call { name, arguments } => {
                        calls += 1;
                        ChatPiece::ToolCall { name, arguments }
                    }
                };
                on_piece(piece)?;
            }
            ControlFlow::Continue(())
        };
        let generation = self
            .0
            .chat_json(&task.messages, &task.tools, &options, &mut |text, tokens| {
                if task.watch.is_stopped() {
                    return ControlFlow::Break(());
                }
                let tokens = if task.logprobs {
                    tokens.into_iter().map(score).collect()
                } else {
                    Vec::new()
                };
                tell(splitter.push(text), tokens)
            })
            .map_err(|error| failure(&error))?;
        let _ = tell(splitter.finish(), Vec::new());
        Ok(ChatEnd {
            finish_reason: match generation.finish_reason {
                FinishReason::Length | FinishReason::Context => hf_local::FinishReason::Length,
                _ if calls > 0 => hf_local::FinishReason::ToolCalls,
                _ => hf_local::FinishReason::Stop,
            },
            prompt_tokens: generation.prompt_tokens as u64,
            completion_tokens: generation.completion_tokens as u64,
        })
    }
}

fn score(token: ScoredToken) -> TokenScore {
    TokenScore {
        token: token.text,
        logprob: token.logprob,
    }
}

struct Encodes(Encoder);

impl LoadedModel for Encodes {
    fn embed(&self, task: &EmbedTask, watch: &StopWatch) -> Result<Vec<Vec<f32>>, InferenceFailure> {
        let options = EmbedOptions {
            normalize: task.normalize,
            refuse_long: task.truncate == Some(false),
            cut_left: task.truncate_left,
        };
        self.0
            .embed(&task.texts, options, &|| watch.is_stopped())
            .map_err(|error| failure(&error))
    }

    fn classify(
        &self,
        texts: &[String],
        watch: &StopWatch,
    ) -> Result<Vec<Vec<(String, f32)>>, InferenceFailure> {
        let labels = self.0.labels();
        let logits = self
            .0
            .classify(texts, &|| watch.is_stopped())
            .map_err(|error| failure(&error))?;
        Ok(logits
            .into_iter()
            .map(|row| labels.iter().cloned().zip(row).collect())
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(config: Option<Value>, files: &[(&str, u64)]) -> ModelListing {
        let mut listing = ModelListing::default();
        listing.config = config;
        listing.files = files
            .iter()
            .map(|(name, size)| ((*name).to_owned(), *size))
            .collect();
        listing
    }

    #[test]
    fn a_repository_is_served_for_what_its_files_say() {
        let whole = [
            ("config.json", 1),
            ("tokenizer.json", 1),
            ("model.safetensors", 100),
        ];
        let task = |config: Value, files: &[(&str, u64)]| {
            LocalEngine
                .plan(&listing(Some(config), files))
                .map(|plan| plan.task)
        };
        let json = |kind: &str, architecture: &str| serde_json::json!({"model_type": kind, "architectures": [architecture]});
        assert_eq!(
            task(json("llama", "LlamaForCausalLM"), &whole),
            Some(InferenceTask::Conversational)
        );
        assert_eq!(
            task(json("bert", "BertModel"), &whole),
            Some(InferenceTask::FeatureExtraction)
        );
        assert_eq!(
            task(json("bert", "BertForSequenceClassification"), &whole),
            Some(InferenceTask::TextClassification)
        );
        assert_eq!(task(json("qwen2", "Qwen2ForCausalLM"), &whole), None);
        assert_eq!(task(json("llama", "LlamaForCausalLM"), &whole[..2]), None);
        let plan = LocalEngine
            .plan(&listing(
                None,
                &[("b.Q8_0.gguf", 9), ("b.Q4_1.gguf", 5), ("README.md", 1)],
            ))
            .unwrap();
        assert_eq!(plan.files, ["b.Q4_1.gguf"]);
    }
}
