use http::HeaderValue;

use super::*;
use crate::auth::Token;

fn reply(path: &str, status: u16, headers: &[(&'static str, &str)], body: &str) -> HfError {
    let url = Url::parse(&format!("https://huggingface.co{path}")).unwrap();
    let headers = headers
        .iter()
        .map(|(n, v)| (n.parse().unwrap(), HeaderValue::from_str(v).unwrap()))
        .collect();
    let token = Token::parse("mytoken-1").unwrap();
    let status = StatusCode::from_u16(status).unwrap();
    from_response(
        &Method::GET,
        &url,
        status,
        &headers,
        body.as_bytes(),
        Some(&token),
    )
}

fn message(error: &HfError) -> &str {
    error
        .context()
        .unwrap()
        .server_message
        .as_deref()
        .unwrap_or_default()
}

#[test]
fn answers_get_their_meaning() {
    use HfErrorKind as K;
    const CODE: &str = "x-error-code";
    for (path, status, headers, body, kind) in [
        (
            "/api/whoami-v2",
            401,
            vec![],
            r#"{"error":"Invalid username or password."}"#,
            K::Auth,
        ),
        (
            "/a/b/resolve/main/x",
            401,
            vec![(CODE, "GatedRepo")],
            "Access is restricted",
            K::Auth,
        ),
        (
            "/a/b/resolve/main/x",
            403,
            vec![(CODE, "GatedRepo")],
            "not in the authorized list",
            K::Forbidden,
        ),
        (
            "/api/models/a/b",
            404,
            vec![(CODE, "RepoNotFound")],
            r#"{"error":"Repository not found"}"#,
            K::NotFound,
        ),
        ("/api/models/a/b", 401, vec![(CODE, "RepoNotFound")], "", K::Auth),
        (
            "/api/models/a/b/tree/x",
            404,
            vec![(CODE, "RevisionNotFound")],
            "Invalid rev id: x",
            K::NotFound,
        ),
        (
            "/api/jobs/ada",
            402,
            vec![],
            r#"{"error":"Pre-paid credit balance is insufficient - add some"}"#,
            K::QuotaExceeded,
        ),
        (
            "/v1/chat",
            402,
            vec![],
            r#"{"error":"You have depleted your monthly included credits. Buy."}"#,
            K::QuotaExceeded,
        ),
        (
            "/v1/chat",
            402,
            vec![],
            r#"{"error":"You have exceeded your monthly included credits for it"}"#,
            K::QuotaExceeded,
        ),
        (
            "/api/repos/create",
            402,
            vec![],
            "Static Spaces are free, others need https://huggingface.co/pro",
            K::ProRequired,
        ),
        ("/api/repos/create", 402, vec![], r#"{"error":"Pay"}"#, K::Http),
        (
            "/api/jobs/ada",
            403,
            vec![],
            r#"{"error":"... on namespace ada, missing permissions: job.write."}"#,
            K::Forbidden,
        ),
        ("/api/x", 403, vec![], "Subscribe to PRO", K::Forbidden),
        (
            "/api/repos/create",
            409,
            vec![],
            r#"{"error":"You already created this model repo","url":"u"}"#,
            K::Conflict,
        ),
        (
            "/api/models/a/b/commit/main",
            412,
            vec![],
            r#"{"error":"A commit has happened since."}"#,
            K::PreconditionFailed,
        ),
        (
            "/api/jobs/ada",
            400,
            vec![],
            r#"{"error":"✖ Too big\n  → at flavor"}"#,
            K::InvalidArgument,
        ),
        ("/v1/chat", 422, vec![], "bad", K::InvalidArgument),
        (
            "/api/models",
            429,
            vec![],
            "<html><title>429</title></html>",
            K::RateLimited,
        ),
        ("/api/models", 500, vec![], "", K::Http),
        ("/api/nothing", 501, vec![], "no such route", K::Http),
        ("/api/x", 416, vec![], "", K::Http),
    ] {
        let error = reply(path, status, &headers, body);
        assert_eq!(error.kind(), kind, "{path} {status} {body}");
        assert_eq!(error.status().unwrap().as_u16(), status);
    }
}

#[test]
fn a_bare_404_is_named_by_its_address() {
    for (path, expected) in [
        ("/api/jobs/ada/66aa", Resource::Job),
        ("/api/jobs/ada/66aa/logs", Resource::Job),
        ("/api/jobs/ada", Resource::Other),
        ("/api/scheduled-jobs/ada/1", Resource::ScheduledJob),
        ("/api/datasets/a/b/revision/main", Resource::Repository),
        ("/api/buckets/a/b", Resource::Bucket),
        ("/a/b/resolve/main/x.bin", Resource::Entry),
        ("/pricing", Resource::Other),
    ] {
        let error = reply(path, 404, &[], "");
        assert!(
            matches!(error, HfError::NotFound { resource, .. } if resource == expected),
            "{path}: {error:?}"
        );
    }
    let error = reply("/api/buckets/a/b", 404, &[("x-error-code", "RepoNotFound")], "");
    assert!(matches!(
        error,
        HfError::NotFound {
            resource: Resource::Bucket,
            ..
        }
    ));
}

#[test]
fn every_shape_of_message_is_read() {
    for (body, expected) in [
        (r#"{"error":"plain"}"#, "plain"),
        (r#"{"error":["one","two"]}"#, "one; two"),
        (r#"{"errors":[{"message":"one"},{"message":"two"}]}"#, "one; two"),
        (
            r#"{"error":{"message":"inner","type":"t","code":"model_not_supported"}}"#,
            "inner",
        ),
        (
            r#"{"error":"slow_down","error_description":"wait"}"#,
            "slow_down: wait",
        ),
        (r#"{"message":"said"}"#, "said"),
        (r#"{"detail":"why"}"#, "why"),
        ("Entry not found", "Entry not found"),
        (
            "<!doctype html><html><head><title> Oops </title></head></html>",
            "Oops",
        ),
        ("<html>", "from the header"),
        ("{}", "from the header"),
        ("", "from the header"),
        ("{\"error\":", "{\"error\":"),
    ] {
        let error = reply("/api/x", 500, &[("x-error-message", "from the header")], body);
        assert_eq!(message(&error), expected, "{body}");
    }
    let error = reply(
        "/v1/x",
        400,
        &[],
        r#"{"error":{"message":"m","code":"model_not_found"}}"#,
    );
    assert_eq!(
        error.context().unwrap().error_code.as_deref(),
        Some("model_not_found")
    );
}

#[test]
fn a_huge_or_odd_message_is_cut_at_a_character() {
    let error = reply("/api/x", 500, &[], &"é".repeat(5000));
    assert_eq!(message(&error).chars().count(), 601);
}

#[test]
fn the_token_is_scrubbed_from_all_texts() {
    let long = "hf_abcdefghijklmnopqrstuvwxyz";
    let body = format!(r#"{{"error":"token mytoken-1 and {long} refused"}}"#);
    let headers = [("x-error-code", "mytoken-1"), ("x-request-id", long)];
    let error = reply(
        &format!("/api/x?token=mytoken-1&{long}=1&limit=5"),
        403,
        &headers,
        &body,
    );
    let shown = format!("{error} {error:?} {error:#?} {:?}", error.hint());
    assert!(!shown.contains("mytoken-1") && !shown.contains(long), "{shown}");
    assert!(
        shown.contains("limit=5") && message(&error) == "token hf_*** and hf_*** refused",
        "{shown}"
    );
}

#[test]
fn a_url_shows_no_secret() {
    let url = Url::parse("https://u:p@h.example/a?X-Amz-Signature=abc&limit=2&Policy=zz#frag").unwrap();
    assert_eq!(
        redact_url(&url),
        "https://h.example/a?X-Amz-Signature=***&limit=2&Policy=***"
    );
}

#[test]
fn short_words_that_begin_like_a_token_stay() {
    for text in [
        "hf_hub/1.0",
        "hf_local is a crate",
        "no token here",
        "hf_",
        "ÿhf_é",
    ] {
        assert_eq!(scrub_secrets(text), text);
    }
}

#[test]
fn display_does_not_repeat_the_source() {
    let url = Url::parse("https://h.example/a").unwrap();
    let cause = TransportError::new(TransportKind::Reset, "peer went away").with_source("raw cause");
    let error = HfError::from_transport(&Method::GET, &url, cause);
    assert_eq!(
        error.to_string(),
        "the connection broke before an answer (GET https://h.example/a): peer went away"
    );
    assert!(error.is_ambiguous() && error.is_transient());
    assert!(StdError::source(&error).is_some());
}

#[test]
fn what_a_failed_request_may_have_done_is_known() {
    let url = Url::parse("https://h.example/a").unwrap();
    let broken = |kind| HfError::from_transport(&Method::POST, &url, TransportError::new(kind, ""));
    for (error, ambiguous) in [
        (broken(TransportKind::Connect), false),
        (broken(TransportKind::Offline), false),
        (broken(TransportKind::Timeout), true),
        (broken(TransportKind::Body), true),
        (reply("/api/x", 500, &[], ""), true),
        (reply("/api/x", 504, &[], ""), true),
        (reply("/api/x", 429, &[], ""), false),
        (reply("/api/x", 402, &[], ""), false),
        (HfError::decode("x", "y"), true),
    ] {
        assert_eq!(error.is_ambiguous(), ambiguous, "{error}");
    }
}

#[test]
fn hints_say_what_to_do_next() {
    let hint = |error: HfError| error.hint().unwrap_or_default();
    assert!(
        hint(HfError::Auth {
            message: String::new(),
            context: None
        })
        .contains("HF_TOKEN")
    );
    assert!(hint(reply("/api/x", 401, &[], "")).contains("HF_TOKEN"));
    assert!(hint(reply("/api/x", 429, &[("retry-after", "9")], "")).contains("9 s"));
    assert!(hint(reply("/api/jobs/a/b", 404, &[], "")).contains("job id"));
    assert!(hint(reply("/api/x", 501, &[], "")).contains("route"));
    assert!(hint(HfError::invalid("x")).is_empty());
}

#[test]
fn the_end_of_a_job_gets_its_meaning() {
    let end = |stage: &str, message: Option<&str>, reason: Option<&str>| {
        let error = HfError::from_job_end("66aa", stage, message, reason);
        assert!(error.to_string().contains("66aa"), "{error}");
        assert!(error.context().is_none() && !error.is_transient() && error.hint().is_some());
        error
    };
    for (reason, resource) in [
        ("NO_CREDITS", Quota::Credit),
        ("RESOURCE_GROUP_LIMIT", Quota::ResourceGroup),
    ] {
        let error = end("CANCELED", None, Some(reason));
        assert!(
            matches!(&error, HfError::QuotaExceeded { resource: found, .. } if *found == resource),
            "{error}"
        );
    }
    let error = end("CANCELED", Some("stopped"), Some("NO_SUBSCRIPTION"));
    assert_eq!(error.kind(), HfErrorKind::ProRequired);
    assert!(
        error.to_string().ends_with("(NO_SUBSCRIPTION): stopped"),
        "{error}"
    );
    let error = end("ERROR", Some("exit code 1"), None);
    assert_eq!(error.kind(), HfErrorKind::JobFailed);
    assert_eq!(error.to_string(), "job 66aa ended as ERROR: exit code 1");
    let error = end("CANCELED", None, Some("SOMETHING_NEW"));
    assert_eq!(error.to_string(), "job 66aa ended as CANCELED: SOMETHING_NEW");
    let leak = end("ERROR", Some("token hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345"), None);
    assert!(!format!("{leak} {leak:?}").contains("AbCdEf"));
}

#[test]
fn a_refusal_names_the_permissions_it_lacks() {
    for (status, body, expected) in [
        (
            403,
            r#"{"error":"You can not do this on namespace ada, missing permissions: job.write."}"#,
            vec!["job.write"],
        ),
        (
            403,
            r#"{"error":"missing permissions: repo.content.read, repo.write."}"#,
            vec!["repo.content.read", "repo.write"],
        ),
        (
            403,
            r#"{"error":"This authentication method does not have sufficient permissions to call Inference Providers on behalf of user ada"}"#,
            vec!["inference.serverless.write"],
        ),
        (403, r#"{"error":"no"}"#, vec![]),
        (404, r#"{"error":"missing permissions: job.write."}"#, vec![]),
    ] {
        let error = reply("/api/jobs/ada", status, &[], body);
        assert_eq!(error.missing_permissions(), expected, "{body}");
        if let Some(first) = expected.first() {
            assert!(error.hint().unwrap().contains(first));
        }
    }
}

#[test]
fn both_shapes_of_an_inference_error_are_read() {
    let body = r#"{"error":{"message":"The requested model 'x/y' is not supported by any provider you have enabled.","type":"invalid_request_error","param":"model","code":"model_not_supported"}}"#;
    let error = reply("/v1/chat/completions", 400, &[], body);
    assert_eq!(error.kind(), HfErrorKind::InvalidArgument);
    assert!(message(&error).starts_with("The requested model 'x/y'"));
    assert_eq!(
        error.context().unwrap().error_code.as_deref(),
        Some("model_not_supported")
    );
}
