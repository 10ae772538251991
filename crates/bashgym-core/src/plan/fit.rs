//! What a training needs in memory, and what a flavor has.
//!
//! # Source
//! Bytes a weight: `PyTorch`'s `AdamW` keeps two numbers of the weight's own type; bitsandbytes' NF4 with double quantisation
//! takes 4.13 bits; peft keeps adapters in 32 bits. Activations of a transformer layer: Korthikanti et al. 2022, "Reducing
//! Activation Recomputation", with a fused attention. The estimate has not been held against a GPU here.

use hf_jobs::JobHardware;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::trainer::{Method, Recipe, TrlOptions};

/// CUDA's own, and what lies unused between tensors.
const CONTEXT_BYTES: u64 = 1_200_000_000;
const FRAGMENTATION: f64 = 1.08;
const NF4_BYTES: f64 = 0.52;

/// The numbers of a `config.json` that memory depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelShape {
    /// Width of the model.
    pub hidden: u64,
    /// Width inside a layer's feed-forward part.
    pub intermediate: u64,
    /// Layers.
    pub layers: u64,
    /// Tokens in the vocabulary.
    pub vocabulary: u64,
    /// Numbers of a key, and of a value, over all heads.
    pub key_value: u64,
    /// Whether input and output share the embedding.
    pub tied: bool,
}

impl ModelShape {
    /// Reads a `config.json`; none if it lacks what is needed.
    ///
    /// # Source
    /// transformers 5.23, `configuration_llama.py` and its kin; models that also see have it under `text_config`.
    pub fn from_config(config: &Value) -> Option<Self> {
        let inner = config
            .get("text_config")
            .filter(|inner| inner.is_object())
            .unwrap_or(config);
        let number = |names: &[&str]| names.iter().find_map(|name| inner.get(*name)?.as_u64());
        let hidden = number(&["hidden_size", "n_embd", "d_model"])?;
        let heads = number(&["num_attention_heads", "n_head"])?.max(1);
        let head = number(&["head_dim"]).unwrap_or(hidden / heads);
        let tied = [inner, config]
            .iter()
            .find_map(|config| config.get("tie_word_embeddings")?.as_bool())
            .unwrap_or(false);
        Some(Self {
            hidden,
            intermediate: number(&["intermediate_size", "n_inner"]).unwrap_or(4 * hidden),
            layers: number(&["num_hidden_layers", "n_layer"])?,
            vocabulary: number(&["vocab_size"])?,
            key_value: number(&["num_key_value_heads"]).unwrap_or(heads) * head,
            tied,
        })
    }

    /// Weights of the linear layers, those of one layer times the layers.
    fn linear(&self) -> u64 {
        let attention = 2 * self.hidden * self.hidden + 2 * self.hidden * self.key_value;
        self.layers * (attention + 3 * self.hidden * self.intermediate)
    }

    fn embeddings(&self) -> u64 {
        self.vocabulary * self.hidden * if self.tied { 1 } else { 2 }
    }

    /// All weights, if the model is of the usual build.
    pub fn parameters(&self) -> u64 {
        self.linear() + self.embeddings() + (2 * self.layers + 1) * self.hidden
    }

    /// Weights of adapters of a rank beside all linear layers.
    pub fn adapter_parameters(&self, rank: u64) -> u64 {
        let sides =
            4 * self.hidden + 2 * (self.hidden + self.key_value) + 3 * (self.hidden + self.intermediate);
        self.layers * rank * sides
    }
}

/// What the memory of a training goes to.
///
/// # Units
/// Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// The model's weights, a frozen reference included.
    pub weights_bytes: u64,
    /// Gradients.
    pub gradients_bytes: u64,
    /// The optimiser's memory.
    pub optimizer_bytes: u64,
    /// What the forward pass leaves for the backward pass.
    pub activations_bytes: u64,
    /// The runtime's own, and gaps.
    pub overhead_bytes: u64,
    /// All together.
    pub total_bytes: u64,
}

/// Estimates the memory of a training on an accelerator, or on processors, which compute in 32 bits.
pub fn estimate_memory(
    parameters: u64,
    shape: &ModelShape,
    options: &TrlOptions,
    accelerator: bool,
) -> MemoryEstimate {
    let number = if accelerator { 2 } else { 4 };
    let trained = match options.method {
        Method::Full => parameters,
        Method::Lora | Method::Qlora => shape.adapter_parameters(u64::from(options.lora_rank)),
    };
    let trained_bytes = if options.method == Method::Full { number } else { 4 };
    let frozen = match options.method {
        Method::Full => 0,
        Method::Lora => parameters * number,
        Method::Qlora => {
            let linear = shape.linear().min(parameters);
            bytes(linear as f64 * NF4_BYTES) + (parameters - linear) * number
        }
    };
    // Preference training of all weights compares with a frozen copy.
    let reference = match (options.recipe, options.method) {
        (Recipe::Dpo, Method::Full) => parameters * number,
        _ => 0,
    };
    let weights_bytes = frozen + reference + trained * trained_bytes;
    let gradients_bytes = trained * trained_bytes;
    let optimizer_bytes = 2 * trained * trained_bytes;
    let activations_bytes = activations(shape, options, number);
    let known = weights_bytes + gradients_bytes + optimizer_bytes + activations_bytes;
    let context = if accelerator {
        CONTEXT_BYTES
    } else {
        CONTEXT_BYTES / 2
    };
    let overhead_bytes = context + bytes(known as f64 * (FRAGMENTATION - 1.0));
    MemoryEstimate {
        weights_bytes,
        gradients_bytes,
        optimizer_bytes,
        activations_bytes,
        overhead_bytes,
        total_bytes: known + overhead_bytes,
    }
}

