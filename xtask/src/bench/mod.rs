//! `cargo xtask bench`: measured figures beside their limits, in one run. Nothing here fails on a figure: it
//! prints, and a person judges.

mod data;
mod gateway;
mod jobs;
mod server;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::process::{build_bashgym, check, has, target_dir};

/// The hidden task that runs one command and prints what it cost.
pub(crate) const MEASURE: &str = "__measure";

const GIB: u64 = 1 << 30;

pub(crate) fn run(args: &[String]) -> Result<()> {
    let what = args.first().map_or("all", String::as_str);
    if what == MEASURE {
        return measure_here(&args[1..]);
    }
    if !["all", "cli", "data", "gateway", "jobs", "server", "transfer"].contains(&what) {
        bail!("`bench` takes cli, data, gateway, jobs, server, transfer or all, and --profile NAME");
    }
    let profile = match &args[args.len().min(1)..] {
        [] => "release",
        [flag, name] if flag == "--profile" => name,
        _ => bail!("after its name, `bench` takes --profile NAME"),
    };
    if what == "data" {
        return data::run(profile);
    }
    if what == "server" {
        return server::run(profile);
    }
    if what == "gateway" {
        return gateway::run(profile);
    }
    let binary = build_bashgym(profile)?;
    let size = std::fs::metadata(&binary)
        .context("the binary is not there")?
        .len();
    println!("bashgym, profile {profile}, {:.1} MB", size as f64 / 1_048_576.0);
    if matches!(what, "all" | "cli") {
        cli(&binary)?;
    }
    if matches!(what, "all" | "jobs") {
        jobs::run(&binary)?;
    }
    if matches!(what, "all" | "transfer") {
        transfer(&binary)?;
    }
    if what == "all" {
        server::run(profile)?;
        gateway::run(profile)?;
        data::run(profile)?;
    }
    Ok(())
}

/// What one command cost.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Figures {
    wall_s: f64,
    cpu_s: f64,
    peak_kib: i64,
    ok: bool,
}

/// Runs a command in a process of its own kind, so that the figures are of that command alone.
fn measured(command: &[&str], env: &[(&str, &str)]) -> Result<Figures> {
    let own = std::env::current_exe().context("cannot find this task's own file")?;
    let output = Command::new(own)
        .args(["bench", MEASURE])
        .args(command)
        .envs(env.iter().copied())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the measuring process")?;
    serde_json::from_slice(&output.stdout).context("the measuring process printed no figures")
}

