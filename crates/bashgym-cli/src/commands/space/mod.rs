//! `bashgym space`: a student served by a Space.

mod change;
mod create;
mod hardware;
mod secrets;
mod show;
mod vars;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bashgym_core::space::{OwnProgram, SpaceBooks, check_variables, deploy_options};
use clap::{Args, Subcommand};
use hf_core::RepoId;
use hf_spaces::{
    DeployError, DeployEvent, DeployOptions, Deployment, HfSpaceManager, Left, Program, Smoke, SpaceFeed,
    check_key,
};

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind, hf_kind};
use crate::gate::HomeGate;

/// Spaces: serve a student, look, update, go back, remove.
#[derive(Debug, Subcommand)]
pub(crate) enum SpaceCommand {
    /// Serve a model: make a Space, follow its build, ask it a first question
    Create(Box<create::CreateArgs>),
    /// List the Spaces of the namespace
    Ls,
    /// Show where a Space is and what it serves
    Status(NameArgs),
    /// Print a Space's log
    Logs(show::LogsArgs),
    /// Print what the Hub tells of a Space while it happens, as it words it
    Events(NameArgs),
    /// Print what a Space uses while it runs, as the Hub words it
    Metrics(NameArgs),
    /// Print the address of the app, and open it in a browser where a person watches
    Open(NameArgs),
    /// Serve another model, or another revision; what does not answer is put back
    Update(change::UpdateArgs),
    /// Serve in a second Space what a first one serves, at the same revision
    Promote(change::PromoteArgs),
    /// Go back to the model before
    Rollback(change::RollbackArgs),
    /// Make the time a request may take fit what requests really took
    Fit(change::FitArgs),
    /// Pause a Space: it answers nobody and costs nothing until it is restarted
    Pause(NameArgs),
    /// Restart a Space, a paused one too
    Restart(change::RestartArgs),
    /// Turn Dev Mode on, and print how to get a shell
    Dev(change::DevArgs),
    /// Secrets: names, set, remove
    #[command(subcommand)]
    Secrets(secrets::SecretsCommand),
    /// Variables, which whoever sees the Space can read: list, set, remove
    #[command(subcommand)]
    Vars(vars::VarsCommand),
    /// Show what Spaces can run on, or give one other hardware
    Hardware(hardware::HardwareArgs),
    /// Set after how long without a visitor a Space on billed hardware sleeps
    Sleep(hardware::SleepArgs),
    /// Remove a Space and everything in it
    Rm(change::RmArgs),
}

/// Names a Space.
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
}

/// How long a deployment may take.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// The longest time until the app has to run: seconds, or a number with s, m or h
    #[arg(long, value_name = "DURATION", default_value = "30m")]
    timeout: String,
    /// The first question to the app; `deployed` means it answered
    #[arg(long, value_name = "TEXT", default_value = "Say hello.")]
    ask: String,
    /// Ask nothing
    #[arg(long, conflicts_with = "ask")]
    no_ask: bool,
}

/// What the commands share.
pub(crate) struct Spaces<'a> {
    manager: HfSpaceManager,
    connection: Connection,
    context: &'a Context,
}