fn activations(shape: &ModelShape, options: &TrlOptions, number: u64) -> u64 {
    let rows = match options.recipe {
        Recipe::Sft | Recipe::Distillation => u64::from(options.batch_size),
        // Both completions go through at once.
        Recipe::Dpo => 2 * u64::from(options.batch_size),
        Recipe::Grpo => u64::from(options.generations),
    };
    let tokens = rows * u64::from(options.sequence_length);
    // One number of the model's width a layer is kept; one layer at a time is computed again.
    let kept = shape.layers * tokens * shape.hidden * number;
    let layer = tokens * (8 * shape.hidden + 4 * shape.key_value + 4 * shape.intermediate) * number;
    // Logits in the model's type, and in 32 bits with their gradient.
    let logits = tokens * shape.vocabulary * (number + 8);
    let cache = if options.recipe == Recipe::Grpo {
        tokens * shape.layers * 2 * shape.key_value * number
    } else {
        0
    };
    kept + layer + logits + cache
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a size that was positive stays so"
)]
fn bytes(number: f64) -> u64 {
    number as u64
}

/// Reads a size as the Hub writes it: `24 GB`, `3 TB`.
///
/// # Units
/// Bytes. A GB counts as 10^9, so that a flavor never promises more than it has.
pub fn memory_bytes(text: Option<&str>) -> Option<u64> {
    let (number, unit) = text?.trim().split_once(' ')?;
    let number: f64 = number.replace(',', "").parse().ok()?;
    let factor = match unit.trim().to_ascii_uppercase().as_str() {
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return None,
    };
    (number.is_finite() && number > 0.0).then(|| bytes(number * factor))
}

/// Memory of one accelerator of a flavor; the Hub gives that of all together.
pub fn accelerator_bytes(flavor: &JobHardware) -> Option<u64> {
    let accelerator = flavor.accelerator.as_ref()?;
    Some(memory_bytes(accelerator.vram.as_deref())? / accelerator.quantity.unwrap_or(1).max(1))
}

/// Memory that one process can train in: of one accelerator, or of the machine where there is none.
pub fn device_bytes(flavor: &JobHardware) -> Option<u64> {
    match &flavor.accelerator {
        Some(_) => accelerator_bytes(flavor),
        None => memory_bytes(flavor.ram.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn qwen_half_billion() -> ModelShape {
        ModelShape::from_config(&json!({
            "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
            "num_key_value_heads": 2, "vocab_size": 151_936, "tie_word_embeddings": true
        }))
        .unwrap()
    }

    #[test]
    fn weights_follow_from_the_configuration() {
        // Qwen2.5-0.5B has 494,032,768 weights; its attention biases are not counted here.
        let parameters = qwen_half_billion().parameters();
        assert!((493_900_000..494_100_000).contains(&parameters), "{parameters}");
    }

    #[test]
    fn the_text_part_of_a_seeing_model_is_read() {
        let outer = json!({"text_config": {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
            "vocab_size": 100}, "tie_word_embeddings": true});
        let shape = ModelShape::from_config(&outer).unwrap();
        assert_eq!((shape.hidden, shape.intermediate, shape.tied), (64, 256, true));
        assert_eq!(ModelShape::from_config(&json!({"hidden_size": 64})), None);
    }

    #[test]
    fn less_is_trained_in_less_memory() {
        let shape = ModelShape::from_config(&json!({
            "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
            "num_key_value_heads": 8, "vocab_size": 128_256, "tie_word_embeddings": false
        }))
        .unwrap();
        let total = |method, batch| {
            let mut options = TrlOptions::new(Recipe::Sft, "a/b");
            (options.method, options.batch_size) = (method, batch);
            estimate_memory(shape.parameters(), &shape, &options, true).total_bytes
        };
        let (full, lora, qlora) = (
            total(Method::Full, 1),
            total(Method::Lora, 1),
            total(Method::Qlora, 1),
        );
        assert!(qlora < lora && lora < full, "{qlora} {lora} {full}");
        assert!(total(Method::Lora, 4) > lora);
        // Eight billion weights: all of them need about 64 GB before activations, adapters about 16, four bits about 6.
        assert!((64_000_000_000..80_000_000_000).contains(&full), "{full}");
        assert!((17_000_000_000..24_000_000_000).contains(&lora), "{lora}");
        assert!((6_000_000_000..13_000_000_000).contains(&qlora), "{qlora}");
    }

    #[test]
    fn sizes_are_read_and_shared_by_accelerators() {
        assert_eq!(memory_bytes(Some("24 GB")), Some(24_000_000_000));
        assert_eq!(memory_bytes(Some("1.5 TB")), Some(1_500_000_000_000));
        for unknown in ["24", "24 GiBi", "much", "-1 GB"] {
            assert_eq!(memory_bytes(Some(unknown)), None, "{unknown}");
        }
        let flavor: JobHardware = serde_json::from_value(json!({"name": "l4x4", "ram": "186 GB",
            "accelerator": {"type": "gpu", "quantity": "4", "vram": "96 GB"}}))
        .unwrap();
        assert_eq!(device_bytes(&flavor), Some(24_000_000_000));
        let cpu: JobHardware = serde_json::from_value(json!({"name": "cpu-basic", "ram": "16 GB"})).unwrap();
        assert_eq!(device_bytes(&cpu), Some(16_000_000_000));
    }
}
