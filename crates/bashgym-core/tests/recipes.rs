//! The recipes' scripts: fixed files, whose every decision is data.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use bashgym_core::trainer::{
    CodeFile, Launch, Method, PinnedCode, Recipe, ScriptConfig, TrainJobConfig, TrainerConfig,
    TrainingBackend, TrlBackend, TrlOptions,
};
use bashgym_traces::{Split, columns};
use proptest::prelude::*;

const HOSTILE: [&str; 8] = [
    "ada/plain",
    "ada/\"quoted\" 'twice'",
    "ada/line\nbreak\r\nand another",
    "ada/{braces} {{twice}} {0} %s ${HOME} `id`",
    "ada/ünïcödé-模型-🦀",
    "\"\"\"); import os; os.system('id') #",
    "ada/back\\slash\\n\\\"",
    "ada/\u{2028}separator\u{0}null",
];

fn request(base: &str, recipe: Recipe) -> TrainJobConfig {
    TrainJobConfig {
        dataset_repo: base.to_owned(),
        dataset_revision: "0".repeat(40),
        model_repo: base.to_owned(),
        training: TrainerConfig {
            trl: Some(TrlOptions::new(recipe, base)),
            ..TrainerConfig::default()
        },
        run_id: Some("run".to_owned()),
        dataset_files: None,
        code: None,
    }
}

fn python(args: &[&str]) -> Option<Output> {
    match Command::new("python3")
        .args(args)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
    {
        Ok(output) => Some(output),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
            {
                eprintln!("skipped: python3 cannot be started: {error}");
            }
            None
        }
    }
}

fn write(dir: &Path, files: &[CodeFile]) {
    for file in files {
        let path = dir.join(&file.path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &file.text).unwrap();
    }
}

/// Acceptance case 19: every script compiles, for every recipe, Hub or local, and hostile names; values are data.
#[test]
fn case_19_every_script_compiles_and_values_are_data() {
    for recipe in Recipe::ALL {
        for (number, base) in HOSTILE.into_iter().enumerate() {
            for launch in [Launch::Mounted, Launch::Fetched] {
                let mut request = request(base, recipe);
                let options = request.training.trl.clone().unwrap();
                let backend = TrlBackend::new(&options, launch);
                let files = backend.code(&request).unwrap();
                let script = &files[0];
                assert_eq!(
                    script.text,
                    recipe.script(),
                    "the script does not depend on what is trained"
                );

                let dir = tempfile::tempdir().unwrap();
                write(dir.path(), &files);
                let path = dir.path().join(&script.path);
                let config = dir.path().join(PinnedCode::CONFIG);
                let check = [
                    "-c",
                    "import sys; compile(open(sys.argv[1], encoding='utf-8').read(), sys.argv[1], 'exec')",
                ];
                let Some(compiled) = python(&[check[0], check[1], path.to_str().unwrap()]) else {
                    return;
                };
                assert!(compiled.status.success(), "{recipe} {number}: {compiled:?}");
                let checked = python(&[
                    path.to_str().unwrap(),
                    "--check-config",
                    "--config",
                    config.to_str().unwrap(),
                ])
                .unwrap();
                assert!(
                    checked.status.success(),
                    "{recipe} {base:?}: {}",
                    String::from_utf8_lossy(&checked.stderr)
                );
                let read: serde_json::Value = serde_json::from_slice(&checked.stdout).unwrap();
                assert_eq!(
                    read["base_model"]["repo_id"], base,
                    "what Python reads is what was decided"
                );

                // Nothing of it stands in the command either.
                request.code = Some(PinnedCode {
                    repo_id: "ada/student".to_owned(),
                    revision: "1".repeat(40),
                });
                let spec = backend.job_spec(&request, "a10g-small").unwrap();
                assert!(
                    spec.command.iter().all(|word| !word.contains(base)),
                    "{:?}",
                    spec.command
                );
                assert!(
                    spec.timeout.is_some(),
                    "never the provider's own time-out by accident"
                );
            }
        }
    }
}

