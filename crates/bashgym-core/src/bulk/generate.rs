//! `data generate`: rows from prompts, answered by a model.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    ChatFunction, ChatMessage, ChatToolCall, DistillationRow, Example, ExampleMetadata, RowKind, Split,
    estimate_tokens,
};
use hf_inference::{ChatOptions, ChatRequest, Message, ModelRef};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer::{Answer, Content};
use super::ask::{Ask, CallKey};
use super::error::BulkError;
use super::output::{Output, fresh_manifest, root_file};
use super::rows::{AnyRow, Lines};
use super::work::{AskIter, Making, Work};

/// Rows from prompts.
///
/// The file has a prompt a line: a JSON object with `prompt` or with `messages`, or plain text.
#[derive(Debug, Clone)]
pub struct Generate {
    /// The file of prompts.
    pub prompts: PathBuf,
    /// The Hub, as part of each question's name.
    pub endpoint: String,
    /// Who answers.
    pub model: ModelRef,
    /// Answers to each prompt.
    pub samples: u32,
    /// What the model is told to be, if anything.
    pub system: Option<String>,
    /// The most tokens of an answer.
    pub max_tokens: u32,
    /// 0 for always the same answer.
    pub temperature: f64,
    /// The kind of rows: `sft` or `distillation`.
    pub kind: RowKind,
    /// The share of prompts held out for validation.
    pub val_fraction: f64,
    /// Decides which prompts are held out.
    pub seed: u64,
}

#[derive(Deserialize)]
struct PromptLine {
    #[serde(default)]
    prompt: Option<String>,
    #[serde(default)]
    messages: Option<Vec<Message>>,
}

/// A prompt, and the name that all rows made of it share.
struct Prompt {
    id: String,
    messages: Vec<Message>,
}

impl Prompt {
    fn parse(line: &str, number: u64, path: &Path) -> Result<Self, BulkError> {
        let wrong = |why: &str| BulkError::data(format!("{}, line {number}: {why}", path.display()));
        let messages = if line.trim_start().starts_with('{') {
            let read: PromptLine = serde_json::from_str(line).map_err(|error| wrong(&error.to_string()))?;
            match (read.prompt, read.messages) {
                (Some(prompt), None) => vec![Message::user(prompt)],
                (None, Some(messages)) => messages,
                _ => return Err(wrong("give `prompt`, a text, or `messages`, a list")),
            }
        } else {
            vec![Message::user(line)]
        };
        if !messages
            .iter()
            .any(|it| it.role == "user" && !it.text().trim().is_empty())
        {
            return Err(wrong("there is no prompt in it"));
        }
        let text = serde_json::to_vec(&messages).unwrap_or_default();
        Ok(Self {
            id: hex::encode(&Sha256::digest(text)[..8]),
            messages,
        })
    }
}

impl Generate {
    fn prompts(&self) -> Result<impl Iterator<Item = Result<Prompt, BulkError>> + Send + use<>, BulkError> {
        let path = self.prompts.clone();
        Ok(Lines::open(&self.prompts)?.map(move |line| {
            let (number, line) = line?;
            Prompt::parse(&line, number, &path)
        }))
    }

    fn ask(&self, prompt: &Prompt, sample: u32) -> Ask {
        let system = self.system.iter().map(Message::system);
        let mut request = ChatRequest::new(self.model.clone(), system.chain(prompt.messages.iter().cloned()));
        *request.options = ChatOptions {
            max_tokens: Some(self.max_tokens),
            temperature: Some(self.temperature),
            // Where a provider can, each sample is its own and can be had again.
            seed: (self.samples > 1).then(|| i64::from(sample) + 1),
            ..ChatOptions::default()
        };
        request.purpose = Some(self.command().to_owned());
        Ask::chat(&self.endpoint, request, sample)
    }

    /// Which split a prompt is in: by its own name, so that more prompts move none.
    fn split(&self, id: &str) -> Split {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(id.as_bytes());
        let mut first = [0; 4];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..4]);
        let place = f64::from(u32::from_le_bytes(first)) / f64::from(u32::MAX);
        if place < self.val_fraction {
            Split::Val
        } else {
            Split::Train
        }
    }

    fn row(
        &self,
        prompt: &Prompt,
        sample: u32,
        answer: &Answer,
        gate: &mut bashgym_traces::Gate,
    ) -> Option<AnyRow> {
        let Content::Chat {
            message,
            finish_reason,
            ..
        } = &answer.content
        else {
            return None;
        };
        let mut clean = |text: &str| gate.text(text).into_owned();
        let said = chat_message(message, &mut clean);
        if said.content.trim().is_empty() && said.tool_calls.is_none() {
            return None;
        }
        let system = self.system.iter().map(Message::system);
        let asked: Vec<ChatMessage> = system
            .chain(prompt.messages.iter().cloned())
            .map(|message| chat_message(&message, &mut clean))
            .collect();
        let texts = asked.iter().chain([&said]).map(|it| estimate_tokens(&it.content));
        let metadata = ExampleMetadata {
            example_id: format!("gen-{}-{sample}", prompt.id),
            session_id: format!("gen-{}", prompt.id),
            agent: "generated".to_owned(),
            model: answer.model.clone(),
            segment: 0,
            started_at: answer.at.to_string(),
            is_subagent: false,
            score: 0.5,
            tokens: texts.sum::<usize>() as u64,
            truncated: finish_reason.as_deref() == Some("length"),
        };
        let tools = "[]".to_owned();
        Some(if self.kind == RowKind::Sft {
            AnyRow::Sft(Example {
                messages: asked.into_iter().chain([said]).collect(),
                tools,
                metadata,
            })
        } else {
            AnyRow::Distillation(DistillationRow {
                prompt: asked,
                completion: vec![said],
                tools,
                metadata,
            })
        })
    }
}

