//! How fast jobs are listed when there are many.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Figures, Hub, measured, median};
use crate::process::{check, has, target_dir};

const JOBS: usize = 20_000;
const RUNS: usize = 20;

/// Makes copies of the one job there is, row by row in the Hub's own index, with its triggers: what `POST` would leave, without
/// running 20,000 processes. A seeded generator picks stage and labels.
const COPY: &str = r#"
import random, sqlite3, sys
path, count = sys.argv[1], int(sys.argv[2])
random.seed(20_000)
index = sqlite3.connect(path)
index.execute("PRAGMA foreign_keys = ON")
columns = "namespace, spec, people, created_ms, payer"
namespace, spec, people, created, payer = index.execute(f"SELECT {columns} FROM jobs").fetchone()
with index:
    for number in range(1, count):
        stage = random.choices(["COMPLETED", "ERROR", "CANCELED"], [90, 8, 2])[0]
        labels = '{"name":"job-%d","team":"t%d"}' % (number % 500, random.randrange(20))
        at = created + number * 1000
        index.execute(
            "INSERT INTO jobs (id, namespace, stage, spec, labels, people, created_ms, started_ms, finished_ms, payer) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            ("%024x" % number, namespace, stage, spec, labels, people, at, at + 500, at + 60_000, payer),
        )
print(index.execute("SELECT count(*) FROM jobs").fetchone()[0])
"#;

pub(super) fn run(binary: &Path) -> Result<()> {
    for program in ["curl", "python3"] {
        if !has(program) {
            bail!("the jobs bench needs {program}");
        }
    }
    let work = target_dir().join("bench-jobs");
    if work.exists() {
        std::fs::remove_dir_all(&work).context("cannot clear the last bench")?;
    }
    std::fs::create_dir_all(&work)?;
    let data = work.join("hub");
    let program = binary.to_string_lossy().into_owned();
    let home = work.join("home").to_string_lossy().into_owned();
    {
        let hub = Hub::start(binary, &data)?;
        check(
            Command::new(binary)
                .args(["--format", "json", "jobs", "run", "--", "true"])
                .env("HF_ENDPOINT", &hub.endpoint)
                .env("HF_TOKEN", &hub.token)
                .env("BASHGYM_HOME", &home),
        )?;
    }
    let counted = Command::new("python3")
        .args(["-c", COPY])
        .arg(data.join("index.sqlite"))
        .arg(JOBS.to_string())
        .output()
        .context("cannot start python3")?;
    if !counted.status.success() {
        bail!(
            "the jobs could not be made: {}",
            String::from_utf8_lossy(&counted.stderr)
        );
    }
    let stored = String::from_utf8_lossy(&counted.stdout).trim().to_owned();

    let hub = Hub::start(binary, &data)?;
    println!("\nLists of {stored} stored jobs (medians of {RUNS}; aim: `bashgym jobs ls` under 100 ms)");
    for (name, query) in [
        ("a page", ""),
        ("a page of a rare stage", "?stage=CANCELED"),
        ("a page of a label", "?label=team=t7"),
        ("a page of two labels", "?label=team=t7&label=name=job-77"),
        ("count", "/count"),
    ] {
        let url = format!("{}/api/jobs/{}{query}", hub.endpoint, hub.name);
        let times = (0..RUNS)
            .map(|_| request_seconds(&hub, &url))
            .collect::<Result<Vec<_>>>()?;
        println!(
            "{:<34} {:>8.1} ms (server and loopback)",
            name,
            median(times) * 1e3
        );
    }
    let env = [
        ("HF_ENDPOINT", hub.endpoint.as_str()),
        ("HF_TOKEN", hub.token.as_str()),
        ("BASHGYM_HOME", home.as_str()),
    ];
    for (name, more) in [
        ("bashgym jobs ls", &[][..]),
        ("bashgym jobs ls --label team=t7", &["--label", "team=t7"]),
        ("bashgym jobs ls --limit 20000", &["--limit", "20000"]),
    ] {
        let mut command = vec![program.as_str(), "--format", "json", "jobs", "ls"];
        command.extend(more);
        let runs = (0..RUNS)
            .map(|_| measured(&command, &env))
            .collect::<Result<Vec<Figures>>>()?;
        if runs.iter().any(|run| !run.ok) {
            bail!("`{name}` failed");
        }
        println!(
            "{name:<34} {:>8.1} ms wall, {:.1} ms CPU of the command",
            median(runs.iter().map(|run| run.wall_s * 1e3).collect()),
            median(runs.iter().map(|run| run.cpu_s * 1e3).collect()),
        );
    }
    Ok(())
}

fn request_seconds(hub: &Hub, url: &str) -> Result<f64> {
    let output = hub
        .curl()
        .args(["--output", "/dev/null", "--write-out", "%{time_total}", url])
        .output()
        .context("cannot start curl")?;
    if !output.status.success() {
        bail!("GET {url}: {}", String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse()
        .context("curl printed no time")
}
