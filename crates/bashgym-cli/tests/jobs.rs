//! `bashgym jobs`, the command itself, against a Hub of the test's own.

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Environment, Hub, assert_success, json_lines, stderr};
use serde_json::Value;

fn jobs(environment: &Environment, hub: &Hub, args: &[&str]) -> std::process::Output {
    let all = ["--format", "json", "jobs"].iter().chain(args);
    hub.bashgym(environment, all)
        .output()
        .expect("the command starts")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn a_job_is_started_followed_shown_and_waited_for() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let started = jobs(
        &environment,
        &hub,
        &[
            "run",
            "--label",
            "suite=cli",
            "--",
            "sh",
            "-c",
            "echo one; echo two",
        ],
    );
    assert_success(&started);
    let lines = json_lines(&started);
    let [job] = lines.as_slice() else {
        panic!("one object and nothing else: {lines:?}");
    };
    assert_eq!(job["flavor"], "cpu-basic");
    assert_eq!(job["timeout_s"], 3600, "a time-out is always sent");
    assert!(text(&job["url"]).ends_with(text(&job["job_id"])) && job["created_at"].is_string());
    assert!(stderr(&started).contains("two"), "{}", stderr(&started));
    let id = text(&job["job_id"]);

    let log = hub.bashgym(&environment, ["jobs", "logs", id]).output().unwrap();
    assert_success(&log);
    assert_eq!(String::from_utf8_lossy(&log.stdout), "one\ntwo\n");
    let tail = hub
        .bashgym(&environment, ["jobs", "logs", "--tail", "1", id])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&tail.stdout), "two\n");

    let shown = jobs(&environment, &hub, &["show", id]);
    let shown = &json_lines(&shown)[0];
    assert_eq!((text(&shown["stage"]), text(&shown["job_id"])), ("COMPLETED", id));
    assert_success(&jobs(&environment, &hub, &["wait", id]));
    // After the end there are no metrics, which is no error.
    let metrics = jobs(&environment, &hub, &["metrics", id]);
    assert_success(&metrics);
    assert!(metrics.stdout.is_empty());

    let cancel = jobs(&environment, &hub, &["cancel", id]);
    assert_eq!(cancel.status.code(), Some(7));
    assert!(stderr(&cancel).contains("COMPLETED"), "{}", stderr(&cancel));

    assert_success(&jobs(&environment, &hub, &["label", id, "suite=other"]));
    let listed = json_lines(&jobs(&environment, &hub, &["ls", "--label", "suite=other"]));
    assert_eq!(listed.len(), 1);
    assert!(json_lines(&jobs(&environment, &hub, &["ls", "--label", "suite=cli"])).is_empty());
    let again = json_lines(&jobs(&environment, &hub, &["duplicate", id]));
    let copy = text(&again[0]["job_id"]).to_owned();
    assert_success(&jobs(&environment, &hub, &["wait", id, &copy]));
    assert!(hub.terminate());
}

#[test]
fn a_failed_job_is_exit_code_9_and_a_running_one_is_cancelled() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let failed = jobs(&environment, &hub, &["run", "--", "sh", "-c", "exit 3"]);
    assert_eq!(failed.status.code(), Some(9), "{}", stderr(&failed));
    let first = text(&json_lines(&failed)[0]["job_id"]).to_owned();
    assert_eq!(jobs(&environment, &hub, &["wait", &first]).status.code(), Some(9));

    let running = jobs(&environment, &hub, &["run", "--detach", "--", "sleep", "600"]);
    assert_success(&running);
    let id = text(&json_lines(&running)[0]["job_id"]).to_owned();
    assert_success(&jobs(&environment, &hub, &["cancel", &id]));
    let shown = json_lines(&jobs(&environment, &hub, &["show", &id]));
    assert_eq!(shown[0]["stage"], "CANCELED");
    assert!(hub.terminate());
}

