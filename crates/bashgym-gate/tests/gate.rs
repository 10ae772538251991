//! The gate, seen from outside.
#![allow(
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::format_collect,
    clippy::cast_possible_truncation,
    reason = "a test that cannot begin has failed; its texts are short"
)]

use bashgym_gate::{Gate, GateKey};

fn gate() -> Gate {
    Gate::new(GateKey::public()).unwrap()
}

fn clean(text: &str) -> String {
    gate().text(text).into_owned()
}

/// Takes the tags out of placeholders.
fn kinds_only(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        let Some(end) = rest[at..].find('>') else { break };
        let inside = &rest[at + 1..at + end];
        let kind = inside.rsplit_once('_').map_or(inside, |(kind, _)| kind);
        out.push_str(&format!("<{kind}>"));
        rest = &rest[at + end + 1..];
    }
    out.push_str(rest);
    out
}

/// Builds a token at run time, so that no scanner takes this file for a leak.
fn fake(prefix: &str, length: usize) -> String {
    let letters: String = "Fake0Token1Value2".repeat(20).chars().take(length).collect();
    format!("{prefix}{letters}")
}

fn hex(length: usize) -> String {
    "0f1e2d3c4b5a6978".repeat(20).chars().take(length).collect()
}

#[test]
fn known_tokens_are_replaced() {
    for (kind, token) in [
        ("HF_TOKEN", fake("hf_", 34)),
        ("OPENAI_KEY", fake("sk-proj-", 48)),
        ("ANTHROPIC_KEY", fake("sk-ant-api03-", 60)),
        ("GITHUB_TOKEN", fake("ghp_", 36)),
        ("GITHUB_TOKEN", fake("github_pat_", 60)),
        ("GITLAB_TOKEN", fake("glpat-", 20)),
        ("SLACK_TOKEN", fake("xoxb-", 30)),
        ("GOOGLE_KEY", fake("AIza", 35)),
        ("NPM_TOKEN", fake("npm_", 36)),
        ("PYPI_TOKEN", fake("pypi-AgEIcHlwaS5vcmc", 60)),
        ("STRIPE_KEY", fake("sk_live_", 24)),
        ("AWS_ACCESS_KEY", format!("AKIA{}", "FAKE1234FAKE1234")),
        ("DIGITALOCEAN_TOKEN", format!("dop_v1_{}", hex(64))),
        ("TWILIO_KEY", format!("SK{}", hex(32))),
        ("SENDGRID_KEY", format!("{}.{}", fake("SG.", 22), fake("", 43))),
        ("TELEGRAM_TOKEN", format!("123456789:AA{}", fake("", 33))),
        ("VAULT_TOKEN", fake("hvs.", 92)),
        ("DATABRICKS_TOKEN", format!("dapi{}", hex(32))),
        ("DOCKER_TOKEN", fake("dckr_pat_", 27)),
        ("LINEAR_KEY", fake("lin_api_", 40)),
        ("NOTION_TOKEN", fake("ntn_", 46)),
        ("SUPABASE_KEY", format!("sbp_{}", hex(40))),
        ("SERVICE_TOKEN", fake("gsk_", 52)),
        ("GOOGLE_OAUTH_SECRET", fake("GOCSPX-", 28)),
        (
            "JWT",
            format!("{}.{}.{}", fake("eyJ", 20), fake("eyJ", 30), fake("", 30)),
        ),
    ] {
        let text = format!("before {token} after");
        assert_eq!(
            kinds_only(&clean(&text)),
            format!("before <{kind}> after"),
            "{token}"
        );
        for inside in [
            format!("export X=\"{token}\"\n"),
            format!("({token})"),
            format!("[{token}, 1]"),
            format!("x\\n{token}\\n"),
            format!("{{\"a\":\"{{\\\"k\\\":\\\"{token}\\\"}}\"}}"),
        ] {
            let cleaned = clean(&inside);
            assert!(
                !cleaned.contains(&token[token.len() / 2..]),
                "{inside} gave {cleaned}"
            );
        }
    }
}

