//! What the four commands share: the model, where the output goes, and how it is asked.

use std::path::PathBuf;
use std::time::Duration;

use bashgym_core::bulk::RunOptions;
use bashgym_core::inference::InferenceDesk;
use clap::Args;
use hf_inference::{HfInferenceConfig, ModelRef, ProviderChoice, Routing};

use crate::commands::infer::desk_at;
use crate::context::{Connection, Context};
use crate::error::{CliError, Kind};

/// Which model is asked, and how.
#[derive(Debug, Args)]
#[command(next_help_heading = "Asking a model")]
pub(crate) struct BulkFlags {
    /// The model, with :fastest, :cheapest, :preferred or a provider behind it if you like
    #[arg(long, value_name = "MODEL")]
    model: Option<ModelRef>,
    /// The folder to write: a new one, or that of the same command, which then goes on
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Tell how many calls, tokens and dollars it will take, and ask nobody
    #[arg(long)]
    dry_run: bool,
    /// Calls at a time
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    concurrency: u16,
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
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    timeout: u64,
    /// Tries of one call at most, all providers together
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    tries: u32,
    /// Ask even if nobody names the price; it counts as unknown
    #[arg(long)]
    allow_unknown_price: bool,
    /// Send again what was sent before a crash without an answer that is known; it may then be paid twice
    #[arg(long)]
    retry_unclear: bool,
}

/// All that is needed to begin.
pub(crate) struct Ready {
    pub(crate) connection: Connection,
    pub(crate) desk: InferenceDesk,
    pub(crate) model: ModelRef,
    pub(crate) out: PathBuf,
    pub(crate) dry_run: bool,
    pub(crate) options: RunOptions,
}

impl Ready {
    /// The Hub, as part of each question's name. The embedded one has another port each time, and is the same.
    pub(crate) fn endpoint(&self) -> String {
        if self.connection.embedded {
            "embedded".to_owned()
        } else {
            self.connection.client.endpoint().to_string()
        }
    }
}

fn missing(what: &str) -> CliError {
    CliError::new(Kind::Usage, format!("{what} is missing"))
}

impl BulkFlags {
    /// The model.
    pub(crate) fn model(&self) -> Result<ModelRef, CliError> {
        self.model.clone().ok_or_else(|| missing("--model MODEL"))
    }

    /// Whether nobody is to be asked.
    pub(crate) fn is_dry_run(&self) -> bool {
        self.dry_run
    }

    /// Connects to the Hub.
    pub(crate) async fn ready(&self, context: &Context) -> Result<Ready, CliError> {
        let out = self.out.clone().ok_or_else(|| missing("--out DIR"))?;
        self.ready_for(out, context).await
    }

    /// Connects to the Hub, for work that writes here or nowhere.
    pub(crate) async fn ready_for(&self, out: PathBuf, context: &Context) -> Result<Ready, CliError> {
        let model = self.model()?;
        let connection = context.connect().await?;
        let mut config = HfInferenceConfig {
            provider: self.provider.clone(),
            routing: self.routing,
            bill_to: self.bill_to.clone(),
            timeout: Duration::from_secs(self.timeout),
            deadline: Duration::from_secs(self.timeout.saturating_mul(self.tries.into())),
            ..HfInferenceConfig::default()
        };
        config.retry.max_attempts = self.tries;
        let desk = desk_at(context, &connection, config, self.allow_unknown_price).await?;
        let options = RunOptions {
            concurrency: self.concurrency.into(),
            // Where nothing is paid, nothing is paid twice.
            retry_unclear: self.retry_unclear || desk.is_free(),
            ..RunOptions::default()
        };
        Ok(Ready {
            connection,
            desk,
            model,
            out,
            dry_run: self.dry_run,
            options,
        })
    }
}
