//! The command line: what can be typed, and what `--help` teaches.

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    budget, completions, config, data, doctor, generate, hub, infer, jobs, model, route, run, runs, serve,
    sessions, space, status, store, token, train, wallet, worker,
};
use crate::context::Context;
use crate::error::CliError;
use crate::global::Global;
use crate::output::Output;

/// What your coding agents did becomes a student model.
///
/// Bash Gym reads the session logs of coding agents, builds a training set, trains a student, and serves it: on
/// your Hugging Face account, or wholly on this machine against an embedded Hub.
#[derive(Debug, Parser)]
#[command(
    name = "bashgym",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  bashgym run ~/.claude/projects          the whole way: logs in, trained student out
  bashgym sessions ls                     the sessions on this machine
  bashgym jobs logs -f JOB                follow a training job
  bashgym generate MODEL --prompt TEXT    ask the student

Without a Hugging Face token everything happens on this machine. State is kept in ~/.bashgym
(BASHGYM_HOME moves it). Exit codes and JSON are documented in docs/cli.md."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Session logs in, trained student out: all stages, each taken up again where it stopped
    Run(run::RunArgs),
    /// List runs, or show one
    #[command(subcommand)]
    Runs(runs::RunsCommand),
    /// Sessions of coding agents: find, show, import, follow, keep
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Datasets: build from sessions, push, pull, list, remove
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Train a student from a dataset
    Train(Box<train::TrainArgs>),
    /// Jobs: run, list, show, follow, wait, cancel, schedule
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Spaces: serve a student, look, update, go back, remove
    #[command(subcommand)]
    Space(Box<space::SpaceCommand>),
    /// What may be spent, what is set aside, and what was spent
    #[command(subcommand)]
    Budget(budget::BudgetCommand),
    /// Let a student answer
    Generate(generate::GenerateArgs),
    /// Models that somebody serves: answers, vectors, labels, prices, usage
    #[command(subcommand)]
    Infer(infer::InferCommand),
    /// Which model answered which call, and why
    #[command(subcommand)]
    Route(route::RouteCommand),
    /// What can be said of a model's files
    #[command(subcommand)]
    Model(model::ModelCommand),
    /// Account, Hub and state at a glance
    Status(status::StatusArgs),
    /// Check settings, Hub and token, and name what is missing
    Doctor(doctor::DoctorArgs),
    /// What was spent, what the plan includes, and how much quota is left
    Wallet(wallet::WalletArgs),
    /// The stored token: set, remove, show
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Everything that is remembered: back it up, restore it, look at it
    #[command(subcommand)]
    Store(store::StoreCommand),
    /// Serve the API, live events and pages
    Serve(serve::ServeArgs),
    /// Serve and open the browser; on this machine's own Hub where there is no token
    Up(serve::UpArgs),
    /// Show every setting and where its value came from
    Config(config::ConfigArgs),
    /// The embedded Hub of this machine
    #[command(subcommand)]
    Hub(hub::HubCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
    /// What a training job runs, or the container of a Space; not for people
    #[command(subcommand, hide = true)]
    Worker(worker::WorkerCommand),
}

impl Command {
    /// Runs the command to its end.
    pub(crate) async fn run(self, context: &Context) -> Result<(), CliError> {
        match self {
            Self::Run(args) => run::run(args, context).await,
            Self::Runs(command) => runs::run(command, context).await,
            Self::Sessions(command) => sessions::run(command, context).await,
            Self::Data(command) => data::run(command, context).await,
            Self::Train(args) => train::run(*args, context).await,
            Self::Jobs(command) => jobs::run(command, context).await,
            Self::Space(command) => space::run(*command, context).await,
            Self::Budget(command) => budget::run(command, context).await,
            Self::Generate(args) => generate::run(args, context).await,
            Self::Infer(command) => infer::run(command, context).await,
            Self::Route(command) => route::run(command, context).await,
            Self::Model(command) => model::run(command, context),
            Self::Status(args) => status::run(args, context).await,
            Self::Doctor(args) => doctor::run(args, context).await,
            Self::Wallet(args) => wallet::run(args, context).await,
            Self::Token(command) => token::run(command, context).await,
            Self::Store(command) => store::run(command, context).await,
            Self::Serve(args) => serve::serve(args, context).await,
            Self::Up(args) => serve::up(args, context).await,
            Self::Config(args) => config::run(&args, context),
            Self::Hub(command) => hub::run(command, context).await,
            Self::Worker(command) => worker::run(command, context).await,
            Self::Completions(args) => complete(&args, context.output),
        }
    }
}

/// Prints a completion script, which needs neither a home folder nor a runtime.
pub(crate) fn complete(args: &completions::CompletionsArgs, output: Output) -> Result<(), CliError> {
    completions::run(args, Cli::command(), output)
}
