//! How much memory a run will need, and making it need less.

use std::fs;

use crate::config::TrainConfig;
use crate::error::{EngineError, Result};

/// What the program itself, its buffers and the tokenizer take.
const BASE_BYTES: f64 = 64.0 * 1024.0 * 1024.0;
/// Share of the free memory that a run may use when no limit is given.
const FREE_SHARE: f64 = 0.8;
/// The shortest sequences that memory may force.
const MIN_SEQUENCE_LENGTH: usize = 64;

/// Estimates the memory of a run, in bytes.
pub(crate) fn estimate(config: &TrainConfig, threads: usize) -> u64 {
    let model = &config.model;
    let weights = model.parameters() as f64;
    // The weights, the best ones so far, the optimiser's two, the summed gradient, and one gradient a thread.
    let weight_floats = weights * (5.0 + threads as f64);
    let tokens = (config.micro_batch_size * config.sequence_length) as f64;
    let hidden = model.hidden_size as f64;
    let queries = (model.num_attention_heads * model.head_dim) as f64;
    let keys = (model.num_key_value_heads * model.head_dim) as f64;
    let inner = model.intermediate_size as f64;
    let scores = (model.num_attention_heads * config.sequence_length) as f64;
    let kept = 6.0 * hidden + 3.0 * queries + 4.0 * keys + 3.0 * inner + scores;
    let passing = 2.0 * scores + 4.0 * inner + 4.0 * hidden;
    let output = 3.0 * model.vocab_size as f64;
    let activation_floats = tokens * (kept * model.num_hidden_layers as f64 + passing + output);
    let bytes = BASE_BYTES + 4.0 * (weight_floats + activation_floats * threads as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^63"
    )]
    let bytes = bytes as u64;
    bytes
}

/// Makes a run fit: fewer sequences at once, then fewer threads, then shorter sequences. Gives the threads to use and
/// what was changed.
///
/// # Errors
/// [`EngineError::MemoryLimit`] if not even the smallest fits.
pub(crate) fn fit(
    config: &mut TrainConfig,
    mut threads: usize,
    limit: Option<u64>,
) -> Result<(usize, Option<String>)> {
    let Some(limit) = limit else {
        return Ok((threads, None));
    };
    let wanted = estimate(config, threads);
    if wanted <= limit {
        return Ok((threads, None));
    }
    while estimate(config, threads) > limit {
        if config.micro_batch_size > 1 {
            config.micro_batch_size /= 2;
        } else if threads > 1 {
            threads -= 1;
        } else if config.sequence_length / 2 >= MIN_SEQUENCE_LENGTH {
            config.sequence_length /= 2;
        } else {
            return Err(EngineError::MemoryLimit {
                needed_bytes: estimate(config, threads),
                limit_bytes: limit,
            });
        }
    }
    let message = format!(
        "training would need about {wanted} bytes and may use {limit}: it goes on with micro_batch_size {}, {threads} threads and sequence_length {}",
        config.micro_batch_size, config.sequence_length
    );
    Ok((threads, Some(message)))
}

/// Gives the memory a run may use by what the machine says is free; none where it does not say.
pub(crate) fn free_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1024)
    });
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let group = number("/sys/fs/cgroup/memory.max")
        .zip(number("/sys/fs/cgroup/memory.current"))
        .map(|(most, now)| most.saturating_sub(now));
    let free = machine.into_iter().chain(group).min()?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^63"
    )]
    let share = (free as f64 * FREE_SHARE) as u64;
    Some(share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Preset;

    #[test]
    fn a_run_is_made_smaller_until_it_fits() {
        let mut config = TrainConfig::preset(Preset::Base);
        let full = estimate(&config, 2);
        let (threads, message) = fit(&mut config, 2, Some(full / 2)).unwrap();
        assert!(estimate(&config, threads) <= full / 2);
        assert!(message.unwrap().contains("micro_batch_size 1"));
    }

    #[test]
    fn what_cannot_fit_is_refused_with_both_numbers() {
        let mut config = TrainConfig::preset(Preset::Base);
        let error = fit(&mut config, 2, Some(1_000_000)).unwrap_err();
        assert!(
            matches!(
                error,
                EngineError::MemoryLimit {
                    limit_bytes: 1_000_000,
                    ..
                }
            ),
            "{error}"
        );
    }

    #[test]
    fn without_a_limit_nothing_changes() {
        let mut config = TrainConfig::preset(Preset::Small);
        let before = config.clone();
        assert_eq!(fit(&mut config, 2, None).unwrap(), (2, None));
        assert_eq!(config, before);
    }
}
