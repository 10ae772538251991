//! Parts of files, and files the client has already.

use std::ops::Range;

use http::HeaderMap;
use http::header::{HeaderName, IF_NONE_MATCH, IF_RANGE, RANGE};

/// What a request wants of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// 200
    Whole,
    /// 206
    Part(Range<u64>),
    /// 416
    Outside,
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Reads `Range` and `If-Range`. More than one range at once gets the whole file, as HTTP allows.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let Some(range) = text(headers, RANGE).and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Wanted::Whole;
    };
    if text(headers, IF_RANGE).is_some_and(|held| held.trim().trim_matches('"') != etag) {
        return Wanted::Whole;
    }
    let Some((first, last)) = range.trim().split_once('-').filter(|_| !range.contains(',')) else {
        return Wanted::Whole;
    };
    match (first.trim().parse::<u64>(), last.trim().parse::<u64>()) {
        (Ok(first), Ok(last)) if first > last => Wanted::Whole,
        (Ok(first), Ok(last)) if first < size => Wanted::Part(first..last.saturating_add(1).min(size)),
        (Ok(first), Err(_)) if last.trim().is_empty() && first < size => Wanted::Part(first..size),
        (Ok(_), Ok(_)) => Wanted::Outside,
        (Ok(_), Err(_)) if last.trim().is_empty() => Wanted::Outside,
        (Err(_), Ok(0)) if first.trim().is_empty() => Wanted::Outside,
        (Err(_), Ok(_)) if first.trim().is_empty() && size == 0 => Wanted::Outside,
        (Err(_), Ok(tail)) if first.trim().is_empty() => Wanted::Part(size.saturating_sub(tail)..size),
        _ => Wanted::Whole,
    }
}

/// Returns whether the client has the file already.
pub(crate) fn is_held(headers: &HeaderMap, etag: &str) -> bool {
    text(headers, IF_NONE_MATCH).is_some_and(|held| {
        held.split(',')
            .map(str::trim)
            .any(|held| held == "*" || held.strip_prefix("W/").unwrap_or(held).trim_matches('"') == etag)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn of(range: &str, size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_str(range).unwrap());
        wanted(&headers, size, "e")
    }

    #[test]
    fn ranges_are_read_as_http_says() {
        assert_eq!(of("bytes=0-0", 10), Wanted::Part(0..1));
        assert_eq!(of("bytes=3-", 10), Wanted::Part(3..10));
        assert_eq!(of("bytes=3-99", 10), Wanted::Part(3..10));
        assert_eq!(of("bytes=-4", 10), Wanted::Part(6..10));
        assert_eq!(of("bytes=-40", 10), Wanted::Part(0..10));
        for outside in ["bytes=10-", "bytes=10-12", "bytes=-0"] {
            assert_eq!(of(outside, 10), Wanted::Outside, "{outside}");
        }
        assert_eq!(of("bytes=0-0", 0), Wanted::Outside);
        for whole in [
            "bytes=0-1,3-4",
            "bytes=5-2",
            "bytes=a-b",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(of(whole, 10), Wanted::Whole, "{whole}");
        }
    }

    #[test]
    fn a_part_of_another_file_is_not_sent() {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
        headers.insert(IF_RANGE, HeaderValue::from_static("\"e\""));
        assert_eq!(wanted(&headers, 10, "e"), Wanted::Part(1..3));
        assert_eq!(wanted(&headers, 10, "f"), Wanted::Whole);
    }
}
