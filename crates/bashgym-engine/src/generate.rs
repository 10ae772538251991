//! Continues conversations with a trained model.

use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::chat::{CHAT_TEMPLATE, ChatTemplate, template_in};
use crate::clock::{Clock, SystemClock};
use crate::config::ModelConfig;
use crate::data::{ChatMessage, ChatRow, Json};
use crate::error::{EngineError, Result};
use crate::export::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};
use crate::files::read_weights;
use crate::model::{KvCache, Llama, kernels, tensors, weight_specs};
use crate::rng::Rng;
use crate::tokenizer::ChatTokenizer;

/// The angles of longer contexts are not worked out, whatever the model's config claims.
const MAX_CONTEXT: usize = 32 * 1024;
/// Hears a text, and the tokens it is made of with their log-probabilities.
type Hearing<'a> = dyn FnMut(&str, &[(u32, f64)]) -> ControlFlow<()> + 'a;
/// The stream of random numbers that draws tokens.
const SAMPLE_STREAM: u64 = 1 << 43;
/// At least this much of the context is left to answer in when a prompt is cut.
const MIN_ANSWER_TOKENS: usize = 16;

/// How to choose the next token, and when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateOptions {
    /// Tokens to generate at most.
    pub max_new_tokens: usize,
    /// How freely to choose: 0 always takes the likeliest token.
    pub temperature: f64,
    /// Chooses among the likeliest tokens that together have this probability; 1 is all.
    pub top_p: f64,
    /// Chooses among this many of the likeliest tokens, if given.
    pub top_k: Option<usize>,
    /// Decides the draws.
    pub seed: u64,
    /// Ends the text before any of these.
    pub stop: Vec<String>,
    /// Ends the text at any of these tokens, besides the end of the turn.
    pub stop_token_ids: Vec<u32>,
    /// Cuts the oldest tokens of a prompt that is too long for the model; otherwise that is an error.
    pub truncate_prompt: bool,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.7,
            top_p: 0.9,
            top_k: None,
            seed: 0,
            stop: Vec::new(),
            stop_token_ids: Vec::new(),
            truncate_prompt: true,
        }
    }
}

impl GenerateOptions {
    /// Gives options that always take the likeliest token.
    pub fn greedy(max_new_tokens: usize) -> Self {
        Self {
            max_new_tokens,
            temperature: 0.0,
            ..Self::default()
        }
    }

    fn check(&self) -> Result<()> {
        let bad = |why: String| Err(EngineError::BadRequest { why });
        if !(self.temperature.is_finite() && (0.0..=100.0).contains(&self.temperature)) {
            return bad(format!(
                "the temperature {} is not within 0 to 100",
                self.temperature
            ));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(format!("top_p {} is not above 0 and at most 1", self.top_p));
        }
        if self.top_k == Some(0) {
            return bad("top_k must be at least 1".to_owned());
        }
        if self.stop.iter().any(String::is_empty) {
            return bad("a stop text is empty".to_owned());
        }
        Ok(())
    }
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model closed its turn, or said a stop token.
    Stop,
    /// A stop text was about to be said.
    StopText,
    /// `max_new_tokens` were generated.
    Length,
    /// The model's context is full.
    Context,
    /// The listener asked to stop.
    Canceled,
}

/// A generated text and what it took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    /// The text, without the end marker or stop text. Tool calls stay in it as the chat format writes them.
    pub text: String,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Tokens of the prompt, those cut off not counted.
    pub prompt_tokens: usize,
    /// Tokens that were cut off the front of the prompt.
    pub truncated_prompt_tokens: usize,
    /// Tokens generated, the end marker included.
    pub completion_tokens: usize,
    /// Seconds to read the prompt.
    pub prompt_seconds: f64,
    /// Seconds to generate.
    pub seconds: f64,
    /// Tokens generated in a second.
    pub tokens_per_second: f64,
    /// Mean log-probability of the generated tokens under the model, before temperature; 0 for none.
    pub mean_logprob: f64,
}

/// A loaded model. It can serve several threads at once.
pub struct Generator {
    config: ModelConfig,
    tokenizer: ChatTokenizer,
    model: Llama,
    context: usize,
    /// The model's own way to write conversations, where it is not this crate's.
    template: Option<ChatTemplate>,
}

/// A token of an answer: its text, and the natural logarithm of its probability under the model, before temperature.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoredToken {
    /// The text; half characters read as U+FFFD.
    pub text: String,
    /// The log-probability.
    pub logprob: f64,
}

