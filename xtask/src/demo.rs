//! `cargo xtask demo`: from session logs to a trained student, on an embedded Hub.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::frontend;
use crate::process::{build_bashgym, check, has, measure, root, target_dir};

/// The cold build behind the demo stays below this many CPU seconds.
const BUILD_BUDGET_CPU_S: f64 = 1_200.0;
/// Training ends after this many seconds, with a proper evaluation: the demo takes minutes on slow machines too.
const TRAINING_SECONDS: &str = "150";
/// The binary stays below this many bytes.
const BINARY_BUDGET_BYTES: u64 = 40 * 1024 * 1024;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let args: Vec<&String> = args.iter().filter(|arg| *arg != "--").collect();
    if let Some(option) = args.iter().find(|arg| arg.starts_with('-')) {
        bail!("`demo` takes paths of session logs, not {option}: cargo xtask demo -- PATH...");
    }
    let inputs: Vec<PathBuf> = if args.is_empty() {
        vec![root().join("fixtures").join("sessions")]
    } else {
        args.into_iter().map(PathBuf::from).collect()
    };

    if has("npm") {
        println!("Building the dashboard ...");
        if let Err(error) = frontend::build() {
            println!("The dashboard could not be built, so this build has none: {error:#}");
        }
    } else {
        println!(
            "Without Node 20 this build has no dashboard; all it would show is in the API and the commands."
        );
    }
    println!("Building bashgym (the first build takes some minutes) ...");
    let (binary, cost) = measure(|| build_bashgym("demo"))?;
    let size = std::fs::metadata(&binary)
        .with_context(|| format!("no binary at {}", binary.display()))?
        .len();
    println!(
        "Built in {:.0} s, {:.0} CPU seconds (a cold build may take {BUILD_BUDGET_CPU_S:.0}); the binary has {:.1} MB of {:.0}.\n",
        cost.wall,
        cost.cpu,
        size as f64 / 1_048_576.0,
        BINARY_BUDGET_BYTES as f64 / 1_048_576.0,
    );

    let home = target_dir().join("demo-home");
    let mut command = Command::new(&binary);
    command
        .args([
            "--local",
            "--format",
            "human",
            "run",
            "--new",
            "--max-seconds",
            TRAINING_SECONDS,
        ])
        .args(&inputs)
        .env("BASHGYM_HOME", &home);
    // The demo is the offline flow: whatever account this shell is set up for stays out of it.
    for variable in [
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HF_ENDPOINT",
        "HF_ORG",
        "HF_USERNAME",
        "HF_STORAGE_REPO",
    ] {
        command.env_remove(variable);
    }
    let result = check(&mut command);

    let stop = Command::new(&binary)
        .args(["--local", "--format", "quiet", "hub", "stop"])
        .env("BASHGYM_HOME", &home)
        .status();
    result?;
    if !stop.is_ok_and(|status| status.success()) {
        eprintln!("note: the embedded Hub could not be stopped; `bashgym hub status` says where it is");
    }
    println!(
        "\nThe embedded Hub of the demo is stopped; any command starts it again. To go on, in this shell:"
    );
    println!("  export BASHGYM_HOME={}", home.display());
    println!("  alias bashgym='{} --local'", binary.display());
    println!(
        "  bashgym status; bashgym jobs ls; bashgym data ls; bashgym sessions ls {}",
        inputs[0].display()
    );
    println!("On your own sessions: cargo xtask demo -- ~/.claude/projects ~/.codex/sessions");
    Ok(())
}
