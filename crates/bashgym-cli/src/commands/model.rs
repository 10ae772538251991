//! `bashgym model`: what can be said of a model's files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bashgym_engine::ChatTokenizer;
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::{CliError, Kind, io_error};

/// What can be said of a model's files.
#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Print the token ids of texts, to compare tokenizers
    Tokenize(TokenizeArgs),
}

/// Prints the token ids of texts.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym model tokenize ./student 'fn main() {}'")]
pub(crate) struct TokenizeArgs {
    /// The model's folder
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// The texts
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Write the ids of a built-in set of awkward texts to this file, as JSON {text: ids}
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
}

/// Texts that tokenizers disagree on: spaces, digits, scripts, emoji, control characters, special tokens.
const AWKWARD: &[&str] = &[
    "",
    " ",
    "\n\n\t  x",
    "Hello, world!",
    "def main():\n    return 0\n",
    "cargo test --workspace -- --nocapture 2>&1 | tail -n 20",
    "1234567890 3.14159 1e-9",
    "naïve café — Привет 世界 🙂👩‍👩‍👧",
    "a\u{0301}\u{200b}\u{00a0}b",
    "I'll won't it's THEY'RE",
    "<|im_start|>user\nhi<|im_end|>\n",
    "{\"name\": \"Bash\", \"arguments\": {\"command\": \"ls -la\"}}",
    "\u{0}\u{1}\u{7f}",
];

pub(crate) fn run(command: ModelCommand, context: &Context) -> Result<(), CliError> {
    let ModelCommand::Tokenize(args) = command;
    let tokenizer = ChatTokenizer::load(&args.model.join("tokenizer.json"))?;
    if let Some(path) = &args.samples {
        let mut ids = BTreeMap::new();
        for text in AWKWARD {
            ids.insert(*text, tokenizer.encode(text)?);
        }
        let text = serde_json::to_vec_pretty(&ids)
            .map_err(|error| CliError::new(Kind::Internal, "the ids are no JSON").because(error))?;
        std::fs::write(path, text).map_err(|error| io_error("write", path, error))?;
    }
    for text in &args.texts {
        let ids = tokenizer.encode(text)?;
        if context.output.is_json() {
            context
                .output
                .json(&serde_json::json!({ "text": text, "ids": ids }))?;
        } else {
            context
                .output
                .line(ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))?;
        }
    }
    Ok(())
}
