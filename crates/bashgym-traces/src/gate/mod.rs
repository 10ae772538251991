//! The gate that text passes before it may become part of a dataset: that of `bashgym-gate`, for the sessions of this crate.

use std::borrow::Cow;

use bashgym_gate::GateKey;
pub use bashgym_gate::{GateReport, GateStatus};

use crate::model::Trace;

/// Replaces secrets and personal data; the same value gets the same placeholder under the same key.
#[derive(Debug)]
pub struct Gate(bashgym_gate::Gate);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl From<bashgym_gate::Gate> for Gate {
    fn from(gate: bashgym_gate::Gate) -> Self {
        Self(gate)
    }
}

impl Gate {
    /// Creates a gate with all rules, and the key that everybody knows. Where a secret key is at hand, make one with
    /// [`bashgym_gate::Gate::new`] and convert it.
    ///
    /// # Panics
    ///
    /// Never: the rules are constants, and a test of `bashgym-gate` reads them.
    #[expect(
        clippy::expect_used,
        reason = "the rules are constants, and a test of bashgym-gate reads them"
    )]
    pub fn new() -> Self {
        Self(bashgym_gate::Gate::new(GateKey::public()).expect("rules that a test has read"))
    }

    /// Gives placeholders of one dataset's own; see [`GateKey::for_dataset`].
    #[must_use]
    pub fn for_dataset(self, name: &str) -> Self {
        Self(self.0.for_dataset(name))
    }

    /// Learns the user name of a session from the folders it names, so that the name is also found outside of paths.
    pub fn learn(&mut self, trace: &Trace) {
        let paths = trace
            .cwd
            .iter()
            .chain(&trace.files.read)
            .chain(&trace.files.written);
        for path in paths {
            self.0.learn_path(path);
        }
    }

    /// Cleans a text.
    pub fn text<'t>(&mut self, text: &'t str) -> Cow<'t, str> {
        self.0.text(text)
    }

    /// Cleans a JSON text and leaves every byte outside of findings as it is.
    ///
    /// The result is valid JSON if the input is.
    pub fn json<'t>(&mut self, json: &'t str) -> Cow<'t, str> {
        self.0.json(json)
    }

    /// Returns a name for everything that decides what is replaced; see [`bashgym_gate::Gate::fingerprint`].
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint()
    }

    /// Returns what was replaced so far.
    pub fn report(&self) -> GateReport {
        self.0.report()
    }
}