/// A message in the form of rows, cleaned.
fn chat_message(message: &Message, clean: &mut impl FnMut(&str) -> String) -> ChatMessage {
    let calls = message.tool_calls.as_ref().filter(|calls| !calls.is_empty());
    ChatMessage {
        role: message.role.clone(),
        content: clean(&message.text()),
        tool_calls: calls.map(|calls| {
            calls
                .iter()
                .map(|call| ChatToolCall {
                    id: call.id.clone(),
                    kind: "function".to_owned(),
                    function: ChatFunction {
                        name: call.function.name.clone(),
                        arguments: clean(&call.function.arguments),
                    },
                })
                .collect()
        }),
        tool_call_id: message.tool_call_id.clone(),
        name: None,
    }
}

impl Work for Generate {
    fn command(&self) -> &'static str {
        "data generate"
    }

    fn model(&self) -> String {
        self.model.to_string()
    }

    fn settings(&self) -> Value {
        json!({
            "samples": self.samples, "system": self.system, "max_tokens": self.max_tokens, "temperature": self.temperature,
            "rows": self.kind, "val_fraction": self.val_fraction, "seed": self.seed,
        })
    }

    fn asks(&self) -> Result<AskIter, BulkError> {
        let own = self.clone();
        Ok(Box::new(self.prompts()?.flat_map(move |prompt| {
            let asks: Vec<Result<Ask, BulkError>> = match prompt {
                Ok(prompt) => (0..own.samples)
                    .map(|sample| Ok(own.ask(&prompt, sample)))
                    .collect(),
                Err(error) => vec![Err(error)],
            };
            asks
        })))
    }

    fn expected_answer_tokens(&self, _prompt_tokens: u64) -> Option<u64> {
        // How much a model says to a prompt that nobody has asked it is not known.
        None
    }

    fn write(&self, making: Making<'_>) -> Result<Value, BulkError> {
        let mut output = Output::create(making.out)?;
        for split in Split::ALL {
            output.open(&root_file(split))?;
        }
        let mut said: HashSet<CallKey> = HashSet::new();
        let mut hasher = Sha256::new();
        let mut groups = [0_u64; 2];
        let mut prompts: HashSet<String> = HashSet::new();
        for prompt in self.prompts()? {
            let prompt = prompt?;
            hasher.update(prompt.id.as_bytes());
            if !prompts.insert(prompt.id.clone()) {
                output.count("prompts_repeated", 1);
                continue;
            }
            let split = self.split(&prompt.id);
            let mut made = false;
            for sample in 0..self.samples {
                let key = self.ask(&prompt, sample).keys[0];
                let Some(answer) = making.journal.answer(key)? else {
                    output.count("without_answer", 1);
                    continue;
                };
                let Some(row) = self.row(&prompt, sample, &answer, making.gate) else {
                    output.count("empty", 1);
                    continue;
                };
                let last = row
                    .messages()
                    .last()
                    .map(|it| it.content.clone())
                    .unwrap_or_default();
                if !said.insert(CallKey::of([prompt.id.as_bytes(), last.as_bytes()])) {
                    output.count("same_answer", 1);
                    continue;
                }
                made = true;
                if row.metadata().truncated {
                    output.count("cut_at_max_tokens", 1);
                }
                let mut told = answer.provenance(key);
                told["example_id"] = json!(row.metadata().example_id);
                told["source_ids"] = json!([prompt.id]);
                output.provenance(&told)?;
                output.row(&root_file(split), &row)?;
            }
            if made {
                groups[usize::from(split == Split::Val)] += 1;
            }
        }
        for split in Split::ALL {
            let rows = output.rows_of(split);
            output.count(
                if split == Split::Train {
                    "rows_train"
                } else {
                    "rows_val"
                },
                rows,
            );
        }
        let mut manifest = fresh_manifest(self.kind, making.gate.report());
        manifest.sessions = groups[0] + groups[1];
        manifest.groups = groups[0] + groups[1];
        (manifest.split.seed, manifest.split.val_fraction) = (self.seed, self.val_fraction);
        for set in std::iter::once(&mut manifest.splits)
            .chain(manifest.row_sets.iter_mut().map(|set| &mut set.splits))
        {
            for file in set {
                file.groups = groups[usize::from(file.split == Split::Val)];
            }
        }
        let input = json!({"prompts_sha256": hex::encode(hasher.finalize())});
        let step = making.step(self, &input, &output, Value::Null);
        output.finish(manifest, Vec::new(), step.clone())?;
        Ok(step)
    }
}
