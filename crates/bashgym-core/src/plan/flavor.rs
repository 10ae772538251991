//! Which flavor a training fits, and which of those costs least.

use hf_jobs::JobHardware;

use super::fit::{self, ModelShape};
use super::wanted::PlanRequest;
use super::{FlavorOffer, Problem, TrainPlan};

/// A base model of fewer weights trains on processors in fair time.
const SMALL_MODEL: u64 = 50_000_000;

/// Takes the flavor that was asked for, or the cheapest that fits; lists the cheaper ones.
pub(super) fn choose_flavor(
    request: &PlanRequest,
    shape: Option<&ModelShape>,
    hardware: &[JobHardware],
    plan: &mut TrainPlan,
) {
    let asked = request.flavor.as_deref();
    let (Some(shape), Some(options)) = (shape, plan.training.trl.clone()) else {
        // The embedded engine makes itself as small as the machine asks; of an unknown base nothing can be said.
        let embedded = plan.training.trl.is_none().then_some("cpu-basic");
        plan.flavor = asked.or(embedded).map(str::to_owned);
        if plan.training.trl.is_some() {
            plan.warnings.push(Problem::new(
                "fit_unknown",
                "the base model's size is not known, so nobody can say what it fits",
                "name a flavor: --flavor",
            ));
        }
        check_known(asked, hardware, plan);
        return;
    };
    let parameters = plan
        .base_model
        .as_ref()
        .and_then(|base| base.parameters)
        .unwrap_or_else(|| shape.parameters());
    let need = |flavor: &JobHardware| {
        fit::estimate_memory(parameters, shape, &options, flavor.accelerator.is_some()).total_bytes
    };
    let usable = |flavor: &JobHardware| match flavor.accelerator.as_ref() {
        Some(accelerator) => accelerator.kind.as_deref() == Some("gpu"),
        None => options.method != crate::trainer::Method::Qlora,
    };
    let fits = |flavor: &JobHardware| {
        usable(flavor) && fit::device_bytes(flavor).is_some_and(|has| has >= need(flavor))
    };
    let mut fitting: Vec<&JobHardware> = hardware.iter().filter(|flavor| fits(flavor)).collect();
    fitting.sort_by_key(|flavor| {
        (
            flavor.micro_usd_per_minute().unwrap_or(u64::MAX),
            flavor.name.clone(),
        )
    });
    // Processors are cheap and take days for a model of any size: they are taken only when asked for.
    let sensible = |flavor: &JobHardware| {
        parameters < SMALL_MODEL || flavor.accelerator.is_some() || Some(flavor.name.as_str()) == asked
    };
    let chosen = match asked {
        Some(name) => hardware.iter().find(|flavor| flavor.name == name),
        None => fitting.iter().find(|flavor| sensible(flavor)).copied(),
    };
    check_known(asked, hardware, plan);
    let Some(chosen) = chosen else {
        if asked.is_none() {
            plan.fits = Some(false);
            plan.problems.push(Problem::new(
                "fits_no_flavor",
                "no flavor of this Hub has the memory for it",
                "take --method qlora, a smaller --batch-size or --sequence-length, or a smaller base model",
            ));
        }
        return;
    };
    let memory = fit::estimate_memory(parameters, shape, &options, chosen.accelerator.is_some());
    plan.flavor = Some(chosen.name.clone());
    plan.fits = fit::device_bytes(chosen).map(|_| fits(chosen));
    plan.memory = Some(memory);
    if plan.fits == Some(false) {
        let has = fit::device_bytes(chosen).unwrap_or(0);
        let next = match fitting.iter().find(|flavor| sensible(flavor)) {
            Some(better) => format!(
                "take --flavor {}, or --method qlora, or a smaller --batch-size",
                better.name
            ),
            None => "take --method qlora, or a smaller --batch-size or --sequence-length".to_owned(),
        };
        let message = if usable(chosen) {
            format!(
                "it needs about {} and a device of {} has {}",
                gigabytes(memory.total_bytes),
                chosen.name,
                gigabytes(has)
            )
        } else {
            format!("{} has no device that this method can use", chosen.name)
        };
        plan.problems.push(Problem::new("does_not_fit", message, next));
    }
    let price = chosen.micro_usd_per_minute();
    plan.cheaper_flavors = fitting
        .iter()
        .filter(|flavor| sensible(flavor) && flavor.name != chosen.name)
        .filter(|flavor| match (flavor.micro_usd_per_minute(), price) {
            (Some(theirs), Some(ours)) => theirs < ours,
            _ => false,
        })
        .map(|flavor| FlavorOffer {
            name: flavor.name.clone(),
            memory_bytes: fit::device_bytes(flavor),
            micro_usd_per_minute: flavor.micro_usd_per_minute(),
        })
        .collect();
    let devices = chosen
        .accelerator
        .as_ref()
        .and_then(|accelerator| accelerator.quantity)
        .unwrap_or(1);
    if devices > 1 {
        plan.warnings.push(Problem::new(
            "idle_devices",
            format!(
                "{} has {devices} devices, and the recipe trains on one",
                chosen.name
            ),
            "take a flavor with one device",
        ));
    }
}

fn check_known(asked: Option<&str>, hardware: &[JobHardware], plan: &mut TrainPlan) {
    if let Some(name) = asked
        && !hardware.iter().any(|flavor| flavor.name == name)
    {
        plan.problems.push(Problem::new(
            "unknown_flavor",
            format!("this Hub has no flavor {name}"),
            "bashgym jobs hardware",
        ));
    }
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}
