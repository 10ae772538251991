//! BERT's own numbers.

use std::path::Path;

use candle_core::{D, DType, Device, Tensor};
use serde_json::Value;

use crate::error::Result;
use crate::files::read_weights;
use crate::model::{Kind, WeightSpec, ops};

/// The shape of a BERT model.
///
/// # Source
/// transformers `models/bert/configuration_bert.py`.
#[derive(Debug, Clone)]
pub(super) struct BertConfig {
    pub(super) vocab_size: usize,
    pub(super) max_position_embeddings: usize,
    pub(super) labels: Vec<String>,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    type_vocab_size: usize,
    layer_norm_eps: f64,
    activation: Activation,
}

#[derive(Debug, Clone, Copy)]
enum Activation {
    Gelu,
    GeluTanh,
    Relu,
}

impl BertConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// Says what is missing, or what this engine lacks.
    pub(super) fn from_hub_json(json: &Value) -> Result<Self, String> {
        let kind = json
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("unknown");
        if kind != "bert" {
            return Err(format!(
                "its architecture is `{kind}`, and this encoder runs `bert`"
            ));
        }
        if let Some(kind) = json.get("position_embedding_type").and_then(Value::as_str)
            && kind != "absolute"
        {
            return Err(format!(
                "its positions are `{kind}`, and this encoder has `absolute`"
            ));
        }
        let number = |key: &str, most: u64| {
            json.get(key)
                .and_then(Value::as_u64)
                .filter(|it| (1..=most).contains(it))
                .and_then(|it| usize::try_from(it).ok())
                .ok_or_else(|| format!("`{key}` is missing or not within 1 to {most}"))
        };
        let (hidden_size, heads) = (
            number("hidden_size", 1 << 14)?,
            number("num_attention_heads", 256)?,
        );
        if !hidden_size.is_multiple_of(heads) {
            return Err("`num_attention_heads` must divide `hidden_size`".to_owned());
        }
        let classifies = json
            .get("architectures")
            .and_then(Value::as_array)
            .is_some_and(|list| list.iter().any(|it| it == "BertForSequenceClassification"));
        let labels = match json.get("id2label").and_then(Value::as_object) {
            _ if !classifies => Vec::new(),
            Some(names) => (0..names.len())
                .map(|id| {
                    names
                        .get(&id.to_string())
                        .and_then(Value::as_str)
                        .map_or_else(|| format!("LABEL_{id}"), str::to_owned)
                })
                .collect(),
            None => vec!["LABEL_0".to_owned(), "LABEL_1".to_owned()],
        };
        Ok(Self {
            vocab_size: number("vocab_size", 1 << 20)?,
            max_position_embeddings: number("max_position_embeddings", 1 << 16)?,
            labels,
            hidden_size,
            intermediate_size: number("intermediate_size", 1 << 16)?,
            num_hidden_layers: number("num_hidden_layers", 128)?,
            num_attention_heads: heads,
            type_vocab_size: number("type_vocab_size", 64)?,
            layer_norm_eps: json
                .get("layer_norm_eps")
                .and_then(Value::as_f64)
                .unwrap_or(1e-12),
            activation: match json.get("hidden_act").and_then(Value::as_str).unwrap_or("gelu") {
                "gelu" => Activation::Gelu,
                "gelu_new" | "gelu_pytorch_tanh" => Activation::GeluTanh,
                "relu" => Activation::Relu,
                other => return Err(format!("its `hidden_act` is `{other}`, which this encoder lacks")),
            },
        })
    }

    fn specs(&self, prefix: &str) -> Vec<WeightSpec> {
        let (hidden, inner) = (self.hidden_size, self.intermediate_size);
        let mut specs = Vec::new();
        let mut add = |name: String, shape: &[usize]| {
            specs.push(WeightSpec {
                name,
                shape: shape.to_vec(),
                kind: Kind::Matrix,
            });
        };
        for (part, rows) in [
            ("word", self.vocab_size),
            ("position", self.max_position_embeddings),
            ("token_type", self.type_vocab_size),
        ] {
            add(
                format!("{prefix}embeddings.{part}_embeddings.weight"),
                &[rows, hidden],
            );
        }
        let mut pair = |name: String, out: usize, width: Option<usize>| {
            let shape: Vec<usize> = [Some(out), width].into_iter().flatten().collect();
            add(format!("{name}.weight"), &shape);
            add(format!("{name}.bias"), &[out]);
        };
        pair(format!("{prefix}embeddings.LayerNorm"), hidden, None);
        for layer in 0..self.num_hidden_layers {
            let at = |part: &str| format!("{prefix}encoder.layer.{layer}.{part}");
            pair(at("attention.self.query"), hidden, Some(hidden));
            pair(at("attention.self.key"), hidden, Some(hidden));
            pair(at("attention.self.value"), hidden, Some(hidden));
            pair(at("attention.output.dense"), hidden, Some(hidden));
            pair(at("attention.output.LayerNorm"), hidden, None);
            pair(at("intermediate.dense"), inner, Some(hidden));
            pair(at("output.dense"), hidden, Some(inner));
            pair(at("output.LayerNorm"), hidden, None);
        }
        if !self.labels.is_empty() {
            pair(format!("{prefix}pooler.dense"), hidden, Some(hidden));
            pair("classifier".to_owned(), self.labels.len(), Some(hidden));
        }
        specs
    }
}

/// A matrix or a scale, and what is added after it.
#[derive(Debug)]
struct Pair {
    weight: Tensor,
    bias: Tensor,
}

impl Pair {
    fn linear(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        ops::linear(x, &self.weight)?.broadcast_add(&self.bias)
    }

