//! Limits that fit what requests took.

use hf_core::HfErrorKind;
use hf_spaces::{DeployCause, DeployOptions, Fitted, Left};

use crate::script::{ScriptedHub, request};

const REQUEST: &str = r#"{"bashgym_request": {"tokens": 100, "seconds": 2.0}}"#;

async fn deployed(requests: usize) -> ScriptedHub {
    let hub = ScriptedHub::default();
    hub.spaces()
        .create_inference_space(&request("ada/student"), &DeployOptions::default())
        .await
        .unwrap();
    hub.state().log = vec![REQUEST; requests];
    hub
}

async fn fit(hub: &ScriptedHub) -> Result<Fitted, hf_spaces::DeployError> {
    let id = "ada/demo".parse().unwrap();
    hub.spaces().fit_space(&id, &DeployOptions::default()).await
}

#[tokio::test]
async fn the_limits_follow_what_requests_took_and_the_model_stays() {
    let hub = deployed(5).await;
    let before = hub.space_json();
    let Fitted::Changed { limits, .. } = fit(&hub).await.unwrap() else {
        panic!("nothing changed");
    };
    assert_eq!(limits.ms_per_token, 20);
    let after = hub.space_json();
    assert_eq!(after["limits"]["ms_per_token"], 20);
    assert_eq!(after["limits"]["max_gpu_seconds"], limits.max_gpu_seconds);
    for kept in ["model", "shown", "previous", "title", "hardware"] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }
    assert_ne!(before["deployment"], after["deployment"]);
    // Now they fit, and nothing more is sent.
    assert!(matches!(fit(&hub).await.unwrap(), Fitted::AsIs { .. }));
    assert_eq!(hub.space_json(), after);
}

#[tokio::test]
async fn four_requests_are_too_few_to_fit_anything_to() {
    let hub = deployed(4).await;
    let before = hub.space_json();
    let refused = fit(&hub).await.unwrap_err();
    assert!(
        matches!(&*refused.cause, DeployCause::TooFewRequests { requests: 4, .. }),
        "{refused}"
    );
    assert_eq!(refused.kind(), HfErrorKind::InvalidArgument);
    assert!(matches!(refused.left, Left::Nothing));
    assert_eq!(hub.space_json(), before);
}
