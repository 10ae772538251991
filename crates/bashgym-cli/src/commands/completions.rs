//! `bashgym completions SHELL`.

use clap::Args;
use clap_complete::Shell;

use crate::error::CliError;
use crate::output::Output;

/// Prints a completion script for a shell.
#[derive(Debug, Args)]
#[command(
    after_help = "Example: bashgym completions bash > ~/.local/share/bash-completion/completions/bashgym"
)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(
    args: &CompletionsArgs,
    mut command: clap::Command,
    output: Output,
) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "bashgym", &mut script);
    output.raw(String::from_utf8_lossy(&script))
}
