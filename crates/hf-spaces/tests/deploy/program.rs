//! A Space whose container runs `bashgym` itself.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use hf_core::{HfError, HfErrorKind, RepoId};
use hf_spaces::{
    DeployCause, DeployError, DeployEvent, DeployOptions, DeployRequest, HfSpaceManager, Left, SpaceApp,
    SpaceProgram, TextFile,
};

use super::script::{ScriptedHub, request};

/// Commits a small file in the program's place.
struct SmallProgram {
    spaces: HfSpaceManager,
    is_wrong: bool,
    commits: AtomicUsize,
}

#[async_trait]
impl SpaceProgram for SmallProgram {
    async fn check(&self) -> Result<Option<String>, String> {
        if self.is_wrong {
            return Err("it was built for another processor".to_owned());
        }
        Ok(Some("it names a home folder".to_owned()))
    }

    async fn commit(
        &self,
        space: &RepoId,
        files: &[TextFile],
        summary: &str,
        parent: Option<&str>,
    ) -> Result<String, HfError> {
        self.commits.fetch_add(1, Ordering::SeqCst);
        let mut files = files.to_vec();
        files.push(TextFile {
            path: hf_spaces::PROGRAM_FILE,
            text: "ELF".to_owned(),
        });
        self.spaces.commit_files(space, &files, summary, parent).await
    }
}

fn program(hub: &ScriptedHub, is_wrong: bool) -> Arc<SmallProgram> {
    Arc::new(SmallProgram {
        spaces: hub.spaces(),
        is_wrong,
        commits: AtomicUsize::new(0),
    })
}

fn wanted() -> DeployRequest {
    let mut wanted = request("ada/student");
    wanted.config.app = SpaceApp::Bashgym;
    wanted.config.hardware = "cpu-basic".parse().unwrap();
    wanted
}

fn hub() -> ScriptedHub {
    let hub = ScriptedHub::default();
    hub.state().model_files = vec!["config.json", "tokenizer.json", "model.safetensors"];
    hub
}

async fn create(hub: &ScriptedHub, program: Option<Arc<SmallProgram>>) -> Result<(), DeployError> {
    let options = DeployOptions {
        program: program.map(|program| program as Arc<dyn SpaceProgram>),
        ..DeployOptions::default()
    };
    let made = hub.spaces().create_inference_space(&wanted(), &options).await;
    made.map(drop)
}

fn paths(hub: &ScriptedHub, commit: usize) -> Vec<String> {
    let state = hub.state();
    let mut paths: Vec<_> = state.commits[commit]
        .iter()
        .map(|(path, _)| path.clone())
        .collect();
    paths.sort();
    paths
}

#[tokio::test]
async fn nothing_is_built_before_the_program_is_there() {
    let hub = hub();
    hub.state().stages = vec![
        vec!["NO_APP_FILE"],
        vec!["NO_APP_FILE", "BUILDING", "APP_STARTING", "RUNNING"],
    ];
    let program = program(&hub, false);
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    let options = DeployOptions {
        program: Some(program.clone()),
        observe: Some(Arc::new(move |event| seen.lock().unwrap().push(event))),
        ..DeployOptions::default()
    };
    let deployed = hub
        .spaces()
        .create_inference_space(&wanted(), &options)
        .await
        .unwrap();
    assert_eq!(deployed.hardware.as_deref(), Some("cpu-basic"));
    assert_eq!(hub.sent("POST", "/api/repos/create")[0].json()["sdk"], "docker");
    assert_eq!(paths(&hub, 0), ["README.md", "space.json"]);
    assert_eq!(
        paths(&hub, 1),
        ["Dockerfile", "README.md", "bashgym", "space.json"]
    );
    assert_eq!(hub.space_json()["app"], "bashgym");
    let events = events.lock().unwrap();
    assert!(events.contains(&DeployEvent::Uploading));
    assert!(events.contains(&DeployEvent::Remark("it names a home folder".to_owned())));
}

#[tokio::test]
async fn a_program_that_would_not_start_is_told_before_anything_is_made() {
    for (given, told) in [(None, "none was given"), (Some(true), "another processor")] {
        let hub = hub();
        let error = create(&hub, given.map(|wrong| program(&hub, wrong)))
            .await
            .unwrap_err();
        assert!(
            matches!(&*error.cause, DeployCause::NoProgram(why) if why.contains(told)),
            "{error}"
        );
        assert_eq!(
            (error.left.clone(), error.kind()),
            (Left::Nothing, HfErrorKind::InvalidArgument)
        );
        assert!(error.next().iter().any(|next| next.contains("--program")));
        assert!(hub.sent("POST", "/api/repos/create").is_empty());
    }
}

#[tokio::test]
async fn a_model_that_bashgym_does_not_run_is_told_before_anything_is_made() {
    for (files, told) in [
        (vec!["config.json", "pytorch_model.bin"], "neither a GGUF"),
        (
            vec![
                "adapter_config.json",
                "config.json",
                "tokenizer.json",
                "model.safetensors",
            ],
            "merge it",
        ),
    ] {
        let hub = hub();
        hub.state().model_files = files;
        let error = create(&hub, Some(program(&hub, false))).await.unwrap_err();
        assert!(
            matches!(&*error.cause, DeployCause::NotRunnable { why, .. } if why.contains(told)),
            "{error}"
        );
        assert!(hub.sent("POST", "/api/repos/create").is_empty());
    }
    let hub = hub();
    hub.state().model_files = vec!["model.Q8_0.GGUF"];
    create(&hub, Some(program(&hub, false))).await.unwrap();
}

#[tokio::test]
async fn an_upload_that_fails_leaves_no_space() {
    let hub = hub();
    hub.state().commit_fault = Some((
        false,
        hf_core::testing::Reply::json(500, serde_json::json!({"error": "no"})),
    ));
    let error = create(&hub, Some(program(&hub, false))).await.unwrap_err();
    assert_eq!(error.left, Left::Removed);
    assert!(hub.is_gone());
}

#[tokio::test]
async fn another_model_does_not_need_the_program_again() {
    let hub = hub();
    let program = program(&hub, false);
    create(&hub, Some(program.clone())).await.unwrap();
    let (space, model): (RepoId, RepoId) = ("ada/demo".parse().unwrap(), "ada/student".parse().unwrap());
    let update = |options: DeployOptions| {
        let (spaces, space, model) = (hub.spaces(), space.clone(), model.clone());
        async move { spaces.update_space_model(&space, &model, None, &options).await }
    };
    update(DeployOptions::default()).await.unwrap();
    assert_eq!(program.commits.load(Ordering::SeqCst), 1);
    assert_eq!(
        paths(&hub, 2),
        ["Dockerfile", "README.md", "bashgym", "space.json"]
    );

    // What a deployment that broke off left has none yet.
    hub.state().commits.truncate(1);
    let refused = update(DeployOptions::default()).await.unwrap_err();
    assert!(matches!(&*refused.cause, DeployCause::NoProgram(_)), "{refused}");
    let options = DeployOptions {
        program: Some(program.clone()),
        ..DeployOptions::default()
    };
    update(options).await.unwrap();
    assert_eq!(program.commits.load(Ordering::SeqCst), 2);
    assert_eq!(
        paths(&hub, 1),
        ["Dockerfile", "README.md", "bashgym", "space.json"]
    );
}
