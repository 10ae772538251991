//! The example of the README runs, and says what it promises.

#[path = "../examples/account_report.rs"]
#[expect(dead_code, reason = "the example's own entry is not called here")]
mod account_report;

#[tokio::test]
async fn the_account_report_runs_without_a_network_and_shows_no_token() {
    let mut said = Vec::new();
    account_report::report(&mut said).await.unwrap();
    let said = String::from_utf8(said).unwrap();
    for words in [
        "missing: job.write for Jobs (cloud training)",
        "ownUserPermissions=inference.serverless.write&ownUserPermissions=job.write",
        "\"total_usd\": 0.35",
        "\"no_endpoint\"",
    ] {
        assert!(said.contains(words), "{words} is not in:\n{said}");
    }
    assert!(!said.contains("not_a_real_token"), "{said}");
}
