//! A Llama-shaped causal language model: the same weights to train with gradients and to run token by token.

mod infer;
pub(crate) mod kernels;
pub(crate) mod ops;

use std::sync::Arc;

use candle_core::{Device, Result, Tensor, Var};

pub(crate) use infer::KvCache;

use crate::config::ModelConfig;
use crate::rng::Rng;
use kernels::Rope;
use ops::AttentionShape;

/// The spread of fresh weights.
///
/// # Source
/// transformers `LlamaConfig.initializer_range`.
const INITIAL_SPREAD: f64 = 0.02;

/// How a weight starts and what becomes of it in training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A matrix with the usual spread.
    Matrix,
    /// A matrix whose product is added to the hidden state: its spread shrinks with the depth, as in GPT-2.
    Residual,
    /// The scale of a normalisation: ones, and never decayed.
    Scale,
}

/// The name and shape of one weight, in the order the model keeps them.
#[derive(Debug, Clone)]
pub(crate) struct WeightSpec {
    /// The name in `model.safetensors`.
    pub(crate) name: String,
    /// The lengths of its sides.
    pub(crate) shape: Vec<usize>,
    pub(crate) kind: Kind,
}

impl WeightSpec {
    /// Tells if weight decay applies.
    pub(crate) fn decays(&self) -> bool {
        self.kind != Kind::Scale
    }

    /// Gives the number of elements.
    pub(crate) fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Lists the weights of a model.
///
/// # Source
/// transformers `models/llama/modeling_llama.py`: the names of `LlamaForCausalLM`'s parameters.
pub(crate) fn weight_specs(config: &ModelConfig) -> Vec<WeightSpec> {
    let hidden = config.hidden_size;
    let queries = config.num_attention_heads * config.head_dim;
    let keys = config.num_key_value_heads * config.head_dim;
    let inner = config.intermediate_size;
    let spec = |name: String, shape: &[usize], kind| WeightSpec {
        name,
        shape: shape.to_vec(),
        kind,
    };
    let mut specs = vec![spec(
        "model.embed_tokens.weight".into(),
        &[config.vocab_size, hidden],
        Kind::Matrix,
    )];
    for layer in 0..config.num_hidden_layers {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        specs.extend([
            spec(name("input_layernorm"), &[hidden], Kind::Scale),
            spec(name("self_attn.q_proj"), &[queries, hidden], Kind::Matrix),
            spec(name("self_attn.k_proj"), &[keys, hidden], Kind::Matrix),
            spec(name("self_attn.v_proj"), &[keys, hidden], Kind::Matrix),
            spec(name("self_attn.o_proj"), &[hidden, queries], Kind::Residual),
            spec(name("post_attention_layernorm"), &[hidden], Kind::Scale),
            spec(name("mlp.gate_proj"), &[inner, hidden], Kind::Matrix),
            spec(name("mlp.up_proj"), &[inner, hidden], Kind::Matrix),
            spec(name("mlp.down_proj"), &[hidden, inner], Kind::Residual),
        ]);
    }
    specs.push(spec("model.norm.weight".into(), &[hidden], Kind::Scale));
    if !config.tie_word_embeddings {
        specs.push(spec(
            "lm_head.weight".into(),
            &[config.vocab_size, hidden],
            Kind::Matrix,
        ));
    }
    specs
}

/// Makes the weights an untrained model starts with.
pub(crate) fn initial_weights(config: &ModelConfig, seed: u64) -> Vec<Vec<f32>> {
    let residual = INITIAL_SPREAD / (2.0 * config.num_hidden_layers as f64).sqrt();
    weight_specs(config)
        .iter()
        .enumerate()
        .map(|(index, spec)| {
            let mut rng = Rng::new(seed, 1 + index as u64);
            let spread = match spec.kind {
                Kind::Matrix => INITIAL_SPREAD,
                Kind::Residual => residual,
                Kind::Scale => return vec![1.0; spec.elements()],
            };
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to single precision is meant"
            )]
            (0..spec.elements())
                .map(|_| (rng.normal() * spread) as f32)
                .collect()
        })
        .collect()
}

#[derive(Debug)]
struct Layer {
    input_norm: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    output: Tensor,
    post_norm: Tensor,
    gate: Tensor,
    up: Tensor,
    down: Tensor,
}

/// A batch of token sequences of one length.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// Number of sequences.
    pub(crate) sequences: usize,
    /// Tokens in each.
    pub(crate) length: usize,
    /// The tokens, sequence after sequence.
    pub(crate) ids: Arc<[u32]>,
    /// For each token, where its document starts within the sequence.
    pub(crate) starts: Arc<[u32]>,
    /// Which tokens' successors are learned.
    pub(crate) rows: Arc<[u32]>,
    /// Those successors.
    pub(crate) targets: Arc<[u32]>,
}

/// The model.
#[derive(Debug)]
pub(crate) struct Llama {
    config: ModelConfig,
    embed: Tensor,
    layers: Vec<Layer>,
    norm: Tensor,
    head: Tensor,
    rope: Arc<Rope>,
    eps: f32,
}

