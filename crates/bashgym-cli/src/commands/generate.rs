//! `bashgym generate`: let a student answer.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_engine::{ChatMessage, Content, GenerateOptions, Generator};
use clap::Args;
use hf_core::RepoType;
use hf_datasets::RepoFiles;
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::plain;
use crate::transfer::TransferScreen;

/// Lets a student answer.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym generate bashgym-student --prompt 'Fix the failing test'
  git diff | bashgym generate ./student --max-tokens 200 --temperature 0")]
pub(crate) struct GenerateArgs {
    /// A model repository, with or without its namespace, or a folder
    #[arg(value_name = "MODEL")]
    model: String,
    /// What to answer; standard input without it
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N", default_value_t = 128)]
    max_tokens: usize,
    /// 0 always takes the likeliest token; higher is freer
    #[arg(long, value_name = "T", default_value_t = 0.7)]
    temperature: f64,
    /// Draw only from the likeliest tokens that make up this share
    #[arg(long, value_name = "P", default_value_t = 0.9)]
    top_p: f64,
    /// The same seed gives the same answer
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// A branch, tag or commit of the repository
    #[arg(long, value_name = "REVISION", default_value = "main")]
    revision: String,
}

pub(crate) async fn run(args: GenerateArgs, context: &Context) -> Result<(), CliError> {
    let prompt = prompt(&args)?;
    let dir = model_dir(&args, context).await?;
    let output = context.output;
    tokio::task::block_in_place(|| {
        let generator = Generator::load(&dir)?;
        let options = GenerateOptions {
            max_new_tokens: args.max_tokens,
            temperature: args.temperature,
            top_p: args.top_p,
            seed: args.seed,
            ..GenerateOptions::default()
        };
        let stream = !output.is_json();
        let mut failed = None;
        let question = ChatMessage {
            role: "user".to_owned(),
            content: Content::Text(prompt),
            ..ChatMessage::default()
        };
        let generated = generator.chat(&[question], &[], &options, &mut |piece| {
            if stream {
                failed = output.raw(plain(piece)).err();
            }
            if failed.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        if output.is_json() {
            return output.json(&json!({
                "text": generated.text, "finish_reason": generated.finish_reason,
                "prompt_tokens": generated.prompt_tokens, "completion_tokens": generated.completion_tokens,
                "tokens_per_second": generated.tokens_per_second,
            }));
        }
        output.raw("\n")
    })
}

fn prompt(args: &GenerateArgs) -> Result<String, CliError> {
    let text = if let Some(text) = &args.prompt {
        text.clone()
    } else {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::new(Kind::Io, "cannot read standard input").because(error))?;
        text
    };
    if text.trim().is_empty() {
        return Err(
            CliError::new(Kind::Usage, "there is nothing to answer").hint("--prompt TEXT, or pipe a text in")
        );
    }
    Ok(text)
}

/// The model's folder: the one named, or the repository's files, fetched once for each revision.
async fn model_dir(args: &GenerateArgs, context: &Context) -> Result<PathBuf, CliError> {
    let named = PathBuf::from(&args.model);
    if named.join("config.json").is_file() {
        return Ok(named);
    }
    if named.is_dir() {
        return Err(CliError::new(
            Kind::Data,
            format!("{} holds no model: it has no config.json", named.display()),
        ));
    }
    let connection = context.connect().await?;
    let repo = RepoFiles::new(
        &connection.client,
        RepoType::Model,
        connection.repo_id(&args.model)?,
    );
    let info = repo.info(Some(&args.revision.parse()?)).await?;
    let revision = info.sha.ok_or_else(|| {
        CliError::new(Kind::NotFound, format!("{} has no commit yet", repo.repo_id()))
            .hint("bashgym run PATH makes one")
    })?;
    let dir = context
        .home()?
        .join("models")
        .join(repo.repo_id().to_string().replace('/', "--"))
        .join(&revision);
    let screen = TransferScreen::new(context.output);
    repo.download_snapshot(&dir, &screen.download_options(revision.parse()?))
        .await?;
    screen.finish();
    Ok(dir)
}
