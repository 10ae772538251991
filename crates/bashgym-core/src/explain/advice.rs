//! What a cause means, and what to do about it.

use hf_jobs::JobHardware;

use super::{FailedJob, FailureCause};
use crate::plan::{accelerator_bytes, memory_bytes, micro_usd_text};

pub(super) fn summary(cause: FailureCause, job: &FailedJob<'_>) -> String {
    let flavor = job.flavor.unwrap_or("this flavor");
    match cause {
        FailureCause::OutOfGpuMemory => {
            format!("the accelerator of {flavor} has too little memory for this training")
        }
        FailureCause::OutOfMemory => format!("{flavor} has too little main memory for this training"),
        FailureCause::TimedOut => "the job's time ran out before the training ended".to_owned(),
        FailureCause::NoCredit => "the account has no credit left to pay for the job".to_owned(),
        FailureCause::NoSubscription => "the account's plan does not allow this job".to_owned(),
        FailureCause::GatedModel => {
            "the base model is gated, and the job's account has not been let in".to_owned()
        }
        FailureCause::MissingScope => "the job's token lacks a permission".to_owned(),
        FailureCause::BadToken => "the Hub does not know the job's token, or it has expired".to_owned(),
        FailureCause::NotFound => {
            "a repository or revision is not there, or is hidden from the job's token".to_owned()
        }
        FailureCause::ImportError => "a Python package is missing or does not fit".to_owned(),
        FailureCause::Dependencies => "the script's Python packages could not be installed".to_owned(),
        FailureCause::DiskFull => format!("the disk of {flavor} is full"),
        FailureCause::NoAccelerator => format!("{flavor} has no accelerator that this training can use"),
        FailureCause::BadInput => "the dataset or the configuration cannot be trained on".to_owned(),
        FailureCause::Diverged => "the training diverged: its loss is no number any more".to_owned(),
        FailureCause::CommandMissing => "the job's image lacks the command it was to run".to_owned(),
        FailureCause::Network => "the Hub or a package index could not be reached from the job".to_owned(),
        FailureCause::Killed => "the process was killed, or its machine was taken away".to_owned(),
        FailureCause::Unknown => {
            "the job failed for a reason its log does not name in known words".to_owned()
        }
    }
}

pub(super) fn next(cause: FailureCause, job: &FailedJob<'_>) -> Vec<String> {
    const AGAIN: &str = "the same command again goes on from the last checkpoint that was pushed";
    let mut next: Vec<String> = Vec::new();
    let mut say = |text: &str| next.push(text.to_owned());
    match cause {
        FailureCause::OutOfGpuMemory => {
            say(
                "halve --batch-size (and double --accumulation, so that a step stays the same), or shorten --sequence-length",
            );
            say("train adapters over four-bit weights: --method qlora");
        }
        FailureCause::OutOfMemory => say("take a flavor with more main memory"),
        FailureCause::TimedOut => {
            say(AGAIN);
            say("give it longer: --timeout; `bashgym train plan` shows what that may cost");
        }
        FailureCause::NoCredit => {
            say(
                "add credit to the account on the Hub's billing page, or let an organisation pay: --org NAME",
            );
            say(AGAIN);
        }
        FailureCause::NoSubscription => {
            say("upgrade the plan on the Hub's billing page, or use an organisation that has it");
        }
        FailureCause::GatedModel => {
            say(
                "open the model's page, accept its terms with the account that owns the token, and wait until access is granted",
            );
            say("a fine-grained token also needs \"read access to gated repos you can access\"");
        }
        FailureCause::MissingScope => say(
            "make a token with `repo.write` and `job.write` on the namespace that owns the job and the output repository",
        ),
        FailureCause::BadToken => {
            say("make a new token and set HF_TOKEN; `bashgym status` tells whether the Hub knows it");
        }
        FailureCause::NotFound => say(
            "check the names of base model, dataset and output; a private repository needs a token that may read it",
        ),
        FailureCause::ImportError | FailureCause::Dependencies => {
            say(
                "the recipes pin packages that fit together: take the flavor's usual image and do not override them",
            );
            say(
                "`uv lock --script` on the script (bashgym train script RECIPE) shows whether the pins still resolve",
            );
        }
        FailureCause::DiskFull => {
            say("take a flavor with more disk (bashgym jobs hardware), or a smaller base model");
        }
        FailureCause::NoAccelerator => say("take a flavor with a GPU, or --method lora"),
        FailureCause::BadInput => say("look at the dataset as the trainer sees it: bashgym train plan"),
        FailureCause::Diverged => say("lower --learning-rate, a tenth to begin with"),
        FailureCause::CommandMissing => say("take an image that has uv, or the default one"),
        FailureCause::Network | FailureCause::Killed => say(AGAIN),
        FailureCause::Unknown => say("read the whole log: bashgym jobs logs JOB"),
    }
    let bigger = match cause {
        FailureCause::OutOfGpuMemory | FailureCause::NoAccelerator => bigger_flavor(job, accelerator_bytes),
        FailureCause::OutOfMemory => bigger_flavor(job, |flavor| memory_bytes(flavor.ram.as_deref())),
        FailureCause::DiskFull => {
            bigger_flavor(job, |flavor| memory_bytes(flavor.ephemeral_storage.as_deref()))
        }
        _ => None,
    };
    next.extend(bigger);
    next
}

/// The cheapest flavor with more of something, and what it costs beyond the one the job ran on.
fn bigger_flavor(job: &FailedJob<'_>, size: impl Fn(&JobHardware) -> Option<u64>) -> Option<String> {
    let current = job
        .hardware
        .iter()
        .find(|flavor| Some(flavor.name.as_str()) == job.flavor)?;
    let (has, pays) = (size(current).unwrap_or(0), current.micro_usd_per_minute()?);
    let bigger = job
        .hardware
        .iter()
        .filter(|flavor| size(flavor).is_some_and(|bytes| bytes > has))
        .filter_map(|flavor| Some((flavor.micro_usd_per_minute()?, flavor)))
        .min_by_key(|(price, flavor)| (*price, flavor.name.clone()))?;
    let (price, flavor) = bigger;
    let difference = if price >= pays {
        format!("{} more", micro_usd_text((price - pays) * 60))
    } else {
        format!("{} less", micro_usd_text((pays - price) * 60))
    };
    let name = flavor.pretty_name.as_deref().unwrap_or(&flavor.name);
    Some(format!(
        "take --flavor {} ({name}): {difference} an hour than {}",
        flavor.name, current.name
    ))
}