impl Generator {
    /// Loads a model folder: `config.json`, `tokenizer.json`, `model.safetensors`.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] or [`EngineError::Io`] names the file at fault.
    pub fn load(dir: &Path) -> Result<Self> {
        let config = ModelConfig::load(&dir.join(CONFIG_FILE))?;
        let tokenizer_path = dir.join(TOKENIZER_FILE);
        let (template, start_token, end_token) = template_in(dir)?;
        let tokenizer = match &end_token {
            Some(end) => ChatTokenizer::load_ending_with(&tokenizer_path, end)?,
            None => ChatTokenizer::load(&tokenizer_path)?,
        };
        let template = match template {
            Some(text) if text != CHAT_TEMPLATE => {
                Some(ChatTemplate::new(dir, &text, start_token, end_token)?)
            }
            _ => None,
        };
        if tokenizer.vocab_size() > config.vocab_size {
            let why = format!(
                "it has {} tokens, and the model's config says {}",
                tokenizer.vocab_size(),
                config.vocab_size
            );
            return Err(EngineError::bad_model(&tokenizer_path, why));
        }
        let specs = weight_specs(&config);
        let weights_path = dir.join(WEIGHTS_FILE);
        let weights = read_weights(&weights_path, &specs)?;
        if let Some((spec, _)) = specs
            .iter()
            .zip(&weights)
            .find(|(_, values)| values.iter().any(|value| !value.is_finite()))
        {
            let why = format!("the weight `{}` holds values that are no numbers", spec.name);
            return Err(EngineError::bad_model(&weights_path, why));
        }
        let context = config.max_position_embeddings.min(MAX_CONTEXT);
        let model = Llama::new(&config, &tensors(&specs, weights)?, context)?;
        Ok(Self {
            config,
            tokenizer,
            model,
            context,
            template,
        })
    }

    /// Loads a GGUF file: shape, tokenizer, chat template and weights. Quantised weights take four bytes each in memory.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] or [`EngineError::Io`] says what this engine can't read.
    pub fn load_gguf(path: &Path) -> Result<Self> {
        let read = crate::gguf::load(path)?;
        let template = match &read.template {
            Some(text) => Some(ChatTemplate::new(path, text, read.start_token, read.end_token)?),
            None => None,
        };
        let tokenizer = ChatTokenizer::from_text(path, &read.tokenizer.to_string(), read.end_id)?;
        let context = read.config.max_position_embeddings.min(MAX_CONTEXT);
        let model = Llama::new(&read.config, &tensors(&read.specs, read.weights)?, context)?;
        Ok(Self {
            config: read.config,
            tokenizer,
            model,
            context,
            template,
        })
    }

    /// Gives the model's shape.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Gives the model's tokenizer.
    pub fn tokenizer(&self) -> &ChatTokenizer {
        &self.tokenizer
    }

    /// Gives the longest text the model can see, in tokens.
    pub fn context_length(&self) -> usize {
        self.context
    }

    /// Gives the logits after every token of a text, all worked out at once.
    ///
    /// # Shape
    /// One list a token, each as long as the vocabulary.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] if there are no tokens, too many, or unknown ones.
    pub fn logits(&self, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
        self.check_ids(ids)?;
        if ids.len() > self.context {
            return Err(self.too_long(ids.len()));
        }
        Ok(self.model.logits(ids)?.to_vec2()?)
    }

    /// Continues a conversation. `on_text` hears the text as it comes, in whole characters, and may end it.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] if the options or the prompt cannot be served.
    pub fn chat(
        &self,
        messages: &[ChatMessage],
        tools: &[Json],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        if messages.is_empty() {
            return Err(EngineError::BadRequest {
                why: "there are no messages".to_owned(),
            });
        }
        self.generate(&self.tokenizer.encode_prompt(messages, tools)?, options, on_text)
    }

    /// Continues a plain text. Markers in the text count as markers.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] if the options or the prompt cannot be served.
    pub fn complete(
        &self,
        prompt: &str,
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        self.generate(&self.tokenizer.encode(prompt)?, options, on_text)
    }

