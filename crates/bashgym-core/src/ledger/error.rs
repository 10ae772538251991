//! Why the ledger refused, and what can be done about it.

use jiff::Timestamp;

use super::{Cap, CapScope, MicroUsd, Service, Window};
use crate::run::RunId;
use crate::store::StoreError;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A cap would be passed. Nothing was reserved.
    #[error(transparent)]
    CapExceeded(Box<CapExceeded>),
    /// The price is not known, and that was not allowed. Nothing was reserved.
    #[error("the price of {purpose} ({service}) is not known, so its worst case cannot be reserved")]
    UnknownPrice {
        /// What costs.
        service: Service,
        /// What for.
        purpose: String,
    },
    /// The key names a reservation for something else.
    #[error("reservation {key} is there already, with another {differs}")]
    KeyReused {
        /// The key.
        key: String,
        /// What differs: service, run or purpose.
        differs: &'static str,
    },
    /// No entry has this key.
    #[error("the ledger has no reservation {key}")]
    Missing {
        /// The key.
        key: String,
    },
    /// What was spent cannot be given back.
    #[error("reservation {key} is settled: what was spent cannot be given back")]
    AlreadySettled {
        /// The key.
        key: String,
    },
    /// A key or purpose that cannot be kept.
    #[error("{what} must be 1 to {max} characters, none of them a control character")]
    BadText {
        /// Key or purpose.
        what: &'static str,
        /// The most characters.
        max: usize,
    },
    /// The ledger's sums would leave the range of amounts.
    #[error("the ledger cannot add up amounts this large")]
    TooLarge,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which cap refused, and what holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapExceeded {
    /// The cap.
    pub cap: Cap,
    /// The run, if the cap is one of runs.
    pub run: Option<RunId>,
    /// What was asked for; `None` if the price was not known and nothing is left.
    pub asked: Option<MicroUsd>,
    /// Reserved in the cap's window and not yet settled.
    pub reserved: MicroUsd,
    /// Settled in the cap's window.
    pub settled: MicroUsd,
    /// When the window begins anew; `None` if it never does.
    pub resets_at: Option<Timestamp>,
    /// The largest open reservations that count against the cap.
    pub holders: Vec<Holder>,
}

/// An open reservation that counts against a cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its key.
    pub key: String,
    /// What for.
    pub purpose: String,
    /// How much.
    pub amount: MicroUsd,
}

impl CapExceeded {
    /// What the cap has left.
    pub fn left(&self) -> MicroUsd {
        self.cap
            .amount
            .saturating_sub(self.reserved)
            .saturating_sub(self.settled)
    }
}

impl std::error::Error for CapExceeded {}

impl std::fmt::Display for CapExceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let what = match self.cap.scope {
            CapScope::One(service) => service.as_str(),
            CapScope::All => "all services",
        };
        let stretch = match self.cap.window {
            Window::Day => " a day (UTC)".to_owned(),
            Window::Month => " a month (UTC)".to_owned(),
            Window::Run => self
                .run
                .map_or(" a run".to_owned(), |run| format!(" for run {run}")),
            Window::Total => " in all".to_owned(),
        };
        match self.asked {
            Some(asked) => write!(f, "{asked} USD would pass")?,
            None => write!(f, "an unknown amount may pass")?,
        }
        write!(
            f,
            " the budget of {} USD{stretch} for {what}: {} USD left ({} reserved, {} settled)",
            self.cap.amount,
            self.left(),
            self.reserved,
            self.settled,
        )?;
        for (index, holder) in self.holders.iter().enumerate() {
            let lead = if index == 0 { "; reserved by" } else { "," };
            write!(
                f,
                "{lead} {} ({}, {} USD)",
                holder.purpose, holder.key, holder.amount
            )?;
        }
        match self.resets_at {
            Some(at) => write!(f, "; it begins anew at {at}"),
            None => write!(f, "; it does not begin anew"),
        }
    }
}

impl LedgerError {
    /// What to do next, where something can be done.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::CapExceeded(refusal) => {
                let used = refusal.reserved.checked_add(refusal.settled)?;
                let needed = used.checked_add(refusal.asked.unwrap_or_default())?;
                // With an unknown price any room will do.
                let needed = match refusal.asked {
                    Some(_) => needed,
                    None => needed.checked_add(MicroUsd::new(1_000_000).ok()?)?,
                };
                let (scope, window) = (refusal.cap.scope, refusal.cap.window);
                Some(format!(
                    "see what holds it with `bashgym budget show`; to allow this, \
                     `bashgym budget set --service {scope} --{window} {needed}`"
                ))
            }
            Self::UnknownPrice { .. } => {
                Some("choose something with a listed price, or allow an unknown price explicitly".to_owned())
            }
            Self::AlreadySettled { key } | Self::KeyReused { key, .. } => {
                Some(format!("see the entry with `bashgym budget ls --key {key}`"))
            }
            _ => None,
        }
    }
}
