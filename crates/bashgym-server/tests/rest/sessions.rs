//! A session step by step, and the datasets that were built here, over REST.

use bashgym_traces::Archive;
use serde_json::{Value, json};

use crate::spaces::place;

const SECRET: &str = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567";

fn session(id: &str) -> String {
    let about = json!({ "isSidechain": false, "userType": "external", "cwd": "/home/dev/margin", "sessionId": id,
        "version": "2.1.112", "timestamp": "2026-03-15T05:24:30.370Z" });
    let line = |parent: Value, uuid: &str, kind: &str, message: Value| {
        let mut line = about.clone();
        line["parentUuid"] = parent;
        line["uuid"] = uuid.into();
        line["type"] = kind.into();
        line["message"] = message;
        line.to_string()
    };
    let prompt = json!({ "role": "user", "content": format!("Log in with {SECRET} and say how it went.") });
    let answer = json!({ "model": "m", "id": format!("{id}-m1"), "type": "message", "role": "assistant",
        "content": [{ "type": "text", "text": "It went well." }], "usage": { "input_tokens": 7, "output_tokens": 25 } });
    let lines = [
        line(Value::Null, &format!("{id}-u1"), "user", prompt),
        line(
            format!("{id}-u1").into(),
            &format!("{id}-u2"),
            "assistant",
            answer,
        ),
    ];
    lines.join("\n") + "\n"
}

#[tokio::test]
async fn a_session_is_read_in_pages_without_its_secrets() {
    let place = place().await;
    let server = &place.server;
    let file = server.folder.path().join("sessions/s-1.jsonl");
    std::fs::write(&file, session("s-1")).unwrap();
    let file = file.display();

    let all = server
        .with_key("GET", &format!("/api/sessions/session?file={file}"), None)
        .await;
    assert_eq!(all.status, 200, "{}", all.body);
    let one = &all.json()[0];
    assert_eq!(
        (one["session_id"].as_str(), one["steps"].as_u64()),
        (Some("s-1"), Some(2))
    );
    assert_eq!(one["tasks"][0]["first_step"], 1);
    assert_eq!(one["tokens"]["output"], 25);

    let page = |rest: &str| format!("/api/sessions/steps?file={file}{rest}");
    let first = server.with_key("GET", &page("&limit=1"), None).await;
    assert_eq!(first.status, 200, "{}", first.body);
    assert!(!first.body.contains(SECRET) && !all.body.contains(SECRET));
    let first = first.json();
    assert_eq!(
        (first["items"][0]["kind"].as_str(), first["next"].as_str()),
        (Some("prompt"), Some("1"))
    );
    let second = server
        .with_key("GET", &page("&limit=1&after=1"), None)
        .await
        .json();
    assert_eq!(second["items"][0]["text"]["text"], "It went well.");
    assert_eq!(second["next"], Value::Null);

    // An agent that is used for the first time while the server runs.
    let later = server.folder.path().join(".claude/projects/a");
    std::fs::create_dir_all(&later).unwrap();
    std::fs::write(later.join("s-2.jsonl"), session("s-2")).unwrap();
    let path = format!("/api/sessions/session?file={}/s-2.jsonl", later.display());
    assert_eq!(
        server.with_key("GET", &path, None).await.json()[0]["session_id"],
        "s-2"
    );

    for (rest, status) in [("&conversation=1", 404), ("&after=x", 400), ("&limit=0", 400)] {
        assert_eq!(
            server.with_key("GET", &page(rest), None).await.status,
            status,
            "{rest}"
        );
    }
    for (file, status) in [("/etc/passwd", 403), ("a", 422)] {
        let path = format!("/api/sessions/session?file={file}");
        assert_eq!(server.with_key("GET", &path, None).await.status, status, "{file}");
    }
}

