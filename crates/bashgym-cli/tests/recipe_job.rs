//! A recipe's script as a real job of a local Hub, run by uv.

mod common;

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use bashgym_core::trainer::{
    Launch, PinnedCode, Recipe, TrainJobConfig, TrainerConfig, TrainingBackend, TrlBackend, TrlOptions,
};
use hf_core::{Namespace, RepoType, SecretValue};
use hf_datasets::{CommitOperation, CommitOptions, CreateOptions, RepoFiles};
use hf_jobs::HfJobRunner;

use common::{Environment, Hub};

/// Stands in for a recipe: it needs no package, so that uv needs no network.
const STAND_IN: &str = r#"# /// script
# requires-python = ">=3.9"
# dependencies = []
# ///
import json, sys
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
print("stand-in:", config["marker"])
sys.exit(config["exit"])
"#;

/// A program of this machine's PATH.
fn find(program: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|folder| folder.join(program))
        .find(|path| path.is_file())
}

#[test]
fn a_recipe_is_fetched_at_its_commit_and_run_by_uv() {
    let (Some(uv), Some(python)) = (find("uv"), find("python3")) else {
        println!("skipped: uv or python3 is not on this machine");
        return;
    };
    let environment = Environment::new();
    let bin = environment.path("bin");
    std::fs::create_dir(&bin).unwrap();
    symlink(uv, bin.join("uv")).unwrap();
    symlink(python, bin.join("python3")).unwrap();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let client = hub.client();
    let model_repo = format!("{}/student", hub.name);
    let repo = RepoFiles::new(&client, RepoType::Model, model_repo.parse().unwrap());
    let jobs = HfJobRunner::new(&client, Namespace::parse(&hub.name).unwrap());
    let options = TrlOptions::new(Recipe::Sft, "somebody/base");
    let script = format!("{}/{}", PinnedCode::FOLDER, Recipe::Sft.script_name());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        repo.create(&CreateOptions::default()).await.unwrap();
        let commit = async |marker: &str, exit: u8| {
            let config = serde_json::json!({ "marker": marker, "exit": exit }).to_string();
            let files = vec![
                CommitOperation::add_bytes(&script, STAND_IN),
                CommitOperation::add_bytes(PinnedCode::CONFIG, config),
            ];
            let options = CommitOptions {
                message: marker.to_owned(),
                ..CommitOptions::default()
            };
            repo.commit(files, &options).await.unwrap().oid
        };
        let first = commit("the first commit", 0).await;
        let second = commit("a later commit", 3).await;
        for (revision, marker, works) in [
            (first, "the first commit", true),
            (second, "a later commit", false),
        ] {
            let request = TrainJobConfig {
                dataset_repo: format!("{}/data", hub.name),
                dataset_revision: "main".to_owned(),
                model_repo: model_repo.clone(),
                training: TrainerConfig {
                    trl: Some(options.clone()),
                    ..TrainerConfig::default()
                },
                run_id: None,
                dataset_files: None,
                code: Some(PinnedCode {
                    repo_id: model_repo.clone(),
                    revision,
                }),
            };
            let backend = TrlBackend::new(&options, Launch::Fetched);
            let mut spec = backend.job_spec(&request, "cpu-basic").unwrap();
            // The test's uv, and nothing from a network.
            let command = spec.command.join(" ");
            let path = bin.display();
            spec.command = ["sh", "-c", &format!("PATH={path}:$PATH exec {command}")]
                .map(str::to_owned)
                .to_vec();
            for (name, value) in [("UV_OFFLINE", "1"), ("UV_PYTHON_DOWNLOADS", "never")] {
                spec.environment.insert(name.to_owned(), value.to_owned());
            }
            spec.secrets
                .insert("HF_TOKEN".to_owned(), SecretValue::from(hub.token.as_str()));
            let job = jobs.run(&spec).await.unwrap();
            let ended = jobs.wait(&job.id).await.unwrap();
            let log = jobs.get_job_logs(&job.id).await.unwrap();
            assert!(log.contains(&format!("stand-in: {marker}")), "{log}");
            assert_eq!(ended.require_success().is_ok(), works, "{log}");
        }
    });
    assert!(hub.terminate());
}
