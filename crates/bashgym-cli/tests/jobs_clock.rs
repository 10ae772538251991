//! What jobs that start by the clock cost.

mod common;

use common::{Environment, Hub, assert_success, json_lines, stderr, wait_until};
use serde_json::{Value, json};

/// An hour of the Hub's clock.
const HOUR_MS: u64 = 60 * 60 * 1000;

fn jobs(environment: &Environment, hub: &Hub, args: &[&str]) -> std::process::Output {
    let all = ["--format", "json", "jobs"].iter().chain(args);
    hub.bashgym(environment, all)
        .output()
        .expect("the command starts")
}

/// The amounts of jobs as `budget show` gives them when it may ask the Hub: reserved, settled.
fn spent(environment: &Environment, hub: &Hub) -> (String, String) {
    let shown = hub
        .bashgym(environment, ["--format", "json", "budget", "show"])
        .output()
        .expect("the command starts");
    assert_success(&shown);
    let shown = &json_lines(&shown)[0];
    let of_jobs = |key: &str| shown[key]["jobs"].to_string();
    (of_jobs("reserved_usd"), of_jobs("settled_usd"))
}

fn entries(environment: &Environment, prefix: &str) -> Vec<Value> {
    let listed = environment.run(["--format", "json", "budget", "ls"]);
    assert_success(&listed);
    let mut all = json_lines(&listed);
    all.retain(|entry| entry["key"].as_str().is_some_and(|key| key.starts_with(prefix)));
    all
}

#[test]
fn what_runs_by_the_clock_is_held_before_and_booked_after() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let create = ["schedule", "create", "@hourly", "--timeout", "1h", "--", "true"];
    let made = jobs(&environment, &hub, &create);
    assert_success(&made);
    let id = json_lines(&made)[0]["id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        spent(&environment, &hub).0,
        "0.01002",
        "one run's worst case is held"
    );
    // The label by which its runs are found stays, whatever a person labels it.
    assert_success(&jobs(&environment, &hub, &["schedule", "label", &id, "team=a"]));

    let mut known = 0;
    for hours in 1..=2 {
        hub.control("clock", &json!({ "advance_ms": HOUR_MS }));
        wait_until("the run is over and booked", || {
            assert_success(&jobs(&environment, &hub, &["ls"]));
            let runs = entries(&environment, "scheduled-");
            runs.len() == hours && runs.iter().all(|run| run["state"] == "settled")
        });
        known = entries(&environment, "scheduled-").len();
    }
    assert_eq!(known, 2);
    let (reserved, settled) = spent(&environment, &hub);
    assert_eq!(reserved, "0.01002", "the next run's worst case stays held");
    assert!(
        ["0.0", "0.000167", "0.000334"].contains(&settled.as_str()),
        "{settled}"
    );

    // A run by hand is booked once, as what it is.
    let run = jobs(&environment, &hub, &["schedule", "run", &id]);
    assert_success(&run);
    let job = json_lines(&run)[0]["job_id"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    assert_success(&jobs(&environment, &hub, &["wait", &job]));
    assert_eq!(entries(&environment, "again-").len(), 1);
    let noted = entries(&environment, &format!("scheduled-{job}"));
    assert_eq!(noted[0]["state"], "released");

    assert_success(&jobs(&environment, &hub, &["schedule", "rm", &id]));
    assert_eq!(spent(&environment, &hub).0, "0.0");
    assert!(hub.terminate());
}

#[test]
fn a_run_that_passes_a_cap_is_in_the_books_all_the_same() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let create = [
        "schedule",
        "create",
        "@hourly",
        "--timeout",
        "1h",
        "--",
        "sleep",
        "600",
    ];
    assert_success(&jobs(&environment, &hub, &create));
    let set = ["budget", "set", "--service", "jobs", "--day", "0.015"];
    assert_success(&environment.run(set));
    let second = jobs(&environment, &hub, &create);
    assert_eq!(second.status.code(), Some(5), "{}", stderr(&second));
    assert_eq!(
        json_lines(&jobs(&environment, &hub, &["schedule", "ls"])).len(),
        1
    );

    hub.control("clock", &json!({ "advance_ms": HOUR_MS }));
    wait_until("the run is seen", || {
        assert_success(&jobs(&environment, &hub, &["ls"]));
        entries(&environment, "scheduled-").len() == 1
    });
    assert_eq!(
        spent(&environment, &hub).0,
        "0.02004",
        "more than the cap, and said so"
    );
    let more = jobs(&environment, &hub, &["run", "--detach", "--", "true"]);
    assert_eq!(more.status.code(), Some(5), "{}", stderr(&more));
    assert!(hub.terminate());
}
