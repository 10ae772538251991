//! Texts with planted near-duplicates, and a search for them judged by a slow and simple comparison.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use bashgym_traces::dedup::{DedupOptions, find_near_duplicates};
use serde_json::{Value, json};

use super::Result;
use super::corpus::Random;

const THRESHOLD: f64 = 0.7;

pub(crate) fn write(path: &Path, count: usize) -> Result<Value> {
    let mut random = Random::new(7);
    let mut out = BufWriter::new(fs::File::create(path)?);
    let mut texts: Vec<String> = Vec::new();
    for n in 0..count {
        // As many edited copies as in the measured set of docstrings: 8.6 %, 2 to 6 % of the words.
        let copy_of = (n > 100 && n % 1_000 < 86).then(|| random.below(texts.len()));
        let text = if let Some(of) = copy_of {
            edited(&texts[of], &mut random)
        } else {
            let words = 12 + random.below(30) + random.below(60);
            random.text(words, 0)
        };
        writeln!(out, "{}", json!({ "text": text, "copy_of": copy_of }))?;
        texts.push(text);
    }
    out.flush()?;
    Ok(json!({ "texts": count }))
}

fn edited(text: &str, random: &mut Random) -> String {
    let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let percent = 2 + random.below(5);
    for _ in 0..(words.len() * percent).div_ceil(100) {
        let at = random.below(words.len());
        match random.below(3) {
            0 => words[at] = format!("{}x", random.word()),
            1 => words.insert(at, random.word()),
            _ => {
                words.remove(at);
            }
        }
    }
    words.join(" ")
}

pub(crate) fn load(path: &Path) -> Result<(Vec<String>, Vec<Option<usize>>)> {
    let (mut texts, mut copies) = (Vec::new(), Vec::new());
    for line in BufReader::new(fs::File::open(path)?).lines() {
        let row: Value = serde_json::from_str(&line?)?;
        texts.push(row["text"].as_str().ok_or("a row without a text")?.to_owned());
        copies.push(row["copy_of"].as_u64().and_then(|n| usize::try_from(n).ok()));
    }
    Ok((texts, copies))
}

pub(crate) fn search(path: &Path) -> Result<Value> {
    let (texts, copies) = load(path)?;
    let (cpu, start) = (cpu_s()?, Instant::now());
    let pairs = find_near_duplicates(texts.as_slice(), DedupOptions { threshold: THRESHOLD })?;
    let (wall_s, cpu_s) = (start.elapsed().as_secs_f64(), cpu_s()? - cpu);
    let peak_mb = peak_mb()?;
    let right = pairs
        .iter()
        .filter(|pair| likeness(&texts[pair.first], &texts[pair.second]) >= THRESHOLD)
        .count();
    // A planted pair is found when both texts are in one cluster.
    let mut root: Vec<usize> = (0..texts.len()).collect();
    for pair in &pairs {
        let (a, b) = (find(&root, pair.first), find(&root, pair.second));
        root[a.max(b)] = a.min(b);
    }
    let planted: Vec<(usize, usize)> = copies
        .iter()
        .enumerate()
        .filter_map(|(n, of)| of.map(|of| (of, n)))
        .filter(|&(a, b)| likeness(&texts[a], &texts[b]) >= THRESHOLD)
        .collect();
    let hit = planted
        .iter()
        .filter(|&&(a, b)| find(&root, a) == find(&root, b))
        .count();
    Ok(json!({
        "cpu_s": cpu_s, "wall_s": wall_s, "peak_mb": peak_mb, "pairs": pairs.len(), "planted": planted.len(),
        "precision": right as f64 / pairs.len().max(1) as f64,
        "recall": hit as f64 / planted.len().max(1) as f64,
    }))
}

fn find(root: &[usize], mut n: usize) -> usize {
    while root[n] != n {
        n = root[n];
    }
    n
}

/// The Jaccard similarity of the runs of three words, as text and without hashes.
fn likeness(a: &str, b: &str) -> f64 {
    fn runs(text: &str) -> HashSet<Vec<&str>> {
        let words: Vec<&str> = text.split_whitespace().collect();
        words.windows(3).map(<[&str]>::to_vec).collect()
    }
    let (a, b) = (runs(a), runs(b));
    let shared = a.intersection(&b).count();
    shared as f64 / (a.len() + b.len() - shared).max(1) as f64
}

/// CPU seconds of this process so far, as Linux counts them.
fn cpu_s() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |n: usize| -> Result<f64> { Ok(fields.get(n).ok_or("a short stat file")?.parse()?) };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}

fn peak_mb() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .ok_or("no VmHWM")?;
    let kib: f64 = line.split_whitespace().nth(1).ok_or("no number")?.parse()?;
    Ok(kib / 1024.0)
}