#[test]
fn a_failed_job_is_explained_wherever_its_end_is_seen() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let said = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB";
    let script = format!("echo '{said}'; exit 1");
    let run = ["run", "--flavor", "t4-small", "--", "sh", "-c", &script];
    let failed = jobs(&environment, &hub, &run);
    assert_eq!(failed.status.code(), Some(9), "{}", stderr(&failed));
    let id = text(&json_lines(&failed)[0]["job_id"]).to_owned();
    let told = |output: &std::process::Output| {
        let all = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(output));
        assert!(all.contains("too little memory") && all.contains(said), "{all}");
        // A flavor with more memory, and what it costs beyond this one.
        assert!(
            all.contains("--flavor ") && all.contains("an hour than t4-small"),
            "{all}"
        );
    };
    told(&failed);
    let shown = jobs(&environment, &hub, &["show", &id]);
    let explanation = &json_lines(&shown)[0]["explanation"];
    assert_eq!(explanation["cause"], "out_of_gpu_memory", "{explanation}");
    told(&jobs(&environment, &hub, &["wait", &id]));
    let logs = hub.bashgym(&environment, ["jobs", "logs", &id]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&logs.stdout), format!("{said}\n"));
    told(&logs);
    assert!(hub.terminate());
}

#[test]
fn secrets_need_not_be_on_the_command_line() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let script = "test \"$FROM_ENV\" = hush-env && test \"$FROM_INPUT\" = hush-input";
    let args = [
        "--format",
        "json",
        "jobs",
        "run",
        "--secret",
        "FROM_ENV",
        "--secret",
        "FROM_INPUT=-",
        "--",
        "sh",
        "-c",
        script,
    ];
    let mut process = hub
        .bashgym(&environment, args)
        .env("FROM_ENV", "hush-env")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(b"hush-input\n").unwrap();
    let output = process.wait_with_output().unwrap();
    assert_success(&output);
    let id = text(&json_lines(&output)[0]["job_id"]).to_owned();
    let shown = jobs(&environment, &hub, &["show", &id]);
    let everything = format!("{output:?}{shown:?}");
    assert!(
        !everything.contains("hush-")
            || everything.matches("hush-").count() == script.matches("hush-").count()
    );
    let missing = jobs(
        &environment,
        &hub,
        &["run", "--secret", "NOT_SET_ANYWHERE", "--", "true"],
    );
    assert_eq!(missing.status.code(), Some(2));
    assert!(hub.terminate());
}

#[test]
fn a_schedule_is_made_run_and_removed() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let made = jobs(
        &environment,
        &hub,
        &["schedule", "create", "@yearly", "--label", "a=b", "--", "true"],
    );
    assert_success(&made);
    let made = &json_lines(&made)[0];
    let id = text(&made["id"]).to_owned();
    assert_eq!(
        (&made["schedule"], &made["suspend"]),
        (&Value::from("@yearly"), &Value::from(false))
    );
    let run = jobs(&environment, &hub, &["schedule", "run", &id]);
    assert_success(&run);
    let job = text(&json_lines(&run)[0]["job_id"]).to_owned();
    assert_success(&jobs(&environment, &hub, &["wait", &job]));
    for verb in ["suspend", "resume", "show"] {
        let shown = jobs(&environment, &hub, &["schedule", verb, &id]);
        assert_success(&shown);
        assert_eq!(json_lines(&shown)[0]["suspend"], Value::from(verb == "suspend"));
    }
    assert_eq!(
        json_lines(&jobs(&environment, &hub, &["schedule", "ls", "--label", "a=b"])).len(),
        1
    );
    assert_success(&jobs(&environment, &hub, &["schedule", "rm", &id]));
    assert_eq!(
        jobs(&environment, &hub, &["schedule", "show", &id]).status.code(),
        Some(6)
    );
    assert!(hub.terminate());
}

/// The amounts of jobs as `budget show` gives them, in USD: reserved, settled.
fn spent(environment: &Environment) -> (String, String) {
    let shown = environment.run(["--format", "json", "budget", "show"]);
    assert_success(&shown);
    let shown = &json_lines(&shown)[0];
    let of_jobs = |key: &str| shown[key]["jobs"].to_string();
    (of_jobs("reserved_usd"), of_jobs("settled_usd"))
}

/// The ledger's entries, newest first.
fn entries(environment: &Environment) -> Vec<Value> {
    let listed = environment.run(["--format", "json", "budget", "ls"]);
    assert_success(&listed);
    json_lines(&listed)
}

