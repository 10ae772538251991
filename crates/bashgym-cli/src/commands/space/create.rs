//! `bashgym space create`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use hf_core::{SecretValue, TokenRole};
use hf_spaces::{AppLimits, DeployRequest, ModelAccess, SleepTime, SpaceConfig, SpaceHardware, Visibility};

use super::books::Bill;
use super::{DeployArgs, Spaces};
use crate::commands::jobs::options::{secrets, variables};
use crate::error::{CliError, Kind};

/// When paid hardware falls asleep, unless told otherwise.
const PAID_SLEEP: Duration = Duration::from_hours(1);

/// Serves a model.
#[derive(Debug, Args)]
#[command(after_help = "\
Either the app answers in the end, or nothing half-made stays.

Example: bashgym space create ada/student --name student-demo")]
pub(crate) struct CreateArgs {
    /// The model repository
    #[arg(value_name = "MODEL_REPO")]
    model: String,
    /// The Space's name, with or without its namespace
    #[arg(long, value_name = "NAME")]
    name: String,
    /// The model's revision; the head of main when not given. It is pinned
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// What it runs on
    #[arg(long, value_name = "NAME", default_value = "zero-gpu")]
    hardware: String,
    /// Everybody may see it
    #[arg(long)]
    public: bool,
    /// Everybody may see the app, not its files
    #[arg(long, conflicts_with = "public")]
    protected: bool,
    /// The title of its page
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// A secret; without a value, that of this environment; NAME=- reads it from standard input
    #[arg(short, long = "secret", value_name = "NAME[=VALUE]")]
    secrets: Vec<String>,
    /// A variable, which others can read; without a value, that of this environment
    #[arg(short, long = "env", value_name = "NAME[=VALUE]")]
    environment: Vec<String>,
    /// Seconds without a visitor until paid hardware sleeps; `never`; 1h when not given
    #[arg(long, value_name = "DURATION")]
    sleep: Option<String>,
    /// Use billed hardware whose price the Hub does not tell
    #[arg(long)]
    accept_cost: bool,
    /// Turn Dev Mode on
    #[arg(long)]
    dev: bool,
    /// Let code of the model's repository run
    #[arg(long)]
    trust_remote_code: bool,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = AppLimits::default().max_new_tokens)]
    max_tokens: u32,
    #[command(flatten)]
    deploy: DeployArgs,
}

pub(super) async fn run(args: &CreateArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let hardware: SpaceHardware = args.hardware.parse()?;
    let mut given = secrets(&args.secrets, None)?;
    let config = SpaceConfig {
        sleep_time: sleep(args, &hardware)?,
        hardware,
        visibility: match (args.public, args.protected) {
            (true, _) => Visibility::Public,
            (_, true) => Visibility::Protected,
            _ => Visibility::Private,
        },
        dev_mode: args.dev,
        model_revision: args.revision.as_deref().map(str::parse).transpose()?,
        model_access: access(&mut given, spaces).await?,
        secrets: given,
        variables: variables(&args.environment, "--env")?,
        title: args.title.clone(),
        trust_remote_code: args.trust_remote_code,
        limits: AppLimits {
            max_new_tokens: args.max_tokens,
            ..AppLimits::default()
        },
    };
    let request = DeployRequest {
        model: spaces.connection.repo_id(&args.model)?,
        space: spaces.id(&args.name)?,
        config,
    };
    let options = spaces.options(&args.deploy)?;
    let (hardware, sleep) = (&request.config.hardware, request.config.sleep_time);
    let bill = Bill::open(&request.space, hardware, sleep, args.accept_cost, spaces).await?;
    let clock = spaces.manager.client().clock();
    let began = clock.elapsed();
    let made = spaces.manager.create_inference_space(&request, &options).await;
    match (made, bill) {
        (Ok(deployment), _) => spaces.deployed(&deployment).await,
        (Err(error), bill) => {
            if let Some(bill) = bill {
                bill.failed(&error.left, clock.elapsed().saturating_sub(began))
                    .await?;
            }
            Err(spaces.failed(&error))
        }
    }
}

fn sleep(args: &CreateArgs, hardware: &SpaceHardware) -> Result<Option<SleepTime>, CliError> {
    Ok(match args.sleep.as_deref() {
        Some("never") => Some(SleepTime::Never),
        Some(text) => Some(SleepTime::After(hf_jobs::parse_timeout(text)?)),
        None => hardware.is_paid().then_some(SleepTime::After(PAID_SLEEP)),
    })
}

/// How the app reads the model: with the secret `HF_TOKEN`; on a Hub of this machine nothing but the Hub itself reads it.
async fn access(
    given: &mut BTreeMap<String, SecretValue>,
    spaces: &Spaces<'_>,
) -> Result<ModelAccess, CliError> {
    let client = spaces.manager.client();
    let Some(secret) = given.remove("HF_TOKEN") else {
        return Ok(if client.endpoint().is_loopback() {
            ModelAccess::OfTheRuntime
        } else {
            ModelAccess::Public
        });
    };
    let own = client
        .token()
        .is_some_and(|token| token.expose() == secret.expose());
    if own {
        let me = client.whoami().await?;
        let reads_only = me
            .auth
            .as_ref()
            .and_then(|auth| auth.access_token.as_ref())
            .is_some_and(|token| token.role == TokenRole::Read);
        if !reads_only {
            return Err(CliError::new(
                Kind::Usage,
                "the secret HF_TOKEN is this account's own token, which can do more than read the model",
            )
            .hint("make one that only reads it: https://huggingface.co/settings/tokens/new?tokenType=fineGrained")
            .hint("--secret HF_TOKEN=- reads it from standard input"));
        }
    }
    Ok(ModelAccess::Token(secret))
}
