//! The Hub's 24-digit ids.

use rand::Rng;

/// Makes the id that `name` always has among things of one `kind`.
pub(crate) fn derived(kind: &str, name: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(kind.as_bytes())
        .update(b":")
        .update(name.to_ascii_lowercase().as_bytes());
    hex::encode(&hasher.finalize().as_bytes()[..12])
}

/// Makes a new id; ids made later sort later.
pub(crate) fn fresh(now_ms: i64) -> String {
    let seconds = u32::try_from(now_ms / 1000).unwrap_or(u32::MAX);
    let random: [u8; 8] = rand::rng().random();
    format!("{seconds:08x}{}", hex::encode(random))
}
