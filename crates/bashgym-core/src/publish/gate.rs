//! The gate in front of every upload.

use std::sync::{Arc, Mutex, PoisonError};

use bashgym_gate::{Inspection, Inspector, Refusal};
use hf_datasets::{FileScan, UploadGate, UploadScanner};

use crate::CoreError;

/// Scans what is to be uploaded, and remembers why it refused.
#[derive(Debug, Clone)]
pub struct PublishGate {
    scanner: Arc<Scan>,
}

#[derive(Debug)]
struct Scan {
    inspector: Inspector,
    refusal: Mutex<Option<Refusal>>,
}

impl Scan {
    fn refuse(&self, refusal: Refusal) -> String {
        let words = refusal.to_string();
        let mut slot = self.refusal.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(refusal);
        words
    }
}

/// The scanner as the upload sees it: it keeps the place where a refusal is left.
#[derive(Debug, Clone)]
struct Shared(Arc<Scan>);

struct OneFile {
    inspection: Inspection,
    scan: Arc<Scan>,
}

impl UploadScanner for Shared {
    fn begin(&self, path: &str, size_bytes: u64) -> Result<Box<dyn FileScan>, String> {
        match self.0.inspector.begin(path, size_bytes) {
            Ok(inspection) => Ok(Box::new(OneFile {
                inspection,
                scan: self.0.clone(),
            })),
            Err(refusal) => Err(self.0.refuse(refusal)),
        }
    }
}

impl FileScan for OneFile {
    fn feed(&mut self, bytes: &[u8]) {
        self.inspection.feed(bytes);
    }

    fn finish(self: Box<Self>) -> Result<(), String> {
        let scan = self.scan;
        self.inspection.finish().map_err(|refusal| scan.refuse(refusal))
    }
}

impl PublishGate {
    /// Makes the gate of one upload.
    pub fn new(inspector: Inspector) -> Self {
        Self {
            scanner: Arc::new(Scan {
                inspector,
                refusal: Mutex::new(None),
            }),
        }
    }

    /// What a repository handle needs to scan what it sends.
    pub fn upload_gate(&self) -> UploadGate {
        UploadGate::Scan(Arc::new(Shared(self.scanner.clone())))
    }

    /// Why the gate refused, once, if it did.
    pub fn refusal(&self) -> Option<CoreError> {
        let mut slot = self
            .scanner
            .refusal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        slot.take().map(|refusal| CoreError::Refused { refusal })
    }
}

#[cfg(test)]
mod tests {
    use bashgym_gate::{GateKey, Policy};
    use hf_core::Endpoint;

    use super::*;

    #[test]
    fn a_refusal_is_explained_and_does_not_repeat_the_secret() {
        let inspector = Inspector::new(GateKey::public(), Policy::default(), Vec::new());
        let gate = PublishGate::new(inspector);
        let upload = gate.upload_gate();
        upload.check(&Endpoint::default()).unwrap();
        let UploadGate::Scan(scanner) = upload else {
            panic!("it scans");
        };
        let text = format!("key: ghp_{}", "a1B2c3D4e5F6".repeat(3));
        let mut scan = scanner.begin("x.txt", text.len() as u64).unwrap();
        scan.feed(text.as_bytes());
        scan.finish().unwrap_err();
        let error = gate.refusal().unwrap();
        assert!(error.to_string().contains("github_token") && !error.to_string().contains("a1B2"));
        assert_eq!(error.kind(), crate::CoreErrorKind::NotAllowed);
        assert!(gate.refusal().is_none());
    }
}
