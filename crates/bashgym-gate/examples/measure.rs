//! Measures the gate on a generated corpus: `measure [MB] [PATH…]`. Seeded, so every run sees the same bytes.
//!
//! Prints speed beside a plain pass over the same bytes, recall of planted secrets, and findings in given files.

#![expect(clippy::print_stdout, reason = "an example that measures")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bashgym_gate::{GateKey, Policy, Scanner};

const WORDS: &[&str] = &[
    "the",
    "function",
    "returns",
    "error",
    "let",
    "mut",
    "self",
    "config",
    "request",
    "response",
    "file",
    "path",
    "src/main.rs",
    "assert_eq!(a, b);",
    "impl",
    "fn",
    "pub",
    "use",
    "crate::",
    "test",
    "result",
    "of",
    "and",
    "to",
    "in",
    "is",
    "token",
    "key",
    "tokens",
    "api",
    "user",
    "name",
    "value",
    "line",
    "string",
    "import",
    "from",
    "return",
    "if",
    "else",
    "for",
    "while",
    "match",
    "2ed726f0c1d2",
    "v1.2.3",
    "0x1f",
    "https://docs.rs/regex",
    "npm",
    "install",
    "cargo",
    "build",
    "--release",
    "passed",
    "failed",
];
const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

struct Random(u64);

impl Random {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 20).unwrap_or(0) % most
    }

    fn letters(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .map(|_| char::from(alphabet[self.below(alphabet.len())]))
            .collect()
    }
}

