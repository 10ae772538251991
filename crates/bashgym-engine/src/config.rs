//! What can be chosen: the model's shape and the way it is trained.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::error::{EngineError, Result};
use crate::tokenizer::MIN_VOCAB_SIZE;

/// A named model shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// For tests: trains in seconds and learns little.
    Tiny,
    /// The default: a minute or two on two cores.
    #[default]
    Small,
    /// For more data and more patience: several times the work of `small`.
    Base,
}

impl Preset {
    /// Gives the preset of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "tiny" => Some(Self::Tiny),
            "small" => Some(Self::Small),
            "base" => Some(Self::Base),
            _ => None,
        }
    }
}

/// The shape of a Llama model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelConfig {
    /// Number of tokens in the vocabulary.
    pub vocab_size: usize,
    /// Width of the hidden state.
    pub hidden_size: usize,
    /// Width inside the feed-forward part.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Number of attention heads.
    pub num_attention_heads: usize,
    /// Number of key and value heads; fewer than the attention heads means they are shared.
    pub num_key_value_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// The longest text the model is meant for, in tokens.
    pub max_position_embeddings: usize,
    /// Base of the rotary position angles.
    pub rope_theta: f64,
    /// Added under the root of the normalisation.
    pub rms_norm_eps: f64,
    /// Whether the output layer shares the embedding's weights.
    pub tie_word_embeddings: bool,
}

impl ModelConfig {
    /// Gives the shape of a preset.
    pub fn preset(preset: Preset) -> Self {
        let (vocab_size, hidden_size, intermediate_size, layers, heads, kv_heads, context) = match preset {
            Preset::Tiny => (320, 48, 96, 2, 4, 2, 64),
            Preset::Small => (2048, 192, 512, 4, 6, 3, 512),
            Preset::Base => (4096, 320, 896, 6, 10, 5, 1024),
        };
        Self {
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers: layers,
            num_attention_heads: heads,
            num_key_value_heads: kv_heads,
            head_dim: hidden_size / heads,
            max_position_embeddings: context,
            rope_theta: 10_000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: true,
        }
    }

    /// Gives the number of weights.
    pub fn parameters(&self) -> u64 {
        let wide = |a: usize, b: usize| a as u64 * b as u64;
        let attention = 2 * wide(self.hidden_size, self.num_attention_heads * self.head_dim)
            + 2 * wide(self.hidden_size, self.num_key_value_heads * self.head_dim);
        let layer =
            attention + 3 * wide(self.hidden_size, self.intermediate_size) + 2 * self.hidden_size as u64;
        let embeddings = if self.tie_word_embeddings { 1 } else { 2 };
        embeddings * wide(self.vocab_size, self.hidden_size)
            + layer * self.num_hidden_layers as u64
            + self.hidden_size as u64
    }

