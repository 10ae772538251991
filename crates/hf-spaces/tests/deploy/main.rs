//! A model served by a Space as a transaction: what goes right, and each way it goes wrong.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod faults;
mod fit;
mod program;
mod script;
mod update;

use hf_spaces::{DeployEvent, DeployOptions, Smoke, SpaceStage};
use script::{MODEL_SHA, ScriptedHub, request};

#[tokio::test]
async fn a_space_is_made_in_one_call_and_is_deployed_only_when_it_answers() {
    let hub = ScriptedHub::default();
    let events = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = events.clone();
    let options = DeployOptions {
        observe: Some(std::sync::Arc::new(move |event| seen.lock().unwrap().push(event))),
        ..DeployOptions::default()
    };
    let deployed = hub
        .spaces()
        .create_inference_space(&request("ada/student"), &options)
        .await
        .unwrap();
    assert_eq!(deployed.url, "https://huggingface.co/spaces/ada/demo");
    assert_eq!(deployed.hardware.as_deref(), Some("zero-a10g"));
    assert_eq!(deployed.model_revision, MODEL_SHA);
    assert!(matches!(&deployed.smoke, Smoke::Answered { text, .. } if text == "Hello!"));
    assert_eq!(deployed.stage, SpaceStage::Running);

    let made = hub.sent("POST", "/api/repos/create");
    let body = made[0].json();
    assert_eq!(made.len(), 1);
    assert_eq!(
        (&body["hardware"], &body["sdk"], &body["visibility"]),
        (&"zero-a10g".into(), &"gradio".into(), &"private".into())
    );
    let paths: Vec<&str> = body["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        [
            "README.md",
            "app.py",
            "page.py",
            "requirements.txt",
            "space.json",
            "student.py"
        ]
    );
    assert!(hub.sent("DELETE", "/api/repos/delete").is_empty());
    let stages: Vec<_> = events
        .lock()
        .unwrap()
        .iter()
        .filter_map(|event| match event {
            DeployEvent::Stage(stage) => Some(stage.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(stages, ["BUILDING", "APP_STARTING", "RUNNING"]);
}

#[tokio::test]
async fn the_account_s_token_does_not_reach_the_app() {
    let hub = ScriptedHub::default();
    hub.state().private = true;
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    let asked: Vec<_> = hub
        .requests()
        .into_iter()
        .filter(|request| request.url.host_str() != Some("huggingface.co"))
        .collect();
    assert_eq!(asked.len(), 2);
    for request in asked {
        assert_eq!(request.header("authorization"), Some("Bearer short-lived"));
    }
}

#[tokio::test]
async fn a_way_to_the_app_that_is_closed_says_nothing_of_the_app() {
    for status in [401, 403, 501] {
        let hub = ScriptedHub::default();
        hub.state().app_status = status;
        let deployed = hub
            .spaces()
            .create_inference_space(&request("ada/student"), &DeployOptions::default())
            .await
            .unwrap();
        assert!(matches!(deployed.smoke, Smoke::NotAsked { .. }), "{status}");
    }
}

#[tokio::test]
async fn an_adapter_is_served_on_its_base_both_pinned() {
    let hub = ScriptedHub::default();
    hub.state().adapter_of = Some("lab/base");
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    let file = hub.space_json();
    assert_eq!(file["model"]["repo_id"], "lab/base");
    assert_eq!(file["adapter"]["repo_id"], "ada/student");
    assert_eq!(file["shown"], file["adapter"]);
    assert_eq!(file["model"]["revision"].as_str().unwrap().len(), 40);
}