impl Llama {
    /// Puts a model together from its weights, in the order of [`weight_specs`].
    pub(crate) fn new(config: &ModelConfig, weights: &[Tensor], positions: usize) -> Result<Self> {
        ops::multiply_on_one_thread();
        let mut weights = weights.iter().cloned();
        let mut next = || {
            weights
                .next()
                .ok_or_else(|| candle_core::Error::Msg("a weight is missing".to_owned()))
        };
        let embed = next()?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for _ in 0..config.num_hidden_layers {
            layers.push(Layer {
                input_norm: next()?,
                query: next()?,
                key: next()?,
                value: next()?,
                output: next()?,
                post_norm: next()?,
                gate: next()?,
                up: next()?,
                down: next()?,
            });
        }
        let norm = next()?;
        let head = if config.tie_word_embeddings {
            embed.clone()
        } else {
            next()?
        };
        #[expect(
            clippy::cast_possible_truncation,
            reason = "rounding to single precision is meant"
        )]
        let eps = config.rms_norm_eps as f32;
        let rope = Arc::new(Rope::new(config.head_dim, config.rope_theta, positions));
        Ok(Self {
            config: config.clone(),
            embed,
            layers,
            norm,
            head,
            rope,
            eps,
        })
    }

    /// Gives the hidden state after the last normalisation.
    ///
    /// # Shape
    /// Tokens by hidden size.
    fn hidden(&self, batch: &Batch, with_gradient: bool) -> Result<Tensor> {
        let shape = AttentionShape {
            batch: batch.sequences,
            length: batch.length,
            heads: self.config.num_attention_heads,
            kv_heads: self.config.num_key_value_heads,
            head_dim: self.config.head_dim,
            starts: Arc::clone(&batch.starts),
            rope: Arc::clone(&self.rope),
        };
        let mut x = ops::pick_rows(&self.embed, Arc::clone(&batch.ids))?;
        for layer in &self.layers {
            let normed = ops::rms_norm(&x, &layer.input_norm, self.eps)?;
            let q = ops::linear(&normed, &layer.query)?;
            let k = ops::linear(&normed, &layer.key)?;
            let v = ops::linear(&normed, &layer.value)?;
            let seen = ops::attention(&q, &k, &v, shape.clone(), with_gradient)?;
            x = (x + ops::linear(&seen, &layer.output)?)?;
            let normed = ops::rms_norm(&x, &layer.post_norm, self.eps)?;
            let gate = ops::linear(&normed, &layer.gate)?;
            let up = ops::linear(&normed, &layer.up)?;
            x = (x + ops::linear(&ops::swiglu(&gate, &up)?, &layer.down)?)?;
        }
        ops::rms_norm(&x, &self.norm, self.eps)
    }

    /// Gives the loss of a batch: summed over the learned tokens, times `scale`.
    pub(crate) fn loss(&self, batch: &Batch, scale: f32, with_gradient: bool) -> Result<Tensor> {
        let hidden = self.hidden(batch, with_gradient)?;
        let picked = ops::pick_rows(&hidden, Arc::clone(&batch.rows))?;
        let logits = ops::linear(&picked, &self.head)?;
        ops::cross_entropy(&logits, Arc::clone(&batch.targets), scale, with_gradient)
    }

    /// Gives the logits of every token of one text, without a cache.
    ///
    /// # Shape
    /// Tokens by vocabulary.
    pub(crate) fn logits(&self, ids: &[u32]) -> Result<Tensor> {
        let batch = Batch {
            sequences: 1,
            length: ids.len(),
            ids: Arc::from(ids),
            starts: vec![0; ids.len()].into(),
            rows: Arc::from([]),
            targets: Arc::from([]),
        };
        ops::linear(&self.hidden(&batch, false)?, &self.head)
    }
}

/// Makes tensors of weights.
pub(crate) fn tensors(specs: &[WeightSpec], weights: Vec<Vec<f32>>) -> Result<Vec<Tensor>> {
    specs
        .iter()
        .zip(weights)
        .map(|(spec, weights)| Tensor::from_vec(weights, spec.shape.as_slice(), &Device::Cpu))
        .collect()
}

/// Makes trainable variables of weights.
pub(crate) fn variables(specs: &[WeightSpec], weights: Vec<Vec<f32>>) -> Result<Vec<Var>> {
    tensors(specs, weights)?.iter().map(Var::from_tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn the_weights_are_as_many_as_the_shape_says() {
        for preset in [Preset::Tiny, Preset::Small, Preset::Base] {
            let mut config = ModelConfig::preset(preset);
            for tied in [true, false] {
                config.tie_word_embeddings = tied;
                let elements: usize = weight_specs(&config).iter().map(WeightSpec::elements).sum();
                assert_eq!(elements as u64, config.parameters());
            }
        }
    }

    #[test]
    fn every_weight_gets_a_gradient() {
        let config = ModelConfig::preset(Preset::Tiny);
        let specs = weight_specs(&config);
        let vars = variables(&specs, initial_weights(&config, 1)).unwrap();
        let weights: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let model = Llama::new(&config, &weights, 8).unwrap();
        let batch = Batch {
            sequences: 2,
            length: 4,
            ids: Arc::from([1, 2, 3, 4, 5, 6, 7, 8]),
            starts: Arc::from([0, 0, 0, 0, 0, 0, 2, 2]),
            rows: Arc::from([0, 1, 2, 6]),
            targets: Arc::from([2, 3, 4, 8]),
        };
        let loss = model.loss(&batch, 0.25, true).unwrap();
        // An untrained model knows nothing: its loss is that of a guess.
        assert!((loss.to_scalar::<f32>().unwrap() - (config.vocab_size as f32).ln()).abs() < 0.2);
        let grads = loss.backward().unwrap();
        for (spec, var) in specs.iter().zip(&vars) {
            let gradient = grads
                .get(var)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap();
            assert_eq!(gradient.len(), spec.elements(), "{}", spec.name);
            assert!(
                gradient.iter().any(|value| value.abs() > 1e-9),
                "{} learns nothing",
                spec.name
            );
        }
    }
}