    /// Continues a conversation as it stands in a request: `messages` a list in OpenAI's form, `tools` a list or null. It is
    /// written as the model's own chat template says. `on_piece` hears each text with the tokens it is made of.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] or [`EngineError::Template`] if the options or the conversation cannot be served.
    pub fn chat_json(
        &self,
        messages: &Value,
        tools: &Value,
        options: &GenerateOptions,
        on_piece: &mut dyn FnMut(&str, Vec<ScoredToken>) -> ControlFlow<()>,
    ) -> Result<Generation> {
        let bad = |why: String| EngineError::BadRequest { why };
        let prompt = if let Some(template) = &self.template {
            let messages = for_templates(messages);
            self.tokenizer.encode(&template.render(&messages, tools, true)?)?
        } else {
            let row = serde_json::json!({"messages": messages, "tools": tools});
            let row: Json = serde_json::from_str(&row.to_string()).map_err(|error| bad(error.to_string()))?;
            let row = ChatRow::from_json(&row).map_err(bad)?;
            self.tokenizer.encode_prompt(&row.messages, &row.tools)?
        };
        self.generate_scored(&prompt, options, &mut |text, tokens| {
            let tokens = tokens
                .iter()
                .map(|(id, logprob)| ScoredToken {
                    text: self.tokenizer.decode(&[*id]).unwrap_or_default(),
                    logprob: *logprob,
                })
                .collect();
            on_piece(text, tokens)
        })
    }

    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(EngineError::BadRequest {
                why: "the prompt is empty".to_owned(),
            });
        }
        if let Some(id) = ids.iter().find(|id| **id as usize >= self.config.vocab_size) {
            return Err(EngineError::BadRequest {
                why: format!("there is no token {id}"),
            });
        }
        Ok(())
    }

    fn too_long(&self, tokens: usize) -> EngineError {
        let why = format!(
            "the prompt has {tokens} tokens, and the model sees {}",
            self.context
        );
        EngineError::BadRequest { why }
    }

    fn generate(
        &self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_text: &mut dyn FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generation> {
        self.generate_scored(prompt, options, &mut |text, _| on_text(text))
    }

    fn generate_scored(
        &self,
        prompt: &[u32],
        options: &GenerateOptions,
        on_piece: &mut Hearing<'_>,
    ) -> Result<Generation> {
        options.check()?;
        self.check_ids(prompt)?;
        // Room to answer in: what was asked for, but never most of the context.
        let answer = options
            .max_new_tokens
            .clamp(1, (self.context / 2).max(1))
            .max(MIN_ANSWER_TOKENS.min(self.context - 1));
        let room = self.context - answer.min(self.context - 1);
        let truncated = if prompt.len() >= self.context {
            prompt.len().saturating_sub(room)
        } else {
            0
        };
        if truncated > 0 && !options.truncate_prompt {
            return Err(self.too_long(prompt.len()));
        }
        let prompt = &prompt[truncated..];
        let clock = SystemClock::start();
        let mut cache = KvCache::new(&self.model);
        let mut logits = self.model.extend(&mut cache, prompt)?;
        let prompt_seconds = clock.elapsed_seconds();

        let mut rng = Rng::new(options.seed, SAMPLE_STREAM);
        let mut sampler = Sampler::default();
        let mut text = TextStream::new(&options.stop);
        let mut decoder = self.tokenizer.inner().decode_stream(true);
        let mut ids = Vec::new();
        let mut untold = Vec::new();
        let mut logprobs = 0.0;
        let finish_reason = loop {
            if ids.len() >= options.max_new_tokens {
                break FinishReason::Length;
            }
            let id = sampler.choose(&logits, options, &mut rng);
            let score = logprob(&logits, id);
            logprobs += score;
            ids.push(id);
            if id == self.tokenizer.end_id() || options.stop_token_ids.contains(&id) {
                break FinishReason::Stop;
            }
            untold.push((id, score));
            let piece = decoder.step(id).map_err(|error| EngineError::Tokenizer {
                why: error.to_string(),
            })?;
            if let Some(piece) = piece {
                let stopped = text.push(&piece);
                let mut on_text = |text: &str| on_piece(text, &std::mem::take(&mut untold));
                if text.emit(&mut on_text).is_break() {
                    break FinishReason::Canceled;
                }
                if stopped {
                    break FinishReason::StopText;
                }
            }
            if cache.len() >= self.context {
                break FinishReason::Context;
            }
            logits = self.model.extend(&mut cache, &[id])?;
        };
        let mut finish_reason = finish_reason;
        if !matches!(finish_reason, FinishReason::StopText | FinishReason::Canceled) {
            // The decoder holds back half characters; what is still half at the end is shown as U+FFFD.
            let said = if finish_reason == FinishReason::Stop {
                &ids[..ids.len() - 1]
            } else {
                &ids[..]
            };
            let whole = self.tokenizer.decode(said)?;
            let stopped = whole
                .strip_prefix(text.seen.as_str())
                .map(str::to_owned)
                .is_some_and(|rest| text.push(&rest));
            if stopped {
                finish_reason = FinishReason::StopText;
            }
            text.finish();
            let mut on_text = |text: &str| on_piece(text, &std::mem::take(&mut untold));
            if text.emit(&mut on_text).is_break() {
                finish_reason = FinishReason::Canceled;
            }
        }
        let seconds = clock.elapsed_seconds() - prompt_seconds;
        Ok(Generation {
            text: text.said,
            finish_reason,
            prompt_tokens: prompt.len(),
            truncated_prompt_tokens: truncated,
            completion_tokens: ids.len(),
            prompt_seconds,
            seconds,
            tokens_per_second: if seconds > 0.0 {
                ids.len() as f64 / seconds
            } else {
                0.0
            },
            mean_logprob: if ids.is_empty() {
                0.0
            } else {
                logprobs / ids.len() as f64
            },
        })
    }
}

