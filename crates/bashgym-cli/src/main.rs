//! The `bashgym` command: what your coding agents did becomes a student model.
//!
//! This crate is the composition root. It alone decides which Hub a command talks to, plugs the model engine
//! in, and prints.

mod account;
mod account_memory;
mod bar;
mod cli;
mod commands;
mod config_file;
mod context;
mod driving;
mod embedded_hub;
mod ending;
mod error;
mod files;
mod gate;
mod global;
mod inference;
mod inputs;
mod job_token;
mod kept;
mod output;
mod progress;
mod storage;
mod student;
mod telemetry;
mod transfer;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use hf_core::SPANS;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::{Cli, Command};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::Output;
use crate::telemetry::Telemetry;

/// A request makes many small pieces of memory; this allocator takes a quarter less of its time than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.global.format());
    match run(cli, output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if error.kind != Kind::OutputClosed && !error.is_silent() {
                output.error(&error);
            }
            error.exit_code()
        }
    }
}

fn run(cli: Cli, output: Output) -> Result<(), CliError> {
    if let Command::Completions(args) = &cli.command {
        return cli::complete(args, output);
    }
    let serves = matches!(cli.command, Command::Serve(_) | Command::Up(_));
    let verbose = cli.global.verbose;
    let context = Context::new(cli.global, output)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(Kind::Internal, "cannot start the async runtime").because(error))?;
    let telemetry = if serves {
        Telemetry::of(&context, runtime.handle())?
    } else {
        None
    };
    start_log(verbose, serves, telemetry.as_ref());
    let result = runtime.block_on(cli.command.run(&context));
    if let Some(telemetry) = telemetry {
        telemetry.end();
    }
    context.account_memory.keep();
    // Work that was left behind on purpose, such as an import after Ctrl-C, must not hold the process.
    runtime.shutdown_background();
    result
}

/// Log lines go to standard error, and only when asked for. A server tells what it answered, and what spent, deleted or
/// uploaded: as JSON where no person watches.
fn start_log(verbose: u8, serves: bool, telemetry: Option<&Telemetry>) {
    let level = match verbose {
        0 if serves => "warn,bashgym_server=info,audit=info",
        0 => return,
        1 => "info",
        2 => "debug",
        _ => "trace",
    };
    // Spans are for the collector; a line carries what it says itself.
    let filter = EnvFilter::new(format!(
        "{level},hyper=info,h2=info,rustls=info,sqlx=info,{SPANS}=off"
    ));
    let json = serves && !std::io::stderr().is_terminal();
    let Some(telemetry) = telemetry else {
        // One filter for all costs a request less than one for each layer.
        let log = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        return if json { log.json().init() } else { log.init() };
    };
    let log = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let log = if json {
        log.json().with_filter(filter).boxed()
    } else {
        log.with_filter(filter).boxed()
    };
    tracing_subscriber::registry()
        .with(log)
        .with(telemetry.layer())
        .init();
}
