//! The task that owns a job: waits for a slot, runs the process, and gives the job its one final stage.

use std::io;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::atomic::Ordering;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::AsyncRead;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use super::environment::{Folders, variables};
use super::lines::LinePipe;
use super::log::LogWriter;
use super::process::{JobProcess, Launch, Tree};
use super::procfs::{self, ProcessIdentity};
use super::queue::Ticket;
use super::stage::Stage;
use super::store::End;
use super::view::Job;
use super::volumes::{self, Mounts};
use super::{Jobs, Live, Signals, Stop};
use crate::clock::HubClock;

/// Pieces of output that may wait for the disk; then the process waits too.
const OUTPUT_QUEUE: usize = 16;

/// How long a pipe may stay open after the last known process of a job is gone.
const PIPE_DEADLINE: Duration = Duration::from_secs(2);

/// How long to wait before an index that could not be written is tried again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);

/// How an attempt ended.
#[derive(Debug)]
enum Ending {
    Exited(ExitStatus),
    TimedOut,
    Stopped(Stop),
    /// The process could not be started, and why.
    NotStarted(String),
}

/// Log lines on their way to the file.
type Lines = mpsc::Sender<Vec<String>>;

pub(super) async fn run(jobs: &Jobs, mut job: Job, live: &Live, signals: &Signals, mut ticket: Ticket) {
    let mut stop = live.stop.subscribe();
    let slot = tokio::select! {
        biased;
        why = stopped(&mut stop) => Err(why),
        slot = ticket.slot() => Ok(slot),
    };
    let _slot = match slot {
        Ok(slot) => slot,
        // It still waits when the next hub starts.
        Err(Stop::Shutdown) => return,
        Err(Stop::Request) => {
            drop(ticket);
            finish(jobs, &job, signals, Outcome::new(Stage::Canceled, None)).await;
            return;
        }
        // Only what runs costs.
        Err(Stop::NoCredit) => {
            drop(ticket);
            finish(jobs, &job, signals, Outcome::no_credit()).await;
            return;
        }
    };
    // In a box: a job that waits is small, and many may wait.
    Box::pin(run_in_slot(jobs, &mut job, live, signals, &mut stop)).await;
}

async fn run_in_slot(
    jobs: &Jobs,
    job: &mut Job,
    live: &Live,
    signals: &Signals,
    stop: &mut watch::Receiver<Option<Stop>>,
) {
    let now = jobs.inner.clock.now();
    if let Err(error) = start(jobs, job, now).await {
        tracing::error!(job_id = job.id, %error, "a job could not be started");
        let message = format!("The job could not be started: {error}");
        finish(jobs, job, signals, Outcome::new(Stage::Error, Some(message))).await;
        return;
    }
    jobs.meter(job);
    signals.stage.send_replace(Stage::Running);
    let folders = Folders::new(jobs.job_folder(&job.id));
    let (lines, written) = open_log(jobs, job, signals).await;
    say(&lines, vec![started_line(now, &first_note(job))]).await;
    let outcome = run_attempts(jobs, job, live, &folders, stop, &lines).await;
    drop(lines);
    // Every line is on disk before anybody sees the final stage.
    if let Err(error) = written.await {
        tracing::error!(job_id = job.id, %error, "the log of a job was not finished");
    }
    if !jobs.inner.config.keep_work
        && let Err(error) = folders.remove().await
    {
        tracing::warn!(job_id = job.id, %error, "the folder of a job could not be removed");
    }
    finish(jobs, job, signals, outcome).await;
}

/// What became of a job.
#[derive(Debug)]
struct Outcome {
    stage: Stage,
    message: Option<String>,
    cancel_reason: Option<&'static str>,
}

impl Outcome {
    fn new(stage: Stage, message: Option<String>) -> Self {
        Self {
            stage,
            message,
            cancel_reason: None,
        }
    }

    /// The account that pays has nothing left.
    fn no_credit() -> Self {
        Self {
            stage: Stage::Canceled,
            message: None,
            cancel_reason: Some("NO_CREDITS"),
        }
    }
}

/// Waits until somebody asks for the end of the job.
async fn stopped(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    let why = stop.wait_for(Option::is_some).await.map(|why| *why);
    match why {
        Ok(Some(why)) => why,
        // Nobody is left who could ask.
        _ => std::future::pending().await,
    }
}

async fn start(jobs: &Jobs, job: &mut Job, now: jiff::Timestamp) -> io::Result<()> {
    Folders::new(jobs.job_folder(&job.id)).make_root().await?;
    if !jobs
        .inner
        .store
        .start(&job.id, now)
        .await
        .map_err(io::Error::other)?
    {
        return Err(io::Error::other("it is not waiting any more"));
    }
    job.stage = Stage::Running;
    job.started_at = Some(now);
    Ok(())
}

