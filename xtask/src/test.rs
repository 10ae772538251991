//! `cargo xtask test`: everything that must hold before a change lands.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::conformance::Tally;
use crate::process::{cargo, check, show};
use crate::{conformance, deny, frontend, postgres, tidy};

pub(crate) fn run(args: &[String]) -> Result<()> {
    let (mut fast, mut with_postgres) = (false, false);
    for arg in args {
        match arg.as_str() {
            "--fast" => fast = true,
            "--with-postgres" => with_postgres = true,
            _ => bail!("`test` takes --fast and --with-postgres, which fails where PostgreSQL is missing"),
        }
    }
    let start = Instant::now();
    let mut total = Tally::default();

    step("format", || check(&mut cargo(&["fmt", "--all", "--check"])))?;
    step("tidy", tidy::run)?;
    // Before anything is built, so that the binary under test has the dashboard.
    step("dashboard", || {
        frontend::checks()?;
        frontend::build()?;
        frontend::budget()
    })?;
    step("clippy", || {
        check(&mut cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--quiet",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    step("Rust tests", || {
        let postgres = postgres::for_tests(with_postgres)?;
        let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
        if let Some(server) = &postgres {
            tests.env(postgres::VARIABLE, server.url());
        }
        total += rust_tests(tests)?;
        Ok(())
    })?;
    step("browser tests", frontend::browser_tests)?;
    step("documentation", || {
        check(
            cargo(&["doc", "--workspace", "--no-deps", "--locked", "--quiet"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        )
    })?;
    if !fast {
        step("licences", deny::run)?;
        step("conformance", || {
            total += conformance::run(true)?;
            Ok(())
        })?;
    }
    println!("\nAll checks hold, after {:.0} s.", start.elapsed().as_secs_f64());
    println!("{total}");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    println!("\n== {name}");
    let start = Instant::now();
    work().with_context(|| format!("the step `{name}` did not hold"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// Runs `cargo test`, shows what it prints, and adds up its closing lines.
fn rust_tests(mut command: Command) -> Result<Tally> {
    let shown = show(&command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut tally = Tally::default();
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line.context("cannot read the test output")?;
            println!("{line}");
            if let Some(counts) = line.strip_prefix("test result: ") {
                tally += closing_line(counts);
            }
        }
    }
    let status = child.wait().context("cannot wait for the tests")?;
    if !status.success() {
        bail!("`{shown}` failed ({tally}): {status}");
    }
    if tally.passed == 0 {
        bail!("`{shown}` ran no test");
    }
    Ok(tally)
}

/// Reads `ok. 3 passed; 0 failed; 1 ignored; ...`.
fn closing_line(counts: &str) -> Tally {
    let number = |word: &str| {
        counts
            .split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|number| number.trim().parse().ok())
            .unwrap_or(0)
    };
    Tally {
        passed: number("passed"),
        failed: number("failed"),
        skipped: number("ignored"),
    }
}

#[cfg(test)]
mod tests {
    use super::closing_line;

    #[test]
    fn closing_line_is_counted() {
        let tally =
            closing_line("ok. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        assert_eq!((tally.passed, tally.failed, tally.skipped), (12, 1, 2));
    }
}
