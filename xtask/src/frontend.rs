//! `cargo xtask frontend`: the dashboard, from its sources to what the Rust build puts into the binary.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{cargo, check, has, root};

const USAGE: &str = "`frontend` takes build, types, check, budget, or e2e";

pub(crate) fn run(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] | ["build"] => build(),
        ["types"] => types(),
        ["check"] => checks(),
        ["budget"] => budget(),
        ["e2e"] => browser_tests(),
        _ => bail!(USAGE),
    }
}

fn folder() -> PathBuf {
    root().join("frontend")
}

fn npm(args: &[&str]) -> Command {
    let mut command = Command::new("npm");
    command.args(args).current_dir(folder());
    command
}

/// Installs what the lock file names, unless that is what is there.
fn install() -> Result<()> {
    if !has("npm") {
        bail!("the dashboard needs Node 20 and its npm; a Rust build works without and has no dashboard");
    }
    let lock = std::fs::read(folder().join("package-lock.json")).context("no package-lock.json")?;
    let done = folder().join("node_modules").join(".installed");
    if std::fs::read(&done).is_ok_and(|text| text == lock) {
        return Ok(());
    }
    // `npm ci` refuses a lock file without addresses over the optional parts of other platforms; this takes its versions, too.
    check(&mut npm(&["install", "--no-save", "--no-audit", "--no-fund"]))?;
    std::fs::write(&done, lock).with_context(|| format!("cannot write {}", done.display()))
}

/// Builds what goes into the binary.
pub(crate) fn build() -> Result<()> {
    install()?;
    check(&mut npm(&["run", "--silent", "build"]))
}

/// Makes `openapi.json` from the server, and the dashboard's types from that.
fn types() -> Result<()> {
    install()?;
    let output = cargo(&["run", "--quiet", "-p", "bashgym-server", "--example", "openapi"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the description of the API could not be made");
    }
    let path = root().join("crates/bashgym-server/openapi.json");
    std::fs::write(&path, output.stdout).with_context(|| format!("cannot write {}", path.display()))?;
    check(&mut npm(&["run", "--silent", "types"]))
}

/// Types, lints and tests of parts.
pub(crate) fn checks() -> Result<()> {
    install()?;
    for task in ["check", "lint", "test"] {
        check(&mut npm(&["run", "--silent", task]))?;
    }
    Ok(())
}

/// Holds what a first visit loads against its limit.
pub(crate) fn budget() -> Result<()> {
    check(&mut npm(&["run", "--silent", "budget"]))
}

/// The tests in a real browser, against the real server on an embedded Hub.
pub(crate) fn browser_tests() -> Result<()> {
    install()?;
    check(&mut cargo(&["build", "--quiet", "--locked", "-p", "bashgym-cli"]))?;
    check(&mut npm(&["run", "--silent", "e2e"]))
}