/// Messages as templates read them: content is text, and arguments of calls are objects.
fn for_templates(messages: &Value) -> Value {
    let mut messages = messages.clone();
    for message in messages.as_array_mut().into_iter().flatten() {
        let text = match message.get("content") {
            Some(Value::Array(parts)) => parts
                .iter()
                .filter_map(|part| part.get("text").and_then(Value::as_str))
                .collect(),
            Some(Value::String(text)) => text.clone(),
            _ => String::new(),
        };
        message["content"] = text.into();
        let calls = message.get_mut("tool_calls").and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            let arguments = call.pointer_mut("/function/arguments");
            if let Some(arguments) = arguments
                && let Some(Ok(object)) = arguments.as_str().map(serde_json::from_str::<Value>)
            {
                *arguments = object;
            }
        }
    }
    messages
}

fn logprob(logits: &[f32], id: u32) -> f64 {
    let most = f64::from(kernels::max(logits));
    let sum: f64 = logits.iter().map(|logit| (f64::from(*logit) - most).exp()).sum();
    logits
        .get(id as usize)
        .map_or(0.0, |logit| f64::from(*logit) - most - sum.ln())
}

/// Chooses tokens; keeps its buffer between them.
#[derive(Default)]
struct Sampler {
    candidates: Vec<(f32, u32)>,
}

impl Sampler {
    fn choose(&mut self, logits: &[f32], options: &GenerateOptions, rng: &mut Rng) -> u32 {
        let indexed = (0_u32..).zip(logits).map(|(id, logit)| (*logit, id));
        if options.temperature == 0.0 {
            let first = (f32::NEG_INFINITY, 0);
            return indexed
                .fold(first, |best, it| if it.0 > best.0 { it } else { best })
                .1;
        }
        self.candidates.clear();
        self.candidates.extend(indexed);
        // Ties go to the lower id, so that a seed means one text.
        let likelier = |a: &(f32, u32), b: &(f32, u32)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if let Some(keep) = options.top_k.filter(|keep| *keep < self.candidates.len()) {
            self.candidates.select_nth_unstable_by(keep, likelier);
            self.candidates.truncate(keep);
        }
        self.candidates.sort_unstable_by(likelier);
        let most = self.candidates.first().map_or(0.0, |it| it.0);
        let weight = |it: &(f32, u32)| (f64::from(it.0 - most) / options.temperature).exp();
        let total: f64 = self.candidates.iter().map(weight).sum();
        if options.top_p < 1.0 {
            let mut sum = 0.0;
            let keep = self.candidates.iter().position(|it| {
                sum += weight(it);
                sum >= options.top_p * total
            });
            self.candidates.truncate(keep.map_or(usize::MAX, |last| last + 1));
        }
        let total: f64 = self.candidates.iter().map(weight).sum();
        let mut left = rng.unit() * total;
        for it in &self.candidates {
            left -= weight(it);
            if left < 0.0 {
                return it.1;
            }
        }
        self.candidates.last().map_or(0, |it| it.1)
    }
}

/// Text on its way out. What may be the beginning of a stop text is held back.
struct TextStream<'a> {
    stop: &'a [String],
    /// All text pushed.
    seen: String,
    /// Text that may be told: everything up to `ready`.
    said: String,
    ready: usize,
    told: usize,
}

