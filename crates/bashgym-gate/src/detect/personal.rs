//! E-mail addresses, phone numbers and IP addresses, read by hand: patterns for them would stop at every dot.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Finding, RANK_PERSONAL};
use crate::decode::skip_escape;

/// How addresses that are routed in public begin.
pub(super) const IPV6_WORDS: &[&str] = &[
    "2001:", "2400:", "2401:", "2402:", "2403:", "2404:", "2405:", "2406:", "2407:", "2408:", "2409:",
    "240e:", "2600:", "2601:", "2602:", "2603:", "2604:", "2605:", "2606:", "2607:", "2620:", "2800:",
    "2804:", "2a00:", "2a01:", "2a02:", "2a03:", "2a04:", "2a05:", "2a06:", "2a07:", "2a09:", "2a0a:",
    "2a0b:", "2a0c:", "2a0d:", "2a0e:", "2a0f:", "2a10:",
];
/// Ends of file names that look like the end of an address.
const FILE_ENDS: [&[u8]; 12] = [
    b"png", b"jpg", b"jpeg", b"svg", b"gif", b"webp", b"js", b"css", b"py", b"ts", b"rs", b"json",
];
/// Senders that name no person.
const NOBODY: [&[u8]; 5] = [b"noreply", b"no-reply", b"git", b"donotreply", b"hg"];

/// How much is asked at once whether anything could be in it.
const BLOCK: usize = 512;

pub(super) fn find(text: &[u8], out: &mut Vec<Finding>) {
    if text.is_empty() {
        return;
    }
    let arch = pulp::Arch::new();
    look(text, 0, out);
    // Each letter is seen with its neighbours; the first and the last have one only.
    let mut at = 1;
    let mut marks = [0_u8; BLOCK];
    while let Some(block) = text[at - 1..].first_chunk() {
        if arch.dispatch(|| mark(block, &mut marks)) {
            let (words, _) = marks.as_chunks::<8>();
            for (n, word) in words.iter().enumerate() {
                let mut left = u64::from_le_bytes(*word);
                while left > 0 {
                    look(text, at + n * 8 + (left.trailing_zeros() / 8) as usize, out);
                    left &= left - 1;
                }
            }
        }
        at += BLOCK;
    }
    for place in at..text.len() {
        look(text, place, out);
    }
}

/// Marks what could be the middle of an address or a number; says whether anything is.
///
/// Without branches, so that many letters are asked at a time.
#[expect(
    clippy::inline_always,
    reason = "it must be compiled with the caller's wide registers"
)]
#[inline(always)]
fn mark(text: &[u8; BLOCK + 2], marks: &mut [u8; BLOCK]) -> bool {
    let (before, here, behind) = (&text[..BLOCK], &text[1..=BLOCK], &text[2..]);
    let mut any = 0;
    for (((mark, before), here), behind) in marks.iter_mut().zip(before).zip(here).zip(behind) {
        *mark = u8::from(is_middle(*before, *here, *behind));
        any |= *mark;
    }
    any > 0
}

#[expect(
    clippy::inline_always,
    reason = "it must be compiled with the caller's wide registers"
)]
#[inline(always)]
#[expect(
    clippy::needless_bitwise_bool,
    reason = "a branch would end the use of wide registers"
)]
fn is_middle(before: u8, here: u8, behind: u8) -> bool {
    let digits = before.is_ascii_digit() & behind.is_ascii_digit();
    // No number goes on with 0 or 1 behind a hyphen, as most dates do.
    let joined = (here == b'.') | ((here == b'-') & (behind >= b'2'));
    (here == b'@')
        | (joined & digits)
        | ((here == b'+') & behind.is_ascii_digit())
        | ((here == b')') & before.is_ascii_digit())
}

fn look(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let digit = |at: usize| text.get(at).is_some_and(u8::is_ascii_digit);
    match text[at] {
        b'@' => email(text, at, out),
        b'+' if digit(at + 1) => international(text, at, out),
        b')' => area_in_brackets(text, at, out),
        b'.' if at > 0 && digit(at - 1) && digit(at + 1) => ipv4(text, at, out),
        b'-' if at > 0 && digit(at - 1) && digit(at + 1) => north_american(text, at, out),
        _ => {}
    }
}

fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-')
}

fn email(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let least = at.saturating_sub(64);
    let local = text[least..at]
        .iter()
        .rev()
        .take_while(|byte| is_local(**byte))
        .count();
    let mut start = skip_escape(text, at - local);
    while start < at && !text[start].is_ascii_alphanumeric() {
        start += 1;
    }
    let domain = &text[at + 1..text.len().min(at + 128)];
    let length = domain
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        .count();
    let mut domain = &domain[..length];
    while let [rest @ .., b'.' | b'-'] = domain {
        domain = rest;
    }
    let end_label = domain.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
    let local = text.get(start..at).unwrap_or_default();
    let good = !local.is_empty()
        && domain.len() > end_label.len() + 1
        && end_label.len() >= 2
        && end_label.iter().all(u8::is_ascii_alphabetic)
        && domain[0].is_ascii_alphanumeric()
        && !FILE_ENDS.contains(&end_label.to_ascii_lowercase().as_slice())
        && !NOBODY.contains(&local);
    if good {
        let end = at + 1 + domain.len();
        out.push(Finding::plain(
            start,
            end,
            "email",
            RANK_PERSONAL,
            &text[start..end],
        ));
    }
}

/// `+41 44 668 18 00`; a bare number needs the length of a whole one, since diffs begin with a plus too.
fn international(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let before = at.checked_sub(1).map(|before| text[before]);
    let opens = before
        .is_none_or(|byte| matches!(byte, b' ' | b'"' | b'\'' | b'(' | b':' | b'=' | b'>' | b'\t'))
        || (at >= 2 && text[at - 2] == b'\\');
    if !opens || !text.get(at + 1).is_some_and(|byte| matches!(byte, b'1'..=b'9')) {
        return;
    }
    let mut digits = 0;
    let mut groups = 1;
    let mut end = at + 1;
    let mut pos = at + 1;
    while let Some(byte) = text.get(pos) {
        match byte {
            b'0'..=b'9' => {
                digits += 1;
                end = pos + 1;
            }
            b' ' | b'-' | b'.' | b'(' | b')'
                if text[pos - 1].is_ascii_digit() || matches!(text[pos - 1], b')' | b' ') =>
            {
                groups += usize::from(text[pos - 1].is_ascii_digit());
            }
            _ => break,
        }
        pos += 1;
    }
    let behind = text
        .get(end)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'_' | b'*' | b'/'));
    let whole = if groups > 2 {
        (8..=15).contains(&digits)
    } else {
        (11..=13).contains(&digits)
    };
    if whole && behind {
        out.push(Finding::plain(at, end, "phone", RANK_PERSONAL, &text[at..end]));
    }
}

/// `(415) 555-0132`
fn area_in_brackets(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let Some(start) = at.checked_sub(4) else { return };
    if text[start] != b'(' || !text[start + 1..at].iter().all(u8::is_ascii_digit) || text[start + 1] < b'2' {
        return;
    }
    let from = at + 1 + usize::from(text.get(at + 1) == Some(&b' '));
    if is_seven(text, from) {
        let end = from + 8;
        out.push(Finding::plain(
            start,
            end,
            "phone",
            RANK_PERSONAL,
            &text[start..end],
        ));
    }
}

/// `555-0132`, and no digit behind it.
fn is_seven(text: &[u8], from: usize) -> bool {
    text.get(from..from + 8).is_some_and(|part| {
        part[..3].iter().all(u8::is_ascii_digit)
            && matches!(part[3], b'-' | b'.')
            && part[4..].iter().all(u8::is_ascii_digit)
    }) && text
        .get(from + 8)
        .is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'))
}