fn secret(random: &mut Random) -> (String, String) {
    let (secret, around) = match random.below(16) {
        0 => (format!("hf_{}", random.letters(ALNUM, 34)), "{}"),
        1 => (format!("ghp_{}", random.letters(ALNUM, 36)), "{}"),
        2 => (format!("sk-ant-api03-{}AA", random.letters(ALNUM, 93)), "{}"),
        3 => (format!("sk-proj-{}", random.letters(ALNUM, 48)), "{}"),
        4 => (
            format!("AKIA{}", random.letters(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
            "{}",
        ),
        5 => (random.letters(ALNUM, 40), "aws_secret_access_key = {}"),
        6 => (random.letters(ALNUM, 20), "password = \\\"{}\\\""),
        7 => (random.letters(ALNUM, 24), "export SERVICE_TOKEN={}"),
        8 => (random.letters(ALNUM, 16), "postgres://app:{}@db:5432/x"),
        9 => (random.letters(ALNUM, 40), "Authorization: Bearer {}"),
        10 => (format!("AIza{}", random.letters(ALNUM, 35)), "{}"),
        11 => (
            format!(
                "xoxb-{}-{}",
                random.letters(b"0123456789", 12),
                random.letters(ALNUM, 24)
            ),
            "{}",
        ),
        12 => (format!("glpat-{}", random.letters(ALNUM, 20)), "{}"),
        13 => (format!("sk_live_{}", random.letters(ALNUM, 24)), "{}"),
        14 => (format!("npm_{}", random.letters(ALNUM, 36)), "{}"),
        _ => (format!("dop_v1_{}", random.letters(HEX, 64)), "{}"),
    };
    let written = around.replace("{}", &secret);
    (secret, written)
}

/// Lines as agents log them; returns them with the offsets of what was planted.
fn corpus(bytes: usize) -> (String, Vec<(usize, usize)>) {
    let mut random = Random(0x5eed_1234_abcd_0001);
    let mut text = String::with_capacity(bytes + 10_000);
    let mut planted = Vec::new();
    while text.len() < bytes {
        let id = random.letters(ALNUM, 24);
        let uuid = random.letters(HEX, 32);
        let _ = write!(
            text,
            r#"{{"type":"assistant","uuid":"{uuid}","message":{{"id":"msg_{id}","usage":{{"input_tokens":{},"cache_read_input_tokens":{}}},"content":[{{"type":"text","text":""#,
            random.below(9_999),
            random.below(99_999)
        );
        for _ in 0..40 + random.below(400) {
            text.push_str(WORDS[random.below(WORDS.len())]);
            text.push_str(match random.below(12) {
                0 => "\\n",
                1 => ", ",
                2 => " \\\"",
                _ => " ",
            });
        }
        if random.below(220) == 0 {
            let (secret, written) = secret(&mut random);
            text.push(' ');
            let at = text.len() + written.find(&secret).unwrap_or(0);
            planted.push((at, at + secret.len()));
            text.push_str(&written);
            text.push(' ');
        }
        text.push_str("\"}]}}\n");
    }
    (text, planted)
}

/// The processor time of this process: what other processes do does not count.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = stat.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn speed(name: &str, bytes: usize, mut work: impl FnMut()) {
    let best = (0..3)
        .map(|_| {
            let (before, clock) = (cpu(), Instant::now());
            work();
            (cpu().saturating_sub(before), clock.elapsed())
        })
        .min()
        .unwrap_or_default();
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64().max(1e-9);
    println!(
        "{name}: {:.0} MB per CPU s ({:.0} MB/s wall)",
        rate(best.0),
        rate(best.1)
    );
}

fn main() {
    let mut args = std::env::args().skip(1);
    let megabytes: usize = args.next().and_then(|text| text.parse().ok()).unwrap_or(64);
    let (text, planted) = corpus(megabytes << 20);
    let scan = |bytes: &[u8]| {
        let Ok(mut scanner) = Scanner::new(GateKey::public(), Policy::default()) else {
            return Vec::new();
        };
        let mut hits = Vec::new();
        for piece in bytes.chunks(256 * 1024) {
            scanner.feed(piece, &mut hits);
        }
        scanner.finish(&mut hits);
        hits
    };
    let hits = scan(text.as_bytes());
    let covered = planted
        .iter()
        .filter(|(start, end)| {
            hits.iter().any(|hit| {
                let at = usize::try_from(hit.offset).unwrap_or(usize::MAX);
                at <= *start + 24 && at + hit.length >= *start + (end - start) / 2
            })
        })
        .count();
    println!(
        "planted {}, found {covered}, findings {}",
        planted.len(),
        hits.len()
    );
    let mut real = Vec::new();
    for path in args {
        let Ok(bytes) = std::fs::read(&path) else { continue };
        let mut kinds = std::collections::BTreeMap::new();
        for hit in scan(&bytes) {
            if !matches!(hit.kind, "user_name" | "email") {
                println!("  {}: {}", hit.kind, hit.context);
            }
            *kinds.entry(hit.kind).or_insert(0) += 1;
        }
        real.extend_from_slice(&bytes);
        println!("{path}: {} bytes, {kinds:?}", bytes.len());
    }
    speed("gate", text.len(), || {
        std::hint::black_box(scan(text.as_bytes()).len());
    });
    if !real.is_empty() {
        speed("gate on the given files", real.len(), || {
            std::hint::black_box(scan(&real).len());
        });
    }
    speed(
        "plain pass (sum of bytes looked up in a table)",
        text.len(),
        || {
            let table: [u8; 256] = std::array::from_fn(|byte| u8::try_from(byte * 7 % 251).unwrap_or(0));
            let sum = text.bytes().fold(0_u64, |sum, byte| {
                (sum << 1) ^ u64::from(table[usize::from(byte)])
            });
            std::hint::black_box(sum);
        },
    );
    let words = aho_corasick::AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .kind(Some(aho_corasick::AhoCorasickKind::DFA))
        .build([
            "token",
            "secret",
            "password",
            "api_key",
            "hf_",
            "ghp_",
            "sk-",
            "akia",
            "-----begin",
            "://",
            "bearer",
        ]);
    if let Ok(words) = words {
        speed("Aho-Corasick, 11 words", text.len(), || {
            std::hint::black_box(words.find_iter(&text).count());
        });
    }
}
