//! Running the model token by token, with the keys and values of earlier tokens kept.

use candle_core::{Device, Result, Tensor};

use super::kernels;
use super::ops::{linear, rms_norm, swiglu, with_values};
use super::{Llama, ops};

/// The keys and values of the tokens seen so far.
///
/// # Shape
/// For each layer and key head: tokens by head width, one after the other.
#[derive(Debug)]
pub(crate) struct KvCache {
    layers: Vec<Vec<HeadCache>>,
    length: usize,
}

#[derive(Debug, Default, Clone)]
struct HeadCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl KvCache {
    /// Starts empty.
    pub(crate) fn new(model: &Llama) -> Self {
        let heads = vec![HeadCache::default(); model.config.num_key_value_heads];
        Self {
            layers: vec![heads; model.config.num_hidden_layers],
            length: 0,
        }
    }

    /// Gives the number of tokens kept.
    pub(crate) fn len(&self) -> usize {
        self.length
    }
}

impl Llama {
    /// Takes in more tokens and gives the logits after the last of them.
    pub(crate) fn extend(&self, cache: &mut KvCache, ids: &[u32]) -> Result<Vec<f32>> {
        let before = cache.length;
        if ids.is_empty() || before + ids.len() > self.rope.positions() {
            candle_core::bail!(
                "{} tokens after {before}, and positions for {}",
                ids.len(),
                self.rope.positions()
            );
        }
        let mut x = ops::pick_rows(&self.embed, ids.into())?;
        for (layer, heads) in self.layers.iter().zip(&mut cache.layers) {
            let normed = rms_norm(&x, &layer.input_norm, self.eps)?;
            let q = linear(&normed, &layer.query)?;
            let k = linear(&normed, &layer.key)?;
            let v = linear(&normed, &layer.value)?;
            with_values(&k, |k| with_values(&v, |v| self.remember(heads, k, v, before)))??;
            let seen = with_values(&q, |q| self.look_back(heads, q, before))?;
            let seen = Tensor::from_vec(seen, q.shape(), &Device::Cpu)?;
            x = (x + linear(&seen, &layer.output)?)?;
            let normed = rms_norm(&x, &layer.post_norm, self.eps)?;
            let inner = swiglu(&linear(&normed, &layer.gate)?, &linear(&normed, &layer.up)?)?;
            x = (x + linear(&inner, &layer.down)?)?;
        }
        cache.length = before + ids.len();
        let last = x.narrow(0, ids.len() - 1, 1)?.contiguous()?;
        let logits = linear(&rms_norm(&last, &self.norm, self.eps)?, &self.head)?;
        with_values(&logits, <[f32]>::to_vec)
    }

    fn remember(&self, heads: &mut [HeadCache], keys: &[f32], values: &[f32], before: usize) {
        let (count, width) = (heads.len(), self.config.head_dim);
        let mut turned = vec![0.0; width];
        for (index, (key, value)) in keys
            .chunks_exact(width)
            .zip(values.chunks_exact(width))
            .enumerate()
        {
            let head = &mut heads[index % count];
            self.rope.rotate(key, &mut turned, before + index / count, false);
            head.keys.extend_from_slice(&turned);
            head.values.extend_from_slice(value);
        }
    }

    fn look_back(&self, heads: &[HeadCache], queries: &[f32], before: usize) -> Vec<f32> {
        let (count, width) = (self.config.num_attention_heads, self.config.head_dim);
        let group = count / heads.len();
        let scale = 1.0 / (width as f32).sqrt();
        let mut out = vec![0.0; queries.len()];
        let mut turned = vec![0.0; width];
        let mut shares = Vec::new();
        for (index, (query, out)) in queries
            .chunks_exact(width)
            .zip(out.chunks_exact_mut(width))
            .enumerate()
        {
            let position = before + index / count;
            let head = &heads[index % count / group];
            self.rope.rotate(query, &mut turned, position, false);
            shares.clear();
            shares.extend(
                head.keys
                    .chunks_exact(width)
                    .take(position + 1)
                    .map(|key| kernels::dot(&turned, key)),
            );
            kernels::softmax(&mut shares, scale);
            for (share, value) in shares.iter().zip(head.values.chunks_exact(width)) {
                kernels::add_scaled(out, value, *share);
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ModelConfig, Preset};
    use crate::model::{initial_weights, tensors, weight_specs};

    #[test]
    fn token_by_token_gives_the_logits_of_the_whole() {
        let config = ModelConfig::preset(Preset::Tiny);
        let weights = tensors(&weight_specs(&config), initial_weights(&config, 5)).unwrap();
        let model = Llama::new(&config, &weights, 32).unwrap();
        let ids: Vec<u32> = (0..20).map(|i| i * 13 % 320).collect();
        let whole = model.logits(&ids).unwrap().to_vec2::<f32>().unwrap();
        let mut cache = KvCache::new(&model);
        let mut got = vec![model.extend(&mut cache, &ids[..7]).unwrap()];
        for id in &ids[7..] {
            got.push(model.extend(&mut cache, &[*id]).unwrap());
        }
        assert_eq!(cache.len(), 20);
        for (got, want) in got.iter().zip(&whole[6..]) {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 1e-5, "{got} {want}");
            }
        }
        assert!(
            model.extend(&mut cache, &[0; 13]).is_err(),
            "beyond the positions"
        );
    }
}
