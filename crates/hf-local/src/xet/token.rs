//! Bearer tokens for the CAS and signatures for the URLs that fetch xorb bytes.

use std::fs;
use std::io::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue};
use rand::RngCore;
use serde::{Deserialize, Serialize};

use super::{Result, XetError, XetHash};

/// How long a token is good for, in seconds. Clients ask for a new one 30 or 60 seconds before the end.
pub(super) const TOKEN_LIFETIME_SECONDS: u64 = 3600;

/// How long a URL that fetches xorb bytes is good for, in seconds. On 403 a client asks for the reconstruction again.
pub(super) const FETCH_URL_LIFETIME_SECONDS: u64 = 3600;

const SECRET_FILE: &str = "secret";

/// What a token allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum XetScope {
    /// Rebuild files, ask for known chunks.
    Read,
    /// All of [`XetScope::Read`], and upload xorbs and shards.
    Write,
}

/// What `GET /api/{type}s/{repo_id}/xet-{read|write}-token/{revision}` answers.
///
/// # Shape
///
/// JSON `{"casUrl", "accessToken", "exp"}` for the Rust and JavaScript clients, and [`XetToken::headers`] for the
/// Python client: a Hub sends both in one answer.
///
/// # Source
///
/// `huggingface_hub` 2.4.0 `utils/_xet.py`; hf-hub 1.0.0 `xet.rs`.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct XetToken {
    /// Where the CAS is; its routes (`/v1/…`) are relative to this.
    pub cas_url: String,
    /// The bearer token for it.
    pub access_token: String,
    /// When the token ends, in seconds since the epoch.
    pub exp: u64,
}

impl XetToken {
    /// Returns the headers the Python client reads: `X-Xet-Cas-Url`, `X-Xet-Access-Token`, `X-Xet-Token-Expiration`.
    ///
    /// They also go into `actions.upload.header` of an LFS batch answer whose transfer is `xet`.
    pub fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::with_capacity(3);
        let pairs = [
            ("x-xet-cas-url", self.cas_url.clone()),
            ("x-xet-access-token", self.access_token.clone()),
            ("x-xet-token-expiration", self.exp.to_string()),
        ];
        for (name, value) in pairs {
            // A URL that is no header value cannot come out of a Host header, which is where it came from.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        headers
    }
}

impl std::fmt::Debug for XetToken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("XetToken")
            .field("cas_url", &self.cas_url)
            .field("access_token", &"set")
            .field("exp", &self.exp)
            .finish()
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    scope: XetScope,
    repo: String,
    exp: u64,
}

/// Why a request was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No token, one this store did not issue, or one that has ended.
    Unauthorized,
    /// A good token for something else.
    Forbidden,
}

/// The keys of one store. All of them come from one secret that never leaves its folder.
#[derive(Clone)]
pub(super) struct Keys {
    token: [u8; 32],
    fetch: [u8; 32],
    store_id: String,
}

impl Keys {
    /// Reads the secret of the store in `dir`, or makes one (mode 0600).
    pub(super) fn open(dir: &Path) -> Result<Self> {
        let path = dir.join(SECRET_FILE);
        let secret = match fs::read(&path) {
            Ok(secret) => secret,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut secret = vec![0; 32];
                rand::rng().fill_bytes(&mut secret);
                let make = || {
                    // tempfile makes its files with mode 0600.
                    let mut file = tempfile::NamedTempFile::new_in(dir)?;
                    file.write_all(&secret)?;
                    file.as_file().sync_all()?;
                    match file.persist_noclobber(&path) {
                        Ok(_) => Ok(secret.clone()),
                        Err(raced) if raced.error.kind() == std::io::ErrorKind::AlreadyExists => {
                            fs::read(&path)
                        }
                        Err(raced) => Err(raced.error),
                    }
                };
                make().map_err(XetError::io("make its secret"))?
            }
            Err(error) => return Err(XetError::io("read its secret")(error)),
        };
        if secret.len() != 32 {
            return Err(XetError::Damaged {
                what: format!("{} is not 32 bytes long", path.display()),
            });
        }
        Ok(Self::from_secret(&secret))
    }

    fn from_secret(secret: &[u8]) -> Self {
        let store_id = blake3::derive_key("hf-local xet store id v1", secret);
        Self {
            token: blake3::derive_key("hf-local xet access token v1", secret),
            fetch: blake3::derive_key("hf-local xet fetch url v1", secret),
            store_id: hex::encode(&store_id[..8]),
        }
    }

    /// Names this store in its URLs. Clients keep what they know about a CAS by its URL, so two stores that come to
    /// life on the same port must not look like one.
    pub(super) fn store_id(&self) -> &str {
        &self.store_id
    }

    pub(super) fn issue(&self, scope: XetScope, repo: &str, exp: u64) -> String {
        let claims = Claims {
            scope,
            repo: repo.to_owned(),
            exp,
        };
        let payload = serde_json::to_vec(&claims).unwrap_or_default();
        let tag = blake3::keyed_hash(&self.token, &payload);
        format!(
            "xet.{}.{}",
            URL_SAFE_NO_PAD.encode(&payload),
            URL_SAFE_NO_PAD.encode(tag.as_bytes())
        )
    }

    pub(super) fn check(&self, token: &str, wanted: XetScope, now: u64) -> Result<(), Refused> {
        let claims = self.open_token(token).ok_or(Refused::Unauthorized)?;
        if claims.exp <= now {
            return Err(Refused::Unauthorized);
        }
        match (wanted, claims.scope) {
            (XetScope::Read, _) | (XetScope::Write, XetScope::Write) => Ok(()),
            (XetScope::Write, XetScope::Read) => Err(Refused::Forbidden),
        }
    }

    fn open_token(&self, token: &str) -> Option<Claims> {
        let (payload, tag) = token.strip_prefix("xet.")?.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let tag: [u8; 32] = URL_SAFE_NO_PAD.decode(tag).ok()?.try_into().ok()?;
        // Comparing two `blake3::Hash` takes the same time wherever they differ.
        if blake3::keyed_hash(&self.token, &payload) != blake3::Hash::from_bytes(tag) {
            return None;
        }
        serde_json::from_slice(&payload).ok()
    }

    /// Signs the right to read `start..end` of a stored xorb until `exp`.
    pub(super) fn sign_fetch(&self, xorb: &XetHash, start: u64, end: u64, exp: u64) -> String {
        hex::encode(self.fetch_tag(xorb, start, end, exp).as_bytes())
    }

    pub(super) fn check_fetch(&self, grant: &FetchGrant, now: u64) -> Result<(), Refused> {
        let tag: [u8; 32] = hex::decode(&grant.sig)
            .ok()
            .and_then(|tag| tag.try_into().ok())
            .ok_or(Refused::Forbidden)?;
        let xorb = grant.xorb.parse().map_err(|_| Refused::Forbidden)?;
        if self.fetch_tag(&xorb, grant.start, grant.end, grant.exp) != blake3::Hash::from_bytes(tag)
            || grant.exp <= now
        {
            return Err(Refused::Forbidden);
        }
        Ok(())
    }

    fn fetch_tag(&self, xorb: &XetHash, start: u64, end: u64, exp: u64) -> blake3::Hash {
        let mut message = Vec::with_capacity(56);
        message.extend_from_slice(xorb.as_bytes());
        for number in [start, end, exp] {
            message.extend_from_slice(&number.to_le_bytes());
        }
        blake3::keyed_hash(&self.fetch, &message)
    }
}

