//! Links that carry their own permission and run out.

use std::fmt;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rand::Rng;

use super::files;
use crate::error::LocalHubError;

const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Signs and checks with a key that stays in the data folder.
pub(crate) struct Signer {
    key: [u8; 32],
}

impl Signer {
    /// Reads the key of the data folder, or makes it.
    pub(crate) fn open(data_dir: &Path) -> Result<Self, LocalHubError> {
        let path = data_dir.join("signing.key");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let key: [u8; 32] = rand::rng().random();
                let text = hex::encode(key);
                files::write_private(&path, text.as_bytes()).map_err(LocalHubError::io("write", &path))?;
                text
            }
            Err(error) => return Err(LocalHubError::io("read", path)(error)),
        };
        let mut key = [0_u8; 32];
        hex::decode_to_slice(text.trim(), &mut key)
            .map_err(|error| LocalHubError::io("read the key in", path)(std::io::Error::other(error)))?;
        Ok(Self { key })
    }

    /// Returns the code of `message` for one `purpose`. Codes of two purposes never match.
    pub(crate) fn code(&self, purpose: &str, message: &[u8]) -> String {
        self.mac(purpose, message).to_hex().to_string()
    }

    /// Checks a code, in constant time.
    pub(crate) fn check(&self, purpose: &str, message: &[u8], code: &str) -> bool {
        blake3::Hash::from_hex(code).is_ok_and(|code| code == self.mac(purpose, message))
    }

    fn mac(&self, purpose: &str, message: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher
            .update(&(purpose.len() as u64).to_le_bytes())
            .update(purpose.as_bytes())
            .update(message);
        hasher.finalize()
    }

    /// Makes a link to `path` of `origin` that works for `method` until `expires` (seconds since 1970).
    pub(crate) fn link(
        &self,
        origin: &str,
        method: &str,
        path: &str,
        params: &[(&str, &str)],
        expires: i64,
    ) -> String {
        let mut query = String::new();
        for (name, value) in params {
            query.push_str(name);
            query.push('=');
            query.extend(utf8_percent_encode(value, UNRESERVED));
            query.push('&');
        }
        query.push_str("exp=");
        query.push_str(&expires.to_string());
        let code = self.code("link", format!("{method} {path}?{query}").as_bytes());
        format!("{origin}{path}?{query}&sig={code}")
    }

    /// Checks a link made by [`Signer::link`]: the path and the query as they came, percent-encoding included.
    pub(crate) fn check_link(&self, method: &str, path: &str, query: &str, now: i64) -> bool {
        let Some((signed, code)) = query.rsplit_once("&sig=") else {
            return false;
        };
        let expires = signed
            .rsplit_once("exp=")
            .and_then(|(_, text)| text.parse::<i64>().ok());
        expires.is_some_and(|expires| now < expires)
            && self.check("link", format!("{method} {path}?{signed}").as_bytes(), code)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_works_for_its_method_and_path_until_it_runs_out() {
        let signer = Signer { key: [7; 32] };
        let link = signer.link(
            "http://h",
            "GET",
            "/objects/aa",
            &[("filename", "a b&c.bin")],
            100,
        );
        let (path, query) = link["http://h".len()..].split_once('?').unwrap();
        assert!(signer.check_link("GET", path, query, 99));
        assert!(!signer.check_link("GET", path, query, 100));
        assert!(!signer.check_link("PUT", path, query, 99));
        assert!(!signer.check_link("GET", "/objects/ab", query, 99));
        assert!(!signer.check_link("GET", path, &query.replace("exp=100", "exp=999"), 99));
        assert!(!signer.check_link("GET", path, "", 99));
    }
}
