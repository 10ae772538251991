//! The dashboard's addresses, and the description that its types are made of. They hold with and without a built dashboard.

use std::collections::BTreeSet;

use bashgym_server::openapi_json;
use serde_json::Value;

use crate::support::Running;

#[tokio::test]
async fn a_page_is_had_without_a_key_at_each_of_its_addresses() {
    let server = Running::start().await;
    let home = server.ask("GET", "/", &[], None).await;
    assert_eq!(home.status, 200);
    assert_eq!(home.header("cache-control"), Some("no-cache"));
    for path in [
        "/jobs",
        "/jobs/me/66aa",
        "/datasets/me/one?split=train",
        "/settings",
    ] {
        let page = server.ask("GET", path, &[], None).await;
        assert_eq!((page.status, &page.body), (200, &home.body), "{path}");
        let policy = page.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("script-src 'self'") && !policy.contains("unsafe"),
            "{path}"
        );
    }
    server.end().await;
}

#[tokio::test]
async fn what_is_no_page_is_not_open() {
    let server = Running::start().await;
    for path in [
        "/jobsx",
        "/assets/none.js",
        "/assets/../Cargo.toml",
        "/index.html",
        "/v1",
        "/.env",
    ] {
        let answer = server.ask("GET", path, &[], None).await;
        assert_eq!(answer.status, 401, "{path}");
        let answer = server.with_key("GET", path, None).await;
        assert_eq!(answer.status, 404, "{path}");
    }
    let changed = server.with_key("POST", "/jobs", None).await;
    assert_eq!(changed.status, 405);
    server.end().await;
}

#[test]
fn the_committed_description_is_that_of_the_routes() {
    let fresh = openapi_json().unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let kept = std::fs::read_to_string(path).unwrap();
    assert!(
        kept == fresh,
        "openapi.json is stale: run `cargo xtask frontend types`"
    );
}

#[test]
fn everything_that_the_description_refers_to_is_in_it() {
    let description: Value = serde_json::from_str(&openapi_json().unwrap()).unwrap();
    let mut references = Vec::new();
    collect(&description, &mut references);
    assert!(references.len() > 100);
    for reference in references {
        let pointer = reference.trim_start_matches('#');
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

#[test]
fn no_two_operations_have_one_name() {
    let description: Value = serde_json::from_str(&openapi_json().unwrap()).unwrap();
    let mut names = BTreeSet::new();
    for item in description["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.1.as_object().into_iter().flatten() {
            let name = operation["operationId"].as_str().unwrap_or_default().to_owned();
            assert!(
                !name.is_empty() && names.insert(name.clone()),
                "{method} {}: {name}",
                item.0
            );
        }
    }
    assert!(names.len() > 40);
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.push(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(list) => list.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}
