//! `bashgym data review`: each finding in its context, masked, and what is decided about it.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use bashgym_gate::{Hit, Verdict};
use clap::Args;
use serde_json::json;

use super::scan::each_file;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::output::plain;

/// The shortest part of an id that names a finding.
const SHORTEST_ID: usize = 6;

/// Shows findings and remembers decisions about them.
#[derive(Debug, Args)]
#[command(
    after_help = "Decisions hold for every command of this home. They are kept as keyed hashes, not as values.\n\
                  Example: bashgym data review ./dataset --allow 3f9a1c"
)]
pub(crate) struct ReviewArgs {
    /// Session logs, dataset folders or any text files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Let the value of this finding through from now on; may be repeated
    #[arg(long, value_name = "ID")]
    allow: Vec<String>,
    /// Never let the value of this finding through, whether or not a rule finds it; may be repeated
    #[arg(long, value_name = "ID")]
    deny: Vec<String>,
}

/// One value, with every place where it stands.
struct Sheet {
    hit: Hit,
    file: PathBuf,
    places: u64,
}

pub(super) fn run(args: &ReviewArgs, context: &Context) -> Result<(), CliError> {
    let mut home = HomeGate::open(context)?;
    let mut sheets: BTreeMap<String, Sheet> = BTreeMap::new();
    let mut order = Vec::new();
    let mut scanner = home.scanner()?;
    each_file(&args.paths, &mut scanner, |file, hit| {
        sheets
            .entry(hit.id.clone())
            .and_modify(|sheet| sheet.places += 1)
            .or_insert_with(|| {
                order.push(hit.id.clone());
                Sheet {
                    hit: hit.clone(),
                    file: file.to_owned(),
                    places: 1,
                }
            });
        Ok(())
    })?;
    let mut decided: BTreeMap<String, Verdict> = BTreeMap::new();
    let asked = args
        .allow
        .iter()
        .map(|id| (id, Verdict::Allow))
        .chain(args.deny.iter().map(|id| (id, Verdict::Deny)));
    for (id, verdict) in asked {
        decided.insert(find(&sheets, id)?, verdict);
    }
    let by_hand = decided.is_empty() && context.output.is_human() && std::io::stdin().is_terminal();
    for (number, id) in order.iter().enumerate() {
        let Some(sheet) = sheets.get(id) else { continue };
        show(context, sheet, decided.get(id).copied())?;
        if by_hand {
            match ask(context, number + 1, order.len())? {
                Answer::Decide(verdict) => {
                    decided.insert(id.clone(), verdict);
                }
                Answer::Skip => {}
                Answer::Stop => break,
            }
        }
    }
    for (id, verdict) in &decided {
        if let Some(sheet) = sheets.get(id) {
            home.policy.decide(id, sheet.hit.kind, sheet.hit.length, *verdict);
        }
    }
    if !decided.is_empty() {
        home.policy.write(&home.policy_file)?;
    }
    let open = order.iter().filter(|id| !decided.contains_key(*id)).count();
    let (allowed, denied) = home.policy.counts();
    if context.output.is_json() {
        context.output.json(&json!({
            "event": "summary", "values": order.len(), "open": open, "decided": decided.len(),
            "allowed_in_all": allowed, "denied_in_all": denied,
        }))?;
    }
    context.output.note(format!(
        "{} values found, {open} of them without a decision; {allowed} are let through in all, {denied} never.",
        order.len()
    ));
    Ok(())
}

/// Finds the one finding whose id begins so.
fn find(sheets: &BTreeMap<String, Sheet>, id: &str) -> Result<String, CliError> {
    if id.len() < SHORTEST_ID {
        return Err(CliError::new(
            Kind::Usage,
            format!("{id} is too short for an id; give {SHORTEST_ID} letters or more"),
        ));
    }
    let mut found = sheets.keys().filter(|full| full.starts_with(id));
    match (found.next(), found.next()) {
        (Some(full), None) => Ok(full.clone()),
        (Some(_), Some(_)) => Err(CliError::new(
            Kind::Usage,
            format!("more than one finding begins with {id}"),
        )),
        (None, _) => Err(
            CliError::new(Kind::NotFound, format!("no finding here has the id {id}"))
                .hint("ids are those that `bashgym data review PATH` shows for the same paths"),
        ),
    }
}

fn show(context: &Context, sheet: &Sheet, verdict: Option<Verdict>) -> Result<(), CliError> {
    let Sheet { hit, file, places } = sheet;
    if context.output.is_json() {
        return context.output.json(&json!({
            "event": "finding", "id": hit.id, "kind": hit.kind, "file": file, "line": hit.line, "places": places,
            "placeholder": hit.placeholder, "context": hit.context, "length": hit.length, "verdict": verdict,
        }));
    }
    context.output.line(format!(
        "{}  {}  {}:{}{}\n    {}",
        &hit.id[..12.min(hit.id.len())],
        hit.kind,
        plain(&file.display().to_string()),
        hit.line,
        if *places > 1 {
            format!("  and {} more", places - 1)
        } else {
            String::new()
        },
        plain(&hit.context)
    ))
}

enum Answer {
    Decide(Verdict),
    Skip,
    Stop,
}

fn ask(context: &Context, number: usize, of: usize) -> Result<Answer, CliError> {
    loop {
        context.output.raw(format!(
            "    {number}/{of}: [Enter] replace it as before, [a]llow, [d]eny for good, [q]uit: "
        ))?;
        let mut answer = String::new();
        let read = std::io::stdin()
            .read_line(&mut answer)
            .map_err(|error| CliError::new(Kind::Io, "cannot read the answer").because(error))?;
        match answer.trim() {
            _ if read == 0 => return Ok(Answer::Stop),
            "" => return Ok(Answer::Skip),
            "a" | "allow" => return Ok(Answer::Decide(Verdict::Allow)),
            "d" | "deny" => return Ok(Answer::Decide(Verdict::Deny)),
            "q" | "quit" => return Ok(Answer::Stop),
            _ => {}
        }
    }
}
