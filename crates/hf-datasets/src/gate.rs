//! Whether data may leave this machine.

use hf_core::{Endpoint, HfError};
use url::Url;

use crate::invalid;

/// What is known about the data about to be uploaded.
///
/// Session logs hold secrets. Until a scan has replaced them, data may only go to a Hub on the same machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum UploadGate {
    /// No scan has passed this data: every address but loopback is refused.
    #[default]
    LoopbackOnly,
    /// The secret scan passed this data; it may go to any Hub.
    Passed,
}

impl UploadGate {
    /// Says whether data may be uploaded to `endpoint`.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when the gate has not passed and the endpoint is not a loopback address.
    pub fn check(self, endpoint: &Endpoint) -> Result<(), HfError> {
        if self == Self::Passed || endpoint.is_loopback() {
            return Ok(());
        }
        Err(invalid(format!(
            "nothing may be uploaded to {endpoint}: this data has not passed a secret scan. Use a Hub on this machine \
             (bashgym hub serve) until it has"
        )))
    }

    /// Says whether data may be sent to an address the Hub named.
    pub(crate) fn check_url(self, url: &Url) -> Result<(), HfError> {
        if self == Self::Passed {
            return Ok(());
        }
        self.check(&Endpoint::parse(&url.origin().ascii_serialization())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_passes_without_a_scan() {
        let cloud = Endpoint::default();
        let local = Endpoint::parse("http://127.0.0.1:9").unwrap();
        assert!(
            UploadGate::default()
                .check(&cloud)
                .unwrap_err()
                .to_string()
                .contains("secret scan")
        );
        UploadGate::default().check(&local).unwrap();
        UploadGate::Passed.check(&cloud).unwrap();
        let target = Url::parse("https://s3.example.org/x?sig=secret").unwrap();
        let error = UploadGate::LoopbackOnly
            .check_url(&target)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("sig"), "{error}");
        UploadGate::LoopbackOnly
            .check_url(&Url::parse("http://localhost:5/x").unwrap())
            .unwrap();
    }
}
