//! `bashgym infer generate`.

use clap::Args;
use futures::StreamExt;
use hf_inference::{ChatRequest, Message};
use serde::Serialize;

use super::{CallOptions, Told, aside, text_or_stdin};
use crate::context::Context;
use crate::error::CliError;
use crate::output::plain;

/// Lets a model answer.
#[derive(Debug, Args)]
#[command(after_help = "\
The worst case is set aside in the budget before anything is sent, and settled after.

Examples:
  bashgym infer generate --model Qwen/Qwen2.5-72B-Instruct:cheapest 'Name a prime'
  git diff | bashgym infer generate --model org/name --system 'Review this diff' --max-tokens 300")]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    call: CallOptions,
    /// What to answer; standard input without it
    #[arg(value_name = "PROMPT")]
    prompt: Option<String>,
    /// What the model is told to be
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Tokens of the answer at most
    #[arg(long, value_name = "N", default_value_t = 512)]
    max_tokens: u32,
    /// 0 always takes the likeliest token
    #[arg(long, value_name = "T")]
    temperature: Option<f64>,
    /// The same seed gives the same answer, where the provider can
    #[arg(long, value_name = "N")]
    seed: Option<i64>,
}

#[derive(Serialize)]
struct Answer<'a> {
    text: &'a str,
    model: &'a str,
    finish_reason: Option<&'a str>,
    #[serde(flatten)]
    told: Told<'a>,
}

pub(crate) async fn run(args: GenerateArgs, context: &Context) -> Result<(), CliError> {
    let prompt = text_or_stdin(args.prompt.as_ref())?;
    let system = args.system.map(Message::system);
    let mut request = ChatRequest::new(
        args.call.model.clone(),
        system.into_iter().chain([Message::user(prompt)]),
    );
    request.options.max_tokens = Some(args.max_tokens);
    request.options.temperature = args.temperature;
    request.options.seed = args.seed;
    request.purpose = Some("infer generate".to_owned());
    let desk = args.call.desk(context).await?;
    if args.call.max_usd.is_some() {
        args.call.within(desk.worst_case(&request).await?)?;
    }
    let output = context.output;
    if output.is_json() {
        let answer = desk.chat(&request).await?;
        let choice = answer.reply.choices.first();
        return output.json(&Answer {
            text: &answer.reply.text(),
            model: &answer.report.model,
            finish_reason: choice.and_then(|choice| choice.finish_reason.as_deref()),
            told: Told::from(&answer.report),
        });
    }
    let mut stream = desk.chat_stream(&request).await?;
    while let Some(chunk) = stream.next().await {
        match chunk {
            Ok(chunk) => output.raw(plain(chunk.body.text()))?,
            Err(error) => {
                output.raw("\n")?;
                return Err(error.into());
            }
        }
    }
    output.raw("\n")?;
    if let Some(report) = stream.report() {
        output.note(aside(report));
    }
    Ok(())
}