impl<'a> TextStream<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self {
            stop,
            seen: String::new(),
            said: String::new(),
            ready: 0,
            told: 0,
        }
    }

    /// Takes in text. Tells if a stop text is complete; the text then ends before it.
    fn push(&mut self, piece: &str) -> bool {
        self.seen.push_str(piece);
        self.said.push_str(piece);
        // Only what is not ready yet can hold the beginning of a stop text.
        let found = self
            .stop
            .iter()
            .filter_map(|stop| self.said[self.ready..].find(stop.as_str()))
            .min();
        if let Some(at) = found {
            self.said.truncate(self.ready + at);
            self.ready = self.said.len();
            return true;
        }
        let held = self
            .stop
            .iter()
            .map(|stop| longest_beginning(&self.said[self.ready..], stop))
            .max();
        self.ready = self.said.len() - held.unwrap_or(0);
        false
    }

    fn finish(&mut self) {
        self.ready = self.said.len();
    }

    fn emit(&mut self, on_text: &mut dyn FnMut(&str) -> ControlFlow<()>) -> ControlFlow<()> {
        if self.told >= self.ready {
            return ControlFlow::Continue(());
        }
        let piece = &self.said[self.told..self.ready];
        self.told = self.ready;
        on_text(piece)
    }
}

/// Gives the length of the longest end of `text` that `stop` begins with.
fn longest_beginning(text: &str, stop: &str) -> usize {
    (1..stop.len().min(text.len() + 1))
        .rev()
        .find(|&length| stop.is_char_boundary(length) && text.ends_with(&stop[..length]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pushed(stop: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let stop: Vec<String> = stop.iter().map(|it| (*it).to_owned()).collect();
        let mut stream = TextStream::new(&stop);
        let mut told = Vec::new();
        let mut on_text = |text: &str| {
            told.push(text.to_owned());
            ControlFlow::Continue(())
        };
        let mut stopped = false;
        for piece in pieces {
            stopped = stream.push(piece);
            let _ = stream.emit(&mut on_text);
            if stopped {
                break;
            }
        }
        if !stopped {
            stream.finish();
            let _ = stream.emit(&mut on_text);
        }
        (told, stopped)
    }

    #[test]
    fn a_stop_text_is_never_told_even_when_it_comes_in_pieces() {
        assert_eq!(
            pushed(&["END"], &["so E", "N", "D no"]),
            (vec!["so ".to_owned()], true)
        );
        assert_eq!(
            pushed(&["END"], &["so E", "Nough"]),
            (vec!["so ".to_owned(), "ENough".to_owned()], false)
        );
        assert_eq!(
            pushed(&["aab"], &["a", "a", "a", "b"]),
            (vec!["a".to_owned()], true)
        );
        assert_eq!(pushed(&["é!"], &["é", "?"]), (vec!["é?".to_owned()], false));
    }

    #[test]
    fn choices_keep_to_the_limits() {
        let logits = [1.0, 3.0, 2.0, -1.0];
        let mut sampler = Sampler::default();
        let mut rng = Rng::new(1, 1);
        let mut draw = |options: &GenerateOptions| {
            let mut seen: Vec<u32> = (0..300)
                .map(|_| sampler.choose(&logits, options, &mut rng))
                .collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        let options = GenerateOptions {
            temperature: 1.0,
            top_p: 1.0,
            ..GenerateOptions::default()
        };
        assert_eq!(draw(&options), [0, 1, 2, 3]);
        assert_eq!(
            draw(&GenerateOptions {
                top_k: Some(2),
                ..options.clone()
            }),
            [1, 2]
        );
        assert_eq!(
            draw(&GenerateOptions {
                top_p: 0.8,
                ..options.clone()
            }),
            [1, 2]
        );
        assert_eq!(
            draw(&GenerateOptions {
                temperature: 0.0,
                ..options
            }),
            [1]
        );
    }

    #[test]
    fn options_that_cannot_work_are_refused() {
        for options in [
            GenerateOptions {
                temperature: f64::NAN,
                ..GenerateOptions::default()
            },
            GenerateOptions {
                top_p: 0.0,
                ..GenerateOptions::default()
            },
            GenerateOptions {
                top_k: Some(0),
                ..GenerateOptions::default()
            },
            GenerateOptions {
                stop: vec![String::new()],
                ..GenerateOptions::default()
            },
        ] {
            assert!(matches!(options.check(), Err(EngineError::BadRequest { .. })));
        }
    }
}
