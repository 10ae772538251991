//! Sessions pushed as traces, and what a push says of a dataset.
#![allow(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod common;

use std::fs;

use common::{Environment, Hub, assert_success, fixtures};
use serde_json::Value;

/// Made at run time, so that no scanner takes this file for a leak.
fn token() -> String {
    format!(
        "ghp_{}",
        "Fake0Token1Value2".repeat(3).chars().take(36).collect::<String>()
    )
}

fn json_of(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn sessions_are_pushed_as_their_agents_wrote_them_without_the_secret() {
    let environment = Environment::new();
    let logs = environment.path("logs");
    fs::create_dir_all(&logs).unwrap();
    let secret = token();
    let session = format!(
        "{{\"type\":\"mode\",\"sessionId\":\"s-1\"}}\n\
         {{\"type\":\"user\",\"sessionId\":\"s-1\",\"uuid\":\"u-1\",\"cwd\":\"/home/zoltan/app\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"message\":{{\"role\":\"user\",\"content\":\"use {secret} as zoltan\"}}}}\n\
         {{\"type\":\"assistant\",\"sessionId\":\"s-1\",\"cut\n"
    );
    fs::write(logs.join("s-1.jsonl"), session).unwrap();
    let gemini = fixtures().join("../agents/gemini");
    let folder = environment.path("hub");
    let hub = Hub::start(&environment, &folder);
    let pushed = hub
        .bashgym(
            &environment,
            ["--format", "json", "sessions", "push", "my-traces"],
        )
        .args([&logs, &gemini])
        .args(["--license", "mit"])
        .output()
        .unwrap();
    assert_success(&pushed);
    let said = json_of(&pushed);
    let gemini = said["traces"]["agents"]["gemini_cli"].as_u64().unwrap();
    assert_eq!(said["sessions"], gemini + 1, "{said}");
    assert_eq!(said["traces"]["lost_lines"], 1);
    assert_eq!(said["traces"]["redactions"]["github_token"], 1);
    assert_eq!(said["private"], true);
    assert!(said["storage"]["upload_bytes"].as_u64().unwrap() > 100);

    let back = environment.path("back");
    let pulled = hub
        .bashgym(&environment, ["data", "pull", "my-traces"])
        .arg(&back)
        .output()
        .unwrap();
    assert_success(&pulled);
    let card = fs::read_to_string(back.join("README.md")).unwrap();
    assert!(
        card.contains("license: mit") && card.contains("agent-traces"),
        "{card}"
    );
    let own = fs::read_to_string(back.join("traces/claude_code/s-1.jsonl")).unwrap();
    assert!(!own.contains(&secret) && !own.contains("zoltan"), "{own}");
    assert!(
        own.contains("<GITHUB_TOKEN_") && own.contains("\"uuid\":\"u-1\""),
        "{own}"
    );
    let simple: Vec<_> = fs::read_dir(back.join("traces/sts")).unwrap().flatten().collect();
    assert_eq!(simple.len() as u64, gemini);
    let text = fs::read_to_string(simple[0].path()).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["type"], &lines[0]["harness"]),
        (&"session".into(), &"gemini_cli".into())
    );
    assert!(lines[1..].iter().all(|line| line["type"] == "message"));
    let calls: Vec<&Value> = lines
        .iter()
        .filter_map(|line| line["message"]["toolCalls"].as_array())
        .flatten()
        .collect();
    let results = lines
        .iter()
        .filter(|line| line["message"]["toolCallId"].is_string())
        .count();
    assert!(!calls.is_empty() && results > 0);
    for call in calls {
        let arguments = call["function"]["arguments"].as_str().unwrap();
        serde_json::from_str::<Value>(arguments).unwrap();
    }
}

