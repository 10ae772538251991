//! Encoders in the manner of BERT: texts to vectors, and texts to labels.

mod bert;

use std::path::Path;

use serde_json::Value;
use tokenizers::Tokenizer;

use crate::error::{EngineError, Result};
use crate::export::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};
use bert::{Bert, BertConfig};

/// Texts that go through the model at once.
const BATCH: usize = 8;

/// How the vectors of a text's tokens become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pooling {
    Mean,
    First,
    Max,
}

/// A loaded encoder. It can serve several threads at once.
pub struct Encoder {
    model: Bert,
    tokenizer: Tokenizer,
    pooling: Pooling,
    normalizes: bool,
    max_tokens: usize,
    labels: Vec<String>,
}

/// How to make vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EmbedOptions {
    /// Whether vectors get the length 1; none does what the model's folder says.
    pub normalize: Option<bool>,
    /// Refuses a text that is too long instead of cutting it.
    pub refuse_long: bool,
    /// Cuts at the beginning of a text instead of its end.
    pub cut_left: bool,
}

fn read_json(path: &Path) -> Result<Option<Value>> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| EngineError::bad_model(path, format!("not JSON: {error}"))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(EngineError::io("read", path)(error)),
    }
}

impl Encoder {
    /// Loads a model folder: `config.json`, `tokenizer.json`, `model.safetensors`, and what sentence-transformers adds
    /// to them (`modules.json`, `1_Pooling/config.json`, `sentence_bert_config.json`).
    ///
    /// # Errors
    /// [`EngineError::BadModel`] or [`EngineError::Io`] names the file at fault.
    ///
    /// # Source
    /// sentence-transformers, `models/Pooling.py`: without a `modules.json` the mean is taken and nothing is normalised.
    pub fn load(dir: &Path) -> Result<Self> {
        let path = dir.join(CONFIG_FILE);
        let json = read_json(&path)?.ok_or_else(|| EngineError::bad_model(&path, "it is missing"))?;
        let config = BertConfig::from_hub_json(&json).map_err(|why| EngineError::bad_model(&path, why))?;
        let path = dir.join(TOKENIZER_FILE);
        let bytes = std::fs::read(&path).map_err(EngineError::io("read", &path))?;
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|error| EngineError::bad_model(&path, error.to_string()))?;
        tokenizer
            .with_truncation(None)
            .map_err(|error| EngineError::bad_model(&path, error.to_string()))?;
        tokenizer.with_padding(None);
        let highest = tokenizer.get_vocab(true).into_values().max().unwrap_or(0);
        if highest as usize >= config.vocab_size {
            let why = format!(
                "it has a token {highest}, and the model's config says {}",
                config.vocab_size
            );
            return Err(EngineError::bad_model(&path, why));
        }
        let modules = read_json(&dir.join("modules.json"))?;
        let has_module = |name: &str| {
            modules.as_ref().and_then(Value::as_array).is_some_and(|modules| {
                modules
                    .iter()
                    .filter_map(|module| module.get("type").and_then(Value::as_str))
                    .any(|kind| kind.ends_with(name))
            })
        };
        let pooling = read_json(&dir.join("1_Pooling").join(CONFIG_FILE))?;
        let pools = |mode: &str| {
            pooling
                .as_ref()
                .and_then(|it| it.get(format!("pooling_mode_{mode}")))
                == Some(&Value::Bool(true))
        };
        let longest = read_json(&dir.join("sentence_bert_config.json"))?
            .and_then(|it| it.get("max_seq_length").and_then(Value::as_u64))
            .and_then(|it| usize::try_from(it).ok())
            .filter(|it| *it >= 2)
            .unwrap_or(usize::MAX);
        Ok(Self {
            max_tokens: longest.min(config.max_position_embeddings),
            labels: config.labels.clone(),
            model: Bert::load(&dir.join(WEIGHTS_FILE), config)?,
            tokenizer,
            pooling: match () {
                () if pools("cls_token") => Pooling::First,
                () if pools("max_tokens") => Pooling::Max,
                () => Pooling::Mean,
            },
            normalizes: has_module(".Normalize"),
        })
    }

    /// Gives the most tokens of a text that are looked at, markers included.
    pub fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// Gives the labels of a classifier, in order; none for a model that only makes vectors.
    pub fn labels(&self) -> &[String] {
        &self.labels
    }

    /// Gives one vector a text, in order. `is_stopped` is asked between batches.
    ///
    /// # Shape
    /// Texts by hidden size.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] if a text is too long and may not be cut, or the work was stopped.
    pub fn embed(
        &self,
        texts: &[String],
        options: EmbedOptions,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<Vec<f32>>> {
        let normalize = options.normalize.unwrap_or(self.normalizes);
        self.in_batches(texts, options, is_stopped, |ids| {
            let hidden = self.model.hidden(ids)?;
            Ok(hidden
                .iter()
                .zip(ids)
                .map(|(rows, ids)| {
                    let mut vector = pool(rows, ids.len(), self.model.width(), self.pooling);
                    if normalize {
                        scale_to_one(&mut vector);
                    }
                    vector
                })
                .collect())
        })
    }

    /// Gives the logits of all labels, one list a text, in order. `is_stopped` is asked between batches.
    ///
    /// # Shape
    /// Texts by labels.
    ///
    /// # Errors
    /// [`EngineError::BadRequest`] if the model is no classifier, or the work was stopped.
    pub fn classify(&self, texts: &[String], is_stopped: &dyn Fn() -> bool) -> Result<Vec<Vec<f32>>> {
        if self.labels.is_empty() {
            return Err(EngineError::BadRequest {
                why: "this model has no labels".to_owned(),
            });
        }
        self.in_batches(texts, EmbedOptions::default(), is_stopped, |ids| {
            self.model.logits(ids)
        })
    }

    fn in_batches(
        &self,
        texts: &[String],
        options: EmbedOptions,
        is_stopped: &dyn Fn() -> bool,
        run: impl Fn(&[Vec<u32>]) -> Result<Vec<Vec<f32>>>,
    ) -> Result<Vec<Vec<f32>>> {
        let ids: Vec<Vec<u32>> = texts
            .iter()
            .map(|text| self.encode(text, options))
            .collect::<Result<_>>()?;
        // Texts of one length go together: little is padded.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|at| ids[*at].len());
        let mut out = vec![Vec::new(); ids.len()];
        for batch in order.chunks(BATCH) {
            if is_stopped() {
                return Err(EngineError::BadRequest {
                    why: "nobody waits for the answer".to_owned(),
                });
            }
            let of_batch: Vec<Vec<u32>> = batch.iter().map(|at| ids[*at].clone()).collect();
            for (at, row) in batch.iter().zip(run(&of_batch)?) {
                out[*at] = row;
            }
        }
        Ok(out)
    }

    /// The ids of a text with its markers, cut to what the model sees; the markers stay.
    fn encode(&self, text: &str, options: EmbedOptions) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode_fast(text, true)
            .map_err(|error| EngineError::Tokenizer {
                why: error.to_string(),
            })?;
        let mut ids = encoding.get_ids().to_vec();
        let over = ids.len().saturating_sub(self.max_tokens);
        if ids.is_empty() || (over > 0 && options.refuse_long) {
            let why = format!(
                "the text has {} tokens, and the model sees 1 to {}",
                ids.len(),
                self.max_tokens
            );
            return Err(EngineError::BadRequest { why });
        }
        if over > 0 {
            let from = if options.cut_left { 1 } else { ids.len() - 1 - over };
            ids.drain(from..from + over);
        }
        Ok(ids)
    }
}

