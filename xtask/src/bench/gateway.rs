//! The gateway beside a bare reverse proxy, in one run: requests a second, added time, CPU and memory.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::median;
use crate::process::{build_bashgym, cargo, check, target_dir};

/// Connections at a time.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
const SECONDS: &str = "3";
/// Runs of each load; their median is shown.
const RUNS: usize = 3;
const KEY: &str = "sk-bench-0123456789-0123456789-0123456789";

pub(super) fn run(profile: &str) -> Result<()> {
    let load = build_load(profile)?;
    let binary = build_bashgym(profile)?;
    let work = target_dir().join("bench-gateway");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work)?;

    let (upstream, mut output) = piped(Command::new(&load).arg("upstream"))?;
    let upstream_url = line(&mut output)?;
    let _upstream = Process(upstream);
    let mut servers = vec![Server {
        name: "direct",
        url: format!("{upstream_url}/v1"),
        key: KEY.to_owned(),
        headers: Vec::new(),
        process: None,
    }];
    match nginx(&work, &upstream_url)? {
        Some(server) => servers.push(server),
        None => {
            println!("nginx is not installed (Debian: apt-get install nginx-light): its rows are missing");
        }
    }
    servers.push(bashgym(&binary, &work, &upstream_url)?);
    servers.extend(litellm(&work, &upstream_url)?);
    servers.extend(portkey(&upstream_url)?);
    println!("\nOne decision of the router, its record included (aim: 10 us)");
    check(Command::new(&load).arg("decide"))?;
    println!(
        "\nThe gateway, with key, router, ledger and decisions (profile {profile}, {RUNS} runs of {SECONDS} s each, medians; \
         aims at 16 connections: 60 us of CPU a request, 0.6 of nginx's requests; 0.1 ms added at one; 0.3 ms to the first piece)"
    );
    println!(
        "{:<8} {:<7} {:>5} {:>10} {:>9} {:>9} {:>9} {:>10} {:>9} {:>7} {:>7}",
        "kind",
        "server",
        "conn",
        "requests/s",
        "p50 us",
        "p99 us",
        "first us",
        "pieces/s",
        "us CPU",
        "MB",
        "failed"
    );
    for kind in ["json", "stream", "burst"] {
        for connections in CONNECTIONS {
            for server in &servers {
                one_load(&load, server, kind, connections)?;
            }
        }
    }
    Ok(())
}

fn build_load(profile: &str) -> Result<PathBuf> {
    check(&mut cargo(&[
        "build",
        "--locked",
        "--package",
        "bashgym-server",
        "--example",
        "gateway_load",
        "--profile",
        profile,
    ]))?;
    let folder = if profile == "dev" { "debug" } else { profile };
    Ok(target_dir().join(folder).join("examples").join("gateway_load"))
}

/// A process that is ended with the bench.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Server {
    name: &'static str,
    url: String,
    key: String,
    /// Headers it asks for beside the key, as `name: value`.
    headers: Vec<String>,
    /// None for the upstream itself.
    process: Option<Process>,
}

impl Server {
    /// The process and its children.
    fn pids(&self) -> Vec<u32> {
        let Some(process) = &self.process else {
            return Vec::new();
        };
        let own = process.0.id();
        let children = format!("/proc/{own}/task/{own}/children");
        let children = fs::read_to_string(children).unwrap_or_default();
        let mut all = vec![own];
        all.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        all
    }

    fn cpu_s(&self) -> f64 {
        let of = |pid: u32| -> Option<f64> {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
            let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
            Some((ticks(11)? + ticks(12)?) / 100.0)
        };
        self.pids().into_iter().filter_map(of).sum()
    }

    fn resident_mb(&self) -> f64 {
        let of = |pid: u32| -> Option<f64> {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            Some(line.split_whitespace().next()?.parse::<f64>().ok()? / 1024.0)
        };
        self.pids().into_iter().filter_map(of).sum()
    }
}

fn piped(command: &mut Command) -> Result<(Child, BufReader<ChildStdout>)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take().context("the process has no output")?;
    Ok((child, BufReader::new(output)))
}

fn line(output: &mut BufReader<ChildStdout>) -> Result<String> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        bail!("a process ended before it said anything");
    }
    Ok(line.trim_end().to_owned())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until somebody listens.
fn listens(port: u16, seconds: u64) -> Result<()> {
    for _ in 0..seconds * 20 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return Ok(());
        }
        std::thread::park_timeout(std::time::Duration::from_millis(50));
    }
    bail!("nobody listens at {port} after {seconds} s")
}

