//! What a job finds around it: its folders and its variables.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::procfs::{self, MARKER};
use super::spec::Secrets;
use super::view::Job;
use super::volumes::{self, Mounts};
use super::{ExecutorConfig, flavor::Flavor};

/// The folders of a job.
#[derive(Debug)]
pub(crate) struct Folders {
    root: PathBuf,
    pub(crate) work: PathBuf,
    temp: PathBuf,
    pub(crate) mounts: PathBuf,
}

impl Folders {
    pub(crate) fn new(root: PathBuf) -> Self {
        let [work, temp, mounts] = ["work", "tmp", "mnt"].map(|name| root.join(name));
        Self {
            root,
            work,
            temp,
            mounts,
        }
    }

    /// Makes the folder that holds the log.
    pub(crate) async fn make_root(&self) -> io::Result<()> {
        make_folder(&self.root).await
    }

    /// Makes the folders of an attempt, empty: a new container would be.
    pub(crate) async fn make_fresh(&self) -> io::Result<()> {
        self.remove().await?;
        make_folder(&self.work).await?;
        make_folder(&self.temp).await
    }

    /// Removes what an attempt left, but not the log.
    pub(crate) async fn remove(&self) -> io::Result<()> {
        if self.mounts.exists() {
            let mounts = self.mounts.clone();
            tokio::task::spawn_blocking(move || volumes::unlock(&mounts))
                .await
                .map_err(io::Error::other)??;
        }
        for folder in [&self.work, &self.temp, &self.mounts] {
            match tokio::fs::remove_dir_all(folder).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// Makes a folder only its owner can enter.
pub(crate) async fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = tokio::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(folder).await
}

/// The variables of a job. Later ones win: what every job gets, what this hub adds, the job's environment, its
/// secrets. Only the variable its processes are found by can't be changed.
///
/// # Source
/// The Hub's documentation of jobs, "built-in environment variables" (`JOB_ID`, `ACCELERATOR`, `CPU_CORES`,
/// `MEMORY`). Here `CPU_CORES` and `MEMORY` are those of the flavor, or of this machine where it has less.
pub(crate) fn variables(
    job: &Job,
    secrets: &Secrets,
    folders: &Folders,
    mounts: &Mounts,
    endpoint: &str,
    config: &ExecutorConfig,
) -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory_gb = procfs::machine_memory_bytes().div_ceil(1 << 30);
    let flavor = Flavor::find(&job.spec.flavor);
    let own = [
        ("PATH", config.path()),
        ("HOME", folders.work.to_string_lossy().into_owned()),
        ("TMPDIR", folders.temp.to_string_lossy().into_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("HF_ENDPOINT", endpoint.to_owned()),
        (
            "ACCELERATOR",
            flavor.map_or("none", Flavor::accelerator).to_owned(),
        ),
        (
            "CPU_CORES",
            flavor
                .map_or(cores, |flavor| cores.min(flavor.vcpu as usize))
                .to_string(),
        ),
        (
            "MEMORY",
            format!(
                "{}Gi",
                flavor.map_or(memory_gb, |flavor| at_most(flavor.ram_gb, memory_gb))
            ),
        ),
    ];
    let mut variables: BTreeMap<String, String> = own
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    for more in [&config.environment, &job.spec.environment, &secrets.0] {
        variables.extend(more.iter().map(|(name, value)| (name.clone(), mounts.map(value))));
    }
    variables.insert(MARKER.to_owned(), job.id.clone());
    variables
}

/// The memory of a flavor, or of the machine when that is known and less.
fn at_most(flavor_gb: u32, machine_gb: u64) -> u64 {
    let flavor_gb = u64::from(flavor_gb);
    if machine_gb == 0 {
        flavor_gb
    } else {
        flavor_gb.min(machine_gb)
    }
}
