//! `cargo xtask conformance`: the official Python and JavaScript clients, unmodified, against `bashgym hub serve`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::process::{build_bashgym, check, has, root, target_dir};

/// How a test run ended.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

/// Runs the suite. The JavaScript clients are left out where there is no node, unless it is `required`.
pub(crate) fn run(required: bool) -> Result<Tally> {
    let suite = root().join("tests").join("conformance");
    let python = virtualenv(&suite.join("requirements.txt"))?;
    let binary = build_bashgym("dev")?;

    println!("Training a small student for the conformance of its files ...");
    let model = small_student(&binary)?;

    let report = target_dir().join("conformance").join("report.xml");
    let mut suite_run = Command::new(&python);
    if required {
        suite_run.env("BASHGYM_REQUIRE_NODE", "1");
    }
    let status = suite_run
        .args(["-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider"])
        .arg(format!("--junitxml={}", report.display()))
        .arg(&suite)
        .env("BASHGYM_BIN", &binary)
        .env("BASHGYM_MODEL_DIR", &model)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .current_dir(root())
        .status()
        .context("cannot start pytest")?;
    let tally = read_report(&report)?;
    if !status.success() {
        bail!("the conformance suite failed ({tally}): {status}");
    }
    Ok(tally)
}

/// Makes the virtual environment with the pinned clients, once for each content of the requirements.
fn virtualenv(requirements: &Path) -> Result<PathBuf> {
    let folder = target_dir().join("conformance").join("venv");
    let python = folder.join("bin").join("python");
    let wanted = std::fs::read_to_string(requirements)
        .with_context(|| format!("cannot read {}", requirements.display()))?;
    let stamp = folder.join("requirements.installed");
    if python.exists() && std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    if !has("python3") {
        bail!("the conformance suite needs python3 with venv (Debian: apt-get install python3-venv)");
    }
    println!(
        "Installing the official Python clients below {} ...",
        folder.display()
    );
    check(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(&folder),
    )?;
    check(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--requirement",
            ])
            .arg(requirements),
    )?;
    std::fs::write(&stamp, wanted).context("cannot write the stamp of the virtual environment")?;
    Ok(python)
}

/// Trains for a few steps on the sample sessions; returns the model's folder.
fn small_student(binary: &Path) -> Result<PathBuf> {
    let work = target_dir().join("conformance").join("student");
    if work.exists() {
        std::fs::remove_dir_all(&work).context("cannot clear the last student")?;
    }
    let dataset = work.join("dataset");
    let model = work.join("model");
    let home = work.join("home");
    let quiet = |args: &[&str]| {
        let mut command = Command::new(binary);
        command
            .args(["--format", "quiet"])
            .args(args)
            .env("BASHGYM_HOME", &home);
        command
    };
    check(
        quiet(&["data", "build"])
            .arg(root().join("fixtures").join("sessions"))
            .arg("--out")
            .arg(&dataset),
    )?;
    check(quiet(&["train"]).arg(&dataset).arg("--out").arg(&model).args([
        "--preset",
        "tiny",
        "--max-steps",
        "20",
    ]))?;
    check(
        quiet(&["model", "tokenize"])
            .arg(&model)
            .arg("--samples")
            .arg(work.join("tokenizer_ids.json")),
    )?;
    Ok(model)
}

/// Reads the counts of a `JUnit` report.
fn read_report(path: &Path) -> Result<Tally> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("pytest wrote no report at {}", path.display()))?;
    let suite = text
        .find("<testsuite ")
        .map(|at| &text[at..])
        .context("the report names no test suite")?;
    let count = |name: &str| -> Result<u64> {
        let key = format!(" {name}=\"");
        let at = suite
            .find(&key)
            .with_context(|| format!("the report has no {name}"))?
            + key.len();
        let digits: String = suite[at..].chars().take_while(char::is_ascii_digit).collect();
        digits
            .parse()
            .with_context(|| format!("the report's {name} is no number"))
    };
    let failed = count("failures")? + count("errors")?;
    let skipped = count("skipped")?;
    let tests = count("tests")?;
    if tests == 0 {
        bail!("the conformance suite ran no test");
    }
    Ok(Tally {
        passed: tests.saturating_sub(failed + skipped),
        failed,
        skipped,
    })
}
