//! Bringing files into a job: through Xet storage into a bucket, which is then mounted.

use std::path::{Path, PathBuf};

use hf_core::{HfError, UploadGate, XetBytes, XetLeave, XetTransfer};
use jiff::Timestamp;
use tempfile::TempDir;

use super::bucket::{AddFile, Bucket, content_type};
use crate::runner::HfJobRunner;
use crate::volume::{Volume, VolumeKind};

/// The bucket of a namespace that holds what its jobs were started with.
///
/// # Source
/// `huggingface_hub` 2.4.0 `constants.py`, `HF_JOBS_ARTIFACTS_BUCKET_NAME`.
const BUCKET: &str = "jobs-artifacts";

/// Files, each with the name it gets.
pub(crate) type Files = Vec<(PathBuf, String)>;

/// Sends files, each under its name, into a folder of their own; returns it as a volume.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `_upload_scripts_to_bucket`.
pub(crate) async fn ship(
    jobs: &HfJobRunner,
    files: Files,
    mount_path: &str,
    read_only: bool,
) -> Result<Volume, HfError> {
    let client = jobs.client();
    jobs.gate().check(client.endpoint())?;
    let (_copies, files) = pass(jobs.gate().clone(), files).await?;
    let bucket = Bucket::new(client, jobs.namespace().as_str(), BUCKET);
    bucket.ensure().await?;
    let hashes = send(jobs, &bucket, &files).await?;
    let folder = folder_name(client.clock().now());
    let mut adds = Vec::with_capacity(files.len());
    for (file, xet_hash) in files.iter().zip(hashes) {
        adds.push(AddFile {
            path: format!("{folder}/{}", file.name),
            xet_hash,
            mtime: modified_ms(&file.file).await?,
            content_type: content_type(&file.name),
        });
    }
    bucket.add(&adds).await?;
    Ok(Volume {
        kind: VolumeKind::Bucket,
        source: bucket.id,
        mount_path: mount_path.to_owned(),
        revision: None,
        read_only: Some(read_only),
        path: Some(folder),
    })
}

/// `YYYYMMDDThhmmss-` and six digits nobody else has.
fn folder_name(now: Timestamp) -> String {
    use sha2::{Digest, Sha256};
    use std::hash::{BuildHasher, RandomState};
    // The standard library's hash keys are random, anew for each.
    let random = RandomState::new().hash_one(now.as_nanosecond());
    let digits = hex::encode(&Sha256::digest(random.to_le_bytes())[..3]);
    format!("{}-{digits}", now.strftime("%Y%m%dT%H%M%S"))
}

async fn modified_ms(path: &Path) -> Result<i64, HfError> {
    let modified = tokio::fs::metadata(path).await.and_then(|found| found.modified());
    let modified = modified.map_err(|error| HfError::io(format!("look at {}", path.display()), error))?;
    Ok(Timestamp::try_from(modified).map_or(0, Timestamp::as_millisecond))
}

/// A file on its way: where it lies, what it is called in the job, and what passed the gate.
struct Passed {
    file: PathBuf,
    name: String,
    copy: PathBuf,
}

/// Lets the gate look at every file and its name. What is sent is the copies, which only this user can read and which go with
/// the folder. Nothing is sent when one may not leave, or when the gate itself fails.
async fn pass(gate: UploadGate, files: Files) -> Result<(TempDir, Vec<Passed>), HfError> {
    let passing = tokio::task::spawn_blocking(move || {
        let folder = tempfile::tempdir().map_err(|error| HfError::io("make a temporary folder", error))?;
        let mut passed = Vec::with_capacity(files.len());
        for (number, (file, name)) in files.into_iter().enumerate() {
            let copy = folder.path().join(number.to_string());
            gate.copy_scanned(&name, &file, &copy, |_| ())?;
            passed.push(Passed { file, name, copy });
        }
        Ok((folder, passed))
    });
    passing.await.map_err(|_panicked| {
        HfError::invalid("the secret scan of the job's files broke off; nothing was uploaded")
    })?
}

/// Sends what passed to Xet storage; returns the files' hashes.
async fn send(jobs: &HfJobRunner, bucket: &Bucket<'_>, files: &[Passed]) -> Result<Vec<String>, HfError> {
    let client = jobs.client();
    let leave = XetLeave::ask(client, bucket.token_path()).await?;
    if leave.leads_through_a_proxy() {
        return Err(HfError::invalid(
            "a proxy is set in the environment, and the Xet layer would send loopback traffic to it; unset it for this command",
        ));
    }
    let mut transfer = XetTransfer::begin(client, leave, jobs.gate(), None).await?;
    for file in files {
        // A bucket is not looked up by SHA-256, so none is computed.
        transfer.add(XetBytes::File(file.copy.clone()), None).await?;
    }
    let sent = transfer.finish(|_, _| ()).await?;
    Ok(sent.into_iter().map(|sent| sent.hash).collect())
}