    /// Checks that the numbers fit together and are of a size this engine is for.
    ///
    /// # Errors
    /// Says which number cannot work.
    pub(crate) fn check(&self) -> Result<(), (&'static str, String)> {
        let within = |name: &'static str, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                Ok(())
            } else {
                Err((name, format!("{value} is not within {low} to {high}")))
            }
        };
        within("vocab_size", self.vocab_size, 1, 1 << 20)?;
        within("hidden_size", self.hidden_size, 1, 1 << 15)?;
        within("intermediate_size", self.intermediate_size, 1, 1 << 17)?;
        within("num_hidden_layers", self.num_hidden_layers, 1, 256)?;
        within("num_attention_heads", self.num_attention_heads, 1, 512)?;
        within(
            "num_key_value_heads",
            self.num_key_value_heads,
            1,
            self.num_attention_heads,
        )?;
        within("head_dim", self.head_dim, 2, 1024)?;
        within(
            "max_position_embeddings",
            self.max_position_embeddings,
            8,
            1 << 22,
        )?;
        if !self.num_attention_heads.is_multiple_of(self.num_key_value_heads) {
            return Err((
                "num_key_value_heads",
                "it must divide the number of attention heads".to_owned(),
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(("head_dim", "it must be even".to_owned()));
        }
        if !(self.rope_theta.is_finite() && self.rope_theta > 1.0) {
            return Err(("rope_theta", format!("{} is not a usable base", self.rope_theta)));
        }
        if !(self.rms_norm_eps.is_finite() && self.rms_norm_eps >= 0.0) {
            return Err(("rms_norm_eps", format!("{} is not usable", self.rms_norm_eps)));
        }
        Ok(())
    }

    /// Gives the `config.json` that transformers reads.
    ///
    /// # Source
    /// transformers `models/llama/configuration_llama.py`.
    pub(crate) fn to_hub_json(&self, start_id: u32, end_id: u32, pad_id: u32) -> Value {
        json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": false,
            "attention_dropout": 0.0,
            "bos_token_id": start_id,
            "eos_token_id": end_id,
            "pad_token_id": pad_id,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": false,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "pretraining_tp": 1,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": null,
            "rope_theta": self.rope_theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "use_cache": true,
            "vocab_size": self.vocab_size,
        })
    }

    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`EngineError::BadModel`] if it is missing, broken, of another architecture, or asks for what this engine lacks.
    pub fn load(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(EngineError::io("read", path))?;
        let value: Map<String, Value> = serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::bad_model(path, format!("not a JSON object: {error}")))?;
        Self::from_hub_json(&value).map_err(|why| EngineError::bad_model(path, why))
    }

    fn from_hub_json(value: &Map<String, Value>) -> Result<Self, String> {
        let model_type = value
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        if model_type != "llama" {
            return Err(format!(
                "its architecture is `{model_type}`, and this engine runs `llama`"
            ));
        }
        for bias in ["attention_bias", "mlp_bias"] {
            if value.get(bias).and_then(Value::as_bool) == Some(true) {
                return Err(format!("it asks for `{bias}`, which this engine lacks"));
            }
        }
        let act = value.get("hidden_act").and_then(Value::as_str).unwrap_or("silu");
        if act != "silu" {
            return Err(format!("its `hidden_act` is `{act}`, and this engine has `silu`"));
        }
        let rope = value.get("rope_parameters").and_then(Value::as_object);
        let scaling = value.get("rope_scaling").and_then(Value::as_object);
        for settings in [rope, scaling].into_iter().flatten() {
            let kind = settings
                .get("rope_type")
                .or_else(|| settings.get("type"))
                .and_then(Value::as_str);
            if !matches!(kind, None | Some("default")) {
                return Err(format!(
                    "its rope scaling `{}` is not supported",
                    kind.unwrap_or_default()
                ));
            }
        }
        let whole = |key: &'static str| -> Result<Option<usize>, String> {
            match value.get(key) {
                None | Some(Value::Null) => Ok(None),
                Some(number) => number
                    .as_u64()
                    .and_then(|number| usize::try_from(number).ok())
                    .map(Some)
                    .ok_or_else(|| format!("`{key}` is not a whole number")),
            }
        };
        let needed = |key: &'static str| whole(key)?.ok_or_else(|| format!("`{key}` is missing"));
        let hidden_size = needed("hidden_size")?;
        let heads = needed("num_attention_heads")?;
        let config = Self {
            vocab_size: needed("vocab_size")?,
            hidden_size,
            intermediate_size: needed("intermediate_size")?,
            num_hidden_layers: needed("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: whole("num_key_value_heads")?.unwrap_or(heads),
            head_dim: whole("head_dim")?.unwrap_or(hidden_size / heads.max(1)),
            max_position_embeddings: whole("max_position_embeddings")?.unwrap_or(2048),
            rope_theta: rope
                .and_then(|rope| rope.get("rope_theta"))
                .or_else(|| value.get("rope_theta"))
                .and_then(Value::as_f64)
                .unwrap_or(10_000.0),
            rms_norm_eps: value.get("rms_norm_eps").and_then(Value::as_f64).unwrap_or(1e-6),
            tie_word_embeddings: value
                .get("tie_word_embeddings")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        };
        config.check().map_err(|(key, why)| format!("`{key}`: {why}"))?;
        Ok(config)
    }
}

