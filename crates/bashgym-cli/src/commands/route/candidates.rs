//! `bashgym route candidates`.

use std::io::Write as _;
use std::path::PathBuf;

use bashgym_core::router::{DecisionFilter, RouteStore};
use clap::Args;
use serde_json::json;

use super::Since;
use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::gate::HomeGate;

/// Decisions that are read at once.
const PAGE: u32 = 200;

/// Writes calls that the student was not sure of, with the answer another model gave.
#[derive(Debug, Args)]
#[command(after_help = "\
Only exchanges that were kept can be written: `bashgym serve --keep-exchanges`. Answers that were found wrong are left out. Secrets
and personal details are replaced on the way.

Example: bashgym route candidates --out hard.jsonl")]
pub(crate) struct CandidatesArgs {
    /// The file, a row a line; it must not be there yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    #[command(flatten)]
    since: Since,
}

pub(crate) async fn run(args: &CandidatesArgs, context: &Context) -> Result<(), CliError> {
    let store = context.store().await?;
    let mut gate = HomeGate::open(context)?.gate()?;
    let filter = DecisionFilter {
        kept: true,
        ..args.since.filter(context)?
    };
    let file = std::fs::File::create_new(&args.out).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return CliError::new(Kind::Conflict, format!("{} is there already", args.out.display()));
        }
        io_error("make", &args.out, error)
    })?;
    let mut out = std::io::BufWriter::new(file);
    let failed = |error| io_error("write", &args.out, error);
    let (mut before, mut rows, mut wrong) = (None, 0_u64, 0_u64);
    loop {
        let page = store.list_decisions(&filter, before, PAGE).await?;
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        for record in &page {
            if record.outcome.as_ref().is_some_and(|outcome| !outcome.good) {
                wrong += 1;
                continue;
            }
            let Some(exchange) = store.find_exchange(record.id).await? else {
                continue;
            };
            let mut messages = exchange.messages;
            messages.push(exchange.answer);
            let row = json!({
                "messages": messages, "tools": exchange.tools,
                "decision": record.id, "answered_by": record.answered_by().map(|by| &by.model),
            });
            let row = row.to_string();
            writeln!(out, "{}", gate.json(&row)).map_err(failed)?;
            rows += 1;
        }
    }
    out.flush().map_err(failed)?;
    let output = context.output;
    if output.is_json() {
        return output.json(&json!({ "rows": rows, "wrong_left_out": wrong, "file": args.out }));
    }
    output.note(format!(
        "{rows} rows in {}; {wrong} were answered wrongly and are left out.",
        args.out.display()
    ));
    Ok(())
}
