//! A plan as a person reads it.

use bashgym_core::plan::{Problem, TrainPlan, micro_usd_text};

use crate::error::CliError;
use crate::output::{Output, bytes, plain};

const NOT_KNOWN: &str = "not known yet";

pub(super) fn plan(plan: &TrainPlan, output: Output) -> Result<(), CliError> {
    let say = |name: &str, value: String| output.line(format!("{name:<14} {value}"));
    let (recipe, method) = match &plan.training.trl {
        Some(trl) => (trl.recipe.as_str(), trl.method.as_str()),
        None => ("sft", "from nothing"),
    };
    say("trains", format!("{recipe}, {method}, by {}", plan.backend))?;
    if let Some(base) = &plan.base_model {
        let size = base.parameters.map_or_else(
            || NOT_KNOWN.to_owned(),
            |count| format!("{:.2} billion weights", count as f64 / 1e9),
        );
        say("base model", format!("{}, {size}", plain(&base.repo_id)))?;
    }
    if let Some(data) = &plan.dataset {
        say(
            "dataset",
            format!("{} at {}", plain(&data.repo_id), data.revision),
        )?;
        if data.rows_measured > 0 {
            say(
                "rows",
                format!(
                    "{} to train on, {} to measure on; {:.0} tokens on average, {:.1} % cut",
                    data.rows_train,
                    data.rows_val,
                    data.mean_tokens,
                    data.cut_share * 100.0
                ),
            )?;
            let most = data
                .histogram
                .iter()
                .map(|bucket| bucket.rows)
                .max()
                .unwrap_or(1)
                .max(1);
            for bucket in &data.histogram {
                let width = usize::try_from(bucket.rows * 30 / most).unwrap_or(0).max(1);
                say(
                    "",
                    format!(
                        "{:>8} tokens {:<30} {}",
                        bucket.up_to,
                        "█".repeat(width),
                        bucket.rows
                    ),
                )?;
            }
        }
        for (number, sample) in (1..).zip(&data.samples) {
            output.line(format!("--- sample {number}, {} tokens", sample.tokens))?;
            output.line(plain(&sample.text))?;
        }
        if !data.samples.is_empty() {
            output.line("---")?;
        }
    }
    let fits = match plan.fits {
        Some(true) => "fits",
        Some(false) => "does not fit",
        None => "fit not known",
    };
    let memory = plan.memory.map_or_else(String::new, |memory| {
        format!(
            "; needs about {}: weights {}, gradients {}, optimiser {}, activations {}",
            bytes(memory.total_bytes),
            bytes(memory.weights_bytes),
            bytes(memory.gradients_bytes),
            bytes(memory.optimizer_bytes),
            bytes(memory.activations_bytes)
        )
    });
    say(
        "flavor",
        format!("{} ({fits}{memory})", plan.flavor.as_deref().unwrap_or("none")),
    )?;
    for cheaper in &plan.cheaper_flavors {
        let price = cheaper.micro_usd_per_minute.map_or_else(
            || NOT_KNOWN.to_owned(),
            |price| format!("{} an hour", micro_usd_text(price * 60)),
        );
        say("cheaper", format!("{} ({price})", cheaper.name))?;
    }
    let known = |value: Option<u64>, unit: &str| {
        value.map_or_else(|| NOT_KNOWN.to_owned(), |value| format!("{value}{unit}"))
    };
    say("steps", known(plan.steps, ""))?;
    say("time", known(plan.seconds_expected, " s"))?;
    say("ended after", known(plan.timeout_seconds, " s"))?;
    let price = |price: Option<f64>| price.map_or_else(|| NOT_KNOWN.to_owned(), |price| format!("${price}"));
    say(
        "price",
        format!(
            "expected {}, at worst {}",
            price(plan.price_expected_usd),
            price(plan.price_worst_usd)
        ),
    )?;
    for file in &plan.files {
        say(
            "commits",
            format!("{} to {} ({})", file.path, file.repo_id, bytes(file.size_bytes)),
        )?;
    }
    if let Some(request) = &plan.request {
        let text = serde_json::to_string_pretty(request).unwrap_or_default();
        say("sends", text)?;
    }
    notes("warning", &plan.warnings, output);
    Ok(())
}

fn notes(kind: &str, problems: &[Problem], output: Output) {
    for problem in problems {
        output.note(format!(
            "{kind}: {}; {}",
            plain(&problem.message),
            plain(&problem.next)
        ));
    }
}
