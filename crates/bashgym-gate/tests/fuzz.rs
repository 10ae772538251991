//! The gate on input that nobody wrote. `PROPTEST_CASES` sets how long it runs.
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::cast_possible_truncation,
    reason = "a test that cannot begin has failed; its texts are short"
)]

use std::borrow::Cow;

use bashgym_gate::{Gate, GateKey, Policy, Scanner};
use proptest::prelude::*;

fn gate() -> Gate {
    Gate::new(GateKey::public()).unwrap()
}

fn letters(seed: u64, alphabet: &[u8], length: usize) -> String {
    let mut state = seed | 1;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            char::from(alphabet[usize::try_from(state >> 33).unwrap() % alphabet.len()])
        })
        .collect()
}

const ALNUM: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8] = b"0123456789abcdef";

/// Tokens of services, random as real ones are.
fn secret() -> impl Strategy<Value = String> {
    (any::<u64>(), 0..12_usize).prop_map(|(seed, form)| match form {
        0 => format!("hf_{}", letters(seed, ALNUM, 34)),
        1 => format!("ghp_{}", letters(seed, ALNUM, 36)),
        2 => format!("sk-ant-api03-{}AA", letters(seed, ALNUM, 93)),
        3 => format!("sk-proj-{}", letters(seed, ALNUM, 48)),
        4 => format!("glpat-{}", letters(seed, ALNUM, 20)),
        5 => format!("AKIA{}", letters(seed, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16)),
        6 => format!("npm_{}", letters(seed, ALNUM, 36)),
        7 => format!("dop_v1_{}", letters(seed, HEX, 64)),
        8 => format!("AIza{}", letters(seed, ALNUM, 35)),
        9 => format!(
            "xoxb-{}-{}",
            letters(seed, b"0123456789", 12),
            letters(seed ^ 7, ALNUM, 24)
        ),
        10 => format!("hvs.{}", letters(seed, ALNUM, 92)),
        _ => format!(
            "eyJ{}.eyJ{}.{}",
            letters(seed, ALNUM, 20),
            letters(seed ^ 3, ALNUM, 40),
            letters(seed ^ 9, ALNUM, 43)
        ),
    })
}

/// Text as sessions have it, with what the gate looks for strewn in.
fn prose() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[ -~]{0,40}",
        2 => "\\PC{0,12}",
        1 => Just("\n".to_owned()),
        1 => Just("\\n".to_owned()),
        1 => Just("\\\"".to_owned()),
        1 => Just("password=\"".to_owned()),
        1 => Just("https://user:".to_owned()),
        1 => Just("-----BEGIN RSA PRIVATE KEY-----".to_owned()),
        1 => Just("/home/".to_owned()),
        1 => Just("<HF_TOKEN_".to_owned()),
        1 => Just("\\u0068f_".to_owned()),
        1 => "[A-Za-z0-9+/]{20,90}={0,2}",
        1 => "[a-z]{2,8}@[a-z]{2,8}\\.(com|example)",
        1 => "%[0-9A-F]{2}%[0-9A-F]{2}[a-z_]{0,9}",
        1 => secret(),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

