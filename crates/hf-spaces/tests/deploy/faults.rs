//! Each way a creation fails: nothing half-made stays, and the error says what to do.

use hf_core::HfErrorKind;
use hf_core::testing::Reply;
use hf_spaces::{DeployCause, DeployError, DeployOptions, Left, ModelAccess};
use serde_json::json;

use crate::script::{ScriptedHub, request, reset};

async fn fails(hub: &ScriptedHub) -> DeployError {
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap_err()
}

fn assert_undone(hub: &ScriptedHub, error: &DeployError) {
    assert_eq!(error.left, Left::Removed, "{error:?}");
    assert!(hub.is_gone());
    assert!(!error.next().is_empty(), "{error:?}");
}

fn assert_nothing_made(hub: &ScriptedHub, error: &DeployError) {
    assert_eq!(error.left, Left::Nothing, "{error:?}");
    assert!(hub.sent("POST", "/api/repos/create").is_empty());
    assert!(!error.next().is_empty(), "{error:?}");
}

#[tokio::test]
async fn hardware_refused_with_402_after_the_repository_was_made() {
    let hub = ScriptedHub::default();
    hub.state().takes_hardware = false;
    hub.state().hardware_fault = Some(Reply::json(
        402,
        json!({"error": "Subscribe to PRO to use ZeroGPU"}),
    ));
    let error = fails(&hub).await;
    assert!(matches!(
        &*error.cause,
        DeployCause::Hub {
            action: "give the hardware",
            ..
        }
    ));
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn hardware_that_was_not_noted_is_asked_for_again() {
    let hub = ScriptedHub::default();
    hub.state().takes_hardware = false;
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    assert_eq!(hub.sent("POST", "/api/spaces/ada/demo/hardware").len(), 1);
}

#[tokio::test]
async fn other_hardware_than_asked_for_is_no_success() {
    let hub = ScriptedHub::default();
    hub.state().current = Some("cpu-basic");
    let error = fails(&hub).await;
    assert!(matches!(&*error.cause, DeployCause::OtherHardware { got, .. } if got == "cpu-basic"));
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn a_build_error_brings_the_lines_that_tell_why() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["BUILDING", "BUILDING", "BUILD_ERROR"]];
    let error = fails(&hub).await;
    assert_eq!(error.kind(), HfErrorKind::JobFailed);
    assert_eq!(error.log, ["ERROR: No matching distribution found for torch==99"]);
    assert_eq!(hub.sent("GET", "/api/spaces/ada/demo/logs/build").len(), 1);
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn an_app_that_starts_and_dies() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["BUILDING", "APP_STARTING", "APP_STARTING", "RUNTIME_ERROR"]];
    hub.state().error_message = Some("Exit code: 1");
    hub.state().log = vec![
        "Loading",
        "Traceback (most recent call last):",
        "KeyError: 'model'",
    ];
    let error = fails(&hub).await;
    assert!(
        error.to_string().contains("RUNTIME_ERROR: Exit code: 1"),
        "{error}"
    );
    assert_eq!(
        error.log,
        ["Traceback (most recent call last):", "KeyError: 'model'"]
    );
    assert_eq!(hub.sent("GET", "/api/spaces/ada/demo/logs/run").len(), 1);
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn a_build_that_does_not_end() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["BUILDING"]];
    let error = fails(&hub).await;
    assert!(
        matches!(&*error.cause, DeployCause::TimedOut { seconds: 1800, .. }),
        "{error:?}"
    );
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn a_stage_nobody_knows_is_waited_out() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["BUILDING", "WARMING_UP", "WARMING_UP", "RUNNING"]];
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_app_that_runs_and_answers_with_an_error_is_not_deployed() {
    for (events, told) in [
        (
            "event: error\ndata: {\"error\": \"CUDA out of memory\"}\n\n",
            "CUDA out of memory",
        ),
        ("event: error\ndata: null\n\n", "without words"),
        ("event: complete\ndata: [\"\"]\n\n", "empty"),
        ("event: generating\ndata: [\"Hel\"]\n\n", "before it was whole"),
    ] {
        let hub = ScriptedHub::default();
        hub.state().app_events = events;
        let error = fails(&hub).await;
        assert!(error.to_string().contains(told), "{error}");
        assert_undone(&hub, &error);
    }
}

#[tokio::test]
async fn a_name_that_is_taken_is_left_alone() {
    let hub = ScriptedHub::default();
    hub.state()
        .commits
        .push(vec![("app.py".to_owned(), "theirs".to_owned())]);
    let error = fails(&hub).await;
    assert!(matches!(&*error.cause, DeployCause::NameTaken(_)));
    assert_eq!(
        (error.kind(), &error.left),
        (HfErrorKind::Conflict, &Left::Nothing)
    );
    assert!(!hub.is_gone() && hub.sent("DELETE", "/api/repos/delete").is_empty());
    assert!(error.next()[0].contains("--name"));
}