#[test]
fn a_push_sets_what_the_card_says_and_a_datasets_placeholders_are_its_own() {
    let environment = Environment::new();
    let logs = environment.path("logs");
    fs::create_dir_all(&logs).unwrap();
    for n in 0..4 {
        let lines = [
            format!(
                "{{\"type\":\"user\",\"sessionId\":\"s-{n}\",\"uuid\":\"a\",\"timestamp\":\"2026-01-01T00:00:00Z\",\"message\":{{\"role\":\"user\",\"content\":\"task {n} with {}\"}}}}",
                token()
            ),
            format!(
                "{{\"type\":\"assistant\",\"sessionId\":\"s-{n}\",\"uuid\":\"b\",\"parentUuid\":\"a\",\"timestamp\":\"2026-01-01T00:00:01Z\",\"message\":{{\"id\":\"m{n}\",\"role\":\"assistant\",\"content\":[{{\"type\":\"text\",\"text\":\"it is done, number {n}\"}}]}}}}"
            ),
        ];
        fs::write(logs.join(format!("s-{n}.jsonl")), lines.join("\n")).unwrap();
    }
    let placeholder = |repo: &str| {
        let out = environment.path(&repo.replace('/', "-"));
        let built = environment
            .bashgym(["data", "build", "--repo", repo, "--min-score", "0"])
            .arg(&logs)
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        assert_success(&built);
        let text = fs::read_to_string(out.join("train.jsonl")).unwrap();
        let at = text.find("<GITHUB_TOKEN_").unwrap();
        let mark = text[at..].split_once('>').unwrap().0.to_owned();
        assert_eq!(
            text.matches(&mark).count(),
            text.matches("<GITHUB_TOKEN_").count()
        );
        (out, mark)
    };
    let (dataset, one) = placeholder("ada/one");
    let (_, two) = placeholder("ada/two");
    assert_ne!(one, two);
    assert_eq!(placeholder("ada/one").1, one);

    let hub = Hub::start(&environment, &environment.path("hub"));
    let pushed = hub
        .bashgym(&environment, ["--format", "human", "data", "push"])
        .arg(&dataset)
        .args([
            "rows",
            "--license",
            "apache-2.0",
            "--tag",
            "rust",
            "--language",
            "en",
            "--title",
            "Rows: all",
        ])
        .output()
        .unwrap();
    assert_success(&pushed);
    let told = String::from_utf8_lossy(&pushed.stderr).into_owned();
    assert!(told.contains("stores") && told.contains("adds at most"), "{told}");
    let back = environment.path("back");
    let pulled = hub
        .bashgym(&environment, ["data", "pull", "rows"])
        .arg(&back)
        .output()
        .unwrap();
    assert_success(&pulled);
    let card = fs::read_to_string(back.join("README.md")).unwrap();
    let front = card.split("---").nth(1).unwrap();
    for part in ["license: apache-2.0", "rust", "bashgym", "Rows: all", "configs:"] {
        assert!(front.contains(part), "{part} is not in {front}");
    }
    assert_eq!(front.matches("pretty_name").count(), 1);
}

#[test]
fn a_jobs_secret_never_leaves_afterwards() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let plain_word = "marmalade-skyline-harbour";
    let run = hub
        .bashgym(
            &environment,
            ["jobs", "run", "--detach", "--allow-unknown-price", "--secret"],
        )
        .arg(format!("SERVICE={plain_word}"))
        .args(["--", "true"])
        .output()
        .unwrap();
    assert_success(&run);
    let file = environment.path("note.txt");
    fs::write(&file, format!("it said {plain_word} here\n")).unwrap();
    let scan = environment
        .bashgym(["--format", "json", "data", "scan"])
        .arg(&file)
        .output()
        .unwrap();
    assert_eq!(
        scan.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&scan.stdout)
    );
    assert!(!String::from_utf8_lossy(&scan.stdout).contains(plain_word));
    let kept = fs::read_to_string(environment.home().join("gate/reviewed.json")).unwrap();
    assert!(kept.contains("job_secret") && !kept.contains(plain_word));
}
