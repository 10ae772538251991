//! One piece of work from its price to its output.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use bashgym_core::bulk::{BulkMeans, BulkRun, Counts, Estimate, Ran, Stopped, Work, check_output, report};
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::options::Ready;
use super::screen::BulkScreen;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::output::plain;

/// What was asked, and where the answers are.
pub(crate) struct Asked {
    pub(crate) ran: Ran,
    pub(crate) run: BulkRun,
}

/// Tells the price, asks, and writes the output; stops cleanly at a cap, a dead provider, or Ctrl-C.
pub(crate) async fn drive(work: Arc<dyn Work>, ready: Ready, context: &Context) -> Result<(), CliError> {
    let out = check_output(&*work, &ready.out)?;
    let Some(Asked { ran, run }) = ask_all(work, ready, &out, context).await? else {
        return Ok(());
    };
    let gate = HomeGate::open(context)?.gate()?.into();
    let result = run.finish(&ran, gate).await?;
    told(&out, &ran, result.as_ref(), context)?;
    ended(ran)
}

/// Tells the price and asks; none where that is all that was wanted. `out` names the work beside its command.
pub(crate) async fn ask_all(
    work: Arc<dyn Work>,
    ready: Ready,
    out: &Path,
    context: &Context,
) -> Result<Option<Asked>, CliError> {
    let output = context.output;
    // On this machine's own Hub nothing leaves it.
    let gate = if ready.connection.client.endpoint().is_loopback() {
        None
    } else {
        Some(HomeGate::open(context)?.inspector())
    };
    let means = BulkMeans {
        desk: ready.desk,
        clock: Arc::clone(&context.clock),
        gate,
        options: ready.options,
    };
    let run = BulkRun::open(work, out, &context.home()?.join("bulk"), means)?;
    let expected = run.estimate().await?;
    let (dropped, damaged) = run.journal().damage();
    if output.is_json() {
        output.json(&json!({
            "event": "plan", "command": run.work().command(), "model": run.work().model(), "out": out,
            "journal": run.journal_dir(), "estimate": expected, "journal_dropped_bytes": dropped,
            "journal_damaged_lines": damaged,
        }))?;
    } else {
        output.note(plan(&expected));
        if damaged > 0 {
            output.note(format!(
                "{damaged} lines of the journal cannot be read; what they held is asked again."
            ));
        }
    }
    if ready.dry_run {
        return Ok(None);
    }
    let screen = BulkScreen::new(output, expected.questions);
    let ran = ask(&run, &screen).await;
    screen.finish();
    Ok(Some(Asked { ran: ran?, run }))
}

/// Why it ended early, if it did.
pub(crate) fn ended(ran: Ran) -> Result<(), CliError> {
    match ran.stopped {
        None if ran.counts.answered + ran.counts.from_journal == 0 && ran.counts.failed > 0 => {
            Err(CliError::new(Kind::Unreachable, "no question was answered")
                .hint("the same command asks again"))
        }
        None => Ok(()),
        Some(stopped) => Err(why(stopped)),
    }
}

/// Asks until all is asked, or until Ctrl-C or SIGTERM: the first one lets calls under way end, the second one does not wait for them.
async fn ask(run: &BulkRun, screen: &BulkScreen) -> Result<Ran, CliError> {
    let stop = CancellationToken::new();
    let show = |counts: Counts| screen.show(counts);
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| CliError::new(Kind::Internal, "cannot listen for signals").because(error))?;
    let mut asking = Box::pin(run.ask(&stop, &show));
    loop {
        tokio::select! {
            ran = &mut asking => return Ok(ran?),
            () = async { tokio::select! { _ = tokio::signal::ctrl_c() => {} _ = terminate.recv() => {} } } => {
                if stop.is_cancelled() {
                    return Err(CliError::new(
                        Kind::Interrupted,
                        "stopped; calls that were under way may have been paid",
                    )
                    .hint("the same command goes on with what is left"));
                }
                stop.cancel();
                screen.say("Stopping after the calls under way; what was answered is kept. Ctrl-C again does not wait.");
            }
        }
    }
}

