//! Durations as people write them.

use std::time::Duration;

use hf_core::HfError;

/// Reads a duration the official client's way: a number of seconds, or a number with `s`, `m`, `h` or `d`; parts of a unit are
/// allowed, parts of a second are cut off.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(hf_jobs::parse_timeout("1.5h").unwrap(), Duration::from_secs(5400));
/// assert_eq!(hf_jobs::parse_timeout("90").unwrap(), Duration::from_secs(90));
/// assert!(hf_jobs::parse_timeout("soon").is_err());
/// ```
///
/// # Errors
/// [`HfError::InvalidArgument`] when it is none, or less than a second.
///
/// # Source
/// `huggingface_hub` 2.4.0 `_jobs_api.py`, `_create_job_spec`.
pub fn parse_timeout(text: &str) -> Result<Duration, HfError> {
    let wrong = || {
        HfError::invalid(format!(
            "{text:?} is no duration; expected seconds, or a number with s, m, h or d, like 90, 30m or 1.5h"
        ))
    };
    let text = text.trim();
    let (number, factor) = match text.char_indices().next_back() {
        Some((at, 's')) => (&text[..at], 1.0),
        Some((at, 'm')) => (&text[..at], 60.0),
        Some((at, 'h')) => (&text[..at], 3600.0),
        Some((at, 'd')) => (&text[..at], 86_400.0),
        _ => (text, 1.0),
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(wrong());
    }
    let seconds = number.parse::<f64>().map_err(|_no_number| wrong())? * factor;
    let duration = Duration::try_from_secs_f64(seconds.floor()).map_err(|_too_long| wrong())?;
    if duration.is_zero() {
        return Err(wrong());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn units_are_those_of_the_official_client() {
        for (text, seconds) in [
            ("1", 1),
            ("90s", 90),
            ("30m", 1800),
            ("2h", 7200),
            ("0.5d", 43_200),
            ("1.9", 1),
        ] {
            assert_eq!(
                parse_timeout(text).unwrap(),
                Duration::from_secs(seconds),
                "{text}"
            );
        }
        for text in [
            "", "h", "0", "0.2", "-5", "1w", "1e3", "inf", "nan", "1.2.3", "5 m", "½h",
        ] {
            assert!(parse_timeout(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "\\PC{0,12}") {
            let _ = parse_timeout(&text);
        }
    }
}