#[test]
fn assignments_are_found_and_code_is_left_alone() {
    for (text, expected) in [
        ("DB_PASSWORD=hunter2hunter2", "DB_PASSWORD=<SECRET_ASSIGNMENT>"),
        (
            "export SERVICE_TOKEN='abc123def'",
            "export SERVICE_TOKEN='<SECRET_ASSIGNMENT>'",
        ),
        ("password: \"correct-horse\"", "password: \"<SECRET_ASSIGNMENT>\""),
        (
            "api_key = \\\"a1b2c3d4e5\\\"",
            "api_key = \\\"<SECRET_ASSIGNMENT>\\\"",
        ),
        (
            "postgres://app:s3cr3tpw@db:5432/x",
            "postgres://app:<URL_PASSWORD>@db:5432/x",
        ),
        (
            "Authorization: Bearer abcdefghij0123456789",
            "Authorization: Bearer <BEARER_TOKEN>",
        ),
        (
            "curl -H 'X-Api-Key: 8f7a6b5c4d3e2f1a0b9c'",
            "curl -H 'X-Api-Key: <AUTHORIZATION_HEADER>'",
        ),
    ] {
        assert_eq!(kinds_only(&clean(text)), expected);
    }
    for code in [
        "let token = parser.next_token();",
        "token: String,",
        "password = request.form['password']",
        "TOKEN=$HF_TOKEN",
        "API_KEY=${API_KEY}",
        "if token == expected {",
        "secrets: inherit",
        "see https://example.com/a@b and x@2x.png",
        "git clone git@github.com:acme/app.git",
        "\"usage\":{\"input_tokens\":1234567,\"cache_read_input_tokens\":99887766}",
        "version 1.2.3.4 and Chrome/120.0.6099.109, on 127.0.0.1:8080 or 192.168.1.17, at 0.0.0.0",
        "commit 2ed726f0c1d2e3f4a5b6c7d8e9f0a1b2c3d4e5f6 of 6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        "\"integrity\": \"sha512-Fk3Yx0Zq9Lm2Vb7Nc4Rt8Ws1Pd6Hg5Jf0Ka3Sx7Tz2Uy9Qe4Io8Mn1Bv6Cr5Gw==\"",
        "toolu_01A2b3C4d5E6f7G8h9J0k1L2 and msg_01XyZ9aBcD8eFgH7iJkL6mNoP5q and req_011CQzYx",
        "crates/bashgym-traces/src/importers/claude_code/mod.rs",
        "self.local.value; settings.local.json; import sun.misc.internal",
        "Co-Authored-By: Claude <noreply@anthropic.com>",
        "+1234567 in a diff, 2024-01-01T00:00:00+0000, 12+34567890",
        "aVeryLongCamelCaseIdentifierNameForASingleFunction2()",
    ] {
        assert_eq!(clean(code), code);
    }
}

#[test]
fn personal_data_is_found() {
    for (text, expected) in [
        ("mail jane.roe@corp.example now", "mail <EMAIL> now"),
        ("line\\njane.roe@corp.example", "line\\n<EMAIL>"),
        (
            "call +41 44 668 18 00 or (415) 555-0132",
            "call <PHONE> or <PHONE>",
        ),
        ("tel:+14155550132, 415-555-0132", "tel:<PHONE>, <PHONE>"),
        ("ssh root@203.1.113.77", "ssh root@<IP_ADDRESS>"),
        ("from 2a01:4f8:c0c:1234::1 port 22", "from <IP_ADDRESS> port 22"),
        (
            "connect to db-3.corp or ip-10-0-4-17.ec2.internal",
            "connect to <HOST_NAME> or <HOST_NAME>",
        ),
    ] {
        assert_eq!(kinds_only(&clean(text)), expected);
    }
}

#[test]
fn home_folders_keep_their_form_and_names_are_found_elsewhere() {
    let mut gate = gate();
    let text = gate
        .text("/Users/janeroe/src, C:\\Users\\janeroe\\y, branch janeroe/fix, -Users-janeroe-src, /home/other/x")
        .into_owned();
    assert!(!text.contains("janeroe") && !text.contains("other"), "{text}");
    assert!(
        text.starts_with("/Users/user_") && text.contains("C:\\Users\\user_"),
        "{text}"
    );
    assert_eq!(gate.report().distinct["user_name"], 2);
    assert_eq!(gate.text(&text), text);
}

#[test]
fn a_line_break_behind_a_folder_of_homes_is_no_name() {
    for text in [
        r#""ls /Users/\n[... cut""#,
        r#"{"a":"\"cd /home/\\nls\""}"#,
        "/Users/\n..",
    ] {
        assert_eq!(clean(text), text);
    }
}

