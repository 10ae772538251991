//! `bashgym space create`.

use std::path::PathBuf;

use bashgym_core::space::{SpaceRefusal, model_access, sleep_time};
use clap::Args;
use hf_spaces::{AppLimits, DeployRequest, SpaceApp, SpaceConfig, SpaceHardware, Visibility};

use super::hardware::{billed, parse_sleep, refused as bill_refused};
use super::{DeployArgs, Spaces};
use crate::commands::jobs::options::{secrets, variables};
use crate::error::{CliError, Kind};

/// Serves a model.
#[derive(Debug, Args)]
#[command(after_help = "\
Either the app answers in the end, or nothing half-made stays.

`--app bashgym` serves a Llama or a GGUF file with this very program, in a container on processors: no
Python, and an answer within seconds of a start.

Examples:
  bashgym space create ada/student --name student-demo
  bashgym space create ada/student --name student-demo --app bashgym")]
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
    /// What answers: gradio (Python, every model) or bashgym (this program, whole Llama and GGUF models)
    #[arg(long, value_name = "APP", default_value_t = SpaceApp::default())]
    app: SpaceApp,
    /// The bashgym for the Space, built for x86-64 Linux; this very program when not given
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// What it runs on; zero-gpu when not given, cpu-basic for bashgym
    #[arg(long, value_name = "NAME")]
    hardware: Option<String>,
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
    /// Time without a visitor until paid hardware sleeps; `never`; 1h when not given
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
    let hardware = match &args.hardware {
        Some(name) => name.parse()?,
        None => args.app.usual_hardware(),
    };
    let mut given = secrets(&args.secrets, None)?;
    let reads_model = given.remove("HF_TOKEN");
    let config = SpaceConfig {
        app: args.app,
        sleep_time: sleep(args, &hardware)?,
        hardware,
        visibility: match (args.public, args.protected) {
            (true, _) => Visibility::Public,
            (_, true) => Visibility::Protected,
            _ => Visibility::Private,
        },
        dev_mode: args.dev,
        model_revision: args.revision.as_deref().map(str::parse).transpose()?,
        model_access: model_access(spaces.manager.client(), reads_model)
            .await
            .map_err(refused)?,
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
    let mut options = spaces.options(&args.deploy)?;
    if let Some(file) = &args.program {
        options.program = Some(spaces.program(file)?);
    }
    spaces.check_variables(&request.config.variables)?;
    let made = spaces
        .books()
        .await?
        .create(
            &uuid::Uuid::new_v4().to_string(),
            &request,
            args.accept_cost,
            &options,
            |bill| billed(bill, &request.config.hardware, spaces),
        )
        .await;
    let deployment = made.map_err(|error| bill_refused(error, spaces))?;
    spaces.deployed(&deployment).await
}

fn sleep(args: &CreateArgs, hardware: &SpaceHardware) -> Result<Option<hf_spaces::SleepTime>, CliError> {
    let asked = args.sleep.as_deref().map(parse_sleep).transpose()?;
    Ok(sleep_time(hardware, asked))
}

fn refused(refusal: SpaceRefusal) -> CliError {
    match refusal {
        SpaceRefusal::Hub(error) => error.into(),
        other => CliError::new(Kind::Usage, other.to_string())
            .hint("make one that only reads it: https://huggingface.co/settings/tokens/new?tokenType=fineGrained")
            .hint("--secret HF_TOKEN=- reads it from standard input"),
    }
}
