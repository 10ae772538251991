//! `bashgym space hardware` and `sleep`: what a Space runs on and when it rests, and what that may cost.

use bashgym_core::space::{SpaceBill, SpaceBillError, SpaceTerms, period_words, sleep_time};
use clap::Args;
use hf_spaces::{SleepTime, SpaceHardware, SpaceRuntime};
use serde_json::json;

use super::Spaces;
use crate::error::CliError;

/// What Spaces can run on, or other hardware for one.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a name, the hardware there is, with prices; without HARDWARE, what the Space runs on.

Example: bashgym space hardware student-demo t4-small --sleep 30m")]
pub(crate) struct HardwareArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: Option<String>,
    /// What it is to run on
    #[arg(value_name = "HARDWARE", requires = "name")]
    hardware: Option<String>,
    /// Time without a visitor until paid hardware sleeps; `never`; 1h when not given
    #[arg(long, value_name = "DURATION", requires = "hardware")]
    sleep: Option<String>,
    /// Use billed hardware whose price the Hub does not tell
    #[arg(long, requires = "hardware")]
    accept_cost: bool,
}

/// When a Space sleeps.
#[derive(Debug, Args)]
pub(crate) struct SleepArgs {
    /// The Space, with or without its namespace
    #[arg(value_name = "SPACE")]
    name: String,
    /// Time without a visitor, like 30m; `never`
    #[arg(value_name = "DURATION")]
    after: String,
}

/// Reads when a Space sleeps.
pub(super) fn parse_sleep(text: &str) -> Result<SleepTime, CliError> {
    Ok(match text {
        "never" => SleepTime::Never,
        text => SleepTime::After(hf_jobs::parse_timeout(text)?),
    })
}

/// Tells what a Space on billed hardware costs before it is asked for.
pub(super) fn billed(bill: &SpaceBill, hardware: &SpaceHardware, spaces: &Spaces<'_>) {
    let output = spaces.context.output;
    match (bill.price_a_minute, bill.worst) {
        (Some(price), Some(worst)) => output.note(format!(
            "{hardware} is billed at {:.2} USD an hour until it sleeps; {worst} USD are set aside, for {}",
            price.usd() * 60.0,
            period_words(bill.period)
        )),
        _ => output.note(format!("{hardware} is billed at a price the Hub does not tell")),
    }
}

/// Why something that may cost did not come about, and what to do.
pub(super) fn refused(error: SpaceBillError, spaces: &Spaces<'_>) -> CliError {
    match error {
        SpaceBillError::Ledger(error) => {
            let unknown = matches!(error, bashgym_core::ledger::LedgerError::UnknownPrice { .. });
            CliError::from(error).hint(if unknown {
                "the Hub tells no price of this hardware; --accept-cost uses it all the same"
            } else {
                "--sleep chooses a shorter time; the hardware zero-gpu and cpu-basic is not billed"
            })
        }
        SpaceBillError::Deploy(error) => spaces.failed(&error),
        SpaceBillError::Hub(error) => error.into(),
        other => CliError::new(crate::error::Kind::Internal, other.to_string()),
    }
}

pub(super) async fn run(args: &HardwareArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let Some(name) = &args.name else {
        return list(spaces).await;
    };
    let id = spaces.id(name)?;
    let Some(wanted) = &args.hardware else {
        let runtime = spaces.manager.get_space_status(&id).await?;
        return told(&id, &runtime, spaces);
    };
    let hardware: SpaceHardware = wanted.parse()?;
    let asked = args.sleep.as_deref().map(parse_sleep).transpose()?;
    let terms = SpaceTerms {
        sleep: sleep_time(&hardware, asked),
        hardware,
        allow_unknown_price: args.accept_cost,
    };
    let changed = spaces
        .books()
        .await?
        .change_hardware(&id, &terms, |bill| billed(bill, &terms.hardware, spaces))
        .await;
    let runtime = changed.map_err(|error| refused(error, spaces))?;
    told(&id, &runtime, spaces)
}

pub(super) async fn sleep(args: &SleepArgs, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let id = spaces.id(&args.name)?;
    let after = parse_sleep(&args.after)?;
    let changed = spaces.books().await?.change_sleep(&id, after).await;
    let runtime = changed.map_err(|error| refused(error, spaces))?;
    told(&id, &runtime, spaces)
}

async fn list(spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    for flavor in spaces.manager.hardware().await? {
        let price = flavor.micro_usd_per_minute();
        if output.is_json() {
            output.json(&json!({
                "name": flavor.name, "title": flavor.pretty_name, "cpu": flavor.cpu, "ram": flavor.ram,
                "micro_usd_per_minute": price,
            }))?;
            continue;
        }
        let free = flavor.name.parse().is_ok_and(|it: SpaceHardware| !it.is_paid());
        let price = match price {
            _ if free => "not billed".to_owned(),
            Some(micros) => format!("{:.2} USD/h", micros as f64 * 60.0 / 1e6),
            None => "price not told".to_owned(),
        };
        output.line(format_args!(
            "{:<16} {:<14} {} {}",
            crate::output::plain(&flavor.name),
            price,
            crate::output::plain(flavor.cpu.as_deref().unwrap_or("")),
            crate::output::plain(flavor.ram.as_deref().unwrap_or(""))
        ))?;
    }
    Ok(())
}

fn told(id: &hf_core::RepoId, runtime: &SpaceRuntime, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let output = spaces.context.output;
    let (now, wanted) = (&runtime.hardware.current, &runtime.hardware.requested);
    if output.is_json() {
        return output.json(&json!({
            "space_id": id, "stage": runtime.stage, "hardware": now, "hardware_requested": wanted,
            "sleep_seconds": runtime.sleep_time_s,
        }));
    }
    let name = now.as_deref().or(wanted.as_deref()).unwrap_or("no hardware yet");
    output.line(crate::output::plain(name))?;
    if let (Some(now), Some(wanted)) = (now, wanted)
        && now != wanted
    {
        output.note(format!("{} is asked for", crate::output::plain(wanted)));
    }
    if let Some(seconds) = runtime.sleep_time_s {
        output.note(format!(
            "it sleeps after {} without a visitor",
            period_words(std::time::Duration::from_secs(seconds))
        ));
    }
    Ok(())
}
