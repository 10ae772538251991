//! `AdamW`, in place, and the course of its learning rate.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, InplaceOp1, Layout, Var, bail};

use crate::config::TrainConfig;
use crate::error::{EngineError, Result};
use crate::model::{WeightSpec, kernels};

/// The optimiser's memory: two numbers a weight.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AdamW {
    /// Running mean of the gradients.
    pub(crate) first: Vec<Vec<f32>>,
    /// Running mean of their squares.
    pub(crate) second: Vec<Vec<f32>>,
}

impl AdamW {
    /// Starts with no memory.
    pub(crate) fn new(specs: &[WeightSpec]) -> Self {
        let zeros = || specs.iter().map(|spec| vec![0.0; spec.elements()]).collect();
        Self {
            first: zeros(),
            second: zeros(),
        }
    }

    /// Moves the weights against the gradient. `step` counts from 1. Gives the gradient's length before clipping.
    pub(crate) fn step(
        &mut self,
        config: &TrainConfig,
        specs: &[WeightSpec],
        vars: &[Var],
        gradients: &[Vec<f32>],
        step: u64,
        learning_rate: f64,
    ) -> Result<f64> {
        let norm = gradients
            .iter()
            .map(|it| f64::from(kernels::dot(it, it)))
            .sum::<f64>()
            .sqrt();
        if !norm.is_finite() {
            return Err(EngineError::Diverged { step });
        }
        let clip = (config.max_gradient_norm / norm.max(1e-12)).min(1.0);
        let power = i32::try_from(step).unwrap_or(i32::MAX);
        let first_share = 1.0 - config.adam_beta1.powi(power);
        let second_share = 1.0 - config.adam_beta2.powi(power);
        let moments = self.first.iter_mut().zip(self.second.iter_mut());
        for (((spec, var), gradient), (first, second)) in specs.iter().zip(vars).zip(gradients).zip(moments) {
            let decay = if spec.decays() { config.weight_decay } else { 0.0 };
            #[expect(clippy::cast_possible_truncation, reason = "weights are single precision")]
            let update = Update {
                clip: clip as f32,
                beta1: config.adam_beta1 as f32,
                beta2: config.adam_beta2 as f32,
                rate: (learning_rate / first_share) as f32,
                root: (1.0 / second_share.sqrt()) as f32,
                epsilon: config.adam_epsilon as f32,
                keep: (1.0 - learning_rate * decay) as f32,
                gradient,
                moments: Mutex::new((first, second)),
            };
            var.inplace_op1(&update)?;
        }
        Ok(norm)
    }
}

struct Update<'a> {
    clip: f32,
    beta1: f32,
    beta2: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
    keep: f32,
    gradient: &'a [f32],
    moments: Mutex<(&'a mut [f32], &'a mut [f32])>,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let (CpuStorage::F32(weights), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            bail!("weights are contiguous and single precision");
        };
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, second) = &mut *moments;
        let parts = weights[from..to]
            .iter_mut()
            .zip(self.gradient)
            .zip(first.iter_mut())
            .zip(second.iter_mut());
        for (((weight, gradient), first), second) in parts {
            let gradient = gradient * self.clip;
            *first = self.beta1 * *first + (1.0 - self.beta1) * gradient;
            *second = self.beta2 * *second + (1.0 - self.beta2) * gradient * gradient;
            *weight = self.keep * *weight - self.rate * *first / (second.sqrt() * self.root + self.epsilon);
        }
        Ok(())
    }
}

/// Gives the learning rate at a point of the run: a linear rise, then half a cosine down.
///
/// `progress` is the share of the run that is done after this step.
pub(crate) fn learning_rate(config: &TrainConfig, progress: f64) -> f64 {
    let progress = progress.clamp(0.0, 1.0);
    if progress < config.warmup_share {
        return config.learning_rate * progress / config.warmup_share;
    }
    let down = (progress - config.warmup_share) / (1.0 - config.warmup_share);
    let share = config.final_learning_rate_share;
    let cosine = f64::midpoint(1.0, (std::f64::consts::PI * down).cos());
    config.learning_rate * (share + (1.0 - share) * cosine)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::config::ModelConfig;
    use crate::config::Preset;
    use crate::model::weight_specs;

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let config = TrainConfig::preset(Preset::Tiny);
        let top = config.learning_rate;
        assert!(learning_rate(&config, 0.01) < top * 0.25);
        assert!((learning_rate(&config, config.warmup_share) - top).abs() < 1e-12);
        assert!((learning_rate(&config, 1.0) - top * config.final_learning_rate_share).abs() < 1e-12);
        assert!(learning_rate(&config, 0.5) > learning_rate(&config, 0.6));
    }

    #[test]
    fn steps_follow_the_published_algorithm() {
        let mut config = TrainConfig::preset(Preset::Tiny);
        config.max_gradient_norm = 100.0;
        let spec = weight_specs(&ModelConfig::preset(Preset::Tiny))
            .into_iter()
            .find(WeightSpec::decays)
            .map(|spec| WeightSpec {
                shape: vec![2],
                ..spec
            })
            .unwrap();
        let specs = [spec];
        let var = Var::from_tensor(&Tensor::new(&[1.0_f32, -2.0], &Device::Cpu).unwrap()).unwrap();
        let mut adam = AdamW::new(&specs);
        let (mut w, mut m, mut v) = ([1.0_f64, -2.0], [0.0_f64; 2], [0.0_f64; 2]);
        for (step, gradient) in [[0.5_f32, -0.25], [0.1, 0.4]].into_iter().enumerate() {
            let step = step as u64 + 1;
            adam.step(
                &config,
                &specs,
                std::slice::from_ref(&var),
                &[gradient.to_vec()],
                step,
                0.1,
            )
            .unwrap();
            for i in 0..2 {
                let g = f64::from(gradient[i]);
                w[i] *= 1.0 - 0.1 * 0.1;
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.95 * v[i] + 0.05 * g * g;
                let power = i32::try_from(step).unwrap();
                let m_hat = m[i] / (1.0 - 0.9_f64.powi(power));
                let v_hat = v[i] / (1.0 - 0.95_f64.powi(power));
                w[i] -= 0.1 * m_hat / (v_hat.sqrt() + 1e-8);
            }
        }
        let got = var.to_vec1::<f32>().unwrap();
        for i in 0..2 {
            assert!((f64::from(got[i]) - w[i]).abs() < 1e-5, "{got:?} {w:?}");
        }
    }

    #[test]
    fn a_gradient_that_is_no_number_stops_the_run() {
        let config = TrainConfig::preset(Preset::Tiny);
        let specs = weight_specs(&config.model)[..1].to_vec();
        let shape = specs[0].shape.as_slice();
        let var = Var::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let gradient = vec![f32::NAN; specs[0].elements()];
        let result = AdamW::new(&specs).step(&config, &specs, &[var], &[gradient], 3, 0.1);
        assert!(matches!(result, Err(EngineError::Diverged { step: 3 })));
    }
}