/// Opens the log; without one (a full disk) the job runs all the same, and its output is read and dropped.
async fn open_log(jobs: &Jobs, job: &Job, signals: &Signals) -> (Lines, JoinHandle<()>) {
    let (lines, queue) = mpsc::channel(OUTPUT_QUEUE);
    let config = &jobs.inner.config;
    let writer = LogWriter::open(&jobs.log_path(&job.id), config.max_log_bytes, signals.log.clone()).await;
    let clock = jobs.inner.clock.clone();
    let written = match writer {
        Ok(writer) => tokio::spawn(write_log(queue, writer, clock)),
        Err(error) => {
            tracing::error!(job_id = job.id, %error, "the log of a job could not be opened");
            tokio::spawn(drop_log(queue))
        }
    };
    (lines, written)
}

async fn write_log(mut queue: mpsc::Receiver<Vec<String>>, mut writer: LogWriter, clock: HubClock) {
    while let Some(lines) = queue.recv().await {
        writer.append(&lines, clock.now()).await;
    }
}

async fn drop_log(mut queue: mpsc::Receiver<Vec<String>>) {
    while queue.recv().await.is_some() {}
}

async fn say(lines: &Lines, text: Vec<String>) {
    // The writer ends only after the last sender.
    let _sent = lines.send(text).await;
}

/// The line an attempt starts with. Official clients hide what begins with these words, so that a log reads the same
/// as the Hub's; the rest of the line tells those who look what is different here.
fn started_line(now: jiff::Timestamp, note: &str) -> String {
    format!(
        "===== Job started at {} ===== {note}",
        now.strftime("%Y-%m-%d %H:%M:%S")
    )
}

fn first_note(job: &Job) -> String {
    let kind = if job.spec.docker_image.is_some() {
        "image"
    } else {
        "Space"
    };
    format!(
        "hf-local: a process on this machine, not a container; {kind} {} is recorded and not used; flavor {} is \
         recorded and its price simulated, the processors and the memory are this machine's{}",
        job.spec.image(),
        job.spec.flavor,
        if job.spec.volumes.is_empty() {
            ""
        } else {
            "; volumes are copies below the job's folder, and what is written to them stays there"
        }
    )
}

/// Runs the job until an attempt succeeds, all are used up, or it is to end; returns the final stage.
async fn run_attempts(
    jobs: &Jobs,
    job: &Job,
    live: &Live,
    folders: &Folders,
    stop: &mut watch::Receiver<Option<Stop>>,
    lines: &Lines,
) -> Outcome {
    // The time-out is that of the job: attempts share it.
    let timeout = jobs.inner.clock.sleep(Duration::from_secs(job.spec.timeout_secs));
    tokio::pin!(timeout);
    let mut attempt = 1;
    loop {
        let message = match run_attempt(jobs, job, live, folders, stop, timeout.as_mut(), lines).await {
            Ending::Exited(status) if status.success() => return Outcome::new(Stage::Completed, None),
            Ending::Exited(status) => failure_message(status),
            Ending::TimedOut => return Outcome::new(Stage::Error, Some("Job timeout".to_owned())),
            Ending::Stopped(Stop::Request) => return Outcome::new(Stage::Canceled, None),
            Ending::Stopped(Stop::NoCredit) => return Outcome::no_credit(),
            Ending::Stopped(Stop::Shutdown) => {
                return Outcome::new(
                    Stage::Canceled,
                    Some("The hub was shut down while the job ran".to_owned()),
                );
            }
            // Another attempt would find the same.
            Ending::NotStarted(message) => {
                say(lines, vec![message.clone()]).await;
                return Outcome::new(Stage::Error, Some(message));
            }
        };
        if let Err(error) = jobs.inner.store.add_failure(&job.id).await {
            tracing::warn!(job_id = job.id, %error, "a failed attempt was not counted");
        }
        if attempt >= job.spec.attempts {
            return Outcome::new(Stage::Error, Some(message));
        }
        attempt += 1;
        let note = format!("attempt {attempt} of {}, after: {message}", job.spec.attempts);
        say(lines, vec![started_line(jobs.inner.clock.now(), &note)]).await;
    }
}

fn failure_message(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(number) = std::os::unix::process::ExitStatusExt::signal(&status) {
        let name = Signal::try_from(number).map_or("unknown", Signal::as_str);
        // A shell, and with it a container, gives 128 and the number of the signal.
        return format!(
            "Job failed with exit code: {}. Reason: killed by signal {number} ({name})",
            128 + number
        );
    }
    format!("Job failed with exit code: {}", status.code().unwrap_or_default())
}