/// How a model is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// The model's shape. `vocab_size` is what the tokenizer may learn at most.
    pub model: ModelConfig,
    /// Decides the initial weights and the order of the data.
    pub seed: u64,
    /// Tokens in one training sequence; at most the model's context.
    pub sequence_length: usize,
    /// Sequences in one optimiser step.
    pub batch_size: usize,
    /// Sequences that go through the model at once on one thread; the rest of the batch is accumulated.
    pub micro_batch_size: usize,
    /// Passes over the data, unless `max_tokens` or `max_steps` end the run before.
    pub epochs: f64,
    /// Tokens to train on at most, repeats included, if given.
    pub max_tokens: Option<u64>,
    /// Optimiser steps at most, if given.
    pub max_steps: Option<u64>,
    /// Seconds to train at most, if given. The learning rate then follows the time where that runs out first, so the
    /// weights depend on the machine's speed.
    pub max_seconds: Option<f64>,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// The share of `learning_rate` that is left at the end.
    pub final_learning_rate_share: f64,
    /// The share of the run in which the learning rate rises.
    pub warmup_share: f64,
    /// `AdamW`'s first momentum.
    pub adam_beta1: f64,
    /// `AdamW`'s second momentum.
    pub adam_beta2: f64,
    /// `AdamW`'s guard against a division by zero.
    pub adam_epsilon: f64,
    /// How strongly matrices are drawn to zero.
    pub weight_decay: f64,
    /// The largest length of the whole gradient; longer ones are scaled down.
    pub max_gradient_norm: f64,
    /// Steps between two evaluations; zero chooses about eight over the run.
    pub eval_every_steps: u64,
    /// Validation sequences to measure at most.
    pub eval_max_sequences: usize,
    /// Share of the training sequences that is held out when there is no validation data.
    pub held_out_share: f64,
    /// Steps between two progress events.
    pub log_every_steps: u64,
    /// Steps between two checkpoints; zero means by time only.
    pub checkpoint_every_steps: u64,
    /// Seconds between two checkpoints; zero means by steps only.
    pub checkpoint_every_seconds: f64,
    /// Continue from the newest whole checkpoint in the output folder.
    pub resume: bool,
    /// Threads to train with; zero means one a core. The weights do not depend on it.
    pub threads: usize,
    /// Bytes of memory to use at most; none means what the machine says is free.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes of text the tokenizer learns from at most; more data is sampled.
    pub tokenizer_sample_bytes: u64,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self::preset(Preset::Small)
    }
}

impl TrainConfig {
    /// Gives the way to train a preset.
    pub fn preset(preset: Preset) -> Self {
        let model = ModelConfig::preset(preset);
        let (sequence_length, batch_size, micro_batch_size, epochs, max_tokens, learning_rate) = match preset
        {
            Preset::Tiny => (64, 8, 4, 4.0, 40_000, 5e-3),
            Preset::Small => (256, 8, 4, 10.0, 1_000_000, 3e-3),
            Preset::Base => (512, 8, 2, 4.0, 4_000_000, 1.5e-3),
        };
        Self {
            model,
            seed: 0,
            sequence_length,
            batch_size,
            micro_batch_size,
            epochs,
            max_tokens: Some(max_tokens),
            max_steps: None,
            max_seconds: None,
            learning_rate,
            final_learning_rate_share: 0.1,
            warmup_share: 0.05,
            adam_beta1: 0.9,
            adam_beta2: 0.95,
            adam_epsilon: 1e-8,
            weight_decay: 0.1,
            max_gradient_norm: 1.0,
            eval_every_steps: 0,
            eval_max_sequences: 64,
            held_out_share: 0.1,
            log_every_steps: 1,
            checkpoint_every_steps: 0,
            checkpoint_every_seconds: 30.0,
            resume: true,
            threads: 0,
            memory_limit_bytes: None,
            tokenizer_sample_bytes: 8 * 1024 * 1024,
        }
    }

