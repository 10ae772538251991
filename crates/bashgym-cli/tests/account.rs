//! The account through the command: status, doctor, wallet and token, against Hubs whose accounts differ.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use common::{Environment, assert_success, json_lines, stderr};
use serde_json::Value;

const PRO: &str = "hf_canarycanarycanarycanary0123456789pro";
const FREE: &str = "hf_canarycanarycanarycanary0123456789free";
const FINE: &str = "hf_canarycanarycanarycanary0123456789fine";
const READER: &str = "hf_canarycanarycanarycanary0123456789read";
const TEAM: &str = "hf_canarycanarycanarycanary0123456789team";
const WRONG: &str = "hf_canarycanarycanarycanary0123456789nobody";

/// A Hub whose accounts differ in plan and role.
struct AccountHub {
    process: Child,
    endpoint: String,
}

impl AccountHub {
    fn start(environment: &Environment) -> Self {
        let accounts = environment.path("accounts.json");
        let text = serde_json::json!([
            {"name": "ada", "token": PRO, "plan": "pro"},
            {"name": "bob", "token": FREE, "plan": "free", "credit_usd": 0.0},
            {"name": "ada", "token": FINE, "plan": "pro", "role": "fineGrained", "permissions": ["repo.write"]},
            {"name": "ada", "token": READER, "plan": "pro", "role": "read"},
            {"name": "tim", "token": TEAM, "plan": "team", "orgs": [{"name": "lab", "plan": "team", "roleInOrg": "write"}]},
        ]);
        std::fs::write(&accounts, text.to_string()).unwrap();
        let mut process = environment
            .bashgym(["hub", "serve", "--port", "0", "--data"])
            .arg(environment.path("hub-data"))
            .arg("--accounts")
            .arg(&accounts)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        Self {
            process,
            endpoint: ready["endpoint"].as_str().unwrap().to_owned(),
        }
    }

    fn command(&self, environment: &Environment, token: Option<&str>, args: &[&str]) -> Command {
        let mut command = environment.bashgym(args);
        command.env("HF_ENDPOINT", &self.endpoint);
        if let Some(token) = token {
            command.env("HF_TOKEN", token);
        }
        command
    }

    fn run(&self, environment: &Environment, token: Option<&str>, args: &[&str]) -> Output {
        self.command(environment, token, args).output().unwrap()
    }

    fn json(&self, environment: &Environment, token: Option<&str>, command: &str) -> Value {
        let output = self.run(environment, token, &["--format", "json", command]);
        json_lines(&output).swap_remove(0)
    }

