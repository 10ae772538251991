//! The options that every command takes.

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;

use crate::output::Format;

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// How to show results; human on a terminal, quiet in a pipe
    #[arg(long, global = true, value_enum)]
    format: Option<Format>,

    /// Use the embedded Hub of this machine, whatever account is configured
    #[arg(long, global = true, conflicts_with = "endpoint")]
    pub(crate) local: bool,

    /// The Hub to talk to (`HF_ENDPOINT`)
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) endpoint: Option<String>,

    /// A file that holds the token (`HF_TOKEN`)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,

    /// The organisation that owns what is made, and pays (`HF_ORG`)
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) org: Option<String>,

    /// The config file; config.toml in the home folder without it
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,

    /// Tell on standard error what is going on; twice or thrice for more
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

impl Global {
    pub(crate) fn format(&self) -> Format {
        self.format.unwrap_or_else(|| {
            if std::io::stdout().is_terminal() {
                Format::Human
            } else {
                Format::Quiet
            }
        })
    }
}
