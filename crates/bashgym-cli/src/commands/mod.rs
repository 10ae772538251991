//! One file a noun.

pub(crate) mod budget;
pub(crate) mod bulk;
pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod data;
pub(crate) mod doctor;
pub(crate) mod generate;
pub(crate) mod hub;
pub(crate) mod infer;
pub(crate) mod jobs;
pub(crate) mod labels;
pub(crate) mod model;
pub(crate) mod route;
pub(crate) mod run;
pub(crate) mod runs;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod space;
pub(crate) mod stages;
pub(crate) mod status;
pub(crate) mod store;
pub(crate) mod token;
pub(crate) mod train;
pub(crate) mod wallet;
pub(crate) mod worker;

use crate::cli::Command;
use crate::context::Context;
use crate::error::CliError;

/// Runs a command to its end.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), CliError> {
    match command {
        Command::Run(args) => run::run(args, context).await,
        Command::Runs(command) => runs::run(command, context).await,
        Command::Sessions(command) => sessions::run(command, context).await,
        Command::Data(command) => data::run(command, context).await,
        Command::Train(args) => train::run(*args, context).await,
        Command::Jobs(command) => jobs::run(command, context).await,
        Command::Space(command) => space::run(*command, context).await,
        Command::Budget(command) => budget::run(command, context).await,
        Command::Generate(args) => generate::run(args, context).await,
        Command::Infer(command) => infer::run(command, context).await,
        Command::Route(command) => route::run(command, context).await,
        Command::Model(command) => model::run(command, context),
        Command::Status(args) => status::run(args, context).await,
        Command::Doctor(args) => doctor::run(args, context).await,
        Command::Wallet(args) => wallet::run(args, context).await,
        Command::Token(command) => token::run(command, context).await,
        Command::Store(command) => store::run(command, context).await,
        Command::Serve(args) => serve::serve(args, context).await,
        Command::Up(args) => serve::up(args, context).await,
        Command::Config(args) => config::run(&args, context),
        Command::Hub(command) => hub::run(command, context).await,
        Command::Worker(command) => worker::run(command, context).await,
        Command::Completions(args) => completions::run(&args, context.output),
    }
}
