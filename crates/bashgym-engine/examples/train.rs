//! Trains a model on a data set folder and lets it speak.
//!
//! `cargo run --release -p bashgym-engine --example train -- DATASET_DIR OUT_DIR [PRESET] [KEY=VALUE]...`

use std::error::Error;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_engine::{ChatMessage, GenerateOptions, Generator, Preset, StopFlag, TrainConfig, train};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(dataset_dir), Some(out_dir)) = (args.next(), args.next()) else {
        return Err("usage: train DATASET_DIR OUT_DIR [PRESET] [KEY=VALUE]...".into());
    };
    let out_dir = PathBuf::from(out_dir);
    let mut config = TrainConfig::default();
    for arg in args {
        if let Some((key, value)) = arg.split_once('=') {
            // Any option by name, nested ones with a dot.
            let mut json = serde_json::to_value(&config)?;
            let pointer = format!("/{}", key.replace('.', "/"));
            *json
                .pointer_mut(&pointer)
                .ok_or_else(|| format!("there is no option {key}"))? = serde_json::from_str(value)?;
            config = serde_json::from_value(json)?;
        } else {
            config = TrainConfig::preset(Preset::from_name(&arg).ok_or_else(|| format!("no preset {arg}"))?);
        }
    }
    let mut out = io::stdout().lock();
    let outcome = train(
        dataset_dir.as_ref(),
        &out_dir,
        &config,
        &mut |event| {
            let _ = writeln!(out, "{}", event.to_line());
        },
        &StopFlag::new(),
    )?;
    writeln!(out, "{}", serde_json::to_string_pretty(&outcome)?)?;
    let generator = Generator::load(&out_dir)?;
    for seed in 0..3 {
        let messages = [ChatMessage::text("user", "Fix the failing test.")];
        let options = GenerateOptions {
            seed,
            max_new_tokens: 80,
            ..GenerateOptions::default()
        };
        let generation = generator.chat(&messages, &[], &options, &mut |text| {
            let _ = write!(out, "{text}");
            ControlFlow::Continue(())
        })?;
        writeln!(out, "\n{}", serde_json::to_string(&generation)?)?;
    }
    Ok(())
}
