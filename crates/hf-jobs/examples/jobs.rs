//! Starts a job on the Hub of `HF_ENDPOINT` with the token of `HF_TOKEN`, follows its log, and says what it cost at most:
//! `cargo run -p hf-jobs --example jobs -- python -c 'print("hi")'`
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::time::Duration;

use futures::TryStreamExt;
use hf_core::{HfClient, HfError, HuggingFaceSettings, Namespace, SettingsInput};
use hf_jobs::{HfJobRunner, JobSpec, LogOptions};

#[tokio::main]
async fn main() -> Result<(), HfError> {
    let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
    let client = HfClient::from_settings(&settings)?;
    let me = client.whoami().await?;
    let jobs = HfJobRunner::new(&client, Namespace::parse(&me.name)?);

    let mut spec = JobSpec::docker("python:3.12", std::env::args().skip(1));
    spec.timeout = Some(Duration::from_mins(10));
    spec.name_by_default();
    let hardware = jobs.hardware().await?;
    let worst = hardware
        .iter()
        .find(|hardware| hardware.name == spec.flavor)
        .and_then(|hardware| spec.price_worst(hardware));
    match worst {
        Some(price) => println!("costs ${price} at most"),
        None => println!("its price is not known"),
    }

    let job = jobs.run(&spec).await?;
    println!("{}", jobs.job_url(&job));
    let mut lines = jobs.stream_logs(&job.id, LogOptions::default());
    while let Some(line) = lines.try_next().await? {
        println!("{}", line.text);
    }
    jobs.wait(&job.id).await?.require_success()
}
