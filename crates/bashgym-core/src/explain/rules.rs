//! What tells the cause: the Hub's own words first, then the log from its end.

use super::{EVIDENCE_CHARS, EVIDENCE_LINES, FailedJob, FailureCause};

/// What a line holds, in lower case, and what it means. The first rule that any line keeps decides, so that the more
/// telling comes first: a full disk shows up as a broken download as well.
///
/// # Source
/// Messages of `PyTorch` 2.15 (`torch.OutOfMemoryError`), `huggingface_hub` 2.4.0 (`errors.py`, `utils/_http.py`), uv 0.13,
/// Python 3.12, bitsandbytes; replies of the Hub in its clients' issue trackers.
const RULES: [(FailureCause, &[&str]); 14] = [
    (
        FailureCause::OutOfGpuMemory,
        &[
            "cuda out of memory",
            "outofmemoryerror",
            "cublas_status_alloc_failed",
            "cuda error: out of memory",
        ],
    ),
    (
        FailureCause::DiskFull,
        &["no space left on device", "[errno 28]", "disk quota exceeded"],
    ),
    (
        FailureCause::OutOfMemory,
        &[
            "oomkilled",
            "cannot allocate memory",
            "memoryerror",
            "defaultcpuallocator: can't allocate memory",
            "std::bad_alloc",
        ],
    ),
    (
        FailureCause::NoCredit,
        &[
            "credit balance is insufficient",
            "no_credits",
            "402 client error",
            "payment required",
        ],
    ),
    (
        FailureCause::GatedModel,
        &[
            "gatedrepoerror",
            "gated repo",
            "not in the authorized list",
            "access to model",
            "ask for access",
        ],
    ),
    (
        FailureCause::MissingScope,
        &[
            "missing permissions",
            "you must use a write token",
            "don't have the rights to",
            "you do not have permission",
            "does not have the required permissions",
            "403 forbidden",
            "403 client error",
        ],
    ),
    (
        FailureCause::BadToken,
        &[
            "invalid username or password",
            "invalid user token",
            "token is expired",
            "localtokennotfounderror",
        ],
    ),
    (
        FailureCause::NotFound,
        &[
            "repositorynotfounderror",
            "revisionnotfounderror",
            "entrynotfounderror",
            "repository not found",
        ],
    ),
    (
        FailureCause::Dependencies,
        &[
            "no solution found when resolving",
            "failed to build `",
            "no interpreter found for python",
        ],
    ),
    (
        FailureCause::ImportError,
        &["modulenotfounderror", "importerror", "undefined symbol"],
    ),
    (
        FailureCause::NoAccelerator,
        &[
            "qlora needs a gpu",
            "torch not compiled with cuda enabled",
            "no cuda gpus are available",
            "no kernel image is available",
            "found no nvidia driver",
        ],
    ),
    (
        FailureCause::BadInput,
        &[
            "the configuration cannot be used",
            "no row can be trained on",
            "has no chat template",
            "has no fast tokenizer",
            "keyerror: 'messages'",
        ],
    ),
    (
        FailureCause::Diverged,
        &[
            "loss is nan",
            "probability tensor contains either `inf`, `nan`",
            "the training diverged",
        ],
    ),
    (
        FailureCause::Network,
        &[
            "temporary failure in name resolution",
            "connection refused",
            "connection reset by peer",
            "connecterror",
            "readtimeout",
            "max retries exceeded",
            "503 server error",
            "502 server error",
            "504 server error",
            "429 client error",
        ],
    ),
];

/// The cause, and the lines that say so.
pub(super) fn find(job: &FailedJob<'_>) -> (FailureCause, Vec<String>) {
    if let Some(cause) = from_hub(job) {
        let said = [job.message, job.cancel_reason]
            .into_iter()
            .flatten()
            .map(cut)
            .collect();
        return (cause, said);
    }
    for (cause, words) in RULES {
        let found: Vec<String> = job
            .last_lines
            .iter()
            .map(String::as_str)
            .chain(job.message)
            .filter(|line| !is_progress(line) && holds_any(line, words))
            .map(cut)
            .collect();
        if !found.is_empty() {
            let first = found.len().saturating_sub(EVIDENCE_LINES);
            return (cause, found[first..].to_vec());
        }
    }
    let cause = match exit_code(job.message) {
        Some(126 | 127) => FailureCause::CommandMissing,
        Some(134 | 137 | 139 | 143) => FailureCause::Killed,
        _ => FailureCause::Unknown,
    };
    (cause, last_words(job))
}

/// What the Hub itself says outweighs the log.
fn from_hub(job: &FailedJob<'_>) -> Option<FailureCause> {
    match job.cancel_reason {
        Some("NO_CREDITS") => return Some(FailureCause::NoCredit),
        Some("NO_SUBSCRIPTION") => return Some(FailureCause::NoSubscription),
        _ => {}
    }
    let message = job.message?.to_ascii_lowercase();
    if message.contains("oomkilled") {
        // The machine's memory: an accelerator that is full does not kill the job.
        return Some(FailureCause::OutOfMemory);
    }
    let timed_out = ["job timeout", "timed out", "timeout reached"]
        .iter()
        .any(|words| message.contains(words));
    // 75 is how a recipe's script says that it stopped by itself, with a checkpoint, before its time ran out.
    (timed_out || exit_code(job.message) == Some(75)).then_some(FailureCause::TimedOut)
}

/// The exit code in the Hub's message.
///
/// # Source
/// `Job failed with exit code: 137. Reason: OOMKilled`, as seen in reports of the Hub's users.
fn exit_code(message: Option<&str>) -> Option<u32> {
    let (_, rest) = message?.split_once("exit code")?;
    let digits: String = rest
        .trim_start_matches([':', ' '])
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    digits.parse().ok()
}

fn holds_any(line: &str, words: &[&str]) -> bool {
    let line = line.to_ascii_lowercase();
    words.iter().any(|word| line.contains(word))
}

/// A structured line repeats what rows and models say, which is no error of the job; a notice may name one.
fn is_progress(line: &str) -> bool {
    line.starts_with(crate::trainer::MARKER)
}

fn last_words(job: &FailedJob<'_>) -> Vec<String> {
    let lines: Vec<String> = job
        .last_lines
        .iter()
        .filter(|line| !line.trim().is_empty() && !is_progress(line))
        .map(|line| cut(line))
        .collect();
    let first = lines.len().saturating_sub(EVIDENCE_LINES);
    lines[first..].to_vec()
}

fn cut(line: &str) -> String {
    let line = line.trim_end();
    match line.char_indices().nth(EVIDENCE_CHARS) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.to_owned(),
    }
}