async fn run_attempt(
    jobs: &Jobs,
    job: &Job,
    live: &Live,
    folders: &Folders,
    stop: &mut watch::Receiver<Option<Stop>>,
    timeout: Pin<&mut impl Future<Output = ()>>,
    lines: &Lines,
) -> Ending {
    let config = &jobs.inner.config;
    if let Err(error) = folders.make_fresh().await {
        return Ending::NotStarted(format!("The folder of the job could not be made: {error}"));
    }
    let mounts = if job.spec.volumes.is_empty() {
        Mounts::default()
    } else {
        let Some(hub) = jobs.hub().await else {
            return Ending::Stopped(Stop::Shutdown);
        };
        match volumes::mount(&hub, &job.spec, &folders.mounts).await {
            Ok(mounts) => mounts,
            Err(why) => return Ending::NotStarted(why),
        }
    };
    let environment = variables(job, &live.secrets, folders, &mounts, &jobs.inner.endpoint, config);
    let words: Vec<String> = job
        .spec
        .command
        .iter()
        .chain(&job.spec.arguments)
        .map(|word| mounts.map(word))
        .collect();
    let [program, arguments @ ..] = words.as_slice() else {
        return Ending::NotStarted("The job has no command".to_owned());
    };
    let spawned = JobProcess::spawn(&Launch {
        program,
        arguments,
        environment: &environment,
        folder: &folders.work,
        memory_limit_bytes: config.memory_limit_bytes,
    });
    let mut process = match spawned {
        Ok(process) => process,
        Err(error) => return Ending::NotStarted(not_started(program, &environment["PATH"], &error)),
    };
    live.pid.store(process.pid, Ordering::Release);
    if let Err(error) = jobs
        .inner
        .store
        .set_process(&job.id, &ProcessIdentity::of(process.pid))
        .await
    {
        // A new hub finds the process by its variable all the same.
        tracing::warn!(job_id = job.id, %error, "the process of a job was not recorded");
    }
    let outputs = [
        process
            .stdout
            .take()
            .map(|pipe| tokio::spawn(pump(pipe, config.max_line_bytes, lines.clone()))),
        process
            .stderr
            .take()
            .map(|pipe| tokio::spawn(pump(pipe, config.max_line_bytes, lines.clone()))),
    ];
    let ending = tokio::select! {
        biased;
        why = stopped(stop) => Ending::Stopped(why),
        status = process.wait() => status.map_or_else(
            |error| Ending::NotStarted(format!("The process could not be watched: {error}")),
            Ending::Exited,
        ),
        () = timeout => Ending::TimedOut,
        () = jobs.out_of_credit(job.payer()) => Ending::Stopped(Stop::NoCredit),
    };
    let mut tree = Tree::new(Some(process.pid), procfs::marker(&job.id));
    let left = match &ending {
        // What a container's first process leaves behind ends with it.
        Ending::Exited(_) => tree.kill().await,
        _ => tree.end(config.grace).await,
    };
    live.pid.store(0, Ordering::Release);
    if left > 0 {
        tracing::error!(job_id = job.id, left, "processes of a job could not be killed");
    } else if let Err(error) = process.wait().await {
        tracing::warn!(job_id = job.id, %error, "the process of a job could not be reaped");
    }
    for mut output in outputs.into_iter().flatten() {
        // A process that could not be found may hold the pipe open for ever.
        if tokio::time::timeout(PIPE_DEADLINE, &mut output).await.is_err() {
            output.abort();
        }
    }
    ending
}

fn not_started(program: &str, path: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if program.contains('/') => {
            format!(
                "The command {program:?} could not be started: no such file, or its interpreter is missing"
            )
        }
        io::ErrorKind::NotFound => {
            format!(
                "The command {program:?} could not be started: it is in none of the folders of PATH ({path})"
            )
        }
        io::ErrorKind::PermissionDenied => {
            format!("The command {program:?} could not be started: it is not executable")
        }
        _ => format!("The command {program:?} could not be started: {error}"),
    }
}

/// Reads a pipe to its end, line by line.
async fn pump(pipe: impl AsyncRead + Unpin, max_line_bytes: usize, lines: Lines) {
    let mut pipe = LinePipe::new(pipe, max_line_bytes);
    while let Some(batch) = pipe.next().await {
        say(&lines, batch).await;
    }
}

/// Gives a job its final stage, in the index first and then to those who watch.
async fn finish(jobs: &Jobs, job: &Job, signals: &Signals, outcome: Outcome) {
    let now = jobs.inner.clock.now();
    let cost = job.cost_between(job.created_at, now);
    // First, so that nothing is counted twice.
    jobs.unmeter(job);
    let end = End {
        stage: outcome.stage,
        message: outcome.message.as_deref(),
        cancel_reason: outcome.cancel_reason,
        cost_micro_usd: cost.map_or(0, |cost| cost.micro_usd),
    };
    loop {
        match jobs.inner.store.finish(&job.id, &end, now).await {
            Ok(true) => break,
            Ok(false) => {
                tracing::error!(
                    job_id = job.id,
                    "a job had a final stage that its owner did not give it"
                );
                break;
            }
            Err(error) => {
                // A full disk, say. As long as the index says otherwise, so does everybody.
                tracing::error!(job_id = job.id, %error, "the end of a job could not be recorded, trying again");
                if jobs.inner.closing.is_cancelled() {
                    return;
                }
                tokio::time::sleep(STORE_RETRY).await;
            }
        }
    }
    signals.log.send_modify(|mark| mark.closed = true);
    jobs.inner.spending.notify_waiters();
    signals.stage.send_replace(outcome.stage);
}
