//! Files of scripts pass the gate before anything is sent.

use std::sync::Arc;

use hf_core::testing::ScriptedTransport;
use hf_core::{FileScan, HfClient, HfErrorKind, Namespace, RequestSpec, Token, UploadGate, UploadScanner};
use hf_jobs::{HfJobRunner, JobSpec, UvScript};

use crate::support::{TestHub, finished, sh};

/// What the scan is to find.
const CANARY: &str = "a-canary-nobody-may-see";

/// Refuses what holds the canary, and breaks down over a file named `broken.txt`.
#[derive(Debug)]
struct Canaries;

struct Scan(Vec<u8>);

impl UploadScanner for Canaries {
    fn begin(&self, path: &str, _: u64) -> Result<Box<dyn FileScan>, String> {
        assert!(path != "broken.txt", "the gate itself breaks");
        if path.contains(CANARY) {
            return Err("the name of a file is a secret".to_owned());
        }
        Ok(Box::new(Scan(Vec::new())))
    }
}

impl FileScan for Scan {
    fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        if String::from_utf8_lossy(&self.0).contains(CANARY) {
            return Err("a file holds a secret".to_owned());
        }
        Ok(())
    }
}

/// Every byte the Hub has on disk.
fn stored(hub: &TestHub) -> Vec<u8> {
    fn collect(folder: &std::path::Path, into: &mut Vec<u8>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                collect(&entry.path(), into);
            } else {
                into.extend(std::fs::read(entry.path()).unwrap_or_default());
            }
        }
    }
    let mut all = Vec::new();
    collect(hub.folder(), &mut all);
    all
}

#[tokio::test]
async fn no_file_of_a_script_is_sent_that_the_gate_has_not_passed() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs().with_gate(UploadGate::Scan(Arc::new(Canaries)));
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let clean = file("train.py", "print('a clean script')");
    let telling_script = file("telling.py", &format!("key = '{CANARY}'"));
    let telling_data = file("rows.jsonl", &format!("{{\"key\": \"{CANARY}\"}}\n"));
    let telling_name = file(&format!("{CANARY}.txt"), "");
    let broken = file("broken.txt", "");
    for (script, data) in [
        (&telling_script, None),
        (&clean, Some(telling_data)),
        (&clean, Some(telling_name)),
        (&clean, Some(broken)),
    ] {
        let uv = UvScript {
            arguments: data.into_iter().collect(),
            ..UvScript::new(script)
        };
        let error = jobs.prepare_uv(&uv, JobSpec::uv()).await.unwrap_err();
        assert_eq!(error.kind(), HfErrorKind::InvalidArgument);
        let said = error.to_string();
        assert!(
            said.contains("nothing was uploaded") && !said.contains(CANARY),
            "{said}"
        );
    }
    let held = String::from_utf8_lossy(&stored(&hub)).into_owned();
    assert!(!held.contains("jobs-artifacts"), "not even the bucket was made");
    jobs.prepare_uv(&UvScript::new(&clean), JobSpec::uv())
        .await
        .unwrap();
    let held = String::from_utf8_lossy(&stored(&hub)).into_owned();
    assert!(held.contains("jobs-artifacts") && !held.contains(CANARY));
    hub.stop().await;
}

#[tokio::test]
async fn a_folder_is_mounted_as_a_copy_that_passed_the_gate() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs().with_gate(UploadGate::Scan(Arc::new(Canaries)));
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    std::fs::write(folder.path().join("deep/a.txt"), "one\n").unwrap();
    let volume = jobs.ship_folder(folder.path(), "/inputs", true).await.unwrap();
    std::fs::write(folder.path().join("deep/a.txt"), CANARY).unwrap();
    let mut spec = sh("cat \"$1\"");
    spec.command
        .extend(["job".to_owned(), "/inputs/deep/a.txt".to_owned()]);
    spec.volumes.push(volume);
    let job = jobs.run(&spec).await.unwrap();
    finished(&jobs, &job.id).await.require_success().unwrap();
    assert_eq!(jobs.get_job_logs(&job.id).await.unwrap(), "one\n");
    let error = jobs.ship_folder(folder.path(), "/inputs", true).await;
    assert!(error.unwrap_err().to_string().contains("nothing was uploaded"));
    let empty = tempfile::tempdir().unwrap();
    jobs.ship_folder(empty.path(), "/outputs", false).await.unwrap();
    assert!(!String::from_utf8_lossy(&stored(&hub)).contains(CANARY));
    hub.stop().await;
}

#[tokio::test]
async fn without_a_scan_no_file_goes_to_another_machine() {
    let transport = Arc::new(ScriptedTransport::new());
    let client = HfClient::builder()
        .endpoint("https://hub.example.org".parse().unwrap())
        .token(Token::parse("hf_testtoken").unwrap())
        .transport(transport.clone())
        .build()
        .unwrap();
    let jobs = HfJobRunner::new(&client, Namespace::parse("ada").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("train.py");
    std::fs::write(&script, "print(1)").unwrap();
    let uv = UvScript::new(script.to_str().unwrap());
    let error = jobs.prepare_uv(&uv, JobSpec::uv()).await.unwrap_err();
    assert!(error.to_string().contains("secret scan"), "{error}");
    assert!(transport.requests().is_empty());
    // Without a file there is nothing to scan.
    let address = UvScript::new("https://example.org/train.py");
    jobs.prepare_uv(&address, JobSpec::uv()).await.unwrap();
}

#[tokio::test]
async fn the_value_of_a_secret_is_refused_where_others_can_read_it() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let telling = |place: fn(&mut JobSpec)| {
        let mut spec = JobSpec::docker("alpine", ["true"]);
        spec.secrets.insert("KEY".into(), CANARY.into());
        place(&mut spec);
        spec
    };
    for spec in [
        telling(|spec| spec.command.push(format!("--key={CANARY}"))),
        telling(|spec| {
            spec.environment.insert("X".into(), CANARY.into());
        }),
        telling(|spec| {
            spec.labels.insert("x".into(), CANARY.into());
        }),
    ] {
        let error = jobs.run(&spec).await.unwrap_err().to_string();
        assert!(error.contains("secret KEY") && !error.contains(CANARY), "{error}");
    }
    assert_eq!(jobs.count_jobs(&[]).await.unwrap(), 0);
    jobs.run(&telling(|_| ())).await.unwrap();
    hub.stop().await;
}

#[tokio::test]
async fn what_a_job_is_given_goes_into_no_bucket_that_everybody_can_read() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs().with_gate(UploadGate::Scan(Arc::new(Canaries)));
    let bucket = "/api/buckets/ada/jobs-artifacts";
    let public = RequestSpec::post(bucket)
        .json(&serde_json::json!({"visibility": "public"}))
        .unwrap();
    jobs.client().request_bytes(public).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("train.py");
    std::fs::write(&script, "print('for nobody else')").unwrap();
    let uv = UvScript::new(script.to_str().unwrap());
    let error = jobs.prepare_uv(&uv, JobSpec::uv()).await.unwrap_err();
    assert!(error.to_string().contains("is public"), "{error}");
    assert!(!String::from_utf8_lossy(&stored(&hub)).contains("for nobody else"));
    hub.stop().await;
}