fn nginx(work: &Path, upstream: &str) -> Result<Option<Server>> {
    let known = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if !known.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let port = free_port()?;
    let folder = work.display();
    let host = upstream.trim_start_matches("http://");
    let config = work.join("nginx.conf");
    fs::write(
        &config,
        format!(
            "daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; tcp_nodelay on; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;\n\
             fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n\
             keepalive_requests 10000000;\n\
             upstream up {{ server {host}; keepalive 128; keepalive_requests 10000000; }}\n\
             server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://up; proxy_http_version 1.1;\n\
             proxy_set_header Connection \"\"; proxy_buffering off; }} }} }}\n"
        ),
    )?;
    let child = Command::new("nginx")
        .arg("-c")
        .arg(&config)
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start nginx")?;
    let process = Process(child);
    listens(port, 10)?;
    Ok(Some(Server {
        name: "nginx",
        url: format!("http://127.0.0.1:{port}/v1"),
        key: KEY.to_owned(),
        headers: Vec::new(),
        process: Some(process),
    }))
}

fn bashgym(binary: &Path, work: &Path, upstream: &str) -> Result<Server> {
    let (child, mut output) = piped(
        Command::new(binary)
            .args([
                "--local",
                "--format",
                "json",
                "serve",
                "--strategy",
                "teacher_only",
            ])
            .args(["--teacher", "bench", "--teacher-price", "3/15"])
            .args(["--teacher-url", &format!("{upstream}/v1")])
            .env("BASHGYM_HOME", work.join("home"))
            .env_remove("HF_TOKEN"),
    )?;
    let process = Process(child);
    let ready: Value = serde_json::from_str(&line(&mut output)?).context("no ready line")?;
    let text = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
    Ok(Server {
        name: "bashgym",
        url: format!("{}/v1", text("url")),
        key: text("key"),
        headers: Vec::new(),
        process: Some(process),
    })
}

/// `LiteLLM`, where `LITELLM_BIN` names its program.
fn litellm(work: &Path, upstream: &str) -> Result<Option<Server>> {
    #[expect(clippy::disallowed_methods, reason = "a task has no settings")]
    let Ok(program) = std::env::var("LITELLM_BIN") else {
        println!("LiteLLM is not measured: LITELLM_BIN names no program (pip install 'litellm[proxy]')");
        return Ok(None);
    };
    let port = free_port()?;
    let config = work.join("litellm.yaml");
    fs::write(
        &config,
        format!(
            "model_list:\n  - model_name: bashgym/auto\n    litellm_params:\n      model: openai/bench\n      \
             api_base: {upstream}/v1\n      api_key: none\ngeneral_settings:\n  master_key: {KEY}\n"
        ),
    )?;
    let child = Command::new(program)
        .arg("--config")
        .arg(&config)
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start LiteLLM")?;
    let process = Process(child);
    listens(port, 120)?;
    Ok(Some(Server {
        name: "litellm",
        url: format!("http://127.0.0.1:{port}/v1"),
        key: KEY.to_owned(),
        headers: Vec::new(),
        process: Some(process),
    }))
}

/// Portkey's gateway, where `PORTKEY_BIN` names its program.
fn portkey(upstream: &str) -> Result<Option<Server>> {
    #[expect(clippy::disallowed_methods, reason = "a task has no settings")]
    let Ok(program) = std::env::var("PORTKEY_BIN") else {
        println!("Portkey is not measured: PORTKEY_BIN names no program (npm install @portkey-ai/gateway)");
        return Ok(None);
    };
    let port = free_port()?;
    let child = Command::new(program)
        .args([&format!("--port={port}"), "--headless"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot start Portkey")?;
    let process = Process(child);
    listens(port, 60)?;
    Ok(Some(Server {
        name: "portkey",
        url: format!("http://127.0.0.1:{port}/v1"),
        key: KEY.to_owned(),
        headers: vec![
            "x-portkey-provider: openai".to_owned(),
            format!("x-portkey-custom-host: {upstream}/v1"),
        ],
        process: Some(process),
    }))
}

fn one_load(load: &Path, server: &Server, kind: &str, connections: usize) -> Result<()> {
    let call = |seconds: &str| -> Result<Value> {
        let output = Command::new(load)
            .args(["callers", &server.url, &server.key, "bashgym/auto"])
            .args([&connections.to_string(), seconds, kind])
            .args(&server.headers)
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start the callers")?;
        serde_json::from_slice(&output.stdout).with_context(|| format!("{} gave no figures", server.name))
    };
    call("1")?;
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let before = server.cpu_s();
        let figures = call(SECONDS)?;
        let number = |name: &str| figures[name].as_f64().unwrap_or_default();
        let requests = number("requests").max(1.0);
        runs.push([
            requests / number("seconds"),
            number("p50_us"),
            number("p99_us"),
            number("first_p50_us"),
            number("pieces") / number("seconds"),
            (server.cpu_s() - before) * 1e6 / requests,
            number("failed"),
        ]);
    }
    let figure = |at: usize| median(runs.iter().map(|run| run[at]).collect());
    println!(
        "{kind:<8} {:<7} {connections:>5} {:>10.0} {:>9.0} {:>9.0} {:>9.0} {:>10.0} {:>9.1} {:>7.1} {:>7.0}",
        server.name,
        figure(0),
        figure(1),
        figure(2),
        figure(3),
        figure(4),
        figure(5),
        server.resident_mb(),
        figure(6),
    );
    Ok(())
}
