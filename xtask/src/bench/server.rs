//! The server: one job's lines to thousands of sockets, beside the least that can be done; its start, its rest.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{build_bashgym, cargo, check, target_dir};

/// Jobs and calls in the store whose lists are asked for.
const JOBS: &str = "20000";
const CALLS: &str = "1000000";
/// How often each list is asked for.
const ASKED: usize = 30;

/// Connections, lines a second, seconds.
const LOADS: [(u64, u64, u64); 2] = [(1000, 200, 10), (5000, 50, 10)];

pub(super) fn run(profile: &str) -> Result<()> {
    fan_out(profile)?;
    let binary = build_bashgym(profile)?;
    at_rest(&binary)?;
    lists(&binary, profile)
}

/// A process with pipes at both ends.
struct Piped {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Piped {
    fn start(command: &mut Command) -> Result<Self> {
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {command:?}"))?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("the process has no output")?);
        Ok(Self {
            process,
            input,
            output,
        })
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.output.read_line(&mut line)? == 0 {
            bail!("the process ended before it said anything");
        }
        Ok(line.trim_end().to_owned())
    }

    fn tell(&mut self) -> Result<()> {
        let input = self.input.as_mut().context("the process has no input")?;
        writeln!(input)?;
        Ok(input.flush()?)
    }

    fn cpu_s(&self) -> Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let ticks =
            |index: usize| -> Result<f64> { Ok(fields.get(index).context("no such field")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / 100.0)
    }

