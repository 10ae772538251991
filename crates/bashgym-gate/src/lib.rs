//! The gate: no secret leaves.
//!
//! [`Gate`] replaces secrets and personal data in text and JSON; [`Scanner`] looks for them in a stream of any length;
//! [`Inspection`] decides whether a file may be uploaded. All three use the same rules: those of gitleaks and some of this
//! project, as data, found by a keyword filter that hands only windows to the patterns, behind escapes, base64, hex and
//! percent signs too. What people decided about findings is a [`Policy`]. The crate does no networking.

mod decode;
mod detect;
mod inspect;
mod replace;
mod review;
mod rules;
mod scan;

pub use inspect::{Inspection, Inspector, Refusal};
pub use replace::{Gate, GateKey, GateReport, GateStatus, LogCounts, kinds};
pub use review::{Policy, PolicyError, Verdict};
pub use rules::{GITLEAKS_VERSION, RuleNote, RuleSet, RulesError};
pub use scan::{Hit, Scanner};