fn measure_here(command: &[String]) -> Result<()> {
    let (program, args) = command.split_first().context("nothing to measure")?;
    let start = Instant::now();
    let status = Command::new(program)
        .args(args)
        .stdout(Stdio::null())
        .status()
        .context("cannot start the command")?;
    let wall_s = start.elapsed().as_secs_f64();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    let figures = Figures {
        wall_s,
        cpu_s: cpu as f64 / 1e6,
        peak_kib: usage.max_rss(),
        ok: status.success(),
    };
    println!("{}", serde_json::to_string(&figures)?);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn cli(binary: &Path) -> Result<()> {
    println!("\nStart of the command (20 runs each, medians; aim: 6 ms of CPU, 10 MB)");
    println!("{:<12} {:>10} {:>10} {:>10}", "", "CPU ms", "wall ms", "peak MB");
    let binary = binary.to_string_lossy();
    for flag in ["--version", "--help"] {
        let runs = (0..20)
            .map(|_| measured(&[&binary, flag], &[]))
            .collect::<Result<Vec<_>>>()?;
        let figure = |pick: fn(&Figures) -> f64| median(runs.iter().map(pick).collect());
        println!(
            "{flag:<12} {:>10.2} {:>10.2} {:>10.1}",
            figure(|run| run.cpu_s * 1e3),
            figure(|run| run.wall_s * 1e3),
            figure(|run| run.peak_kib as f64 / 1024.0),
        );
    }
    Ok(())
}

/// A Hub for the length of a bench.
struct Hub {
    process: Child,
    endpoint: String,
    name: String,
    token: String,
}

impl Hub {
    fn start(binary: &Path, data: &Path) -> Result<Self> {
        let mut process = Command::new(binary)
            .args(["hub", "serve", "--port", "0", "--data"])
            .arg(data)
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the Hub")?;
        let mut line = String::new();
        BufReader::new(process.stdout.take().context("the Hub has no output")?).read_line(&mut line)?;
        let ready: Value = serde_json::from_str(&line).context("the Hub did not say that it is ready")?;
        let text = |pointer: &str| ready.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            process,
            endpoint: text("/endpoint").context("no endpoint")?,
            name: text("/accounts/0/name").context("no account")?,
            token: text("/accounts/0/token").context("no token")?,
        })
    }

    fn cpu_s(&self) -> Option<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).ok()?;
        let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
        let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
        Some(ticks / 100.0)
    }

    fn peak_mib(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        line.split_whitespace()
            .nth(1)?
            .parse::<f64>()
            .ok()
            .map(|kib| kib / 1024.0)
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--header"]);
        command.arg(format!("Authorization: Bearer {}", self.token));
        command
    }

    fn post(&self, path: &str, content_type: &str, body: &str) -> Result<Value> {
        let output = self
            .curl()
            .args([
                "--header",
                &format!("Content-Type: {content_type}"),
                "--data-binary",
                body,
            ])
            .arg(format!("{}{path}", self.endpoint))
            .output()
            .context("cannot start curl")?;
        if !output.status.success() {
            bail!("POST {path}: {}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).with_context(|| format!("POST {path} answered no JSON"))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn transfer(binary: &Path) -> Result<()> {
    if !has("curl") {
        bail!("the transfer bench needs curl");
    }
    let work = target_dir().join("bench-transfer");
    if work.exists() {
        std::fs::remove_dir_all(&work).context("cannot clear the last bench")?;
    }
    std::fs::create_dir_all(&work)?;
    let source = work.join("payload.bin");
    let sha256 = write_payload(&source, GIB)?;
    let hub = Hub::start(binary, &work.join("hub"))?;
    let repo = format!("{}/bench", hub.name);

    println!("\nTransfer of 1 GiB on one machine");
    hub.post(
        "/api/repos/create",
        "application/json",
        &json!({"name": "bench", "type": "dataset"}).to_string(),
    )?;
    let batch = json!({"operation": "upload", "transfers": ["basic"], "hash_algo": "sha256",
        "objects": [{"oid": sha256, "size": GIB}]});
    let answer = hub.post(
        &format!("/datasets/{repo}.git/info/lfs/objects/batch"),
        "application/vnd.git-lfs+json",
        &batch.to_string(),
    )?;
    let href = answer
        .pointer("/objects/0/actions/upload/href")
        .and_then(Value::as_str)
        .context("no upload address")?;
    let before = hub.cpu_s();
    let start = Instant::now();
    check(
        Command::new("curl")
            .args(["--silent", "--fail", "--output", "/dev/null", "--upload-file"])
            .arg(&source)
            .arg(href),
    )?;
    println!(
        "server receives (curl PUT, hashing included): {:.1} s wall, {} CPU s of the server",
        start.elapsed().as_secs_f64(),
        spent(before, hub.cpu_s()),
    );
    let commit = format!(
        "{}\n{}\n",
        json!({"key": "header", "value": {"summary": "one GiB"}}),
        json!({"key": "lfsFile", "value": {"path": "payload.bin", "algo": "sha256", "oid": sha256, "size": GIB}}),
    );
    hub.post(
        &format!("/api/datasets/{repo}/commit/main"),
        "application/x-ndjson",
        &commit,
    )?;

    let url = format!("{}/datasets/{repo}/resolve/main/payload.bin", hub.endpoint);
    let bearer = format!("Authorization: Bearer {}", hub.token);
    let home = work.join("home").to_string_lossy().into_owned();
    let env = [
        ("HF_ENDPOINT", hub.endpoint.as_str()),
        ("HF_TOKEN", hub.token.as_str()),
        ("BASHGYM_HOME", home.as_str()),
    ];
    let curl_out = work.join("curl.bin").to_string_lossy().into_owned();
    let pull_out = work.join("pull").to_string_lossy().into_owned();
    let program = binary.to_string_lossy();
    let (mut curls, mut pulls, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let before = hub.cpu_s();
    for _ in 0..5 {
        let curl = measured(
            &[
                "curl",
                "--silent",
                "--fail",
                "--location",
                "--header",
                &bearer,
                "--output",
                &curl_out,
                &url,
            ],
            &[],
        )?;
        let _ = std::fs::remove_dir_all(&pull_out);
        let pull = measured(
            &[&program, "--format", "quiet", "data", "pull", &repo, &pull_out],
            &env,
        )?;
        if !curl.ok || !pull.ok {
            bail!("a download failed");
        }
        ratios.push(pull.wall_s / curl.wall_s);
        curls.push(curl);
        pulls.push(pull);
    }
    let served = spent(before, hub.cpu_s());
    println!(
        "{:<24} {:>8} {:>8} {:>9}",
        "download (5 pairs)", "wall s", "CPU s", "peak MB"
    );
    for (name, runs) in [("curl", &curls), ("bashgym data pull", &pulls)] {
        println!(
            "{name:<24} {:>8.2} {:>8.2} {:>9.1}",
            median(runs.iter().map(|run| run.wall_s).collect()),
            median(runs.iter().map(|run| run.cpu_s).collect()),
            median(runs.iter().map(|run| run.peak_kib as f64 / 1024.0).collect()),
        );
    }
    println!(
        "wall, bashgym / curl, median of pairs: {:.2} (aim: at most 1.3; bashgym also verifies the SHA-256)",
        median(ratios)
    );
    println!(
        "server: {served} CPU s for 10 GiB served, peak {:.0} MB",
        hub.peak_mib().unwrap_or(f64::NAN)
    );
    resume(binary, &repo, &work.join("resumed"), &env, &source)
}

/// Kills a download half-way and lets a second process go on.
fn resume(binary: &Path, repo: &str, out: &Path, env: &[(&str, &str)], source: &Path) -> Result<()> {
    let pull = || {
        let mut command = Command::new(binary);
        command
            .args(["--format", "json", "data", "pull", repo])
            .arg(out)
            .envs(env.iter().copied());
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        command
    };
    let mut first = pull().spawn()?;
    let deadline = Instant::now() + Duration::from_mins(1);
    while bytes_below(out) < GIB / 3 && Instant::now() < deadline && first.try_wait()?.is_none() {
        std::thread::yield_now();
    }
    first.kill()?;
    first.wait()?;
    let kept = bytes_below(out);
    let output = pull().output()?;
    if !output.status.success() {
        bail!("the second download failed");
    }
    let last = String::from_utf8_lossy(&output.stdout)
        .lines()
        .last()
        .unwrap_or_default()
        .to_owned();
    let received = serde_json::from_str::<Value>(&last)?
        .get("bytes_received")
        .and_then(Value::as_u64);
    let whole = same_bytes(&out.join("payload.bin"), source)?;
    let missing = GIB.saturating_sub(kept);
    println!(
        "killed after {kept} bytes; the second process received {} of {missing} missing; the file is {}",
        received.map_or_else(|| "an unknown number".to_owned(), |bytes| bytes.to_string()),
        if whole { "byte-identical" } else { "NOT identical" },
    );
    Ok(())
}

fn spent(before: Option<f64>, after: Option<f64>) -> String {
    match (before, after) {
        (Some(before), Some(after)) => format!("{:.2}", after - before),
        _ => "unknown".to_owned(),
    }
}

fn bytes_below(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            _ => entry.metadata().map_or(0, |meta| meta.len()),
        })
        .sum()
}

fn same_bytes(left: &Path, right: &Path) -> Result<bool> {
    let (mut left, mut right) = (std::fs::File::open(left)?, std::fs::File::open(right)?);
    let (mut a, mut b) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let read = left.read(&mut a)?;
        if read == 0 {
            return Ok(right.read(&mut b)? == 0);
        }
        right.read_exact(&mut b[..read])?;
        if a[..read] != b[..read] {
            return Ok(false);
        }
    }
}

/// Writes bytes that do not compress, and returns their SHA-256 as `sha256sum` or `openssl` computes it.
fn write_payload(path: &PathBuf, size: u64) -> Result<String> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..size / 8 {
        // xorshift64*: seeded, so that each bench moves the same bytes.
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        file.write_all(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes())?;
    }
    file.flush()?;
    drop(file);
    let output = Command::new("sha256sum")
        .arg(path)
        .output()
        .context("cannot start sha256sum")?;
    let text = String::from_utf8_lossy(&output.stdout);
    text.split_whitespace()
        .next()
        .map(str::to_owned)
        .context("sha256sum printed nothing")
}