fn set_cap(environment: &Environment, usd: &str) {
    assert_success(&environment.run(["budget", "set", "--service", "jobs", "--day", usd]));
}

/// Asserts that a cap refused, with the one error object on standard output.
#[track_caller]
fn assert_over_cap(output: &std::process::Output) {
    assert_eq!(output.status.code(), Some(5), "{}", stderr(output));
    let lines = json_lines(output);
    let [error] = lines.as_slice() else {
        panic!("one object and nothing else: {lines:?}");
    };
    assert_eq!(error["kind"], "quota", "{error}");
    assert!(text(&error["message"]).contains("budget of"), "{error}");
    assert!(
        text(&error["next"][0]).contains("bashgym budget set --service jobs --day"),
        "{error}"
    );
}

#[test]
fn a_cap_refuses_what_could_pass_it_and_nothing_is_sent() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    set_cap(&environment, "1.00");
    let script = environment.path("train.py");
    std::fs::write(&script, "print(1)\n").unwrap();
    let script = script.to_str().unwrap();
    // 200 hours at 167 micro-USD a minute are 2.004 USD.
    for start in [
        ["run", "--timeout", "200h", "--detach", "--", "true"].as_slice(),
        &[
            "run",
            "--timeout",
            "100h",
            "--attempts",
            "2",
            "--detach",
            "--",
            "true",
        ],
        &["uv", "run", "--timeout", "200h", "--detach", script],
        &["schedule", "create", "@yearly", "--timeout", "200h", "--", "true"],
    ] {
        assert_over_cap(&jobs(&environment, &hub, start));
    }
    assert!(json_lines(&jobs(&environment, &hub, &["ls"])).is_empty());
    assert!(json_lines(&jobs(&environment, &hub, &["schedule", "ls"])).is_empty());
    assert_eq!(spent(&environment), ("0.0".to_owned(), "0.0".to_owned()));
    assert!(hub.terminate());
}

#[test]
fn a_copy_and_a_scheduled_run_need_room_under_the_cap_too() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let run = jobs(&environment, &hub, &["run", "--timeout", "200h", "--", "true"]);
    assert_success(&run);
    let id = text(&json_lines(&run)[0]["job_id"]).to_owned();
    let create = ["schedule", "create", "@yearly", "--timeout", "200h", "--", "true"];
    let made = jobs(&environment, &hub, &create);
    assert_success(&made);
    let scheduled = text(&json_lines(&made)[0]["id"]).to_owned();
    set_cap(&environment, "1.00");
    assert_over_cap(&jobs(&environment, &hub, &["duplicate", &id]));
    assert_over_cap(&jobs(&environment, &hub, &["schedule", "run", &scheduled]));
    assert_eq!(json_lines(&jobs(&environment, &hub, &["ls"])).len(), 1);

    set_cap(&environment, "10.00");
    for again in [
        ["duplicate", id.as_str()].as_slice(),
        &["schedule", "run", &scheduled],
    ] {
        let started = jobs(&environment, &hub, again);
        assert_success(&started);
        let job = text(&json_lines(&started)[0]["job_id"]).to_owned();
        let newest = || {
            let all = entries(&environment);
            all.into_iter()
                .find(|entry| text(&entry["key"]).starts_with("again-"))
                .expect("it is in the books")
        };
        assert_eq!(newest()["state"], "reserved");
        assert_success(&jobs(&environment, &hub, &["wait", &job]));
        let newest = newest();
        assert_eq!(
            (text(&newest["state"]), text(&newest["cost_source"])),
            ("settled", "duration_price")
        );
    }
    let missing = jobs(&environment, &hub, &["duplicate", "66aa00bb11cc22dd33ee5501"]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));
    assert_success(&jobs(&environment, &hub, &["schedule", "rm", &scheduled]));
    assert_eq!(spent(&environment).0, "0.0", "nothing is left reserved");
    assert!(hub.terminate());
}

