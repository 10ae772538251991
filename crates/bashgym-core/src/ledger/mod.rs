//! One ledger for everything that costs: jobs, inference and Spaces.
//!
//! The worst case is reserved before anything is spent ([`Budget::reserve`]), and settled with what it really cost
//! ([`Budget::settle`]) or given back ([`Budget::release`]). Caps per day, month, run and in all, of one service or
//! of all of them, are checked in the same transaction that writes the reservation, so that callers at once, in
//! one process or in many, cannot pass a cap together. A price that is not known is unknown, never zero.
//!
//! Days and months are those of UTC. A reservation counts in the day and month it was made in, and so does what it
//! cost in the end, even if it ended later.

mod books;
#[cfg(feature = "testing")]
pub mod contract;
mod error;
mod memory;
mod model;
mod overview;
mod purse;
mod rules;
mod service;

pub use books::{
    Buckets, EntryCursor, EntryFilter, LedgerStore, LedgerTransaction, Sums, Totals, UsageBy, UsageRow,
};
pub use error::{CapExceeded, Holder, LedgerError};
pub use hf_core::{AmountError, MicroUsd, decimal_usd};
pub use memory::MemoryLedger;
pub(crate) use model::utc_day;
pub use model::{
    Book, Cap, CapScope, CostSource, EntryState, LedgerEntry, Reservation, ReserveRequest, Service,
    Settlement, UnknownWord, Window,
};
pub use overview::{CapStatus, Overview};
pub use purse::Purse;
pub use service::{Budget, Ledger};
