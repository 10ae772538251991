//! `cargo xtask tidy`: who may import whom, and the project's house rules.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::process::{cargo, root};

/// One row of the table in `docs/architecture.md`: a crate, ours it may import, and what it stays away from.
struct Layer {
    name: &'static str,
    may_import: &'static [&'static str],
    stays_away_from: &'static [&'static str],
}

const LAYERS: &[Layer] = &[
    Layer {
        name: "hf-core",
        may_import: &[],
        stays_away_from: &["axum", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "hf-jobs",
        may_import: &["hf-core"],
        stays_away_from: &["reqwest", "axum", "sqlx", "clap"],
    },
    Layer {
        name: "hf-datasets",
        may_import: &["hf-core"],
        stays_away_from: &["reqwest", "axum", "sqlx", "clap"],
    },
    Layer {
        name: "hf-inference",
        may_import: &["hf-core"],
        stays_away_from: &["reqwest", "axum", "sqlx", "clap"],
    },
    Layer {
        name: "hf-spaces",
        may_import: &["hf-core"],
        stays_away_from: &["reqwest", "axum", "sqlx", "clap"],
    },
    Layer {
        name: "hf-local",
        may_import: &["hf-core"],
        stays_away_from: &["reqwest", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-gate",
        may_import: &[],
        stays_away_from: &["tokio", "reqwest", "axum", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-traces",
        may_import: &["bashgym-gate"],
        stays_away_from: &["tokio", "reqwest", "axum", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-engine",
        may_import: &[],
        stays_away_from: &["tokio", "reqwest", "axum", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-core",
        may_import: &[
            "hf-core",
            "hf-inference",
            "hf-jobs",
            "hf-spaces",
            "hf-datasets",
            "bashgym-gate",
            "bashgym-traces",
        ],
        stays_away_from: &["reqwest", "axum", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-store",
        may_import: &["bashgym-core"],
        stays_away_from: &["reqwest", "axum", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-server",
        may_import: &[
            "hf-core",
            "hf-inference",
            "hf-jobs",
            "hf-spaces",
            "hf-datasets",
            "bashgym-gate",
            "bashgym-traces",
            "bashgym-core",
        ],
        stays_away_from: &["reqwest", "sqlx", "clap", "hf-hub"],
    },
    Layer {
        name: "bashgym-cli",
        may_import: &[
            "hf-core",
            "hf-inference",
            "hf-jobs",
            "hf-datasets",
            "hf-spaces",
            "hf-local",
            "bashgym-gate",
            "bashgym-traces",
            "bashgym-engine",
            "bashgym-core",
            "bashgym-store",
            "bashgym-server",
        ],
        stays_away_from: &["reqwest", "axum", "sqlx", "hf-hub"],
    },
    Layer {
        name: "xtask",
        may_import: &[],
        stays_away_from: &["tokio"],
    },
];

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
    manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

pub(crate) fn run() -> Result<()> {
    let metadata = metadata()?;
    let mut problems = imports(&metadata);
    problems.extend(readmes(&metadata));
    problems.extend(transport_owner()?);
    problems.extend(promises()?);
    problems.extend(npm_locks()?);
    if problems.is_empty() {
        println!(
            "tidy: {} crates, every import is in the table",
            metadata.packages.len()
        );
        return Ok(());
    }
    bail!(
        "tidy found {} problem(s):\n  {}",
        problems.len(),
        problems.join("\n  ")
    )
}

fn metadata() -> Result<Metadata> {
    let output = cargo(&["metadata", "--no-deps", "--format-version", "1", "--locked"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata failed: {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("cannot read cargo metadata")
}

fn imports(metadata: &Metadata) -> Vec<String> {
    let layers: BTreeMap<&str, &Layer> = LAYERS.iter().map(|layer| (layer.name, layer)).collect();
    let ours: Vec<&str> = metadata
        .packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut problems = Vec::new();
    for package in &metadata.packages {
        let Some(layer) = layers.get(package.name.as_str()) else {
            problems.push(format!(
                "{}: not in the import table of xtask/src/tidy.rs",
                package.name
            ));
            continue;
        };
        // What tests import is their own affair; the table is about what ships.
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind.is_none())
        {
            let name = dependency.name.as_str();
            if ours.contains(&name) && !layer.may_import.contains(&name) {
                problems.push(format!("{}: may not import {name}", package.name));
            }
            if layer.stays_away_from.contains(&name) {
                problems.push(format!("{}: stays away from {name}", package.name));
            }
        }
    }
    problems
}

/// A crate that is used on its own introduces itself.
fn readmes(metadata: &Metadata) -> Vec<String> {
    metadata
        .packages
        .iter()
        .filter(|package| package.name.starts_with("hf-"))
        .filter_map(|package| {
            let readme = package.manifest_path.parent()?.join("README.md");
            (!readme.exists()).then(|| format!("{}: has no README.md", package.name))
        })
        .collect()
}

/// One file knows the HTTP library.
fn transport_owner() -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let crates = root().join("crates");
    for file in files_below(&crates, "rs")? {
        let inside = file.strip_prefix(&crates).unwrap_or(&file);
        let is_source = inside
            .components()
            .nth(1)
            .is_some_and(|part| part.as_os_str() == "src");
        if is_source && !inside.ends_with("hf-core/src/transport.rs") {
            let text =
                std::fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            if text
                .lines()
                .any(|line| !line.trim_start().starts_with("//") && line.contains("reqwest::"))
            {
                problems.push(format!(
                    "{}: only hf-core/src/transport.rs names reqwest",
                    inside.display()
                ));
            }
        }
    }
    Ok(problems)
}

/// Each test that `docs/promises.md` names in the form `file.rs::test_name` exists.
fn promises() -> Result<Vec<String>> {
    let path = root().join("docs").join("promises.md");
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut named = 0;
    let mut problems = Vec::new();
    for word in text
        .split('`')
        .filter(|word| word.contains(".rs::") || word.contains(".py::"))
    {
        named += 1;
        let (file, test) = word.split_once("::").unwrap_or((word, ""));
        let source = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        let name = test.rsplit("::").next().unwrap_or(test);
        if !source.contains(&format!("fn {name}(")) && !source.contains(&format!("def {name}(")) {
            problems.push(format!("docs/promises.md names {word}, which is not there"));
        }
    }
    if named == 0 {
        problems.push("docs/promises.md names no test".to_owned());
    }
    Ok(problems)
}

/// A lock file of npm carries no download addresses.
fn npm_locks() -> Result<Vec<String>> {
    let lock = root().join("frontend").join("package-lock.json");
    if !lock.exists() {
        return Ok(Vec::new());
    }
    let text = std::fs::read_to_string(&lock).context("cannot read frontend/package-lock.json")?;
    Ok(if text.contains("\"resolved\": \"http") {
        vec!["frontend/package-lock.json carries download addresses".to_owned()]
    } else {
        Vec::new()
    })
}

fn files_below(folder: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in
            std::fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