/// Acceptance case 20: names of splits, columns and files in the script's configuration are those the dataset is written with.
#[test]
fn case_20_names_are_those_of_the_uploaded_dataset() {
    for recipe in Recipe::ALL {
        let config = ScriptConfig::for_job(&request("ada/base", recipe)).unwrap();
        let kind = recipe.row_kind();
        let names: Vec<&str> = config.dataset.columns.values().map(String::as_str).collect();
        for column in kind.columns() {
            assert!(names.contains(column), "{recipe}: {column}");
        }
        let splits: BTreeMap<String, Vec<String>> = Split::ALL
            .into_iter()
            .map(|split| (split.name().to_owned(), vec![split.file_name().to_owned()]))
            .collect();
        assert_eq!(config.dataset.files, splits);
        // The script asks for its columns by what they are for, in the words of the one definition.
        for column in kind
            .columns()
            .iter()
            .filter(|column| **column != columns::METADATA)
        {
            assert!(
                recipe.script().contains(&format!("columns[\"{column}\"]"))
                    || recipe.script().contains(&format!("\"{column}\"")),
                "{recipe} does not read {column}"
            );
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_before_anything_is_loaded() {
    let good = ScriptConfig::for_job(&request("ada/base", Recipe::Sft)).unwrap();
    let good: serde_json::Value = serde_json::from_str(&good.to_json().unwrap()).unwrap();
    let wrong = [
        ("/recipe", serde_json::json!("dpo"), "this script is 'sft'"),
        (
            "/format",
            serde_json::json!("bashgym-train-9"),
            "reads 'bashgym-train-1'",
        ),
        ("/batch_size", serde_json::json!(0), "batch_size is below 1"),
        ("/learning_rate", serde_json::json!("2e-4"), "learning_rate"),
        ("/dataset/revision", serde_json::Value::Null, "pinned"),
        ("/method", serde_json::json!("magic"), "magic"),
    ];
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("sft.py");
    std::fs::write(&script, Recipe::Sft.script()).unwrap();
    for (place, value, word) in wrong {
        let mut config = good.clone();
        *config.pointer_mut(place).unwrap() = value;
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let Some(checked) = python(&[
            script.to_str().unwrap(),
            "--check-config",
            "--config",
            path.to_str().unwrap(),
        ]) else {
            return;
        };
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(2), "{place}: {said}");
        assert!(said.contains(word), "{place}: {said}");
    }
}

#[test]
fn a_mounted_job_runs_what_was_committed_and_nothing_else() {
    let mut request = request("ada/base", Recipe::Dpo);
    let options = request.training.trl.clone().unwrap();
    let backend = TrlBackend::new(&options, Launch::Mounted);
    assert!(
        backend.job_spec(&request, "a10g-small").is_err(),
        "a job without a commit has nothing to run"
    );
    request.code = Some(PinnedCode {
        repo_id: "ada/student".to_owned(),
        revision: "1".repeat(40),
    });
    let body = backend.job_spec(&request, "a10g-small").unwrap().preview();
    assert_eq!(
        body["command"],
        serde_json::json!([
            "uv",
            "run",
            "--script",
            "/bashgym/training/dpo.py",
            "--config",
            "/bashgym/training/config.json"
        ])
    );
    assert_eq!(
        body["volumes"],
        serde_json::json!([{
            "type": "model", "source": "ada/student", "mountPath": "/bashgym", "revision": "1".repeat(40), "readOnly": true
        }])
    );
    assert_eq!(body["environment"], serde_json::json!({}));
    assert_eq!(body["timeoutSeconds"], 7200);
}

proptest! {
    /// What is decided survives the way through the file, whatever the names are.
    #[test]
    fn configuration_survives_its_own_json(
        base in any::<String>(), dataset in any::<String>(), output in any::<String>(), revision in any::<Option<String>>(),
        seed in any::<u64>(), epochs in 0.01_f64..100.0, recipe in 0_usize..4, method in 0_usize..3,
    ) {
        let recipe = Recipe::ALL[recipe];
        let mut request = request(&base, recipe);
        request.dataset_repo = dataset;
        request.model_repo = output;
        request.training.seed = seed;
        let options = request.training.trl.as_mut().unwrap();
        (options.epochs, options.base_revision) = (epochs, revision);
        options.method = [Method::Lora, Method::Qlora, Method::Full][method];
        let config = ScriptConfig::for_job(&request).unwrap();
        let read: ScriptConfig = serde_json::from_str(&config.to_json().unwrap()).unwrap();
        prop_assert!((read.epochs - config.epochs).abs() < 1e-12);
        prop_assert_eq!(ScriptConfig { epochs: config.epochs, learning_rate: config.learning_rate, ..read }, config);
    }
}
