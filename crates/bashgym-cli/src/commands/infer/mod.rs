//! `bashgym infer`: models that somebody serves.

mod classify;
mod embed;
mod generate;
mod models;
mod usage;

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bashgym_core::inference::{InferenceDesk, InferenceFailure, UnknownPrice};
use clap::{Args, Subcommand};
use hf_core::MicroUsd;
use hf_inference::{CallReport, HfInferenceConfig, InferenceError, ModelRef, ProviderChoice, Routing};
use serde::Serialize;

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind, hf_kind};

/// Models that somebody serves: Hugging Face's Inference Providers, or the embedded Hub.
#[derive(Debug, Subcommand)]
pub(crate) enum InferCommand {
    /// Let a model answer
    Generate(generate::GenerateArgs),
    /// Turn texts into vectors
    Embed(embed::EmbedArgs),
    /// Say which labels fit a text
    Classify(classify::ClassifyArgs),
    /// List the models that are served, by whom and at what price
    Models(models::ModelsArgs),
    /// Add up the calls that were made
    Usage(usage::UsageArgs),
}

pub(crate) async fn run(command: InferCommand, context: &Context) -> Result<(), CliError> {
    match command {
        InferCommand::Generate(args) => generate::run(args, context).await,
        InferCommand::Embed(args) => embed::run(args, context).await,
        InferCommand::Classify(args) => classify::run(args, context).await,
        InferCommand::Models(args) => models::run(&args, context).await,
        InferCommand::Usage(args) => usage::run(&args, context).await,
    }
}

/// What every call takes.
#[derive(Debug, Args)]
pub(crate) struct CallOptions {
    /// The model, with :fastest, :cheapest, :preferred or a provider behind it if you like
    #[arg(long, value_name = "MODEL")]
    model: ModelRef,
    /// Who is asked: auto, or one provider by name
    #[arg(long, value_name = "NAME", default_value = "auto")]
    provider: ProviderChoice,
    /// How auto chooses: fastest, cheapest, preferred
    #[arg(long, value_name = "HOW", default_value = "fastest")]
    routing: Routing,
    /// The organisation that pays
    #[arg(long, value_name = "ORG")]
    bill_to: Option<String>,
    /// Seconds that one try may take
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Tries at most, all providers together
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// Make the call even if nobody names its price; it counts as unknown
    #[arg(long)]
    allow_unknown_price: bool,
    /// Make the call only if it costs no more than this, all tries together, in US dollars
    #[arg(long, value_name = "USD", conflicts_with = "allow_unknown_price")]
    max_usd: Option<MicroUsd>,
}

impl CallOptions {
    /// Refuses a call that may cost more than `--max-usd`; nothing is sent.
    fn within(&self, worst: Option<MicroUsd>) -> Result<(), CliError> {
        match (self.max_usd, worst) {
            (None, _) => Ok(()),
            (Some(most), Some(worst)) if worst <= most => Ok(()),
            (Some(most), Some(worst)) => Err(CliError::new(
                Kind::Quota,
                format!("the call may cost {worst}, more than the {most} of --max-usd; nothing was sent"),
            )
            .hint("bound the answer with --max-tokens, allow fewer --tries, or take :cheapest")),
            (Some(_), None) => Err(CliError::new(
                Kind::Quota,
                "nobody names the price of the call, so that --max-usd cannot be kept; nothing was sent",
            )
            .hint("bashgym infer models lists models with a price")),
        }
    }

    /// The desk where these calls are paid for.
    async fn desk(&self, context: &Context) -> Result<InferenceDesk, CliError> {
        let mut config = HfInferenceConfig {
            provider: self.provider.clone(),
            routing: self.routing,
            bill_to: self.bill_to.clone(),
            timeout: Duration::from_secs(self.timeout),
            deadline: Duration::from_secs(self.timeout.saturating_mul(self.tries.into())),
            ..HfInferenceConfig::default()
        };
        config.retry.max_attempts = self.tries;
        desk(context, config, self.allow_unknown_price).await
    }
}

/// The desk where calls are paid for.
async fn desk(
    context: &Context,
    config: HfInferenceConfig,
    allow_unknown_price: bool,
) -> Result<InferenceDesk, CliError> {
    let connection = context.connect().await?;
    desk_at(context, &connection, config, allow_unknown_price).await
}

/// The desk where calls at this Hub are paid for.
pub(crate) async fn desk_at(
    context: &Context,
    connection: &Connection,
    config: HfInferenceConfig,
    allow_unknown_price: bool,
) -> Result<InferenceDesk, CliError> {
    let store = Arc::new(context.store().await?);
    let ledger = Arc::new(context.ledger().await?.at(connection.client.endpoint()));
    let unknown_price = UnknownPrice::at(connection.embedded, allow_unknown_price);
    Ok(InferenceDesk::new(
        &connection.client,
        config,
        ledger,
        store,
        unknown_price,
    )?)
}

/// What is told of a call beside its answer.
#[derive(Debug, Serialize)]
struct Told<'a> {
    provider: Option<&'a str>,
    attempts: usize,
    usage: Option<hf_inference::Usage>,
    /// US dollars; null when nobody named the cost.
    cost_usd: Option<f64>,
    cost_source: &'static str,
    millis: u64,
}

impl<'a> From<&'a CallReport> for Told<'a> {
    fn from(report: &'a CallReport) -> Self {
        Self {
            provider: report.provider.as_ref().map(hf_inference::Provider::as_str),
            attempts: report.attempts.len(),
            usage: report.usage,
            cost_usd: report.cost.amount().map(hf_inference::NanoUsd::to_usd),
            cost_source: report.cost.source(),
            millis: report.millis,
        }
    }
}

/// One line about a call, for a person.
fn aside(report: &CallReport) -> String {
    let told = Told::from(report);
    let cost = told
        .cost_usd
        .map_or_else(|| "cost not known".to_owned(), |usd| format!("${usd:.6}"));
    let tokens = told.usage.map_or_else(String::new, |usage| {
        format!(", {} + {} tokens", usage.prompt_tokens, usage.completion_tokens)
    });
    let tries = if told.attempts > 1 {
        format!(", {} tries", told.attempts)
    } else {
        String::new()
    };
    let provider = told.provider.unwrap_or("a provider the router chose");
    format!(
        "Served by {provider} in {} ms{tokens}, {cost}{tries}.",
        told.millis
    )
}

/// The text given, or standard input.
fn text_or_stdin(text: Option<&String>) -> Result<String, CliError> {
    let text = if let Some(text) = text {
        text.clone()
    } else {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| CliError::new(Kind::Io, "cannot read standard input").because(error))?;
        text
    };
    if text.trim().is_empty() {
        return Err(CliError::new(Kind::Usage, "there is no text").hint("give one, or pipe it in"));
    }
    Ok(text)
}

impl From<InferenceError> for CliError {
    fn from(error: InferenceError) -> Self {
        let converted = Self::new(hf_kind(error.kind()), error.to_string());
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

impl From<InferenceFailure> for CliError {
    fn from(error: InferenceFailure) -> Self {
        match error {
            InferenceFailure::Budget(error) => {
                let unknown = matches!(error, bashgym_core::ledger::LedgerError::UnknownPrice { .. });
                let converted = Self::from(error);
                if unknown {
                    converted
                        .hint("--allow-unknown-price makes the call all the same; it then counts as unknown")
                } else {
                    converted
                }
            }
            InferenceFailure::Inference(error) => Self::from(error),
            other => Self::new(Kind::Internal, other.to_string()),
        }
    }
}
