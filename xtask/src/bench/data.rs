//! `bench data`: the way from session logs to a dataset, on a generated corpus, beside a plain parse of the same bytes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{Figures, measured};
use crate::process::{cargo, check, target_dir};

/// What the corpus of sessions takes.
const CORPUS_MB: &str = "256";
/// What the rows to divide take.
const SPLIT_MB: &str = "500";
const TEXTS: &str = "100000";

/// Runs parts of the project's own program for benches, each in a process of its own.
struct Bench {
    program: PathBuf,
    dir: PathBuf,
}

impl Bench {
    fn measure(&self, args: &[&str]) -> Result<(Figures, Value)> {
        let result = self.dir.join("result.json");
        let (program, result_text) = (self.program.to_string_lossy(), result.to_string_lossy());
        let mut command: Vec<&str> = vec![&program, &result_text];
        command.extend(args);
        let figures = measured(&command, &[])?;
        if !figures.ok {
            bail!("`bench {}` failed", args.join(" "));
        }
        let text = fs::read(&result).context("the bench left no result")?;
        Ok((figures, serde_json::from_slice(&text)?))
    }

    fn path(&self, name: &str) -> String {
        self.dir.join(name).to_string_lossy().into_owned()
    }
}

pub(super) fn run(profile: &str) -> Result<()> {
    check(&mut cargo(&[
        "build",
        "--quiet",
        "-p",
        "bashgym-traces",
        "--example",
        "bench",
        "--profile",
        profile,
    ]))?;
    let target = target_dir();
    let dir = target.join("bench-data");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).context("cannot make the folder of the bench")?;
    let folder = if profile == "dev" { "debug" } else { profile };
    let bench = Bench {
        program: target.join(folder).join("examples/bench"),
        dir,
    };
    println!("Data, profile {profile}");
    sessions(&bench)?;
    near_duplicates(&bench)?;
    split(&bench)?;
    fs::remove_dir_all(&bench.dir).context("cannot remove the folder of the bench")
}

fn number(value: &Value, key: &str) -> f64 {
    value.get(key).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn sessions(bench: &Bench) -> Result<()> {
    let corpus = bench.path("corpus");
    let truth = bench.path("truth.json");
    let (_, made) = bench.measure(&["corpus", &corpus, &truth, CORPUS_MB])?;
    let megabytes = number(&made, "bytes") / 1e6;
    println!(
        "\nA generated corpus: {} sessions, {megabytes:.0} MB; planted: {} secrets, {} copies, {} broken or cut lines, \
         {} lone surrogates",
        number(&made, "sessions"),
        number(&made, "secrets"),
        number(&made, "copies"),
        number(&made, "broken"),
        number(&made, "surrogates")
    );
    println!(
        "{:<44} {:>8} {:>8} {:>9} {:>8} {:>9}",
        "", "CPU s", "wall s", "MB/CPU s", "peak MB", "of parse"
    );
    let (parse, _) = bench.measure(&["parse", &corpus])?;
    let limit = megabytes / parse.cpu_s;
    let line = |name: &str, figures: &Figures| {
        let rate = megabytes / figures.cpu_s;
        println!(
            "{name:<44} {:>8.2} {:>8.2} {rate:>9.0} {:>8.0} {:>8.0} %",
            figures.cpu_s,
            figures.wall_s,
            figures.peak_kib as f64 / 1024.0,
            rate / limit * 100.0
        );
    };
    line("plain parse of each line (the limit)", &parse);
    let (read, seen) = bench.measure(&["read", &corpus])?;
    line("read and normalise", &read);
    let rows = bench.path("rows");
    let (import, _) = bench.measure(&["import", &corpus, &rows])?;
    line("import, redact, score, write (aim 150, 64 MB)", &import);
    let (gate, found) = bench.measure(&["gate", &corpus, &truth])?;
    line("gate alone (aim 300)", &gate);
    let out = bench.path("out");
    let (build, built) = bench.measure(&["build", &corpus, &out])?;
    line("whole build", &build);
    println!(
        "sessions read: {} of {} (aim: all); planted secrets the gate took out: {} of {} (aim: all)",
        number(&seen, "sessions"),
        number(&made, "sessions"),
        number(&found, "found"),
        number(&found, "planted")
    );
    println!(
        "rows: {}; removed as equal {}, as near-duplicates {}; secrets left in the dataset: {}",
        number(&built, "rows"),
        number(&built, "exact_removed"),
        number(&built, "near_removed"),
        secrets_left(Path::new(&out), Path::new(&truth))?
    );
    fs::remove_dir_all(&corpus).context("cannot remove the corpus")?;
    fs::remove_dir_all(&rows).context("cannot remove the rows")
}

fn secrets_left(out: &Path, truth: &Path) -> Result<usize> {
    let truth: Value = serde_json::from_slice(&fs::read(truth)?)?;
    let mark = truth["mark"].as_str().context("no mark")?;
    // Every planted secret holds the mark, so few lines are looked at closely.
    let mut marked = String::new();
    for name in ["train.jsonl", "val.jsonl"] {
        let text = fs::read(out.join(name))?;
        for line in String::from_utf8_lossy(&text)
            .lines()
            .filter(|line| line.contains(mark))
        {
            marked.push_str(line);
        }
    }
    let secrets = truth["secrets"].as_array().context("no list of secrets")?;
    Ok(secrets
        .iter()
        .filter_map(Value::as_str)
        .filter(|secret| marked.contains(secret))
        .count())
}

fn near_duplicates(bench: &Bench) -> Result<()> {
    let texts = bench.path("texts.jsonl");
    bench.measure(&["texts", &texts, TEXTS])?;
    let (load, _) = bench.measure(&["texts-load", &texts])?;
    let (figures, result) = bench.measure(&["dedup", &texts])?;
    println!(
        "\nNear-duplicates among {TEXTS} texts, {} planted pairs (aim: 2 CPU s, 250 MB, precision 0.99, recall 0.97)",
        number(&result, "planted")
    );
    println!(
        "search: {:.2} CPU s, {:.2} s wall, whole process {:.2} CPU s (loading alone {:.2}), peak {:.0} MB",
        number(&result, "cpu_s"),
        number(&result, "wall_s"),
        figures.cpu_s,
        load.cpu_s,
        number(&result, "peak_mb"),
    );
    println!(
        "precision {:.4} ({} pairs), recall {:.4}",
        number(&result, "precision"),
        number(&result, "pairs"),
        number(&result, "recall")
    );
    Ok(())
}

fn split(bench: &Bench) -> Result<()> {
    let work = bench.path("work");
    bench.measure(&["split-make", &work, SPLIT_MB])?;
    let out = bench.path("split");
    let rows = format!("{work}/score/rows.jsonl");
    let copy = bench.path("copy.jsonl");
    let cp = measured(&["cp", &rows, &copy], &[])?;
    let (split, _) = bench.measure(&["split", &work, &out])?;
    let sum = measured(&["sha256sum", &rows], &[])?;
    println!("\nSplit of {SPLIT_MB} MB of rows with SHA-256, synced to disk (aim: 4 times cp, 128 MB)");
    println!(
        "split {:.2} s wall, {:.2} CPU s, peak {:.0} MB; cp {:.2} s, sha256sum {:.2} s; {:.1} times cp",
        split.wall_s,
        split.cpu_s,
        split.peak_kib as f64 / 1024.0,
        cp.wall_s,
        sum.wall_s,
        split.wall_s / cp.wall_s
    );
    Ok(())
}
