//! `bashgym route models`.

use bashgym_core::router::{Calibration, ModelNote, model_notes};

use crate::context::Context;
use crate::error::CliError;
use crate::output::plain;

pub(crate) async fn run(context: &Context) -> Result<(), CliError> {
    let found = model_notes(&context.store().await?).await?;
    let output = context.output;
    if output.is_human() {
        if found.is_empty() {
            output.note("No model is calibrated, and no share moved yet: `bashgym route calibrate` measures a student.");
        }
        for note in &found {
            output.line(words(note))?;
        }
        return Ok(());
    }
    for note in &found {
        if output.is_json() {
            output.json(note)?;
        } else {
            output.line(&note.model)?;
        }
    }
    Ok(())
}

/// The same, below a list of decisions.
pub(super) async fn notes(context: &Context) -> Result<(), CliError> {
    for note in model_notes(&context.store().await?).await? {
        context.output.note(words(&note));
    }
    Ok(())
}

fn words(note: &ModelNote) -> String {
    let calibrated = note.calibration.as_ref().map_or_else(
        || "its confidence is not calibrated".to_owned(),
        |calibration| format!("calibrated{}: {}", when(calibration), quality(calibration)),
    );
    let share = note.share.map_or_else(String::new, |share| {
        format!("; {:.0} % of requests under progressive", share * 100.0)
    });
    format!("{}: {calibrated}{share}", plain(&note.model))
}

fn when(calibration: &Calibration) -> String {
    calibration
        .at
        .map_or_else(String::new, |at| format!(" {}", at.strftime("%Y-%m-%d %H:%M")))
}

/// How far a calibration can be believed, for a person.
pub(super) fn quality(calibration: &Calibration) -> String {
    let percent = |value: f64| format!("{:.1} %", value * 100.0);
    let (low, high) = calibration.error_interval;
    format!(
        "off by {} on answers it was not made from (90 %: {} to {}; {} before), Brier {:.3}, {} answers",
        percent(calibration.error),
        percent(low),
        percent(high),
        percent(calibration.raw_error),
        calibration.brier,
        calibration.examples
    )
}
