//! Mutated logs of every agent: whatever comes, the import ends, accounts for the file, and says the same twice.
//!
//! The seeds are the fixtures and what earlier rounds found (`tests/importer_seeds`). A short round runs with the tests;
//! a long one by `cargo test -p bashgym-traces --test importer_fuzz -- --ignored`. A failure names its seed.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{ImportEvent, ImportOptions, find_session_files, import, import_reader};

/// Small numbers from a seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 1).unwrap() % below.max(1)
    }
}

/// What hostile and damaged logs hold.
const TOKENS: &[&[u8]] = &[
    b"\0\0\0\0",
    b"\\ud83d",
    b"\\u0000",
    b"\xFF\xFE",
    b"\xEF\xBB\xBF",
    b"\n",
    b"\r\n",
    b"null",
    b"[]",
    b"{}",
    b"-1",
    b"1e999",
    b"99999999999999999999",
    b"\"\"",
    b"true",
    b"\x1b]0;title\x07",
    b"\"type\":",
    b"\"message\":",
    b"\"payload\":",
    b"\"content\":[",
    b"\"parentUuid\":\"u1\"",
    b"\"sessionId\":\"\"",
    b"{\"$rewindTo\":\"x\"}\n",
    b"{\"$set\":{\"messages\":[{}]}}\n",
    b"\xF0\x9F\x98",
    b"<command-name>",
    b"</command-name>",
    b"<system-reminder>",
];

fn mutate(seed: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(bytes.len() + 1);
        let end = (at + dice.roll(200)).min(bytes.len());
        match dice.roll(9) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << dice.roll(8),
            2 => {
                let token = TOKENS[dice.roll(TOKENS.len())];
                bytes.splice(at..at, token.iter().copied());
            }
            3 => {
                let token = TOKENS[dice.roll(TOKENS.len())];
                bytes.splice(at..end, token.iter().copied());
            }
            4 => drop(bytes.drain(at..end)),
            5 => {
                let from = dice.roll(other.len() + 1);
                let to = (from + dice.roll(2_000)).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
            6 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            7 => {
                let open = [b"[".as_slice(), b"{\"a\":", b"{\"content\":["][dice.roll(3)];
                bytes.splice(at..at, open.repeat(1 + dice.roll(400)));
            }
            _ => {
                // Lines in another order.
                let mut lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
                let (a, b) = (dice.roll(lines.len()), dice.roll(lines.len()));
                if !lines.is_empty() {
                    lines.swap(a, b);
                }
                bytes = lines.concat();
            }
        }
    }
    bytes
}

fn root(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn seeds() -> Vec<(PathBuf, Vec<u8>)> {
    let mut seeds = Vec::new();
    for folder in [
        "../../fixtures/sessions",
        "../../fixtures/agents",
        "tests/importer_seeds",
    ] {
        for entry in walkdir::WalkDir::new(root(folder)).sort_by_file_name() {
            let path = entry.unwrap().into_path();
            let log = path
                .extension()
                .is_some_and(|e| e == "jsonl" || e == "json" || e == "log");
            if path.is_file() && log && !path.components().any(|part| part.as_os_str() == "storage") {
                let mut bytes = fs::read(&path).unwrap();
                // The head of a long log has all there is in it.
                bytes.truncate(24_000);
                seeds.push((path, bytes));
            }
        }
    }
    seeds
}

/// Imports the bytes twice and checks what must hold of any input.
fn check(bytes: &[u8], label: &str) {
    let options = ImportOptions {
        max_line_bytes: 1 << 20,
        max_text_bytes: 4_096,
        ..ImportOptions::default()
    };
    let read = || {
        let mut events = Vec::new();
        let summary = import_reader(bytes, Path::new("fuzz"), &options, &mut |event| {
            if let ImportEvent::Session(trace) = &event {
                for message in &trace.messages {
                    assert!(
                        message.text.len() <= 5_000,
                        "{label}: a text of {} bytes",
                        message.text.len()
                    );
                    for call in &message.tool_calls {
                        let object: serde_json::Value = serde_json::from_str(call.arguments.get())
                            .unwrap_or_else(|e| panic!("{label}: arguments are no JSON: {e}"));
                        assert!(object.is_object(), "{label}: arguments are no object");
                    }
                }
                assert!(!trace.session_id.is_empty(), "{label}: a session without an id");
                assert!(!trace.messages.is_empty(), "{label}: a session without a message");
            }
            events.push(serde_json::to_string(&event).unwrap());
            ControlFlow::Continue(())
        })
        .unwrap();
        (events, summary)
    };
    let (events, summary) = read();
    assert_eq!(summary.files, 1, "{label}");
    assert!(summary.sessions > 0 || summary.files_skipped == 1, "{label}");
    assert!(
        summary.sessions > 0 || !summary.lost.is_empty(),
        "{label}: a file without a session and without a reason"
    );
    assert!(read().0 == events, "{label}: two reads differ");
}

fn rounds(from: u64, count: u64) {
    let seeds = seeds();
    for n in from..from + count {
        let mut dice = Dice(n);
        let (path, seed) = &seeds[dice.roll(seeds.len())];
        let (_, other) = &seeds[dice.roll(seeds.len())];
        let bytes = mutate(seed, other, &mut dice);
        let label = format!("seed {n} of {}", path.display());
        // A panic in the importer has no label of its own.
        let caught = std::panic::catch_unwind(|| check(&bytes, &label));
        assert!(caught.is_ok(), "{label}");
    }
}

#[test]
fn case_27_mutated_logs_never_panic() {
    rounds(0, 400);
}

#[test]
fn case_27_a_log_cut_at_every_byte_never_panics() {
    for (path, mut seed) in seeds() {
        if path
            .components()
            .any(|part| part.as_os_str() == "sessions" && !path.starts_with(root("../../fixtures/agents")))
        {
            continue;
        }
        seed.truncate(1_500);
        for cut in (0..seed.len()).step_by(3) {
            check(&seed[..cut], &format!("{} cut at {cut}", path.display()));
        }
    }
}

#[test]
fn what_was_found_before_stays_fixed() {
    let mut checked = 0;
    for entry in fs::read_dir(root("tests/importer_seeds")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "log") {
            check(&fs::read(&path).unwrap(), &path.display().to_string());
            checked += 1;
        }
    }
    assert!(checked >= 5);
}

#[test]
fn terminal_escapes_stay_data() {
    let path = root("tests/importer_seeds/terminal_escapes.log");
    let files = find_session_files(&[&path]).unwrap();
    let mut texts = Vec::new();
    import(&files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event {
            texts.extend(trace.messages.into_iter().map(|message| message.text));
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(texts, ["\u{1b}]0;owned\u{7}\u{1b}[2Jhello\r"]);
}

#[test]
#[ignore = "long: run by hand with --ignored after a change of an importer"]
fn long_rounds_never_panic() {
    rounds(1_000_000, 60_000);
}
