//! The one place that prints. Data goes to standard output, everything else to standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use owo_colors::OwoColorize;
use serde::Serialize;

use crate::error::{CliError, Kind};

/// How results are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Tables, progress and hints for a person.
    Human,
    /// JSON, one value a line, stable and documented in docs/cli.md.
    Json,
    /// Only names, ids and paths, one a line.
    Quiet,
}

/// Where and how a command prints.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
}

#[expect(
    clippy::unused_self,
    reason = "printing goes through an Output, whatever it needs of it"
)]
impl Output {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_human(self) -> bool {
        self.format == Format::Human
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether a person watches, so that progress may be drawn over itself.
    pub(crate) fn is_live(self) -> bool {
        self.is_human() && io::stderr().is_terminal()
    }

    /// Prints a line of data.
    pub(crate) fn line(self, text: impl Display) -> Result<(), CliError> {
        written(writeln!(anstream::stdout().lock(), "{text}"))
    }

    /// Prints data as it is, without a line end.
    pub(crate) fn raw(self, text: impl Display) -> Result<(), CliError> {
        let mut out = anstream::stdout().lock();
        written(write!(out, "{text}").and_then(|()| out.flush()))
    }

    /// Prints a value as one line of JSON.
    pub(crate) fn json(self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string(value).map_err(|error| {
            CliError::new(Kind::Internal, "the result cannot be written as JSON").because(error)
        })?;
        let mut out = io::stdout().lock();
        written(writeln!(out, "{text}").and_then(|()| out.flush()))
    }

    /// Prints a line beside the data, for whoever watches: to standard error.
    pub(crate) fn aside(self, text: impl Display) {
        // A closed standard error is no reason to stop the work.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }

    /// Tells a person something; scripts are spared.
    pub(crate) fn note(self, text: impl Display) {
        if self.is_human() {
            // A closed standard error is no reason to stop the work.
            let _ = writeln!(anstream::stderr().lock(), "{text}");
        }
    }

    /// Shows a failure: what happened, why, what to do next.
    pub(crate) fn error(self, error: &CliError) {
        let mut err = anstream::stderr().lock();
        let _ = writeln!(err, "{} {error}", "error:".red().bold());
        for cause in error.causes() {
            let _ = writeln!(err, "  {} {cause}", "because:".dimmed());
        }
        for hint in error.hints() {
            let _ = writeln!(err, "  {} {hint}", "next:".cyan());
        }
        if self.is_json() {
            let value = serde_json::json!({
                "event": "error", "kind": error.kind.as_str(), "message": error.to_string(),
                "causes": error.causes(), "next": error.hints(),
            });
            let _ = writeln!(io::stdout().lock(), "{value}");
        }
    }
}

fn written(result: io::Result<()>) -> Result<(), CliError> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => CliError::new(Kind::OutputClosed, "the reader of the output is gone"),
        _ => CliError::new(Kind::Io, "cannot write to standard output").because(error),
    })
}

/// Bytes as a person reads them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A table without borders, fitted to the terminal.
pub(crate) fn table(header: &[&str]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
        .set_header(header.iter().map(|title| {
            comfy_table::Cell::new(title.to_uppercase()).add_attribute(comfy_table::Attribute::Dim)
        }));
    table
}

/// Text of unknown origin with control characters made harmless to a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' && c != '\t' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{bytes, plain};

    #[test]
    fn sizes_round_to_the_next_unit() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_500), "1.5 kB");
        assert_eq!(bytes(999_960), "1.0 MB");
    }

    #[test]
    fn terminal_escapes_of_a_log_do_not_reach_the_terminal() {
        assert_eq!(plain("a\x1b[31mb\tc"), "a\u{fffd}[31mb\tc");
    }
}
