//! `cargo xtask deny`: licences, bans and sources, by cargo-deny.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, check, has, root, target_dir};

/// The version that is installed where none is there.
const VERSION: &str = "0.20.2";

pub(crate) fn run() -> Result<()> {
    let program = program()?;
    // The graph spans every platform; the builds before this fetched what their own needs.
    check(cargo(&["fetch", "--locked", "--quiet"]).current_dir(root()))?;
    // Advisories need a database from the network; licences, bans and sources do not.
    check(
        Command::new(program)
            .args(["--offline", "check", "licenses", "bans", "sources"])
            .current_dir(root()),
    )
}

fn program() -> Result<PathBuf> {
    if has("cargo-deny") {
        return Ok(PathBuf::from("cargo-deny"));
    }
    let tools = target_dir().join("tools");
    let installed = tools.join("bin").join("cargo-deny");
    if !installed.exists() {
        println!("Installing cargo-deny {VERSION} below {} ...", tools.display());
        check(
            cargo(&[
                "install",
                "cargo-deny",
                "--version",
                VERSION,
                "--locked",
                "--quiet",
                "--root",
            ])
            .arg(&tools),
        )?;
    }
    Ok(installed)
}