#[tokio::test]
async fn a_dataset_that_was_built_here_shows_its_rows_and_its_card() {
    let place = place().await;
    let server = &place.server;
    let sessions = server.folder.path().join("sessions");
    std::fs::write(sessions.join("s-1.jsonl"), session("s-1")).unwrap();
    let none = server.with_key("GET", "/api/datasets", None).await;
    assert_eq!(none.json()["items"], json!([]));

    let build = json!({ "name": "set", "paths": [sessions], "val_fraction": 0.1 });
    let task = server.with_key("POST", "/api/datasets", Some(&build)).await;
    assert_eq!(task.status, 202, "{}", task.body);
    let path = format!("/api/tasks/{}", task.json()["id"].as_str().unwrap());
    let done = loop {
        let task = server.with_key("GET", &path, None).await.json();
        match task["state"].as_str() {
            Some("queued" | "running") => tokio::task::yield_now().await,
            _ => break task,
        }
    };
    assert_eq!(done["state"], "done", "{done}");

    let list = server.with_key("GET", "/api/datasets", None).await.json();
    let set = &list["items"][0];
    assert_eq!(
        (set["name"].as_str(), &set["rows_of_session"]),
        (Some("set"), &Value::Null)
    );
    let of = server
        .with_key("GET", "/api/datasets?session=s-1", None)
        .await
        .json();
    assert_eq!(of["items"][0]["rows_of_session"], 1);
    let of = server
        .with_key("GET", "/api/datasets?session=s-2", None)
        .await
        .json();
    assert_eq!(of["items"], json!([]));

    let mut seen = 0;
    for split in ["train", "validation"] {
        let rows = server
            .with_key("GET", &format!("/api/datasets/set/rows?split={split}"), None)
            .await;
        assert_eq!(rows.status, 200, "{}", rows.body);
        assert!(!rows.body.contains(SECRET));
        seen += rows.json()["rows"].as_array().unwrap().len();
    }
    assert_eq!(seen, 1);
    let card = server
        .with_key("GET", "/api/datasets/set/card", None)
        .await
        .json();
    assert!(card["text"].as_str().unwrap().starts_with("---"));

    for (path, status) in [
        ("/api/datasets/set/rows?split=test", 404),
        ("/api/datasets/set/rows?limit=101", 400),
        ("/api/datasets/none/rows", 404),
        ("/api/datasets/none/card", 404),
        ("/api/datasets/.ssh/card", 422),
        ("/api/hf/datasets/none/card", 404),
    ] {
        assert_eq!(server.with_key("GET", path, None).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn folders_are_added_for_requests_and_taken_back() {
    let place = place().await;
    let server = &place.server;
    let folder = server.folder.path().join("logs");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("s-1.jsonl"), session("s-1")).unwrap();
    let list = format!("/api/sessions?path={}", folder.display());
    assert_eq!(server.with_key("GET", &list, None).await.status, 403);

    let put = |folders: Value| json!({ "folders": folders });
    let added = server
        .with_key("PUT", "/api/settings/roots", Some(&put(json!([folder]))))
        .await;
    assert_eq!(added.status, 200, "{}", added.body);
    assert_eq!(added.json()["added"], json!([folder]));
    assert_eq!(server.with_key("GET", &list, None).await.status, 200);

    for wrong in ["logs", "/", "/there/is/no/such/folder"] {
        let answer = server
            .with_key("PUT", "/api/settings/roots", Some(&put(json!([wrong]))))
            .await;
        assert_eq!(
            (answer.status, answer.code()),
            (422, "invalid".to_owned()),
            "{wrong}"
        );
    }
    server
        .with_key("PUT", "/api/settings/roots", Some(&put(json!([]))))
        .await;
    assert_eq!(server.with_key("GET", &list, None).await.status, 403);

    let log = server
        .with_key("GET", "/api/events/log?order=desc&topics=audit:*", None)
        .await
        .json();
    let kinds: Vec<_> = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["type"].clone())
        .collect();
    assert_eq!(kinds, ["audit:folders_allowed", "audit:folders_allowed"]);
    let wrong = server.with_key("GET", "/api/events/log?order=up", None).await;
    assert_eq!(wrong.status, 400);
}

#[tokio::test]
async fn an_import_remembers_what_each_session_holds() {
    let place = place().await;
    let server = &place.server;
    let list = "/api/sessions?path=";
    let folder = server.folder.path().join("sessions");
    let ask = async |body: Value| {
        let asked = server.with_key("POST", "/api/sessions/import", Some(&body)).await;
        assert_eq!(asked.status, 202, "{}", asked.body);
        place.over(&asked.json()).await
    };
    let nothing = ask(json!({ "paths": [folder] })).await;
    assert_eq!(nothing["error"]["code"], "data", "{nothing}");

    std::fs::write(folder.join("s-1.jsonl"), session("s-1") + "{half a line\n").unwrap();
    std::fs::write(folder.join("s-2.jsonl"), session("s-2")).unwrap();
    let list = format!("{list}{}", folder.display());
    let held = async || server.with_key("GET", &list, None).await.json()["items"].clone();
    assert_eq!(
        held().await[0]["held"],
        Value::Null,
        "before the import nobody knows"
    );
    let done = ask(json!({ "paths": [folder] })).await;
    let result = &done["result"];
    assert_eq!(
        (&result["sessions"], &result["prompts"], &result["problems"]),
        (&json!(2), &json!(2), &json!(1))
    );
    assert_eq!(result["by_agent"], json!({ "claude_code": 2 }));
    assert!(!done.to_string().contains(SECRET), "{done}");
    let known = &held().await[0]["held"];
    assert_eq!(
        known,
        &json!({ "id": "s-1", "model": "m", "prompts": 1, "tool_calls": 0, "tool_errors": 0, "tokens_in": 7, "tokens_out": 25 })
    );

    let outside = server
        .with_key(
            "POST",
            "/api/sessions/import",
            Some(&json!({ "paths": ["/etc"] })),
        )
        .await;
    assert_eq!(
        (outside.status, outside.code()),
        (403, "path_not_allowed".to_owned())
    );
}

#[tokio::test]
async fn the_originals_are_kept_as_a_task_and_only_what_is_new_is_stored() {
    let place = place().await;
    let server = &place.server;
    let folder = server.folder.path().join("sessions");
    let first = folder.join("s-1.jsonl");
    std::fs::write(&first, session("s-1")).unwrap();
    std::fs::write(folder.join("s-2.jsonl"), session("s-2")).unwrap();
    let look = async || server.with_key("GET", "/api/sessions/archive", None).await.json();
    let none = json!({ "files": 0, "size_bytes": 0, "archived_at": null });
    assert_eq!(look().await, none, "nothing is kept that nobody asked for");

    let keep = async || {
        let body = json!({ "paths": [folder] });
        let asked = server
            .with_key("POST", "/api/sessions/archive", Some(&body))
            .await;
        assert_eq!(asked.status, 202, "{}", asked.body);
        place.over(&asked.json()).await
    };
    let told = keep().await["result"].clone();
    assert_eq!((&told["new"], &told["failed"]), (&json!(2), &json!(0)));
    std::fs::write(&first, session("s-1") + &session("s-1")).unwrap();
    let told = keep().await["result"].clone();
    assert_eq!((&told["grown"], &told["unchanged"]), (&json!(1), &json!(1)));
    let kept = look().await;
    let size = (session("s-1").len() * 2 + session("s-2").len()) as u64;
    assert_eq!((&kept["files"], &kept["size_bytes"]), (&json!(2), &json!(size)));

    // A command that watches has the archive open: that is said, and what is kept can be looked at.
    let open = Archive::open(server.folder.path().join("archive")).unwrap();
    assert_eq!(keep().await["error"]["code"], "conflict");
    assert_eq!(look().await["files"], 2);
    drop(open);
    let outside = json!({ "paths": ["/etc"] });
    let refused = server
        .with_key("POST", "/api/sessions/archive", Some(&outside))
        .await;
    assert_eq!(refused.status, 403);
    place.end().await;
}
