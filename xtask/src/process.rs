//! Running other programs, and knowing what they cost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The repository's root folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// The folder Cargo builds into.
pub(crate) fn target_dir() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "Cargo's own variable, read by a task")]
    let configured = std::env::var("CARGO_TARGET_DIR").ok().map(PathBuf::from);
    configured.unwrap_or_else(|| root().join("target"))
}

/// A cargo command in the repository's root, by the cargo that runs this task.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(root());
    command
}

/// Runs a command to its end; a failure names it.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// A command line as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let mut shown = Path::new(command.get_program())
        .file_name()
        .map_or_else(
            || command.get_program().to_string_lossy(),
            |name| name.to_string_lossy(),
        )
        .into_owned();
    for arg in command.get_args() {
        shown.push(' ');
        shown.push_str(&arg.to_string_lossy());
    }
    shown
}

/// What some work cost: wall seconds, and CPU seconds of the processes it waited for.
pub(crate) struct Cost {
    pub(crate) wall: f64,
    pub(crate) cpu: f64,
}

/// Measures the processes that `work` runs and waits for.
pub(crate) fn measure<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
    let before = children_cpu()?;
    let start = Instant::now();
    let value = work()?;
    let wall = start.elapsed().as_secs_f64();
    Ok((
        value,
        Cost {
            wall,
            cpu: children_cpu()? - before,
        },
    ))
}

fn children_cpu() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the cost of child processes")?;
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Ok(micros as f64 / 1e6)
}

/// Builds the `bashgym` binary with a profile and returns its path.
pub(crate) fn build_bashgym(profile: &str) -> Result<PathBuf> {
    check(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "bashgym-cli",
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_dir().join(folder).join("bashgym"))
}

/// Whether a program answers `--version`.
pub(crate) fn has(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