    fn status(&self, field: &str) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(field))
            .with_context(|| format!("/proc tells no {field}"))?;
        let number = line.trim_start_matches(':').split_whitespace().next();
        Ok(number.context("no number")?.parse()?)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn fan_out(profile: &str) -> Result<()> {
    let program = build_example("fanout", profile)?;
    println!(
        "\nOne job's lines to many WebSockets (profile {profile}; aim: all delivered, p99 500 ms, 25 KB each)"
    );
    println!(
        "{:<8} {:>7} {:>8} {:>12} {:>9} {:>8} {:>8} {:>8} {:>10} {:>9} {:>8}",
        "",
        "sockets",
        "lines/s",
        "delivered",
        "whole",
        "p50 ms",
        "p99 ms",
        "max ms",
        "us CPU/msg",
        "KB each",
        "peak MB"
    );
    for (connections, rate, seconds) in LOADS {
        for server in ["anchor", "live"] {
            one_load(&program, server, connections, rate, rate * seconds)?;
        }
    }
    Ok(())
}

fn build_example(name: &str, profile: &str) -> Result<PathBuf> {
    check(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "bashgym-server",
        "--example",
        name,
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_dir().join(folder).join("examples").join(name))
}

fn one_load(program: &Path, name: &str, connections: u64, rate: u64, lines: u64) -> Result<()> {
    let lines_text = lines.to_string();
    let mut server = Piped::start(Command::new(program).args([name, &lines_text, &rate.to_string()]))?;
    let url = server.line()?;
    let empty_kb = server.status("VmRSS")?;
    let mut client =
        Piped::start(Command::new(program).args(["client", &url, &connections.to_string(), &lines_text]))?;
    client.line()?;
    let before = server.cpu_s()?;
    server.tell()?;
    let figures: Value = serde_json::from_str(&client.line()?).context("the client printed no figures")?;
    let spent = server.cpu_s()? - before;
    let peak_kb = server.status("VmHWM")?;
    let number = |name: &str| figures.get(name).and_then(Value::as_u64).unwrap_or_default();
    println!(
        "{name:<8} {connections:>7} {rate:>8} {:>12} {:>9} {:>8} {:>8} {:>8} {:>10.2} {:>9.1} {:>8.1}",
        format!("{}/{}", number("received"), number("wanted")),
        number("whole"),
        number("p50_ms"),
        number("p99_ms"),
        number("max_ms"),
        spent * 1e6 / number("received").max(1) as f64,
        (peak_kb - empty_kb) / connections as f64,
        peak_kb / 1024.0,
    );
    Ok(())
}

fn at_rest(binary: &Path) -> Result<()> {
    let work = target_dir().join("bench-server");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;
    let known = Command::new(binary)
        .args(["serve", "--help"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !known.success() {
        println!("\nskipped: this build has no `bashgym serve`, so start and rest are not measured");
        return Ok(());
    }
    println!("\nThe server's start and rest (aim: 150 ms, 30 MB, 5 wake-ups a second)");
    let mut command = Command::new(binary);
    command
        .args(["--local", "--format", "json", "serve", "--port", "0"])
        .env("BASHGYM_HOME", work.join("home"))
        .env_remove("HF_TOKEN");
    // The first start makes the store; the second is the one that is measured.
    drop(ready(&mut command)?);
    let begun = Instant::now();
    let (server, url) = ready(&mut command)?;
    let accepts = begun.elapsed();
    check(
        Command::new("curl")
            .args(["--silent", "--fail", "--output", "/dev/null"])
            .arg(format!("{url}/api/health")),
    )?;
    let answers = begun.elapsed();
    std::thread::park_timeout(Duration::from_secs(3));
    let (before, cpu) = (wake_ups(&server)?, server.cpu_s()?);
    let watched = Instant::now();
    while watched.elapsed() < Duration::from_secs(10) {
        std::thread::park_timeout(Duration::from_secs(10));
    }
    println!(
        "ready after {:.0} ms, first answer (with curl's own start) {:.0} ms; {:.1} MB at rest; {:.1} wake-ups/s, {:.2} % CPU",
        accepts.as_secs_f64() * 1e3,
        answers.as_secs_f64() * 1e3,
        server.status("VmRSS")? / 1024.0,
        (wake_ups(&server)? - before) / watched.elapsed().as_secs_f64(),
        (server.cpu_s()? - cpu) / watched.elapsed().as_secs_f64() * 100.0,
    );
    drop(server);
    // The embedded Hub is a process of its own.
    Command::new(binary)
        .args(["hub", "stop"])
        .env("BASHGYM_HOME", work.join("home"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}

/// The pages that have to answer in one frame, on a full store.
fn lists(binary: &Path, profile: &str) -> Result<()> {
    let fill = build_example("fill", profile)?;
    let home = target_dir().join("bench-server").join("full");
    fs::create_dir_all(&home)?;
    let begun = Instant::now();
    check(
        Command::new(fill)
            .arg(home.join("bashgym.db"))
            .args([JOBS, CALLS]),
    )?;
    let size = fs::metadata(home.join("bashgym.db"))?.len();
    println!(
        "\nPages over {JOBS} jobs and {CALLS} calls (aim: 100 ms; store filled in {:.0} s, {:.0} MB)",
        begun.elapsed().as_secs_f64(),
        size as f64 / 1_048_576.0,
    );
    let mut command = Command::new(binary);
    command
        .args(["--local", "--format", "json", "serve", "--port", "0"])
        .env("BASHGYM_HOME", &home)
        .env_remove("HF_TOKEN");
    let (server, url) = ready(&mut command)?;
    let key = fs::read_to_string(home.join("server.key"))?;
    println!("{:<44} {:>10} {:>10}", "", "median ms", "most ms");
    for path in [
        "/api/hf/jobs?limit=50",
        "/api/hf/jobs?limit=50&after=000000000000000000002710",
        "/api/hf/jobs?limit=50&stage=ERROR",
        "/api/hf/jobs?limit=50&label=team%3Dteam-7",
        "/api/hf/inference/usage",
        "/api/usage",
    ] {
        let mut took = Vec::new();
        // The first answer opens what is closed: it is measured like the others.
        for _ in 0..ASKED {
            took.push(ask(&format!("{url}{path}"), key.trim())?);
        }
        took.sort_by(f64::total_cmp);
        let most = took.last().copied().unwrap_or_default();
        println!("{path:<44} {:>10.1} {:>10.1}", took[took.len() / 2], most);
    }
    println!(
        "with that store: {:.1} MB at rest",
        server.status("VmRSS")? / 1024.0
    );
    drop(server);
    Command::new(binary)
        .args(["hub", "stop"])
        .env("BASHGYM_HOME", &home)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    Ok(())
}

/// How long an answer took, in milliseconds, without curl's own start.
fn ask(url: &str, key: &str) -> Result<f64> {
    let mut curl = Command::new("curl")
        .args(["--silent", "--fail", "--output", "/dev/null", "--config", "-"])
        .args(["--write-out", "%{time_total}", url])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = curl.stdin.take().context("curl has no input")?;
    writeln!(input, "header = \"Authorization: Bearer {key}\"")?;
    drop(input);
    let output = curl.wait_with_output()?;
    if !output.status.success() {
        bail!("{url} was not answered well");
    }
    let seconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
    Ok(seconds * 1e3)
}

/// Starts a server; what it says beside its address goes into `target/bench/server.log`.
fn ready(command: &mut Command) -> Result<(Piped, String)> {
    let folder = target_dir().join("bench");
    fs::create_dir_all(&folder)?;
    let log = fs::File::create(folder.join("server.log")).context("cannot write the server's log")?;
    let mut server = Piped::start(command.stderr(log))?;
    loop {
        let line = server.line()?;
        let said: Value = serde_json::from_str(&line).context("the server did not say that it is ready")?;
        if said.get("event").and_then(Value::as_str) == Some("ready") {
            let url = said
                .get("url")
                .and_then(Value::as_str)
                .context("the server told no address")?;
            let url = url.to_owned();
            return Ok((server, url));
        }
    }
}

/// How often the threads of a process were woken so far.
fn wake_ups(server: &Piped) -> Result<f64> {
    let mut total = 0.0;
    for task in fs::read_dir(format!("/proc/{}/task", server.process.id()))? {
        let status = fs::read_to_string(task?.path().join("status"))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        total += line.context("/proc tells no wake-ups")?.trim().parse::<f64>()?;
    }
    Ok(total)
}
