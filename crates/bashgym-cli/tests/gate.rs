//! No secret leaves: from planted canaries to every byte that a Hub stored.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    reason = "a test that cannot begin has failed; its bytes are mixed on purpose"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};

use common::{Environment, Hub, assert_success, json_lines, stderr};

/// Built at run time, so that no scanner takes this file for a leak.
fn canary(n: u32) -> String {
    let letters: String = (0..36_u32)
        .map(|at| {
            let mixed = (at + 1)
                .wrapping_mul(2_654_435_761)
                .wrapping_add(n.wrapping_mul(40_503_001))
                >> 9;
            char::from(b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"[mixed as usize % 57])
        })
        .collect();
    format!("ghp_{letters}")
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// A session with a canary in each kind of place.
fn plant(folder: &Path) -> Vec<(&'static str, String)> {
    let places = [
        "prompt",
        "output",
        "path",
        "arguments",
        "picture",
        "thinking",
        "tool",
        "branch",
        "environment",
        "nested",
        "subagent",
        "summary",
        "answer",
        "coded",
        "folder",
    ];
    let canaries: Vec<(&'static str, String)> = places
        .iter()
        .zip(1..)
        .map(|(place, n)| (*place, canary(n)))
        .collect();
    let of = |place: &str| {
        canaries
            .iter()
            .find(|(name, _)| *name == place)
            .unwrap()
            .1
            .clone()
    };
    let mut picture: Vec<u8> = (0..2_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8)
        .collect();
    picture.splice(900..900, of("picture").bytes());
    let session = "5b0c4c2e-6f1d-4f0e-9a55-0d6a3a1c7e01";
    let mut lines: Vec<Value> = Vec::new();
    let mut parent = Value::Null;
    let mut push = |lines: &mut Vec<Value>, mut line: Value, side: bool| {
        let uuid = format!("00000000-0000-4000-8000-{:012}", lines.len());
        let more = json!({
            "uuid": uuid, "parentUuid": parent, "sessionId": session, "isSidechain": side, "version": "2.1.33",
            "timestamp": format!("2026-02-03T10:00:{:02}.000Z", lines.len()), "userType": "external",
            "cwd": format!("/home/zoltan/{}", of("folder")), "gitBranch": format!("fix/{}", of("branch")),
        });
        for (key, value) in more.as_object().unwrap() {
            line[key] = value.clone();
        }
        parent = uuid.into();
        lines.push(line);
    };
    let user = |content: Value| json!({ "type": "user", "message": { "role": "user", "content": content } });
    let assistant = |n: u32, content: Value| {
        json!({ "type": "assistant", "requestId": format!("req_{n}"), "message": {
            "id": format!("msg_{n}"), "type": "message", "role": "assistant", "model": "claude-opus-4-6",
            "content": content, "usage": { "input_tokens": 10, "output_tokens": 5 },
        } })
    };
    push(
        &mut lines,
        json!({ "type": "summary", "summary": format!("Rotating {}", of("summary")), "leafUuid": "x" }),
        false,
    );
    push(
        &mut lines,
        user(json!([
            { "type": "text", "text": format!("Deploy with {} please, I am zoltan@corp.example", of("prompt")) },
            { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": base64(&picture) } },
        ])),
        false,
    );
    let nested =
        json!({ "config": json!({ "inner": json!({ "token": of("nested") }).to_string() }).to_string() });
    push(
        &mut lines,
        assistant(
            1,
            json!([
                { "type": "thinking", "thinking": format!("The token is {}", of("thinking")), "signature": "" },
                { "type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {
                    "command": format!("curl -H 'Authorization: token {}' https://x.example", of("arguments")), "config": nested } },
                { "type": "tool_use", "id": "toolu_2", "name": format!("mcp__{}", of("tool")), "input": {
                    "file_path": format!("/home/zoltan/{}/a.txt", of("path")) } },
            ]),
        ),
        false,
    );
    let environment = format!(
        "PATH=/usr/bin\nGITHUB_TOKEN={}\nDB_PASSWORD=zebra-piano-42\nHOME=/home/zoltan\n{}",
        of("environment"),
        of("output")
    );
    push(
        &mut lines,
        user(json!([{ "type": "tool_result", "tool_use_id": "toolu_1", "content": environment }])),
        false,
    );
    let coded = base64(format!(
        "the token in base64 is {} and that is all of it",
        of("coded")
    ));
    push(
        &mut lines,
        user(
            json!([{ "type": "tool_result", "tool_use_id": "toolu_2", "content": [{ "type": "text", "text": coded }] }]),
        ),
        false,
    );
    push(
        &mut lines,
        assistant(
            2,
            json!([{ "type": "text", "text": format!("Done with {} and {}", of("answer"), of("prompt")) }]),
        ),
        false,
    );
    push(
        &mut lines,
        user(json!(format!("Look at {}", of("subagent")))),
        true,
    );
    push(
        &mut lines,
        assistant(
            3,
            json!([{ "type": "text", "text": format!("I looked at {}", of("subagent")) }]),
        ),
        true,
    );
    let project = folder.join("projects").join("-home-zoltan-app");
    fs::create_dir_all(&project).unwrap();
    for copy in 0..4 {
        // More than one session, so that there is something to hold out.
        let text: String = lines
            .iter()
            .map(|line| {
                let mut line = line.clone();
                line["sessionId"] = session.replace("7e01", &format!("7e0{copy}")).into();
                let uuid = |value: &Value| {
                    Value::from(
                        value
                            .as_str()
                            .unwrap_or_default()
                            .replace("4000", &format!("400{copy}")),
                    )
                };
                line["uuid"] = uuid(&line["uuid"]);
                if line["parentUuid"].is_string() {
                    line["parentUuid"] = uuid(&line["parentUuid"]);
                }
                if copy > 0 && line["type"] == "user" && line["message"]["content"].is_array() {
                    let text = &mut line["message"]["content"][0];
                    if text["type"] == "text" {
                        text["text"] = format!("{} (take {copy})", text["text"].as_str().unwrap()).into();
                    }
                }
                line.to_string() + "\n"
            })
            .collect();
        fs::write(
            project
                .join(session.replace("7e01", &format!("7e0{copy}")))
                .with_extension("jsonl"),
            text,
        )
        .unwrap();
    }
    canaries
}

/// All bytes of all files below a folder.
fn all_bytes(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = fs::read(entry.path()) {
                all.push((entry.path(), bytes));
            }
        }
    }
    all
}

/// No piece of a canary is anywhere, neither plainly nor in base64 at any place in its groups.
#[track_caller]
fn assert_absent(files: &[(PathBuf, Vec<u8>)], place: &str, secret: &str) {
    let body = &secret[4..];
    let mut forms: Vec<Vec<u8>> = vec![body.as_bytes()[..12].to_vec(), body.as_bytes()[20..].to_vec()];
    for shift in 0..3 {
        let coded = base64(format!("{}{body}", &"xxx"[..shift]));
        forms.push(coded.as_bytes()[4..36].to_vec());
    }
    for (path, bytes) in files {
        for form in &forms {
            assert!(
                !bytes.windows(form.len()).any(|part| part == form.as_slice()),
                "the canary in the {place} is in {}",
                path.display()
            );
        }
    }
}

fn built(environment: &Environment) -> (Vec<(&'static str, String)>, PathBuf) {
    let logs = environment.path("logs");
    let canaries = plant(&logs);
    let dataset = environment.path("dataset");
    let output = environment
        .bashgym(["data", "build"])
        .arg(&logs)
        .arg("--out")
        .arg(&dataset)
        .output()
        .unwrap();
    assert_success(&output);
    (canaries, dataset)
}

#[test]
fn no_planted_canary_is_in_any_byte_the_hub_stored() {
    let environment = Environment::new();
    let (canaries, dataset) = built(&environment);
    let hub_folder = environment.path("hub");
    let hub = Hub::start(&environment, &hub_folder);
    let pushed = hub
        .bashgym(&environment, ["data", "push"])
        .arg(&dataset)
        .arg("rows")
        .output()
        .unwrap();
    assert_success(&pushed);
    assert!(hub.terminate());
    let mut stored = all_bytes(&hub_folder);
    assert!(stored.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > 1_000);
    stored.extend(all_bytes(&dataset));
    for (place, secret) in &canaries {
        assert_absent(&stored, place, secret);
    }
    for (path, bytes) in &stored {
        for personal in ["zoltan", "zebra-piano-42"] {
            assert!(
                !bytes
                    .windows(personal.len())
                    .any(|part| part == personal.as_bytes()),
                "{personal} is in {}",
                path.display()
            );
        }
    }
    // Every row is JSON, and the secret that stands in prompt and answer has one placeholder.
    let rows = fs::read_to_string(dataset.join("train.jsonl")).unwrap();
    let mut seen = 0;
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value["content"].as_str().unwrap_or_default().to_owned();
        let messages = row["messages"].as_array().unwrap();
        let first = text(&messages[0]);
        let Some(at) = first.find("<GITHUB_TOKEN_") else {
            continue;
        };
        let placeholder = &first[at..=at + first[at..].find('>').unwrap()];
        if first.starts_with("Deploy") {
            assert!(
                text(messages.last().unwrap()).contains(placeholder),
                "{placeholder}"
            );
            seen += 1;
        }
        for call in messages
            .iter()
            .filter_map(|message| message["tool_calls"].as_array())
            .flatten()
        {
            serde_json::from_str::<Value>(call["function"]["arguments"].as_str().unwrap()).unwrap();
        }
    }
    assert!(seen > 0);
}

#[test]
fn a_dataset_with_a_secret_is_refused_until_it_is_gone() {
    let environment = Environment::new();
    let (_, dataset) = built(&environment);
    let secret = canary(99);
    let train = dataset.join("train.jsonl");
    let clean = fs::read_to_string(&train).unwrap();
    let row = clean.lines().next().unwrap();
    let at = row.find("\"content\":\"").unwrap() + 11;
    for hidden in [
        secret.clone(),
        secret
            .bytes()
            .map(|byte| format!("\\u{byte:04x}"))
            .collect::<Vec<_>>()
            .concat(),
        base64(format!("a few words before {secret} and after")),
        format!("{}\\n{}", &secret[..20], &secret[20..]),
    ] {
        fs::write(&train, format!("{clean}{}{hidden} {}\n", &row[..at], &row[at..])).unwrap();
        let hub_folder = environment.path("hub");
        let hub = Hub::start(&environment, &hub_folder);
        let refused = hub
            .bashgym(&environment, ["--format", "json", "data", "push"])
            .arg(&dataset)
            .arg("rows")
            .output()
            .unwrap();
        assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
        let said = format!("{}{}", stderr(&refused), String::from_utf8_lossy(&refused.stdout));
        assert!(
            said.contains("github_token") && said.contains("train.jsonl"),
            "{said}"
        );
        assert!(!said.contains(&secret[10..20]), "{said}");
        assert!(hub.terminate());
        assert_absent(&all_bytes(&hub_folder), "row", &secret);
    }
    fs::write(&train, clean).unwrap();
    let hub = Hub::start(&environment, &environment.path("hub"));
    assert_success(
        &hub.bashgym(&environment, ["data", "push"])
            .arg(&dataset)
            .arg("rows")
            .output()
            .unwrap(),
    );
}

#[test]
fn a_scan_names_kind_file_and_line_and_never_the_secret() {
    let environment = Environment::new();
    let file = environment.path("session.jsonl");
    let secret = canary(7);
    fs::write(
        &file,
        format!("{{\"a\":1}}\n{{\"b\":\"x {secret}\"}}\n{{\"c\":\"{secret} y\"}}\n"),
    )
    .unwrap();
    let output = environment
        .bashgym(["--format", "json", "data", "scan"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(!String::from_utf8_lossy(&output.stdout).contains(&secret[6..14]));
    let lines = json_lines(&output);
    let [first, second, summary] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(
        (&first["kind"], &first["line"]),
        (&json!("github_token"), &json!(2))
    );
    assert_eq!(
        (&second["line"], &second["placeholder"]),
        (&json!(3), &first["placeholder"])
    );
    assert_eq!(first["file"], json!(file));
    assert_eq!(
        (&summary["event"], &summary["findings"]),
        (&json!("summary"), &json!(2))
    );

    fs::write(&file, "{\"a\":1}\n").unwrap();
    let output = environment
        .bashgym(["--format", "json", "data", "scan"])
        .arg(&file)
        .output()
        .unwrap();
    assert_success(&output);
    assert_eq!(json_lines(&output).len(), 1);
    let kinds = environment.bashgym(["data", "scan", "--kinds"]).output().unwrap();
    assert_success(&kinds);
    assert!(
        String::from_utf8_lossy(&kinds.stdout)
            .lines()
            .any(|kind| kind == "hf_token")
    );
}

#[test]
fn decisions_of_a_review_are_remembered_without_the_value() {
    let environment = Environment::new();
    let file = environment.path("notes.txt");
    let secret = canary(5);
    fs::write(
        &file,
        format!("use {secret} in tests\nthe launch word is marmalade-skyline\n"),
    )
    .unwrap();
    let review = |args: &[&str]| {
        environment
            .bashgym(["--format", "json", "data", "review"])
            .arg(&file)
            .args(args)
            .output()
            .unwrap()
    };
    let code = || {
        environment
            .bashgym(["data", "scan"])
            .arg(&file)
            .output()
            .unwrap()
            .status
            .code()
    };
    let shown = review(&[]);
    assert_success(&shown);
    assert!(!String::from_utf8_lossy(&shown.stdout).contains(&secret[8..16]));
    let id = json_lines(&shown)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(code(), Some(3));
    assert_success(&review(&["--allow", &id[..10]]));
    assert_eq!(code(), Some(0));
    for (_, bytes) in all_bytes(&environment.home()) {
        assert!(!String::from_utf8_lossy(&bytes).contains(&secret[8..16]));
    }
    assert_eq!(review(&["--deny", "ffffffffff"]).status.code(), Some(6));
}