fn encode(text: &str, how: usize) -> String {
    use base64::Engine as _;
    match how {
        0 => text.to_owned(),
        1 => serde_json::to_string(text).unwrap(),
        2 => serde_json::to_string(&serde_json::to_string(&serde_json::json!({ "in": text })).unwrap())
            .unwrap(),
        3 => base64::engine::general_purpose::STANDARD
            .encode(format!("some words before it: {text} and after")),
        4 => format!(
            "https://x.example/?q={}",
            text.bytes()
                .map(|byte| format!("%{byte:02X}"))
                .collect::<String>()
        ),
        _ => text.bytes().map(|byte| format!("\\u{byte:04x}")).collect(),
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_a_second_pass_changes_nothing(text in prose()) {
        let mut gate = gate();
        let once = gate.text(&text).into_owned();
        let twice = gate.text(&once).into_owned();
        prop_assert_eq!(&twice, &once, "from {:?}", text);
    }

    #[test]
    fn json_stays_json(texts in proptest::collection::vec(prose(), 1..4), key in "[a-z_]{1,12}") {
        let value = serde_json::json!({ "a": texts, key: texts[0], "n": [1.5, null] });
        let json = value.to_string();
        let cleaned = gate().json(&json).into_owned();
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(&cleaned);
        prop_assert!(parsed.is_ok(), "{} became {}", json, cleaned);
        let raw = format!("{{\"half\":\"\\ud83d {}\"}}", json.replace('\\', "\\\\").replace('"', "\\\""));
        let cleaned = gate().json(&raw).into_owned();
        let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&cleaned);
        prop_assert!(parsed.is_ok(), "{} became {}", raw, cleaned);
    }

    #[test]
    fn no_part_of_a_secret_survives(
        secret in secret(), before in "[a-z .,(\"']{0,12}[ (=:'\"]", after in "([ ,.;)\"'\n][a-z .,]{0,12})?", how in 0..6_usize,
    ) {
        let text = encode(&format!("{before}{secret}{after}"), how);
        let cleaned = if how == 1 || how == 2 { gate().json(&text).into_owned() } else { gate().text(&text).into_owned() };
        let plain = decode_all(&cleaned);
        // A prefix that everybody knows is no secret.
        let body = secret.find(['_', '-', '.']).map_or(4, |at| at + 1).min(12);
        for part in secret.as_bytes()[body..].windows(8) {
            let part = std::str::from_utf8(part).unwrap();
            prop_assert!(!plain.contains(part), "{:?} is left of {:?} in {:?}", part, text, cleaned);
        }
    }

    #[test]
    fn where_a_block_ends_does_not_matter(
        texts in proptest::collection::vec((prose(), secret()), 1..6), filler in 0..3_usize, block in 1..5_000_usize, piece in 1..70_000_usize,
    ) {
        let pad = "plain words of no interest at all\n".repeat([1, 900, 3_000][filler]);
        let mut text = String::new();
        for (prose, secret) in &texts {
            text.push_str(&prose.replace("PRIVATE", "PUBLIC"));
            text.push_str(" \n'");
            text.push_str(secret);
            text.push_str("'\n");
            text.push_str(&pad);
        }
        let scan = |block: usize, piece: usize| {
            let mut scanner = Scanner::new(GateKey::public(), Policy::default()).unwrap().with_block(block);
            let mut hits = Vec::new();
            for part in text.as_bytes().chunks(piece) {
                scanner.feed(part, &mut hits);
            }
            scanner.finish(&mut hits);
            hits.into_iter()
                .filter(|hit| hit.kind != "user_name")
                .map(|hit| (hit.offset, hit.line, hit.placeholder))
                .collect::<Vec<_>>()
        };
        prop_assert_eq!(scan(block, piece), scan(1 << 24, 1 << 24));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), cut in 0..2_000_usize) {
        let mut scanner = Scanner::new(GateKey::public(), Policy::default()).unwrap();
        let mut hits = Vec::new();
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        scanner.feed(head, &mut hits);
        scanner.feed(tail, &mut hits);
        scanner.finish(&mut hits);
    }
}

/// The text, and everything in it that decodes.
fn decode_all(text: &str) -> String {
    use base64::Engine as _;
    let mut all = text.to_owned();
    for run in text.split(|letter: char| !(letter.is_ascii_alphanumeric() || "+/=".contains(letter))) {
        if let Ok(bytes) = base64::engine::general_purpose::STANDARD.decode(run) {
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    let percent = text.replace('%', "\\x");
    for form in [text, &percent] {
        let unescaped: Cow<'_, str> = unescape(form).into();
        all.push_str(&unescaped);
    }
    all
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        let digits = if rest.starts_with("\\u") {
            rest.get(2..6)
        } else if rest.starts_with("\\x") {
            rest.get(2..4)
        } else {
            None
        };
        let unit = digits.and_then(|digits| Some((digits.len(), u32::from_str_radix(digits, 16).ok()?)));
        if let Some((length, unit)) = unit {
            out.push(char::from_u32(unit).unwrap_or(' '));
            rest = &rest[2 + length..];
        } else {
            out.push(letter);
            rest = &rest[letter.len_utf8()..];
        }
    }
    out
}