    fn stop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for AccountHub {
    fn drop(&mut self) {
        self.stop();
    }
}

fn states(status: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    status["capabilities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (text(&row["feature"]), text(&row["state"])))
        .collect()
}

fn state_of(status: &Value, feature: &str) -> String {
    let found = states(status).into_iter().find(|(name, _)| name == feature);
    found.unwrap().1
}

/// The seed's table as `status` shows it: no token, free, PRO, and the Hub away.
#[test]
fn status_shows_what_each_account_can_do() {
    let environment = Environment::new();
    let mut hub = AccountHub::start(&environment);
    for (token, account, jobs, studio, private) in [
        (None, "no_token", "unavailable", "unavailable", "unavailable"),
        (Some(FREE), "signed_in", "limited", "unavailable", "limited"),
        (Some(PRO), "signed_in", "available", "available", "available"),
        (Some(TEAM), "signed_in", "limited", "unavailable", "limited"),
        (
            Some(WRONG),
            "refused",
            "unavailable",
            "unavailable",
            "unavailable",
        ),
    ] {
        let status = hub.json(&environment, token, "status");
        assert_eq!(status["account"]["state"], account, "{token:?}");
        for (feature, state) in [
            ("jobs", jobs),
            ("data_studio_private", studio),
            ("upload_private_datasets", private),
        ] {
            assert_eq!(state_of(&status, feature), state, "{token:?} {feature}");
        }
        for row in status["capabilities"].as_array().unwrap() {
            let keys = ["feature", "state", "why", "unlock", "limit"];
            assert!(keys.iter().all(|key| row.get(key).is_some()), "{row}");
        }
        assert_eq!(status["wallet"]["balance"]["state"], "no_endpoint");
        let wallet = hub.run(&environment, token, &["--format", "human", "wallet"]);
        let wallet = String::from_utf8_lossy(&wallet.stdout);
        assert!(
            wallet.contains("balance"),
            "what has no endpoint is said: {wallet}"
        );
        for command in ["status", "wallet", "doctor"] {
            let human = hub.run(&environment, token, &["--format", "human", command]);
            let text = String::from_utf8_lossy(&human.stdout);
            assert!(text.lines().count() > 2, "{command}: {text}");
        }
    }
    let status = hub.json(&environment, Some(TEAM), "status");
    assert_eq!(
        (&status["account"]["plan"], &status["account"]["org_plans"]["lab"]),
        (&"free".into(), &"team".into())
    );
    let org = hub.run(
        &environment,
        Some(TEAM),
        &["--format", "json", "--org", "lab", "status"],
    );
    let org = &json_lines(&org)[0];
    assert_eq!(state_of(org, "jobs"), "available");
    assert_eq!(
        (&org["wallet"]["owner"], &org["account"]["namespace"]),
        (&"lab".into(), &"lab".into())
    );

    hub.stop();
    let away = hub.json(&environment, Some(FREE), "status");
    assert_eq!(
        (&away["account"]["state"], &away["account"]["plan"]),
        (&"unreachable".into(), &"unknown".into())
    );
    assert!(states(&away).iter().all(|(_, state)| state == "unavailable"));
}

/// Acceptance case 4, from one command to the next.
#[test]
fn case_4_a_known_pro_account_is_shown_stale_while_the_hub_is_away() {
    let environment = Environment::new();
    let mut hub = AccountHub::start(&environment);
    let fresh = hub.json(&environment, Some(PRO), "status");
    assert_eq!(
        (&fresh["account"]["stale"], &fresh["account"]["plan"]),
        (&false.into(), &"pro".into())
    );
    hub.stop();
    let stale = hub.json(&environment, Some(PRO), "status");
    assert_eq!(
        (&stale["account"]["stale"], &stale["account"]["plan"]),
        (&true.into(), &"pro".into())
    );
    assert_eq!(stale["account"]["checked_at"], fresh["account"]["checked_at"]);
    assert_eq!(stale["wallet"]["spend"]["state"], "unavailable");
    assert_eq!(state_of(&stale, "jobs"), "available");
    let doctor = hub.run(&environment, Some(PRO), &["--format", "json", "doctor"]);
    assert_eq!(doctor.status.code(), Some(8), "{}", stderr(&doctor));
}

/// Acceptance case 6.
#[test]
fn case_6_doctor_names_the_missing_scope_of_each_feature_and_the_least_to_ask_for() {
    let environment = Environment::new();
    let hub = AccountHub::start(&environment);
    let output = hub.run(&environment, Some(FINE), &["--format", "json", "doctor"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let report = &json_lines(&output)[0];
    let missing: Vec<(&str, &str)> = report["missing_scopes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["feature"].as_str().unwrap(),
                row["permission"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        missing,
        [
            ("inference", "inference.serverless.write"),
            ("jobs", "job.write"),
            ("billing_usage", "user.billing.read"),
        ]
    );
    assert_eq!(
        report["ask_for"],
        serde_json::json!(["inference.serverless.write", "job.write", "user.billing.read"])
    );
    assert!(
        report["token_page"]
            .as_str()
            .unwrap()
            .contains("ownUserPermissions=job.write")
    );
    let status = hub.json(&environment, Some(FINE), "status");
    assert_eq!(state_of(&status, "jobs"), "unavailable");
    // The wallet's parts fail by themselves.
    assert_eq!(status["wallet"]["spend"]["state"], "unavailable");
    assert!(
        status["wallet"]["spend"]["unlock"]
            .as_str()
            .unwrap()
            .contains("user.billing.read")
    );
    assert_eq!(status["wallet"]["zero_gpu"]["base_seconds"], 2400.0);
    assert_eq!(status["wallet"]["storage"]["state"], "known");

    let one = hub.run(
        &environment,
        Some(FINE),
        &["doctor", "--for", "upload_private_datasets"],
    );
    assert_success(&one);
    let reader = hub.run(
        &environment,
        Some(READER),
        &["--format", "json", "doctor", "--for", "jobs"],
    );
    assert_eq!(reader.status.code(), Some(4));
    let well = hub.run(&environment, Some(PRO), &["--format", "json", "doctor"]);
    assert_success(&well);
    assert_eq!(json_lines(&well)[0]["ok"], true);
    let refused = hub.run(&environment, Some(WRONG), &["doctor"]);
    assert_eq!(refused.status.code(), Some(4));
    let nothing = hub.run(&environment, None, &["doctor"]);
    assert_success(&nothing);
}

fn set(hub: &AccountHub, environment: &Environment, token: &str) -> Output {
    let mut child = hub
        .command(environment, None, &["--format", "json", "token", "set"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{token}\n").as_bytes())
        .unwrap();
    child.wait_with_output().unwrap()
}

/// Acceptance cases 2 and 3.
#[test]
fn cases_2_and_3_a_wrong_token_replaces_none_and_one_of_the_environment_is_not_touched() {
    let environment = Environment::new();
    let mut hub = AccountHub::start(&environment);
    assert_success(&set(&hub, &environment, FREE));
    let file = environment.path("user/.cache/huggingface/token");
    let stored = || std::fs::read_to_string(&file).unwrap();
    assert_eq!(stored(), FREE);
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(hub.json(&environment, None, "status")["account"]["name"], "bob");

    let refused = set(&hub, &environment, WRONG);
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    assert_eq!(stored(), FREE);
    assert_eq!(hub.json(&environment, None, "status")["account"]["name"], "bob");

    // The environment's wins, and can neither be replaced nor removed.
    assert_eq!(
        hub.json(&environment, Some(PRO), "status")["account"]["name"],
        "ada"
    );
    std::fs::write(environment.path("new"), TEAM).unwrap();
    let new = environment.path("new");
    let new = new.to_str().unwrap();
    for args in [&["token", "rm"][..], &["token", "set", "--token-file", new]] {
        let output = hub.run(&environment, Some(PRO), args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("unset HF_TOKEN"), "{}", stderr(&output));
    }
    assert_eq!(stored(), FREE);
    assert_success(&hub.run(&environment, None, &["token", "set", "--token-file", new]));
    assert_eq!(hub.json(&environment, None, "status")["account"]["name"], "tim");
    hub.stop();
    let away = set(&hub, &environment, PRO);
    assert_eq!(away.status.code(), Some(8), "{}", stderr(&away));
    assert_eq!(stored(), TEAM);
    assert_success(&hub.run(&environment, None, &["token", "rm"]));
    assert!(!file.exists());
}

/// Acceptance case 7, through a command.
#[test]
fn case_7_a_bare_name_is_in_the_user_s_or_the_organisation_s_namespace() {
    let environment = Environment::new();
    let hub = AccountHub::start(&environment);
    for (args, expected) in [
        (&["data", "pull", "x", "out"][..], "tim/x"),
        (&["--org", "lab", "data", "pull", "x", "out"], "lab/x"),
        (&["--org", "lab", "data", "pull", "tim/x", "out"], "tim/x"),
    ] {
        let output = hub.run(&environment, Some(TEAM), &[&["-vv"], args].concat());
        assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
        assert!(
            stderr(&output).contains(&format!("/{expected}")),
            "{}",
            stderr(&output)
        );
    }
    for bad in ["a/b/c", "a b", "..", ""] {
        let output = hub.run(&environment, Some(TEAM), &["data", "pull", bad, "out"]);
        assert_eq!(output.status.code(), Some(2), "{bad:?}: {}", stderr(&output));
    }
}

/// Acceptance case 1, for the commands about the account.
#[test]
fn case_1_the_token_is_in_no_output_log_line_error_or_file() {
    let environment = Environment::new();
    let mut hub = AccountHub::start(&environment);
    let mut said = Vec::new();
    let mut see = |output: Output| {
        said.extend(output.stdout);
        said.extend(output.stderr);
    };
    let commands: [&[&str]; 6] = [
        &["status"],
        &["wallet"],
        &["doctor"],
        &["token", "show"],
        &["token", "rm"],
        &["data", "ls"],
    ];
    for format in ["json", "human", "quiet"] {
        for token in [Some(PRO), Some(FREE), Some(FINE), Some(WRONG), None] {
            for command in commands {
                see(hub.run(
                    &environment,
                    token,
                    &[&["-vvv", "--format", format], command].concat(),
                ));
            }
        }
    }
    see(set(&hub, &environment, WRONG));
    see(set(&hub, &environment, FREE));
    see(hub.run(&environment, None, &["-vvv", "token", "show"]));
    hub.stop();
    see(hub.run(&environment, Some(PRO), &["-vvv", "status"]));
    let said = String::from_utf8_lossy(&said);
    assert!(said.len() > 10_000 && said.contains("hf_***"));
    let line = said.lines().find(|line| line.contains("canary"));
    assert!(line.is_none(), "{}", line.unwrap_or_default());
    assert_no_file_holds_it(&environment.home());
}

fn assert_no_file_holds_it(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_file_holds_it(&path);
        } else {
            let bytes = std::fs::read(&path).unwrap();
            let holds = bytes.windows(6).any(|window| window == b"canary");
            assert!(!holds, "{}", path.display());
        }
    }
}

/// A job's token is stored for one Hub, checked first, and is what jobs and plans look at.
#[test]
fn jobs_get_a_token_of_their_own() {
    let environment = Environment::new();
    let hub = AccountHub::start(&environment);
    let stored = |token: &str| {
        std::fs::write(environment.path("narrow.txt"), token).unwrap();
        let file = environment.path("narrow.txt");
        let args = [
            "--format",
            "json",
            "--token-file",
            file.to_str().unwrap(),
            "token",
            "set",
            "--for-jobs",
        ];
        hub.run(&environment, None, &args)
    };
    // One that cannot write the model is of no use to a training job.
    let reader = stored(READER);
    assert_eq!(reader.status.code(), Some(4), "{}", stderr(&reader));
    assert_eq!(stored("hf_unknownunknownunknown").status.code(), Some(4));
    let fine = stored(FINE);
    assert_success(&fine);
    assert_eq!(json_lines(&fine)[0]["beyond_repositories"], serde_json::json!([]));
    let file = environment.home().join("job_token.json");
    assert_eq!(
        std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let run = |expected: &str| {
        // Word for word it would be a token in the open, so the job compares its length and its end.
        let (length, end) = (expected.len().to_string(), &expected[expected.len() - 4..]);
        let check =
            format!("test ${{#HF_TOKEN}} = {length} && case $HF_TOKEN in *{end}) ;; *) exit 1;; esac");
        let args = ["jobs", "run", "--secret", "HF_TOKEN", "--", "sh", "-c", &check];
        hub.run(&environment, Some(PRO), &args)
    };
    assert_success(&run(FINE));
    let doctor = hub.run(
        &environment,
        Some(PRO),
        &["--format", "json", "doctor", "--for", "jobs"],
    );
    let checks = &json_lines(&doctor)[0]["checks"];
    let check = |checks: &Value| {
        let found = checks
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["name"] == "job_token");
        found.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(check(checks), "ok");
    let removed = hub.run(
        &environment,
        None,
        &["--format", "json", "token", "rm", "--for-jobs"],
    );
    assert_eq!(json_lines(&removed)[0]["removed"], true);
    assert_success(&run(PRO));
    let doctor = hub.run(
        &environment,
        Some(PRO),
        &["--format", "json", "doctor", "--for", "jobs"],
    );
    assert_eq!(
        check(&json_lines(&doctor)[0]["checks"]),
        "note",
        "a broad token is worth a word"
    );
}