fn pool(rows: &[f32], tokens: usize, width: usize, pooling: Pooling) -> Vec<f32> {
    let mut rows = rows.chunks_exact(width).take(tokens);
    let mut out = rows.next().unwrap_or_default().to_vec();
    match pooling {
        Pooling::First => {}
        Pooling::Max => {
            for row in rows {
                out.iter_mut().zip(row).for_each(|(out, x)| *out = out.max(*x));
            }
        }
        Pooling::Mean => {
            for row in rows {
                out.iter_mut().zip(row).for_each(|(out, x)| *out += x);
            }
            for x in &mut out {
                *x /= tokens as f32;
            }
        }
    }
    out
}

fn scale_to_one(vector: &mut [f32]) {
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-12);
    for x in vector {
        *x /= length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_become_one_vector_in_each_way() {
        let rows = [1.0, 4.0, 3.0, 0.0, 9.0, 9.0];
        assert_eq!(pool(&rows, 2, 2, Pooling::Mean), [2.0, 2.0]);
        assert_eq!(pool(&rows, 2, 2, Pooling::First), [1.0, 4.0]);
        assert_eq!(pool(&rows, 2, 2, Pooling::Max), [3.0, 4.0]);
        let mut zero = [0.0, 0.0];
        scale_to_one(&mut zero);
        assert!(
            zero.iter().all(|x| x.abs() < f32::MIN_POSITIVE),
            "not a number would be no vector"
        );
    }
}
