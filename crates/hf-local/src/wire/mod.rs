//! The Hub's own shapes, written here from its replies and apart from the client crates, so that one misreading can't
//! hide on both sides.

pub(crate) mod commit;
pub(crate) mod files;
pub(crate) mod repos;
pub(crate) mod whoami;

use jiff::Timestamp;

/// Writes a time as the Hub does: UTC with milliseconds.
pub(crate) fn time(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// The picture of a user or an organisation.
pub(crate) fn avatar_url(id: &str) -> String {
    format!("/avatars/{id}.svg")
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_have_milliseconds() {
        assert_eq!(super::time(1_790_000_000_000), "2026-09-21T14:13:20.000Z");
        assert_eq!(super::time(1_790_000_000_042), "2026-09-21T14:13:20.042Z");
    }
}