/// `415-555-0132`
fn north_american(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let Some(start) = at.checked_sub(3) else { return };
    let area = &text[start..at];
    let opens = start == 0 || {
        let before = text[start - 1];
        !before.is_ascii_alphanumeric() && !matches!(before, b'-' | b'.' | b'_' | b'/' | b'+')
    };
    if opens
        && area.iter().all(u8::is_ascii_digit)
        && area[0] >= b'2'
        && text.get(at + 1).is_some_and(|byte| *byte >= b'2')
        && is_seven(text, at + 1)
        && text[at + 4] == b'-'
    {
        let end = at + 9;
        out.push(Finding::plain(
            start,
            end,
            "phone",
            RANK_PERSONAL,
            &text[start..end],
        ));
    }
}

/// An address that is routed in public, and no version: a version's numbers are small, or stand behind a name.
fn ipv4(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    // Only the first dot of an address is looked at.
    let start = at
        - text[at.saturating_sub(3)..at]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
    let part = &text[start..text.len().min(start + 16)];
    let length = part
        .iter()
        .take_while(|byte| byte.is_ascii_digit() || **byte == b'.')
        .count();
    let candidate = &part[..length];
    let candidate = candidate.strip_suffix(b".").unwrap_or(candidate);
    let opens = match text[..start] {
        [] => true,
        [.., b'=' | b'>' | b'<' | b'~' | b'^', b'='] => false,
        [.., before, b'/'] => before == b'/' || before == b' ',
        [.., before] => {
            !(before.is_ascii_digit() || matches!(before, b'.' | b'-' | b'_' | b'~' | b'^'))
                && (!before.is_ascii_alphabetic() || start >= 2 && text[start - 2] == b'\\')
        }
    };
    let behind = text.get(start + candidate.len());
    let closes = behind.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_'));
    if !opens || !closes {
        return;
    }
    let Some(address) = std::str::from_utf8(candidate)
        .ok()
        .and_then(|text| text.parse::<Ipv4Addr>().ok())
    else {
        return;
    };
    let octets = address.octets();
    let public = !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_broadcast()
        || address.is_multicast()
        || address.is_unspecified()
        || octets[0] == 0
        || octets[0] >= 240
        || octets[0] == 255);
    let version = octets.iter().all(|octet| *octet < 32) || (octets[2] == 0 && octets[3] == 0);
    let resolver = matches!(octets, [8, 8, 8 | 4, 8 | 4] | [1, 1 | 0, 1 | 0, 1] | [9, 9, 9, 9]);
    if public && !version && !resolver {
        let end = start + candidate.len();
        out.push(Finding::plain(start, end, "ip_address", RANK_PERSONAL, candidate));
    }
}

pub(super) fn ipv6(text: &[u8], at: usize, out: &mut Vec<Finding>) {
    let before = at.checked_sub(1).map(|before| text[before]);
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b':')
        && skip_escape(text, at - 1) != at
    {
        return;
    }
    let length = text[at..text.len().min(at + 45)]
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit() || **byte == b':')
        .count();
    let candidate = &text[at..at + length];
    let Some(address) = std::str::from_utf8(candidate)
        .ok()
        .and_then(|text| text.parse::<Ipv6Addr>().ok())
    else {
        return;
    };
    let documentation = address.segments()[..2] == [0x2001, 0xdb8];
    if !documentation && IpAddr::V6(address) != IpAddr::V6(Ipv6Addr::LOCALHOST) {
        out.push(Finding::plain(
            at,
            at + length,
            "ip_address",
            RANK_PERSONAL,
            candidate,
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_skipped_holds_nothing(text in "([ -~]{0,30}(192\\.0\\.3\\.4|81\\.2\\.69\\.142|a@b\\.io|\\+41446681800|\\(415\\) 555-0132|415-555-0132)?){0,12}") {
            let text = text.as_bytes();
            let (mut quick, mut whole) = (Vec::new(), Vec::new());
            find(text, &mut quick);
            (0..text.len()).for_each(|at| look(text, at, &mut whole));
            quick.sort_by_key(|found| (found.start, found.end));
            whole.sort_by_key(|found| (found.start, found.end));
            prop_assert_eq!(quick, whole);
        }
    }
}
