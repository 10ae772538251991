//! What goes to the Hub with a job, and what does not.

mod common;

use std::fs;

use common::{Environment, Hub, assert_success, bytes_of, json_lines, stderr};

/// Built at run time, so that no scanner takes this file for a leak.
fn canary() -> String {
    format!(
        "ghp_{}",
        "A7kZ3mQ9xW2bRt5y".repeat(3).get(..36).unwrap_or_default()
    )
}

fn jobs(environment: &Environment, hub: &Hub, args: &[&str]) -> std::process::Output {
    let all = ["--format", "json", "jobs"].iter().chain(args);
    hub.bashgym(environment, all)
        .output()
        .expect("the command starts")
}

#[test]
fn a_planted_secret_in_a_script_or_its_data_never_reaches_the_hub() {
    let environment = Environment::new();
    let data = environment.path("hub");
    let hub = Hub::start(&environment, &data);
    let canary = canary();
    let known = "a value only its owner knows 4711";
    let file = |name: &str, text: &str| {
        let path = environment.path(name);
        fs::write(&path, text).expect("a file is written");
        path.to_str().expect("a plain path").to_owned()
    };
    let clean = file("clean.py", "print('nothing to see')\n");
    let telling = file("telling.py", &format!("KEY = '{canary}'\n"));
    let rows = file("rows.jsonl", &format!("{{\"text\":\"{canary}\"}}\n"));
    let own = file("own.txt", &format!("the secret is {known}\n"));
    fs::create_dir(environment.path("inputs")).expect("a folder is made");
    file("inputs/a.txt", &canary);
    let secret = format!("KEY={known}");
    let volume = format!("{}:/inputs", environment.path("inputs").display());
    for args in [
        ["uv", "run", "--detach", &telling].as_slice(),
        &["uv", "run", "--detach", &clean, &rows],
        // The job's own secret, in a file that goes along.
        &["uv", "run", "--detach", "--secret", &secret, &clean, &own],
        &["uv", "run", "--detach", "--volume", &volume, &clean],
        &["run", "--detach", "--volume", &volume, "--", "true"],
        &["schedule", "uv", "run", "@yearly", &telling],
        &["schedule", "create", "@yearly", "--volume", &volume, "--", "true"],
    ] {
        let refused = jobs(&environment, &hub, args);
        assert_eq!(refused.status.code(), Some(4), "{args:?}: {}", stderr(&refused));
        let said = format!("{refused:?}");
        assert!(!said.contains(&canary) && !said.contains(known), "{said}");
    }
    assert!(json_lines(&jobs(&environment, &hub, &["ls"])).is_empty());
    assert!(json_lines(&jobs(&environment, &hub, &["schedule", "ls"])).is_empty());
    // The secret is a secret in the open too.
    let open = jobs(
        &environment,
        &hub,
        &["run", "--secret", &secret, "--", "echo", known],
    );
    assert_eq!(open.status.code(), Some(2), "{}", stderr(&open));
    let kept = bytes_of(&data);
    for secret in [canary.as_bytes(), known.as_bytes()] {
        assert!(
            !kept.windows(secret.len()).any(|part| part == secret),
            "the Hub has the secret"
        );
    }
    // The same without it goes up.
    fs::write(environment.path("inputs/a.txt"), "plain words\n").expect("a file is written");
    let ran = jobs(
        &environment,
        &hub,
        &["run", "--volume", &volume, "--", "cat", "/inputs/a.txt"],
    );
    assert_success(&ran);
    assert!(stderr(&ran).contains("plain words"), "{}", stderr(&ran));
    assert!(hub.terminate());
}

#[test]
fn a_gate_that_is_broken_lets_nothing_through() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let script = environment.path("clean.py");
    fs::write(&script, "print(1)\n").expect("a file is written");
    fs::create_dir_all(environment.home().join("gate")).expect("a folder is made");
    fs::write(environment.home().join("gate/key"), "too short").expect("a file is written");
    let script = script.to_str().expect("a plain path");
    let refused = jobs(&environment, &hub, &["uv", "run", "--detach", script]);
    assert_eq!(refused.status.code(), Some(10), "{}", stderr(&refused));
    assert!(json_lines(&jobs(&environment, &hub, &["ls"])).is_empty());
    assert!(hub.terminate());
}

#[test]
fn a_job_without_ssh_says_how_to_get_it() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let started = jobs(&environment, &hub, &["run", "--detach", "--", "sleep", "600"]);
    assert_success(&started);
    let id = json_lines(&started)[0]["job_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let refused = jobs(&environment, &hub, &["ssh", "--dry-run", &id]);
    assert_eq!(refused.status.code(), Some(7), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--ssh"), "{}", stderr(&refused));
    assert_success(&jobs(&environment, &hub, &["cancel", &id]));
    assert!(hub.terminate());
}