/// The query of a signed URL.
#[derive(Debug, Deserialize)]
pub(super) struct FetchGrant {
    pub(super) xorb: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) exp: u64,
    pub(super) sig: String,
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn keys() -> Keys {
        Keys::from_secret(&[7; 32])
    }

    #[test]
    fn a_token_opens_what_it_was_issued_for() {
        let keys = keys();
        let read = keys.issue(XetScope::Read, "models/ada/tiny", 100);
        let write = keys.issue(XetScope::Write, "models/ada/tiny", 100);
        assert_eq!(keys.check(&read, XetScope::Read, 99), Ok(()));
        assert_eq!(keys.check(&write, XetScope::Read, 99), Ok(()));
        assert_eq!(keys.check(&write, XetScope::Write, 99), Ok(()));
        assert_eq!(keys.check(&read, XetScope::Write, 99), Err(Refused::Forbidden));
        assert_eq!(keys.check(&read, XetScope::Read, 100), Err(Refused::Unauthorized));
    }

    #[test]
    fn a_changed_token_opens_nothing() {
        let keys = keys();
        let token = keys.issue(XetScope::Read, "models/ada/tiny", 100);
        for position in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[position] = if changed[position] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(
                keys.check(&changed, XetScope::Read, 1),
                Err(Refused::Unauthorized),
                "{changed}"
            );
        }
        let other = Keys::from_secret(&[8; 32]);
        assert_eq!(other.check(&token, XetScope::Read, 1), Err(Refused::Unauthorized));
        assert_eq!(keys.check("", XetScope::Read, 1), Err(Refused::Unauthorized));
    }

    #[test]
    fn a_signed_url_reads_its_own_range_until_it_ends() {
        let keys = keys();
        let xorb = XetHash::from([3; 32]);
        let sig = keys.sign_fetch(&xorb, 10, 20, 100);
        let grant = |start, end, exp| FetchGrant {
            xorb: xorb.to_string(),
            start,
            end,
            exp,
            sig: sig.clone(),
        };
        assert_eq!(keys.check_fetch(&grant(10, 20, 100), 99), Ok(()));
        assert_eq!(
            keys.check_fetch(&grant(10, 20, 100), 100),
            Err(Refused::Forbidden)
        );
        assert_eq!(keys.check_fetch(&grant(9, 20, 100), 99), Err(Refused::Forbidden));
        assert_eq!(keys.check_fetch(&grant(10, 21, 100), 99), Err(Refused::Forbidden));
        assert_eq!(keys.check_fetch(&grant(10, 20, 101), 99), Err(Refused::Forbidden));
    }

    #[test]
    fn the_secret_is_made_once_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Keys::open(dir.path()).unwrap();
        let second = Keys::open(dir.path()).unwrap();
        assert_eq!(first.store_id(), second.store_id());
        let token = first.issue(XetScope::Read, "models/ada/tiny", 100);
        assert_eq!(second.check(&token, XetScope::Read, 1), Ok(()));
        let mode = fs::metadata(dir.path().join(SECRET_FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_token_does_not_print_itself() {
        let token = XetToken {
            cas_url: "http://h".to_owned(),
            access_token: "xet.secret".to_owned(),
            exp: 1,
        };
        assert!(!format!("{token:?}").contains("secret"));
        assert_eq!(token.headers()["x-xet-access-token"], "xet.secret");
    }
}