#[test]
fn what_a_job_cost_is_settled_when_its_end_is_seen() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    assert_success(&jobs(&environment, &hub, &["run", "--", "true"]));
    let (reserved, settled) = spent(&environment);
    assert_eq!(reserved, "0.0");
    // A minute of cpu-basic, or nothing where the Hub tells no running time.
    assert!(["0.000167", "0.0"].contains(&settled.as_str()), "{settled}");
    let entry = &entries(&environment)[0];
    assert_eq!(
        (text(&entry["state"]), text(&entry["cost_source"])),
        ("settled", "duration_price")
    );

    for look in ["wait", "show", "ls"] {
        let started = jobs(&environment, &hub, &["run", "--detach", "--", "true"]);
        assert_success(&started);
        let id = text(&json_lines(&started)[0]["job_id"]).to_owned();
        assert_eq!(spent(&environment).0, "0.01002", "60 minutes are held");
        let args = if look == "ls" { vec![look] } else { vec![look, &id] };
        common::wait_until("the end is seen and settled", || {
            assert_success(&jobs(&environment, &hub, &args));
            spent(&environment).0 == "0.0"
        });
    }
    let started = jobs(&environment, &hub, &["run", "--detach", "--", "sleep", "600"]);
    let id = text(&json_lines(&started)[0]["job_id"]).to_owned();
    assert_success(&jobs(&environment, &hub, &["show", &id]));
    assert_eq!(spent(&environment).0, "0.01002", "what goes on stays reserved");
    assert_success(&jobs(&environment, &hub, &["cancel", &id]));
    assert_eq!(jobs(&environment, &hub, &["wait", &id]).status.code(), Some(9));
    assert_eq!(spent(&environment).0, "0.0");
    assert!(hub.terminate());
}

#[test]
fn the_same_retry_key_is_the_same_job() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let run = |command: &str| {
        let args = [
            "run",
            "--detach",
            "--retry-key",
            "nightly-7",
            "--",
            "echo",
            command,
        ];
        jobs(&environment, &hub, &args)
    };
    let (first, second) = (run("one"), run("one"));
    assert_success(&first);
    assert_success(&second);
    let id = |output| text(&json_lines(output)[0]["job_id"]).to_owned();
    assert_eq!(id(&first), id(&second));
    assert_eq!(run("two").status.code(), Some(7));
    assert_eq!(json_lines(&jobs(&environment, &hub, &["ls"])).len(), 1);
    assert_eq!(entries(&environment).len(), 1);
    let bad = jobs(&environment, &hub, &["run", "--retry-key", "a b", "--", "true"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(hub.terminate());
}

#[test]
fn unfinished_jobs_are_followed_again_after_a_crash() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let started = jobs(&environment, &hub, &["run", "--detach", "--", "echo", "hello"]);
    assert_success(&started);
    let id = text(&json_lines(&started)[0]["job_id"]).to_owned();

    // Another Hub's jobs are left alone.
    let other = Hub::start(&environment, &environment.path("other"));
    let resumed = jobs(&environment, &other, &["resume"]);
    assert_success(&resumed);
    assert!(resumed.stdout.is_empty());

    let resumed = jobs(&environment, &hub, &["resume"]);
    assert_success(&resumed);
    let lines = json_lines(&resumed);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(lines[0]["job_id"], id.as_str());
    assert_eq!(
        (&lines[0]["state"], &lines[0]["settled"]),
        (&"succeeded".into(), &true.into())
    );
    assert_eq!(spent(&environment).0, "0.0");
    assert!(
        jobs(&environment, &hub, &["resume"]).stdout.is_empty(),
        "nothing is left"
    );
    assert!(other.terminate() && hub.terminate());
}

#[test]
fn a_flavor_without_a_known_price_is_refused_unless_allowed() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let run = |more: &[&str]| {
        let args = [
            &["run", "--detach", "--flavor", "none-such"],
            more,
            &["--", "true"],
        ]
        .concat();
        jobs(&environment, &hub, &args)
    };
    let refused = run(&[]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("--allow-unknown-price"),
        "{}",
        stderr(&refused)
    );
    // The Hub does not know the flavor; what matters here is that it was asked, and that nothing stays reserved.
    let asked = run(&["--allow-unknown-price"]);
    assert!(
        ![Some(0), Some(5)].contains(&asked.status.code()),
        "{}",
        stderr(&asked)
    );
    assert_eq!(entries(&environment)[0]["state"], "released");
    assert!(hub.terminate());
}
