//! A failed job, explained from its log.

use bashgym_core::explain::{FailedJob, FailureCause, explain};
use hf_jobs::JobHardware;
use serde_json::json;

/// What the Hub says, the end of the log, the cause, and words of the line that says so.
const CASES: [(&str, &str, FailureCause, &str); 18] = [
    (
        "Job failed with exit code: 1",
        "  File \"/usr/lib/python3.12/site-packages/torch/nn/modules/linear.py\", line 134, in forward\n\
         torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 14.58 GiB of which 1.05 GiB is free.",
        FailureCause::OutOfGpuMemory,
        "Tried to allocate 2.32 GiB",
    ),
    (
        "Job failed with exit code: 137. Reason: OOMKilled",
        "Loading checkpoint shards:  50%",
        FailureCause::OutOfMemory,
        "OOMKilled",
    ),
    (
        "Job timeout",
        "[bashgym] {\"event\":\"step\",\"step\":10}",
        FailureCause::TimedOut,
        "Job timeout",
    ),
    (
        "Job failed with exit code: 75",
        "The time is nearly over",
        FailureCause::TimedOut,
        "75",
    ),
    (
        "Job failed with exit code: 1",
        "huggingface_hub.errors.GatedRepoError: 403 Client Error. (Request ID: Root=1-68)\n\
         Cannot access gated repo for url https://huggingface.co/meta-llama/Llama-3.2-1B/resolve/main/config.json.\n\
         Access to model meta-llama/Llama-3.2-1B is restricted and you are not in the authorized list.",
        FailureCause::GatedModel,
        "not in the authorized list",
    ),
    (
        "Job failed with exit code: 1",
        "huggingface_hub.errors.HfHubHTTPError: 403 Forbidden: You don't have the rights to create a model under the namespace \"acme\".",
        FailureCause::MissingScope,
        "don't have the rights",
    ),
    (
        "Job failed with exit code: 1",
        "This token has insufficient scopes on namespace ada, missing permissions: repo.write.",
        FailureCause::MissingScope,
        "repo.write",
    ),
    (
        "Job failed with exit code: 1",
        "huggingface_hub.errors.HfHubHTTPError: 401 Client Error: Unauthorized. Invalid username or password.",
        FailureCause::BadToken,
        "Invalid username",
    ),
    (
        "Job failed with exit code: 1",
        "huggingface_hub.errors.RepositoryNotFoundError: 404 Client Error. Repository Not Found for url: https://huggingface.co/api/models/ada/typo",
        FailureCause::NotFound,
        "ada/typo",
    ),
    (
        "Job failed with exit code: 1",
        "Traceback (most recent call last):\nModuleNotFoundError: No module named 'bitsandbytes'",
        FailureCause::ImportError,
        "bitsandbytes",
    ),
    (
        "Job failed with exit code: 1",
        "  × No solution found when resolving script dependencies:\n  ╰─▶ Because only torch<=2.9 is available",
        FailureCause::Dependencies,
        "No solution found",
    ),
    (
        "Job failed with exit code: 1",
        "requests.exceptions.ConnectionError: connection reset by peer\nOSError: [Errno 28] No space left on device",
        FailureCause::DiskFull,
        "No space left",
    ),
    (
        "Job failed with exit code: 1",
        "qlora needs a GPU; take --method lora here",
        FailureCause::NoAccelerator,
        "qlora",
    ),
    (
        "Job failed with exit code: 1",
        "the base model has no chat template; take its chat or instruct version",
        FailureCause::BadInput,
        "chat template",
    ),
    (
        "Job failed with exit code: 1",
        "httpx.ConnectError: [Errno -3] Temporary failure in name resolution",
        FailureCause::Network,
        "name resolution",
    ),
    (
        "Job failed with exit code: 127",
        "exec: \"uv\": executable file not found",
        FailureCause::CommandMissing,
        "uv",
    ),
    (
        "Job failed with exit code: 143",
        "step 10",
        FailureCause::Killed,
        "step 10",
    ),
    (
        "Job failed with exit code: 3",
        "AssertionError: unexpected",
        FailureCause::Unknown,
        "AssertionError",
    ),
];

#[test]
fn each_failure_is_told_with_the_lines_that_say_so_and_what_to_do() {
    for (message, log, cause, words) in CASES {
        let last_lines: Vec<String> = log.lines().map(str::to_owned).collect();
        let explained = explain(&FailedJob {
            stage: "ERROR",
            message: Some(message),
            last_lines: &last_lines,
            ..FailedJob::default()
        });
        assert_eq!(explained.cause, cause, "{message} / {log}");
        assert!(
            explained.evidence.iter().any(|line| line.contains(words)),
            "{cause:?}: {:?}",
            explained.evidence
        );
        assert!(
            !explained.next.is_empty() && !explained.summary.is_empty(),
            "{cause:?}"
        );
        let goes_on = matches!(
            cause,
            FailureCause::TimedOut | FailureCause::Network | FailureCause::Killed
        );
        assert_eq!(explained.resumable, goes_on, "{cause:?}");
    }
}

#[test]
fn what_rows_and_models_say_is_no_evidence() {
    let last_lines = vec![
        r#"[bashgym] {"event":"notice","message":"CUDA out of memory in a row"}"#.to_owned(),
        "ModuleNotFoundError: No module named 'trl'".to_owned(),
    ];
    let explained = explain(&FailedJob {
        stage: "ERROR",
        message: Some("Job failed with exit code: 1"),
        last_lines: &last_lines,
        ..FailedJob::default()
    });
    assert_eq!(explained.cause, FailureCause::ImportError);
}

#[test]
fn the_hubs_own_reason_outweighs_the_log() {
    let last_lines = vec!["torch.OutOfMemoryError: CUDA out of memory".to_owned()];
    for (reason, cause) in [
        ("NO_CREDITS", FailureCause::NoCredit),
        ("NO_SUBSCRIPTION", FailureCause::NoSubscription),
    ] {
        let explained = explain(&FailedJob {
            stage: "CANCELED",
            cancel_reason: Some(reason),
            last_lines: &last_lines,
            ..FailedJob::default()
        });
        assert_eq!(
            (explained.cause, explained.evidence),
            (cause, vec![reason.to_owned()])
        );
    }
}

#[test]
fn too_little_memory_names_the_next_flavor_and_what_it_costs_more() {
    let flavor = |name: &str, vram: &str, price: u64| -> JobHardware {
        serde_json::from_value(
            json!({"name": name, "accelerator": {"type": "gpu", "quantity": "1", "vram": vram},
            "unitCostMicroUSD": price, "unitLabel": "minute"}),
        )
        .unwrap()
    };
    let hardware = [
        flavor("t4-small", "16 GB", 6667),
        flavor("t4-medium", "16 GB", 10000),
        flavor("a100-large", "80 GB", 41667),
        flavor("l4x1", "24 GB", 13333),
    ];
    let last_lines = vec!["torch.OutOfMemoryError: CUDA out of memory.".to_owned()];
    let explained = explain(&FailedJob {
        stage: "ERROR",
        last_lines: &last_lines,
        flavor: Some("t4-small"),
        hardware: &hardware,
        ..FailedJob::default()
    });
    assert!(explained.next[0].contains("--batch-size"), "{:?}", explained.next);
    let last = explained.next.last().unwrap();
    assert!(
        last.contains("--flavor l4x1") && last.contains("$0.39996 more an hour than t4-small"),
        "{last}"
    );
}