impl Spaces<'_> {
    fn id(&self, name: &str) -> Result<RepoId, CliError> {
        Ok(self.manager.space_id(name)?)
    }

    /// How to deploy: every file passes the secret gate, and whoever watches is told the stages.
    fn options(&self, args: &DeployArgs) -> Result<DeployOptions, CliError> {
        let inspector = HomeGate::open(self.context)?.inspector();
        let output = self.context.output;
        let timeout = hf_jobs::parse_timeout(&args.timeout)?;
        let question = (!args.no_ask).then(|| args.ask.clone());
        Ok(DeployOptions {
            observe: Some(Arc::new(move |event| match event {
                DeployEvent::Planned { model } => {
                    output.note(format!("{} at {}", model.repo_id, model.revision));
                }
                DeployEvent::Committed { space_id } => {
                    output.note(format!("{space_id} is made; its app is built"));
                }
                DeployEvent::Remark(words) => output.note(words),
                DeployEvent::Uploading => output.note("  sending the program"),
                DeployEvent::Stage(stage) => output.note(format!("  {stage}")),
                DeployEvent::Asking => output.note("  asking it a first question"),
                DeployEvent::Undoing => output.note("  it failed; undoing"),
                _ => {}
            })),
            ..deploy_options(self.manager.client(), inspector, timeout, question)
        })
    }

    /// A program of this machine for the container of a Space.
    fn program(&self, file: &Path) -> Result<Program, CliError> {
        let inspector = HomeGate::open(self.context)?.inspector();
        let client = self.manager.client();
        Ok(Arc::new(OwnProgram::new(
            file,
            client,
            inspector,
            std::env::home_dir(),
        )))
    }

    /// Where what Spaces cost is written down.
    async fn books(&self) -> Result<SpaceBooks, CliError> {
        Ok(SpaceBooks::new(&self.context.ledger().await?, &self.manager))
    }

    /// Refuses variables that hold something secret.
    fn check_variables(&self, variables: &BTreeMap<String, String>) -> Result<(), CliError> {
        for key in variables.keys() {
            check_key(key)?;
        }
        let inspector = HomeGate::open(self.context)?.inspector();
        check_variables(&inspector, variables).map_err(|refusal| {
            CliError::new(Kind::Auth, refusal.to_string())
                .hint("make it a secret: --secret, or `bashgym space secrets set`")
        })
    }

    /// Shows a deployment.
    async fn deployed(&self, deployment: &Deployment) -> Result<(), CliError> {
        let output = self.context.output;
        if output.is_json() {
            return output.json(deployment);
        }
        if !output.is_human() {
            return output.line(&deployment.space_id);
        }
        output.line(&deployment.url)?;
        match &deployment.smoke {
            Smoke::Answered { text, seconds } if text.trim().is_empty() => output.note(format!(
                "It answered in {seconds:.1} s, with white space only: the model may need more training"
            )),
            Smoke::Answered { text, seconds } => {
                output.note(format!(
                    "It answered in {seconds:.1} s: {}",
                    crate::output::plain(text)
                ));
            }
            Smoke::NotAsked { why } => output.note(format!("It was not asked a first question: {why}")),
            _ => {}
        }
        if let Ok(runtime) = self.manager.get_space_status(&deployment.space_id).await
            && let Some(told) = show::told(&runtime)
        {
            output.note(told);
        }
        Ok(())
    }

    /// A failed deployment as a person meets it.
    fn failed(&self, error: &DeployError) -> CliError {
        for line in &error.log {
            self.context
                .output
                .aside(format_args!("log: {}", crate::output::plain(line)));
        }
        let left = match &error.left {
            Left::Nothing => "nothing was made",
            Left::Removed => "what was made is removed again",
            Left::AsBefore => "the files from before are back",
            _ => "something may be left of it",
        };
        let mut converted = CliError::new(hf_kind(error.kind()), format!("{error}; {left}"));
        if let Some(cause) = std::error::Error::source(&*error.cause) {
            converted = converted.because(cause.to_string());
        }
        error.next().into_iter().fold(converted, CliError::hint)
    }
}

pub(crate) async fn run(command: SpaceCommand, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let spaces = Spaces {
        manager: HfSpaceManager::new(&connection.client, connection.namespace.clone()),
        connection,
        context,
    };
    match command {
        SpaceCommand::Create(args) => create::run(&args, &spaces).await,
        SpaceCommand::Ls => show::list(&spaces).await,
        SpaceCommand::Status(args) => show::status(&args, &spaces).await,
        SpaceCommand::Logs(args) => show::logs(&args, &spaces).await,
        SpaceCommand::Events(args) => show::feed(&args, SpaceFeed::Events, &spaces).await,
        SpaceCommand::Metrics(args) => show::feed(&args, SpaceFeed::Metrics, &spaces).await,
        SpaceCommand::Open(args) => show::open(&args, &spaces).await,
        SpaceCommand::Update(args) => change::update(&args, &spaces).await,
        SpaceCommand::Promote(args) => change::promote(&args, &spaces).await,
        SpaceCommand::Rollback(args) => change::rollback(&args, &spaces).await,
        SpaceCommand::Fit(args) => change::fit(&args, &spaces).await,
        SpaceCommand::Pause(args) => change::pause(&args, &spaces).await,
        SpaceCommand::Restart(args) => change::restart(&args, &spaces).await,
        SpaceCommand::Dev(args) => change::dev(&args, &spaces).await,
        SpaceCommand::Secrets(command) => secrets::run(&command, &spaces).await,
        SpaceCommand::Vars(command) => vars::run(&command, &spaces).await,
        SpaceCommand::Hardware(args) => hardware::run(&args, &spaces).await,
        SpaceCommand::Sleep(args) => hardware::sleep(&args, &spaces).await,
        SpaceCommand::Rm(args) => change::remove(&args, &spaces).await,
    }
}