#[test]
fn private_keys_go_as_a_whole_even_when_cut() {
    let head = concat!("-----BEGIN RSA ", "PRIVATE KEY-----");
    let tail = concat!("-----END RSA ", "PRIVATE KEY-----");
    let body = "MIIfakeFakeFAKE0123456789+/abcd";
    for (text, expected) in [
        (format!("a\n{head}\n{body}\n{tail}\nb"), "a\n<PRIVATE_KEY>\nb"),
        (
            format!("\"a\\n{head}\\n{body}\\n{tail}\\nb\""),
            "\"a\\n<PRIVATE_KEY>\\nb\"",
        ),
        (format!("\"{head}\\\\n{body}\\\\n{tail}\""), "\"<PRIVATE_KEY>\""),
        (format!("{head}\n{body}"), "<PRIVATE_KEY>"),
        (format!("… {body}\n{tail} b"), "… <PRIVATE_KEY> b"),
    ] {
        assert_eq!(kinds_only(&clean(&text)), expected);
    }
    let documentation = format!("{{\"a\":\"look for {head}\",\"b\":\"and {tail}\"}}");
    assert!(serde_json::from_str::<serde_json::Value>(&gate().json(&documentation)).is_ok());
}

#[test]
fn encodings_hide_nothing() {
    use base64::Engine as _;
    let token = fake("ghp_", 36);
    let mut gate = gate();
    let placeholder = gate.text(&token).into_owned();
    let base64 = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    // Inside of base64 text, at each place in its groups, the placeholder stands where the token stood.
    for before in ["", "a", "ab", "TOKEN is "] {
        for after in ["", " and", " and more", " and more."] {
            let plain = format!("some text before it {before}{token}{after}");
            let cleaned = gate.text(&base64(&plain)).into_owned();
            let decoded = base64::engine::general_purpose::STANDARD
                .decode(&cleaned)
                .unwrap();
            let decoded = String::from_utf8(decoded).unwrap();
            assert!(decoded.contains(&placeholder), "{decoded}");
            assert!(decoded.starts_with("some text before it "), "{decoded}");
            assert!(decoded.ends_with(after), "{decoded}");
        }
    }
    for hidden in [
        format!("https://x.example/?next=%67hp_{}&y=1", &token[4..]),
        token.bytes().map(|b| format!("%{b:02X}")).collect(),
        token.bytes().map(|b| format!("\\u{b:04x}")).collect(),
        token.bytes().map(|b| format!("\\x{b:02x}")).collect(),
        token.bytes().map(|b| format!("{b:02x}")).collect(),
        base64(&base64(&format!("twice coded {token}"))),
    ] {
        let cleaned = gate.text(&hidden).into_owned();
        assert_ne!(cleaned, hidden);
        assert_eq!(gate.text(&cleaned), cleaned, "{hidden}");
    }
    // In a picture.
    let mut picture: Vec<u8> = (0..3_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    picture.splice(1_500..1_500, token.bytes());
    let data = format!(
        "data:image/png;base64,{}",
        base64::engine::general_purpose::STANDARD.encode(&picture)
    );
    let cleaned = gate.text(&data).into_owned();
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(&cleaned[22..])
        .unwrap();
    assert!(!decoded.windows(8).any(|part| part == &token.as_bytes()[10..18]));
    assert_eq!(&decoded[..1_400], &picture[..1_400]);
}

#[test]
fn wrapped_and_cut_tokens_are_found() {
    let token = fake("ghp_", 36);
    for text in [
        format!("{}\n{} rest", &token[..20], &token[20..]),
        format!("\"{}\\n{}\"", &token[..20], &token[20..]),
        format!("{}\r\n  {}", &token[..17], &token[17..]),
        format!("{}…", &token[..18]),
        format!("{}...[truncated]", &token[..18]),
        format!("{{\"a\":\"{}\"}}", &token[..18]),
    ] {
        let cleaned = clean(&text);
        for part in token.as_bytes()[4..].windows(8) {
            let part = std::str::from_utf8(part).unwrap();
            assert!(!cleaned.contains(part), "{text:?} gave {cleaned:?}");
        }
    }
    for harmless in [
        "ghp_...",
        "hf_xxxxxxxx",
        "use ghp_\nand then go on",
        "`hf_`…",
        "\"hf_\", \"some_function_name_of_the_model_hub_2\"",
    ] {
        assert_eq!(clean(harmless), harmless);
    }
}

#[test]
fn the_same_secret_has_one_placeholder_however_it_is_found() {
    let token = fake("hf_", 34);
    let mut gate = gate();
    let cleaned = gate
        .text(&format!(
            "HF_TOKEN={token} and {token} and \\\"{token}\\\" and Bearer {token}"
        ))
        .into_owned();
    let report = gate.report();
    assert_eq!(
        (report.replaced["hf_token"], report.distinct["hf_token"]),
        (4, 1),
        "{cleaned}"
    );
    assert_eq!(report.distinct.len(), 1, "{cleaned}");
    let other = Gate::new(GateKey::derive(b"k", "other"))
        .unwrap()
        .text(&token)
        .into_owned();
    assert_ne!(other, gate.text(&token));
}

#[test]
fn a_placeholder_is_no_name_for_what_follows_it() {
    let text = "DB_PASSWORD=hunter2hunter2\\nANTHROPIC_API_KEY=\\nNEXT_VALUE_2=plain";
    let mut gate = gate();
    let once = gate.text(text).into_owned();
    assert_eq!(gate.text(&once), once);
    assert!(
        once.ends_with("\\nANTHROPIC_API_KEY=\\nNEXT_VALUE_2=plain"),
        "{once}"
    );
}

#[test]
fn what_the_process_knows_is_found_whatever_it_looks_like() {
    let mut gate = gate().with_known(["correct horse battery"]);
    assert_eq!(
        kinds_only(&gate.text("it said: correct horse battery, twice")),
        "it said: <KNOWN_SECRET>, twice"
    );
}

#[test]
fn json_keeps_its_bytes_outside_of_findings() {
    let mut gate = gate();
    let same = r#"{"n": 1.50, "path":"a\/b", "x" : [true, null], "half":"\ud83d"}"#;
    assert!(matches!(gate.json(same), std::borrow::Cow::Borrowed(_)));
    let token = fake("hf_", 34);
    let json = format!(
        r#"{{"cmd": "a\n\"{token}\"", "n":1.50,"password":"plainword","k":["/home/zed/x"],"half":"\ud83d {token}"}}"#
    );
    let cleaned = gate.json(&json).into_owned();
    let expected = r#"{"cmd": "a\n\"<HF_TOKEN>\"", "n":1.50,"password":"<SECRET_ASSIGNMENT>","k":["/home/"#;
    assert!(kinds_only(&cleaned).starts_with(expected), "{cleaned}");
    assert!(cleaned.contains(r#""half":"\ud83d <HF_TOKEN_"#), "{cleaned}");
}

/// The sample sessions that ship with the project.
fn sample_sessions() -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "jsonl") {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}

/// Whether two values have the same shape and differ in strings only.
fn same_shape(one: &serde_json::Value, two: &serde_json::Value) -> bool {
    use serde_json::Value::{Array, Object, String};
    match (one, two) {
        (Object(one), Object(two)) => {
            one.len() == two.len()
                && one
                    .values()
                    .zip(two.values())
                    .all(|(one, two)| same_shape(one, two))
        }
        (Array(one), Array(two)) => {
            one.len() == two.len() && one.iter().zip(two).all(|(one, two)| same_shape(one, two))
        }
        (String(_), String(_)) => true,
        (one, two) => one == two,
    }
}

#[test]
fn raw_sessions_stay_the_agents_own_files() {
    let files = sample_sessions();
    assert!(files.len() > 10);
    let mut gate = gate();
    let mut changed = 0;
    for file in files {
        let original = std::fs::read_to_string(&file).unwrap();
        let mut first = Vec::new();
        gate.log(&mut original.as_bytes(), &mut std::io::sink()).unwrap();
        let counts = gate.log(&mut original.as_bytes(), &mut first).unwrap();
        changed += counts.changed;
        let cleaned = String::from_utf8(first).unwrap();
        assert_eq!(original.lines().count(), cleaned.lines().count());
        for (before, after) in original.lines().zip(cleaned.lines()) {
            let Ok(before) = serde_json::from_str::<serde_json::Value>(before) else {
                continue;
            };
            let after: serde_json::Value = serde_json::from_str(after).unwrap();
            assert!(same_shape(&before, &after), "{before} became {after}");
            assert_eq!(before["type"], after["type"]);
            assert_eq!(before["uuid"], after["uuid"]);
            assert_eq!(before["sessionId"], after["sessionId"]);
        }
        let mut again = Vec::new();
        gate.log(&mut cleaned.as_bytes(), &mut again).unwrap();
        assert_eq!(String::from_utf8(again).unwrap(), cleaned, "{}", file.display());
    }
    assert!(changed > 0);
}

#[test]
fn a_denied_value_is_found_and_an_allowed_one_is_left() {
    use bashgym_gate::{Policy, Scanner, Verdict};
    let text = "mail jane.roe@corp.example about marmalade-skyline please";
    let key = GateKey::derive(b"home", "review");
    let scan = |policy: &Policy| {
        let mut hits = Vec::new();
        let mut scanner = Scanner::new(GateKey::public(), policy.clone()).unwrap();
        scanner.feed(text.as_bytes(), &mut hits);
        scanner.finish(&mut hits);
        hits
    };
    let mut policy = Policy::new(key.clone());
    let hits = scan(&policy);
    assert_eq!(hits.len(), 1);
    policy.decide(&hits[0].id, hits[0].kind, hits[0].length, Verdict::Allow);
    assert!(scan(&policy).is_empty());

    // The id of any value is what a scan shows for it when a rule finds it.
    let mut scanner = Scanner::new(GateKey::public(), policy.clone())
        .unwrap()
        .with_known(["marmalade-skyline"]);
    let mut hits = Vec::new();
    scanner.feed(text.as_bytes(), &mut hits);
    scanner.finish(&mut hits);
    policy.decide(&hits[0].id, hits[0].kind, hits[0].length, Verdict::Deny);
    assert_eq!(scan(&policy)[0].kind, "denied");

    let folder = std::env::temp_dir().join(format!("bashgym-gate-policy-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join("reviewed.json");
    policy.write(&file).unwrap();
    let stored = std::fs::read_to_string(&file).unwrap();
    assert!(!stored.contains("marmalade") && !stored.contains("jane"));
    assert_eq!(scan(&Policy::read(&file, key.clone()).unwrap())[0].kind, "denied");
    std::fs::write(&file, "{").unwrap();
    assert!(Policy::read(&file, key).is_err());
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_token_in_parts_is_found_in_all_of_them() {
    for token in [fake("hf_", 34), fake("sk-ant-api03-", 93), fake("ghp_", 36)] {
        // Where the prefix itself is broken there is no token to know again.
        for at in [14, 15, 20, 30] {
            let (a, b) = token.split_at(at);
            let breaks = [
                "\n",
                "\r\n   ",
                "\\n",
                "\\\\n",
                "\\\n",
                "\\\\\\n",
                "\\n  13\t",
                "\\n    13\u{2192}",
                "\n+ ",
                "\n> ",
                "\n 13 | ",
            ];
            let strings = [
                "\" + \"",
                "\",\n  \"",
                "\",\"",
                "\"\n\"",
                "\\\" +\\n  \\\"",
                "' '",
                "\"},\"index\":0},{\"type\":\"delta\",\"delta\":\"",
                "\"}\n{\"delta\":\"",
            ];
            for seam in breaks.iter().chain(&strings) {
                let text = format!("\"{a}{seam}{b}\" after");
                let cleaned = clean(&text);
                // A few letters behind the prefix may stay, the secret's bulk may not.
                for part in token.as_bytes()[13..].windows(8) {
                    let part = std::str::from_utf8(part).unwrap();
                    assert!(!cleaned.contains(part), "{text} gave {cleaned}");
                }
                assert_eq!(clean(&cleaned), cleaned);
            }
        }
    }
}

#[test]
fn a_secret_over_several_strings_leaves_valid_json() {
    let token = fake("ghp_", 36);
    let key: Vec<String> = (0..12)
        .map(|n| fake("MIIE", 60).replace('0', &n.to_string()))
        .collect();
    let mut lines = vec!["-----BEGIN RSA PRIVATE KEY-----".to_owned()];
    lines.extend(key.clone());
    lines.push("-----END RSA PRIVATE KEY-----".to_owned());
    let json = serde_json::json!({
        "parts": [{"delta": token[..20]}, {"delta": token[20..]}],
        "pem": lines,
        "after": ["x", format!("and {token}")],
    })
    .to_string();
    let mut gate = gate();
    let cleaned = gate.json(&json).into_owned();
    let value: serde_json::Value = serde_json::from_str(&cleaned).unwrap();
    for secret in key
        .iter()
        .map(String::as_str)
        .chain([&token[4..20], &token[20..]])
    {
        assert!(!cleaned.contains(secret), "{cleaned}");
    }
    assert_eq!(value["parts"][0]["delta"], value["parts"][1]["delta"]);
    assert_eq!(value["pem"].as_array().unwrap().len(), lines.len());
    assert_eq!(value["after"][0], "x");
    assert_eq!(gate.json(&cleaned), cleaned);
}