#[tokio::test]
async fn a_full_plan_names_the_space_to_retire_before_anything_is_made() {
    let hub = ScriptedHub::default();
    hub.state().plan = json!({"isPro": false});
    hub.state().other_zero_gpu = 2;
    let error = fails(&hub).await;
    assert!(
        matches!(&*error.cause, DeployCause::NoSlot { held: 2, limit: 2, oldest: Some(oldest), .. } if oldest == "ada/old-1"),
        "{error:?}"
    );
    assert!(error.next()[0].contains("ada/old-1"));
    assert_nothing_made(&hub, &error);
    hub.state().other_zero_gpu = 1;
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_plan_without_the_hardware_is_told_before_anything_is_made() {
    let hub = ScriptedHub::default();
    hub.state().plan = json!({"isPro": false});
    let mut wanted = request("ada/student");
    wanted.config.hardware = "cpu-basic".parse().unwrap();
    let error = hub
        .spaces()
        .create_inference_space(&wanted, &DeployOptions::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&*error.cause, DeployCause::NotAvailable { .. }),
        "{error:?}"
    );
    assert_nothing_made(&hub, &error);
}

#[tokio::test]
async fn a_private_model_needs_a_token_of_the_space_s_own() {
    let hub = ScriptedHub::default();
    hub.state().model_private = true;
    let error = fails(&hub).await;
    assert!(matches!(&*error.cause, DeployCause::ModelIsPrivate(_)));
    assert_nothing_made(&hub, &error);

    let mut wanted = request("ada/student");
    wanted.config.model_access = ModelAccess::Token("hf_OnlyReads".into());
    hub.spaces()
        .create_inference_space(&wanted, &DeployOptions::default())
        .await
        .unwrap();
    let body = hub.sent("POST", "/api/repos/create")[0].json();
    assert_eq!(
        body["secrets"],
        json!([{"key": "HF_TOKEN", "value": "hf_OnlyReads"}])
    );
    assert!(!body["files"].to_string().contains("hf_OnlyReads"));
}

#[tokio::test]
async fn an_adapter_without_a_base_is_refused() {
    let hub = ScriptedHub::default();
    hub.state().adapter_of = Some("");
    let error = fails(&hub).await;
    assert!(matches!(&*error.cause, DeployCause::NoBaseModel(_)));
    assert_nothing_made(&hub, &error);
}

#[tokio::test]
async fn a_lost_answer_is_looked_up_and_nothing_is_made_twice() {
    for fault in [reset(), Reply::json(500, json!({"error": "oops"}))] {
        let hub = ScriptedHub::default();
        hub.state().create_fault = Some((true, fault.clone()));
        hub.spaces()
            .create_inference_space(&request("ada/student"), &DeployOptions::default())
            .await
            .unwrap();
        assert_eq!(hub.sent("POST", "/api/repos/create").len(), 1);

        let hub = ScriptedHub::default();
        hub.state().create_fault = Some((false, fault));
        let error = fails(&hub).await;
        assert_eq!(error.left, Left::Nothing);
        assert!(hub.is_gone() && hub.sent("POST", "/api/repos/create").len() == 1);
    }
}

#[tokio::test]
async fn a_lost_answer_about_a_space_of_somebody_else_s_deployment_is_not_ours() {
    let hub = ScriptedHub::default();
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    hub.state().create_fault = Some((false, reset()));
    let error = fails(&hub).await;
    assert_eq!(error.left, Left::Nothing);
    assert!(!hub.is_gone() && hub.sent("DELETE", "/api/repos/delete").is_empty());
}

#[tokio::test]
async fn files_the_creation_did_not_keep_are_committed() {
    let hub = ScriptedHub::default();
    hub.state().takes_files = false;
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    assert_eq!(hub.space_json()["shown"]["repo_id"], "ada/student");
}

#[tokio::test]
async fn what_could_not_be_removed_is_told() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["BUILD_ERROR"]];
    hub.state().delete_fault = true;
    let error = fails(&hub).await;
    assert!(matches!(&error.left, Left::Unfinished(why) if why.contains("ada/demo")));
    assert!(error.next().iter().any(|next| next.contains("bashgym space ls")));
}

#[tokio::test]
async fn a_file_that_is_not_let_through_stops_it_all() {
    let hub = ScriptedHub::default();
    let options = DeployOptions {
        inspect: Some(std::sync::Arc::new(|path, _| {
            if path == "space.json" {
                Err("a secret".to_owned())
            } else {
                Ok(())
            }
        })),
        ..DeployOptions::default()
    };
    let error = hub
        .spaces()
        .create_inference_space(&request("ada/student"), &options)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "space.json: a secret");
    assert!(hub.sent("POST", "/api/repos/create").is_empty());
}

/// The Hub was recorded to say so right after the commit that brought the app.
#[tokio::test]
async fn a_build_that_has_not_begun_yet_is_not_a_failure() {
    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["NO_APP_FILE", "NO_APP_FILE", "BUILDING", "RUNNING"]];
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();

    let hub = ScriptedHub::default();
    hub.state().stages = vec![vec!["NO_APP_FILE"]];
    let error = fails(&hub).await;
    assert!(error.to_string().contains("NO_APP_FILE"), "{error}");
    assert_undone(&hub, &error);
}

#[tokio::test]
async fn what_could_not_be_seen_is_not_said_to_be_nothing() {
    let hub = ScriptedHub::default();
    hub.state().create_fault = Some((true, reset()));
    hub.state().goes_down = true;
    let error = fails(&hub).await;
    assert!(
        matches!(&error.left, Left::Unfinished(why) if why.contains("could not be seen")),
        "{error:?}"
    );
}

#[tokio::test]
async fn an_app_that_dies_of_the_first_question_is_not_deployed() {
    let hub = ScriptedHub::default();
    hub.state().dies_of_questions = true;
    let error = fails(&hub).await;
    assert!(error.to_string().contains("RUNTIME_ERROR"), "{error}");
    assert_undone(&hub, &error);
}
