//! The key behind placeholders: without it, a placeholder tells nothing about the value, not even to someone who guesses it.

use std::fmt;

/// Letters of a placeholder's tag: no vowels, so that no tag is a word.
const LETTERS: &[u8; 28] = b"bcdfghjkmnpqrstvwxyz23456789";
const TAG: usize = 8;

/// A key for placeholders and for what reviews remember. It is as secret as the values.
#[derive(Clone, PartialEq, Eq)]
pub struct GateKey([u8; 32]);

impl fmt::Debug for GateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GateKey(***)")
    }
}

impl GateKey {
    /// Makes a key from secret bytes; `purpose` gives each dataset or use a key of its own.
    pub fn derive(secret: &[u8], purpose: &str) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("bashgym gate 2026-11 placeholders");
        hasher.update(&(secret.len() as u64).to_le_bytes());
        hasher.update(secret);
        hasher.update(purpose.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// A key that everybody knows: placeholders stay the same from build to build, but who guesses a value can check the
    /// guess. For tests, and where no secret is at hand.
    pub fn public() -> Self {
        Self::derive(b"", "public")
    }

    /// The key of one dataset: the same value has another placeholder in another dataset, so that two that were shared do
    /// not tell that they hold the same secret or the same person.
    #[must_use]
    pub fn for_dataset(&self, name: &str) -> Self {
        Self(self.hash("dataset", name.as_bytes()))
    }

    pub(crate) fn hash(&self, domain: &str, value: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(domain.as_bytes());
        hasher.update(&[0]);
        hasher.update(value);
        *hasher.finalize().as_bytes()
    }

    pub(crate) fn placeholder(&self, kind: &str, value: &[u8]) -> String {
        Self::placeholder_of(kind, &self.hash("value", value))
    }

    /// As [`Self::placeholder`], for a value whose hash is known.
    pub(crate) fn placeholder_of(kind: &str, hash: &[u8; 32]) -> String {
        let mut number = u64::from_le_bytes([
            hash[0], hash[1], hash[2], hash[3], hash[4], hash[5], hash[6], hash[7],
        ]);
        let mut tag = String::with_capacity(TAG);
        for _ in 0..TAG {
            let letter = usize::try_from(number % 28).unwrap_or(0);
            tag.push(char::from(LETTERS[letter]));
            number /= 28;
        }
        if kind == "user_name" {
            format!("user_{tag}")
        } else {
            format!("<{}_{tag}>", kind.to_ascii_uppercase())
        }
    }
}

fn is_tag(text: &[u8]) -> bool {
    text.len() == TAG && text.iter().all(|byte| LETTERS.contains(byte))
}

/// Whether a name is one of ours.
pub(crate) fn is_user_placeholder(name: &str) -> bool {
    name.strip_prefix("user_")
        .is_some_and(|tag| is_tag(tag.as_bytes()))
}

/// The length of the placeholder a text begins with.
pub(crate) fn is_placeholder_start(text: &[u8]) -> Option<usize> {
    let inside = text.strip_prefix(b"<")?;
    let close = inside.iter().take(72).position(|byte| *byte == b'>')?;
    let (kind, tag) = inside[..close].split_at_checked(close.checked_sub(TAG + 1)?)?;
    let kind_fits = !kind.is_empty()
        && kind
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_');
    (kind_fits && tag[0] == b'_' && is_tag(&tag[1..])).then_some(close + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_known_again_and_depend_on_the_key() {
        let key = GateKey::derive(b"secret", "one");
        let placeholder = key.placeholder("hf_token", b"hf_x");
        assert_eq!(
            is_placeholder_start(placeholder.as_bytes()),
            Some(placeholder.len())
        );
        assert!(is_user_placeholder(&key.placeholder("user_name", b"jane")));
        assert_ne!(
            placeholder,
            GateKey::derive(b"secret", "two").placeholder("hf_token", b"hf_x")
        );
        assert!(!format!("{key:?}").contains(&hex::encode(key.0)));
        for other in ["<HF_TOKEN_1>", "<b>", "<HF_TOKEN_abcdefgh>", "HF"] {
            assert_eq!(is_placeholder_start(other.as_bytes()), None, "{other}");
        }
    }
}