    fn norm(&self, x: &Tensor, eps: f64) -> candle_core::Result<Tensor> {
        let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centered.sqr()?.mean_keepdim(D::Minus1)?;
        centered
            .broadcast_div(&(variance + eps)?.sqrt()?)?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}

#[derive(Debug)]
struct Layer {
    query: Pair,
    key: Pair,
    value: Pair,
    attended: Pair,
    attended_norm: Pair,
    inner: Pair,
    output: Pair,
    output_norm: Pair,
}

/// The model.
#[derive(Debug)]
pub(super) struct Bert {
    config: BertConfig,
    words: Tensor,
    positions: Tensor,
    types: Tensor,
    norm: Pair,
    layers: Vec<Layer>,
    head: Option<(Pair, Pair)>,
}

impl Bert {
    /// Reads the weights; their names may begin with `bert.`, as those of a model with a head do.
    pub(super) fn load(path: &Path, config: BertConfig) -> Result<Self> {
        ops::multiply_on_one_thread();
        let plain = config.specs("");
        let (specs, values) = match read_weights(path, &plain) {
            Ok(values) => (plain, values),
            Err(error) => {
                let prefixed = config.specs("bert.");
                let values = read_weights(path, &prefixed)
                    .map_err(|second| if config.labels.is_empty() { error } else { second })?;
                (prefixed, values)
            }
        };
        let mut tensors = crate::model::tensors(&specs, values)?.into_iter();
        let mut one = || {
            tensors
                .next()
                .ok_or_else(|| candle_core::Error::Msg("a weight is missing".to_owned()))
        };
        let (words, positions, types) = (one()?, one()?, one()?);
        let mut pair = || {
            Ok::<_, candle_core::Error>(Pair {
                weight: one()?,
                bias: one()?,
            })
        };
        let norm = pair()?;
        let mut layers = Vec::with_capacity(config.num_hidden_layers);
        for _ in 0..config.num_hidden_layers {
            layers.push(Layer {
                query: pair()?,
                key: pair()?,
                value: pair()?,
                attended: pair()?,
                attended_norm: pair()?,
                inner: pair()?,
                output: pair()?,
                output_norm: pair()?,
            });
        }
        let head = if config.labels.is_empty() {
            None
        } else {
            Some((pair()?, pair()?))
        };
        Ok(Self {
            config,
            words,
            positions,
            types,
            norm,
            layers,
            head,
        })
    }

    /// The hidden size.
    pub(super) fn width(&self) -> usize {
        self.config.hidden_size
    }

    /// The last hidden states, one list a text, the padding at its end.
    ///
    /// # Shape
    /// Texts by (longest text times hidden size).
    pub(super) fn hidden(&self, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let (x, length) = self.run(ids)?;
        Ok(x.reshape((ids.len(), length * self.width()))?.to_vec2()?)
    }

    /// The logits of a classifier.
    pub(super) fn logits(&self, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
        let Some((pooler, classifier)) = &self.head else {
            return Ok(Vec::new());
        };
        let (x, length) = self.run(ids)?;
        let first = x
            .reshape((ids.len(), length, self.width()))?
            .narrow(1, 0, 1)?
            .squeeze(1)?
            .contiguous()?;
        Ok(classifier.linear(&pooler.linear(&first)?.tanh()?)?.to_vec2()?)
    }

    /// # Source
    /// transformers `models/bert/modeling_bert.py`.
    fn run(&self, ids: &[Vec<u32>]) -> candle_core::Result<(Tensor, usize)> {
        let length = ids.iter().map(Vec::len).max().unwrap_or(0);
        let (batch, heads) = (ids.len(), self.config.num_attention_heads);
        let head = self.width() / heads;
        let (mut padded, mut places, mut mask) = (Vec::new(), Vec::new(), Vec::new());
        for ids in ids {
            for (at, place) in (0..length).zip(0_u32..) {
                padded.push(ids.get(at).copied().unwrap_or(0));
                places.push(place);
                mask.push(if at < ids.len() { 0.0 } else { f32::MIN });
            }
        }
        let rows = padded.len();
        let mask = Tensor::from_vec(mask, (batch, 1, 1, length), &Device::Cpu)?;
        let pick = |table: &Tensor, ids: Vec<u32>| {
            table.index_select(&Tensor::from_vec(ids, rows, &Device::Cpu)?, 0)
        };
        let x = ((pick(&self.words, padded)? + pick(&self.positions, places)?)?
            + pick(&self.types, vec![0; rows])?)?;
        let mut x = self.norm.norm(&x, self.config.layer_norm_eps)?;
        let split = |x: Tensor| {
            x.reshape((batch, length, heads, head))?
                .transpose(1, 2)?
                .contiguous()
        };
        for layer in &self.layers {
            let q = split(layer.query.linear(&x)?)?;
            let k = split(layer.key.linear(&x)?)?;
            let v = split(layer.value.linear(&x)?)?;
            let scores = (q.matmul(&k.t()?)? / (head as f64).sqrt())?.broadcast_add(&mask)?;
            let scores = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?)?.exp()?;
            let shares = scores.broadcast_div(&scores.sum_keepdim(D::Minus1)?)?;
            let seen = shares.matmul(&v)?.transpose(1, 2)?.contiguous()?;
            let seen = layer.attended.linear(&seen.reshape((rows, self.width()))?)?;
            x = layer
                .attended_norm
                .norm(&(x + seen)?, self.config.layer_norm_eps)?;
            let inner = layer.inner.linear(&x)?;
            let inner = match self.config.activation {
                Activation::Gelu => inner.gelu_erf()?,
                Activation::GeluTanh => inner.gelu()?,
                Activation::Relu => inner.relu()?,
            };
            x = layer
                .output_norm
                .norm(&(x + layer.output.linear(&inner)?)?, self.config.layer_norm_eps)?;
        }
        Ok((x.to_dtype(DType::F32)?, length))
    }
}