    /// Checks that the options can work.
    ///
    /// # Errors
    /// [`EngineError::BadConfig`] names the option that cannot.
    pub fn check(&self) -> Result<()> {
        let bad = |option: &'static str, why: String| Err(EngineError::BadConfig { option, why });
        if let Err((option, why)) = self.model.check() {
            return bad(option, why);
        }
        if !self.model.tie_word_embeddings {
            return bad(
                "tie_word_embeddings",
                "models are trained with shared embeddings".to_owned(),
            );
        }
        if self.model.vocab_size < MIN_VOCAB_SIZE {
            return bad("vocab_size", format!("it must be at least {MIN_VOCAB_SIZE}"));
        }
        if !(8..=self.model.max_position_embeddings).contains(&self.sequence_length) {
            let most = self.model.max_position_embeddings;
            return bad(
                "sequence_length",
                format!("{} is not within 8 to {most}", self.sequence_length),
            );
        }
        for (option, value) in [
            ("batch_size", self.batch_size),
            ("micro_batch_size", self.micro_batch_size),
        ] {
            if !(1..=4096).contains(&value) {
                return bad(option, format!("{value} is not within 1 to 4096"));
            }
        }
        if self.threads > 256 {
            return bad("threads", format!("{} is more than 256", self.threads));
        }
        if self.eval_max_sequences == 0 {
            return bad("eval_max_sequences", "it must be at least 1".to_owned());
        }
        let positive: [(&'static str, f64); 5] = [
            ("epochs", self.epochs),
            ("learning_rate", self.learning_rate),
            ("max_gradient_norm", self.max_gradient_norm),
            ("adam_epsilon", self.adam_epsilon),
            ("max_seconds", self.max_seconds.unwrap_or(1.0)),
        ];
        for (option, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                return bad(option, format!("{value} is not above zero"));
            }
        }
        let shares: [(&'static str, f64); 6] = [
            ("final_learning_rate_share", self.final_learning_rate_share),
            ("warmup_share", self.warmup_share),
            ("held_out_share", self.held_out_share),
            ("weight_decay", self.weight_decay),
            ("adam_beta1", self.adam_beta1),
            ("adam_beta2", self.adam_beta2),
        ];
        for (option, value) in shares {
            if !(0.0..1.0).contains(&value) {
                return bad(option, format!("{value} is not within 0 to 1, 1 excluded"));
            }
        }
        if !(self.checkpoint_every_seconds.is_finite() && self.checkpoint_every_seconds >= 0.0) {
            let value = self.checkpoint_every_seconds;
            return bad(
                "checkpoint_every_seconds",
                format!("{value} is not a length of time"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presets_are_sound() {
        for preset in [Preset::Tiny, Preset::Small, Preset::Base] {
            TrainConfig::preset(preset).check().unwrap();
        }
    }

    #[test]
    fn config_json_survives_the_round_trip() {
        let config = ModelConfig::preset(Preset::Base);
        let Value::Object(json) = config.to_hub_json(1, 2, 0) else {
            panic!("not an object")
        };
        assert_eq!(ModelConfig::from_hub_json(&json).unwrap(), config);
    }

    #[test]
    fn what_the_engine_lacks_is_refused_by_name() {
        let Value::Object(good) = ModelConfig::preset(Preset::Tiny).to_hub_json(1, 2, 0) else {
            panic!()
        };
        for (key, value, word) in [
            ("model_type", json!("qwen2"), "qwen2"),
            ("attention_bias", json!(true), "attention_bias"),
            ("hidden_act", json!("gelu"), "gelu"),
            ("rope_scaling", json!({"rope_type": "yarn"}), "yarn"),
            ("num_attention_heads", json!(0), "num_attention_heads"),
            ("num_key_value_heads", json!(3), "num_key_value_heads"),
            ("vocab_size", json!(-1), "vocab_size"),
            ("hidden_size", json!(9_999_999_999_u64), "hidden_size"),
        ] {
            let mut json = good.clone();
            json.insert(key.to_owned(), value);
            let why = ModelConfig::from_hub_json(&json).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }
}
