//! Another model in a Space that is there.

use hf_core::testing::Reply;
use hf_core::{HfErrorKind, Revision};
use hf_spaces::{DeployCause, DeployOptions, Left};
use serde_json::json;

use crate::script::{MODEL_SHA, ScriptedHub, request, reset};

const NEXT: &str = "3333333333333333333333333333333333333333";

async fn deployed() -> ScriptedHub {
    let hub = ScriptedHub::default();
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    hub
}

async fn update(hub: &ScriptedHub) -> Result<hf_spaces::Deployment, hf_spaces::DeployError> {
    let (id, model) = ("ada/demo".parse().unwrap(), "ada/student".parse().unwrap());
    let revision = Revision::parse(NEXT).unwrap();
    hub.spaces()
        .update_space_model(&id, &model, Some(&revision), &DeployOptions::default())
        .await
}

#[tokio::test]
async fn the_model_is_swapped_and_the_settings_stay() {
    let hub = deployed().await;
    let before = hub.space_json();
    let deployed = update(&hub).await.unwrap();
    assert_eq!(deployed.model_revision, NEXT);
    let after = hub.space_json();
    assert_eq!(after["shown"]["revision"], NEXT);
    assert_eq!(after["previous"]["revision"], MODEL_SHA);
    for kept in ["title", "limits", "hardware", "trust_remote_code"] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    assert!(hub.sent("POST", "/api/spaces/ada/demo/hardware").is_empty());
}

#[tokio::test]
async fn a_rollback_goes_back_and_can_be_taken_back() {
    let hub = deployed().await;
    let id = "ada/demo".parse().unwrap();
    let nothing = hub
        .spaces()
        .rollback_space(&id, &DeployOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(&*nothing.cause, DeployCause::NothingBefore(_)));
    update(&hub).await.unwrap();
    for expected in [MODEL_SHA, NEXT] {
        let back = hub
            .spaces()
            .rollback_space(&id, &DeployOptions::default())
            .await
            .unwrap();
        assert_eq!(back.model_revision, expected);
    }
}

#[tokio::test]
async fn a_model_that_does_not_answer_is_put_back() {
    for stages in [
        vec!["RUNNING_BUILDING", "BUILD_ERROR"],
        vec!["RUNNING_BUILDING", "RUNNING_APP_STARTING", "RUNTIME_ERROR"],
        vec!["RUNNING_BUILDING"],
    ] {
        let hub = deployed().await;
        let before = hub.space_json();
        hub.state().stages = vec![vec!["RUNNING"], stages.clone(), vec!["RUNNING"]];
        let error = update(&hub).await.unwrap_err();
        assert_eq!(error.left, Left::AsBefore, "{stages:?}");
        assert_eq!(hub.space_json(), before, "{stages:?}");
        assert!(!error.log.is_empty());
    }
}

#[tokio::test]
async fn somebody_else_s_change_is_not_overwritten() {
    let hub = deployed().await;
    hub.state().commit_fault = Some((
        false,
        Reply::json(
            412,
            json!({"error": "A commit has happened since. Please refresh and try again."}),
        ),
    ));
    let error = update(&hub).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.left),
        (HfErrorKind::PreconditionFailed, Left::Nothing)
    );
    assert_eq!(hub.space_json()["shown"]["revision"], MODEL_SHA);
}

#[tokio::test]
async fn a_lost_answer_to_the_commit_is_looked_up() {
    let hub = deployed().await;
    hub.state().commit_fault = Some((true, reset()));
    assert_eq!(update(&hub).await.unwrap().model_revision, NEXT);
    assert_eq!(hub.sent("POST", "/api/spaces/ada/demo/commit/main").len(), 1);
}

#[tokio::test]
async fn a_space_of_another_making_is_left_alone() {
    let hub = ScriptedHub::default();
    hub.state()
        .commits
        .push(vec![("app.py".to_owned(), "theirs".to_owned())]);
    let error = update(&hub).await.unwrap_err();
    assert!(matches!(&*error.cause, DeployCause::NotOurs(_)), "{error:?}");
    assert!(hub.sent("POST", "/api/spaces/ada/demo/commit/main").is_empty());
}