fn told(out: &Path, ran: &Ran, result: Option<&Value>, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    let counts = ran.counts;
    if output.is_json() {
        let mut line = report(ran, result);
        line["event"] = json!("result");
        line["dir"] = json!(result.map(|_| out));
        return output.json(&line);
    }
    if result.is_some() {
        output.line(out.display())?;
    }
    let mut told = format!(
        "{} answers, {} of them from before; ${:.4} known cost",
        counts.answered + counts.from_journal,
        counts.from_journal,
        counts.nano_usd as f64 / 1e9
    );
    if counts.cost_unknown > 0 {
        let _ = write!(told, ", {} calls of unknown cost", counts.cost_unknown);
    }
    if counts.failed > 0 {
        let _ = write!(
            told,
            "; {} questions without an answer ({} may have been paid)",
            counts.failed, counts.failed_maybe_paid
        );
    }
    output.note(told);
    for failure in &ran.failures {
        output.note(format!("  {}", plain(failure)));
    }
    if counts.unclear > 0 {
        output.note(format!(
            "{} questions were sent before a crash, and may have been paid; --retry-unclear sends them again.",
            counts.unclear
        ));
    }
    if let Some(rows) = result.and_then(|result| result["rows"].as_object()) {
        let rows: Vec<String> = rows
            .iter()
            .map(|(what, count)| format!("{}: {count}", what.replace('_', " ")))
            .collect();
        output.note(rows.join(", "));
    }
    if let Some(agreement) = result
        .map(|result| &result["agreement"])
        .filter(|it| it.is_object())
    {
        let number = |value: &Value| {
            value
                .as_f64()
                .map_or_else(|| "unknown".to_owned(), |it| format!("{it:.2}"))
        };
        let range = |value: &Value| format!("{} to {}", number(&value[0]), number(&value[1]));
        output.note(format!(
            "The judge agrees with {} of {} labels (95 %: {}); Cohen's kappa {} ({}).",
            number(&agreement["accuracy"]),
            agreement["rows"],
            range(&agreement["accuracy_interval"]),
            number(&agreement["kappa"]),
            range(&agreement["kappa_interval"]),
        ));
    }
    Ok(())
}

fn why(stopped: Stopped) -> CliError {
    let goes_on = "what was answered is kept: the same command goes on with what is left";
    match stopped {
        Stopped::Budget(error) => {
            let unknown = matches!(error, bashgym_core::ledger::LedgerError::UnknownPrice { .. });
            let converted = CliError::from(error);
            if unknown {
                converted.hint("--allow-unknown-price asks all the same; it then counts as unknown")
            } else {
                converted.hint(goes_on)
            }
        }
        Stopped::Failing(error) => CliError::from(error).hint(goes_on),
        Stopped::Asked => CliError::new(Kind::Interrupted, "stopped").hint(goes_on),
    }
}

/// What it will take, for a person.
fn plan(told: &Estimate) -> String {
    let money = |usd: Option<f64>| usd.map_or_else(|| "not known".to_owned(), |usd| format!("${usd:.4}"));
    let answers = told
        .answer_tokens
        .or(told.answer_tokens_at_most)
        .map_or_else(|| "an unknown number of".to_owned(), |tokens| tokens.to_string());
    let bound = if told.answer_tokens.is_none() {
        "at most "
    } else {
        "about "
    };
    let mut text = format!(
        "{} to ask of {} ({} answered before), about {} tokens, answers of {bound}{answers} tokens. Price: expected {}, at \
         worst {}.",
        told.to_ask,
        told.questions,
        told.answered,
        told.prompt_tokens,
        money(told.price_expected_usd),
        money(told.price_worst_usd),
    );
    if told.unclear > 0 {
        let _ = write!(
            text,
            " {} were sent before a crash and may have been paid; they are left out.",
            told.unclear
        );
    }
    text
}
