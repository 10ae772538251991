//! Checks that tell a finding from a look-alike.

/// Whether a matched value is a finding.
pub(super) type Accept = fn(&[u8]) -> bool;

/// Returns the check a rule file names.
pub(super) fn by_name(name: Option<&str>) -> Option<Accept> {
    Some(match name {
        None => |_| true,
        Some("random") => looks_random,
        Some("value") => looks_like_value,
        Some("not_variable") => not_variable,
        Some("user_and_password") => user_and_password,
        Some("host") => names_a_host,
        Some("host_in_prompt") => host_in_prompt,
        Some(_) => return None,
    })
}

/// Shannon entropy in bits a byte.
pub(crate) fn entropy(text: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let total = text.len().max(1) as f64;
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| {
            let share = f64::from(*count) / total;
            -share * share.log2()
        })
        .sum()
}

fn has_digit(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_digit)
}

/// A digit and a letter, and not a name of words.
pub(crate) fn looks_random(text: &[u8]) -> bool {
    has_digit(text)
        && text.iter().any(u8::is_ascii_alphabetic)
        && not_variable(text)
        && entropy(text) >= 2.5
        && !is_words(text)
}

/// Whether a text is words joined by hyphens or underscores, with at most a short number.
fn is_words(text: &[u8]) -> bool {
    let mut parts = 0;
    let wordy = text
        .split(|byte| matches!(byte, b'-' | b'_' | b'.' | b'/'))
        .filter(|part| !part.is_empty())
        .all(|part| {
            parts += 1;
            let number = part.iter().all(u8::is_ascii_digit);
            let word = part.iter().all(u8::is_ascii_lowercase) || part.iter().all(u8::is_ascii_uppercase);
            (number && part.len() <= 4) || (word && part.len() <= 14)
        });
    wordy && parts > 1
}

fn not_variable(text: &[u8]) -> bool {
    !text
        .first()
        .is_some_and(|first| matches!(first, b'$' | b'{' | b'%' | b'<'))
        && !text.windows(2).any(|pair| pair == b"${" || pair == b"{{")
        && !text
            .iter()
            .all(|byte| matches!(byte, b'*' | b'x' | b'X' | b'.' | b'-' | b'#'))
}

/// Whether a text could be a secret's value rather than a name for one.
pub(crate) fn looks_like_value(text: &[u8]) -> bool {
    const REFERENCES: [&[u8]; 14] = [
        b"process.env",
        b"os.environ",
        b"os.getenv",
        b"env.",
        b"self.",
        b"this.",
        b"config.",
        b"settings.",
        b"secrets.",
        b"request.",
        b"string",
        b"undefined",
        b"import.meta",
        b"Deno.env",
    ];
    // What documentation writes for a token that the reader puts in: `github_pat_xxx`, `YOUR_KEY_XXX`.
    let crosses = text
        .iter()
        .rev()
        .take_while(|byte| byte.eq_ignore_ascii_case(&b'x'))
        .count();
    let before = &text[..text.len() - crosses];
    let left_open = crosses >= 3 && matches!(before, [.., b'_' | b'-']);
    let plain = text.len() >= 6
        && !left_open
        && not_variable(text)
        && !text
            .iter()
            .any(|byte| byte.is_ascii_whitespace() || *byte == b'<');
    plain && !REFERENCES.iter().any(|start| text.starts_with(start))
}

/// Whether HTTP Basic credentials decode to `user:password`.
fn user_and_password(text: &[u8]) -> bool {
    crate::decode::base64(text).is_some_and(|plain| {
        plain.contains(&b':') && plain.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
    })
}

/// A name with a hyphen or digit in its first part is a machine's; `self.local` and `sun.internal` are code.
fn names_a_host(text: &[u8]) -> bool {
    let labels: Vec<&[u8]> = text.split(|byte| *byte == b'.').collect();
    let first = labels.first().copied().unwrap_or_default();
    let marked = first.contains(&b'-') || has_digit(first);
    let end = labels.last().copied().unwrap_or_default();
    match end {
        b"local" | b"lan" => marked && labels.len() == 2,
        _ => marked || labels.len() >= 3 && has_digit(text),
    }
}

fn host_in_prompt(text: &[u8]) -> bool {
    !matches!(text, b"localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_not_random() {
        assert!(looks_random(b"x7Gh29sKq0Lm"));
        for word in [
            &b"sk-learn-pipeline-2"[..],
            b"abcdefghijkl",
            b"1234567890",
            b"$TOKEN1",
        ] {
            assert!(!looks_random(word), "{}", String::from_utf8_lossy(word));
        }
    }

    #[test]
    fn what_documentation_leaves_open_is_no_value() {
        assert!(!looks_like_value(b"gith_pat_xxxx") && !looks_like_value(b"YOUR_KEY_XXX"));
        assert!(looks_like_value(b"hunter2xxx") && looks_like_value(b"correct-horse"));
    }

    #[test]
    fn hosts_are_machines_and_not_code() {
        assert!(names_a_host(b"db-3.corp") && names_a_host(b"janes-laptop.local"));
        assert!(!names_a_host(b"self.local") && !names_a_host(b"sun.misc.internal"));
    }
}
