//! The dataset viewer's API.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADA, BOB, TestHub, file, header, lfs_file};

const D: &str = "datasets/ada/d";

const CARD: &str = "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: train\n    path: train.jsonl\n  - split: validation\n    path: val-*.jsonl\n---\n# d\n";

fn lines(rows: impl IntoIterator<Item = Value>) -> String {
    let rows: Vec<String> = rows.into_iter().map(|row| row.to_string()).collect();
    rows.join("\n") + "\n"
}

/// A dataset with 250 rows to train on, and two files of rows to validate on.
async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("dataset", "d").await;
    let train = lines((0..250).map(|n| json!({ "text": format!("row {n}"), "n": n, "tags": ["a"] })));
    let val_a = lines((0..3).map(|n| json!({ "n": n, "text": "x" })));
    let val_b = "\n{\"text\":\"last\",\"extra\":null}";
    hub.ada()
        .commit(
            D,
            "x",
            &[
                file("README.md", CARD),
                file("train.jsonl", &train),
                file("val-0.jsonl", &val_a),
                file("val-1.jsonl", val_b),
            ],
        )
        .await;
    hub
}

async fn refused(hub: &TestHub, token: Option<&str>, path: &str) -> (StatusCode, String, String) {
    let response = hub.caller(token).get(path).await;
    let status = response.status();
    let code = header(&response, "x-error-code").to_owned();
    let body: Value = response.json().await.unwrap();
    (status, code, body["error"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_dataset_says_what_it_holds() {
    let hub = hub().await;
    let ada = hub.ada();
    let valid = ada.json("/is-valid?dataset=ada/d").await;
    assert_eq!(
        valid,
        json!({ "preview": true, "viewer": true, "search": true, "filter": true, "statistics": true })
    );
    let splits = ada.json("/splits?dataset=ada/d").await;
    assert_eq!(
        splits["splits"][1],
        json!({ "dataset": "ada/d", "config": "default", "split": "validation" })
    );
    let size = ada.json("/size?dataset=ada/d").await;
    assert_eq!(size["size"]["dataset"]["num_rows"], 254);
    assert_eq!(size["size"]["splits"][0]["num_rows"], 250);
    assert_eq!(size["size"]["splits"][0]["num_columns"], 3);
    let info = ada.json("/info?dataset=ada/d&config=default").await;
    assert_eq!(info["dataset_info"]["splits"]["validation"]["num_examples"], 4);
    let answer = ada.get("/splits?dataset=ada/d").await;
    let head = ada.json("/api/datasets/ada/d").await;
    assert_eq!(header(&answer, "x-revision"), head["sha"].as_str().unwrap());
}

#[tokio::test]
async fn rows_are_shown_from_any_place_and_across_files() {
    let hub = hub().await;
    let page = hub
        .ada()
        .json("/rows?dataset=ada/d&config=default&split=train&offset=130&length=2")
        .await;
    assert_eq!(page["num_rows_total"], 250);
    assert_eq!(
        page["rows"][1],
        json!({
            "row_idx": 131, "row": { "text": "row 131", "n": 131, "tags": ["a"] }, "truncated_cells": []
        })
    );
    let val = hub
        .ada()
        .json("/rows?dataset=ada/d&config=default&split=validation&offset=2&length=100")
        .await;
    let rows = val["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!(
        rows[1],
        json!({
            "row_idx": 3, "row": { "n": null, "text": "last", "extra": null }, "truncated_cells": []
        })
    );
    let past = hub
        .ada()
        .json("/rows?dataset=ada/d&config=default&split=train&offset=250")
        .await;
    assert_eq!(past["rows"], json!([]));
    let first = hub
        .ada()
        .json("/first-rows?dataset=ada/d&config=default&split=train")
        .await;
    assert_eq!(first["rows"].as_array().unwrap().len(), 100);
    // Whether more rows follow is not what this word says: the guide's example has many.
    assert_eq!(first["truncated"], false);
    assert_eq!(
        first["features"][0],
        json!({ "feature_idx": 0, "name": "n", "type": { "dtype": "int64", "_type": "Value" } })
    );
}

#[tokio::test]
async fn a_large_file_is_read_like_a_small_one_and_long_cells_are_cut() {
    let hub = TestHub::start().await;
    hub.ada().create("dataset", "d").await;
    let long = "é".repeat(60_000);
    let content = lines((0..120).map(|n| json!({ "n": n, "text": long })));
    let oid = hub.ada().upload("datasets/ada/d", content.as_bytes()).await;
    hub.ada()
        .commit(D, "x", &[lfs_file("train.jsonl", &oid, content.len())])
        .await;
    let page = hub
        .ada()
        .json("/rows?dataset=ada/d&config=default&split=train&offset=119&length=1")
        .await;
    assert_eq!(page["rows"][0]["row"]["text"], long);
    let first = hub
        .ada()
        .get("/first-rows?dataset=ada/d&config=default&split=train")
        .await;
    let text = first.text().await.unwrap();
    assert!(text.len() < 1_000_000, "{}", text.len());
    let first: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(first["rows"].as_array().unwrap().len(), 10);
    assert_eq!(first["rows"][0]["truncated_cells"], json!(["text"]));
    assert_eq!(first["rows"][0]["row"]["n"], 0);
}

#[tokio::test]
async fn numbers_of_a_split_are_told() {
    let hub = hub().await;
    let told = hub
        .ada()
        .json("/statistics?dataset=ada/d&config=default&split=validation")
        .await;
    assert_eq!(told["num_examples"], 4);
    let by_name = |name: &str| {
        let list = told["statistics"].as_array().unwrap();
        list.iter().find(|column| column["column_name"] == name).cloned()
    };
    let n = by_name("n").unwrap();
    assert_eq!(n["column_type"], "int");
    assert_eq!(n["column_statistics"]["nan_count"], 1);
    assert_eq!(n["column_statistics"]["max"], 2);
    assert_eq!(
        by_name("text").unwrap()["column_statistics"]["frequencies"],
        json!({ "x": 3, "last": 1 })
    );
    // A column of nulls has no numbers.
    assert_eq!(by_name("extra"), None);
}

#[tokio::test]
async fn what_is_wrong_is_named_in_the_viewers_words() {
    let hub = hub().await;
    let cases = [
        (
            Some(ADA),
            "/splits",
            StatusCode::UNPROCESSABLE_ENTITY,
            "MissingRequiredParameter",
        ),
        (
            Some(ADA),
            "/rows?dataset=ada/d&config=default",
            StatusCode::UNPROCESSABLE_ENTITY,
            "MissingRequiredParameter",
        ),
        (
            Some(ADA),
            "/rows?dataset=ada/d&config=default&split=train&length=101",
            StatusCode::UNPROCESSABLE_ENTITY,
            "InvalidParameter",
        ),
        (
            Some(ADA),
            "/rows?dataset=ada/d&config=default&split=train&offset=-1",
            StatusCode::UNPROCESSABLE_ENTITY,
            "InvalidParameter",
        ),
        (
            Some(ADA),
            "/splits?dataset=ada/none",
            StatusCode::NOT_FOUND,
            "ExternalAuthenticatedError",
        ),
        (
            None,
            "/splits?dataset=ada/none",
            StatusCode::UNAUTHORIZED,
            "ExternalUnauthenticatedError",
        ),
        (
            Some(ADA),
            "/splits?dataset=plain",
            StatusCode::NOT_FOUND,
            "ExternalAuthenticatedError",
        ),
        (
            Some(ADA),
            "/splits?dataset=ada/d&config=no",
            StatusCode::NOT_FOUND,
            "ResponseNotFound",
        ),
        (
            Some(ADA),
            "/first-rows?dataset=ada/d&config=default&split=no",
            StatusCode::NOT_FOUND,
            "ResponseNotFound",
        ),
        (
            Some(ADA),
            "/parquet?dataset=ada/d",
            StatusCode::NOT_IMPLEMENTED,
            "NotServedLocally",
        ),
    ];
    for (token, path, status, code) in cases {
        let (got_status, got_code, _) = refused(&hub, token, path).await;
        assert_eq!((got_status, got_code.as_str()), (status, code), "{path}");
    }
    let (_, _, text) = refused(&hub, Some(ADA), "/parquet?dataset=ada/d").await;
    assert!(text.contains("/parquet"), "{text}");
}

#[tokio::test]
async fn rows_are_found_by_words_and_by_conditions() {
    let hub = hub().await;
    let numbers = |answer: &Value| -> Vec<u64> {
        answer["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["row_idx"].as_u64().unwrap())
            .collect()
    };
    let at = "dataset=ada/d&config=default&split=train";
    let ask = async |path: &str| hub.ada().json(path).await;

    let found = ask(&format!("/search?{at}&query=17%20ROW&length=3")).await;
    assert_eq!(found["num_rows_total"], 250);
    assert_eq!(numbers(&found), [17, 0, 1], "rows with both words come first");
    assert_eq!(found["rows"][0]["row"]["text"], "row 17");
    let found = ask(&format!("/search?{at}&query=249")).await;
    assert_eq!(
        (numbers(&found), &found["num_rows_total"]),
        (vec![249], &json!(1))
    );
    assert!(numbers(&ask(&format!("/search?{at}&query=nothing")).await).is_empty());

    let wanted = "where=%22n%22%3E%3D100%20AND%20NOT%20%22text%22%3D'row%20101'&orderby=%22n%22%20DESC";
    let found = ask(&format!("/filter?{at}&{wanted}&offset=147&length=2")).await;
    assert_eq!(
        (numbers(&found), &found["num_rows_total"]),
        (vec![102, 100], &json!(149))
    );
    // A split of several files, and a column that some rows lack.
    let val = "dataset=ada/d&config=default&split=validation";
    let found = ask(&format!("/filter?{val}&where=%22n%22%20IS%20NULL")).await;
    assert_eq!(numbers(&found), [3]);
    let found = ask(&format!("/filter?{val}&orderby=%22n%22%20DESC")).await;
    assert_eq!(numbers(&found), [2, 1, 0, 3]);

    for (path, code, word) in [
        (format!("/search?{at}"), "MissingRequiredParameter", "query"),
        (format!("/filter?{at}"), "MissingRequiredParameter", "where"),
        (
            format!("/filter?{at}&where=%22other%22%3D1"),
            "InvalidParameter",
            "other",
        ),
        (
            format!("/filter?{at}&where=n%3D1"),
            "InvalidParameter",
            "double quotes",
        ),
    ] {
        let (status, got, text) = refused(&hub, Some(ADA), &path).await;
        assert_eq!(
            (status, got.as_str()),
            (StatusCode::UNPROCESSABLE_ENTITY, code),
            "{path}"
        );
        assert!(text.contains(word), "{text}");
    }
}

#[tokio::test]
async fn private_datasets_are_shown_to_their_owner_where_the_owner_pays() {
    let hub = hub().await;
    let settings = |repo: &'static str, token: &'static str| {
        let request = hub
            .caller(Some(token))
            .request(Method::PUT, &format!("/api/datasets/{repo}/settings"));
        request.json(&json!({ "private": true })).send()
    };
    assert_eq!(settings("ada/d", ADA).await.unwrap().status(), StatusCode::OK);
    hub.ada().json("/splits?dataset=ada/d").await;
    assert_eq!(
        refused(&hub, Some(BOB), "/splits?dataset=ada/d").await.1,
        "ExternalAuthenticatedError"
    );
    // Bob has no plan.
    let bob = hub.caller(Some(BOB));
    bob.create("dataset", "b").await;
    bob.commit("datasets/bob/b", "x", &[file("train.jsonl", "{\"a\":1}\n")])
        .await;
    bob.json("/splits?dataset=bob/b").await;
    assert_eq!(settings("bob/b", BOB).await.unwrap().status(), StatusCode::OK);
    let (status, code, _) = refused(&hub, Some(BOB), "/splits?dataset=bob/b").await;
    assert_eq!(
        (status, code.as_str()),
        (StatusCode::NOT_IMPLEMENTED, "NotSupportedPrivateRepositoryError")
    );
}

#[tokio::test]
async fn a_shut_viewer_and_a_broken_row_are_named() {
    let hub = TestHub::start().await;
    hub.ada().create("dataset", "d").await;
    hub.ada()
        .commit(D, "x", &[file("train.jsonl", "{\"a\":1}\n[2]\n")])
        .await;
    let (status, code, text) = refused(
        &hub,
        Some(ADA),
        "/first-rows?dataset=ada/d&config=default&split=train",
    )
    .await;
    assert_eq!(
        (status, code.as_str()),
        (StatusCode::INTERNAL_SERVER_ERROR, "StreamingRowsError")
    );
    assert!(text.contains("train.jsonl: row 1"), "{text}");
    hub.ada()
        .commit(D, "y", &[file("README.md", "---\nviewer: false\n---\n")])
        .await;
    let (status, code, _) = refused(&hub, Some(ADA), "/is-valid?dataset=ada/d").await;
    assert_eq!(
        (status, code.as_str()),
        (StatusCode::NOT_IMPLEMENTED, "NotSupportedDisabledViewerError")
    );
}

#[tokio::test]
async fn the_word_before_the_hub_leads_here_too() {
    let hub = hub().await;
    let get = |host: &'static str| {
        let request = hub.ada().request(Method::GET, "/splits?dataset=ada/d");
        request.header("host", host).send()
    };
    assert_eq!(
        get("datasets-server.localhost").await.unwrap().status(),
        StatusCode::OK
    );
    assert_eq!(
        get("datasets-server.example.org").await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
}
