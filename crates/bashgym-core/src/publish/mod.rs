//! From session logs to a folder that is ready to be a dataset repository.

mod build;
mod card;
mod gate;
mod traces;

use hf_core::Endpoint;

use crate::CoreError;
pub use build::{BuildConfig, BuildProgress, DatasetBuild, build_dataset_dir, write_card};
pub use gate::PublishGate;
pub use traces::{CleanTraces, clean_traces};

/// Says whether something that no gate scans may be sent to an endpoint: only to a Hub on this machine.
///
/// What goes through a [`PublishGate`] may go anywhere.
///
/// # Errors
/// [`CoreError::NotAllowed`].
pub fn check_target(endpoint: &Endpoint) -> Result<(), CoreError> {
    if endpoint.is_loopback() {
        return Ok(());
    }
    Err(CoreError::NotAllowed {
        what: "what was made of your sessions",
        endpoint: endpoint.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use hf_core::Endpoint;

    use super::check_target;

    #[test]
    fn only_this_machine_may_have_sessions() {
        for allowed in ["http://127.0.0.1:8123", "http://localhost:1", "http://[::1]:80"] {
            assert!(
                check_target(&Endpoint::parse(allowed).unwrap()).is_ok(),
                "{allowed}"
            );
        }
        for refused in [
            "https://huggingface.co",
            "http://127.0.0.1.example.org",
            "http://192.0.2.1",
        ] {
            assert!(
                check_target(&Endpoint::parse(refused).unwrap()).is_err(),
                "{refused}"
            );
        }
    }
}
