//! What is asked of the ledger, and what it keeps.

use std::fmt;
use std::str::FromStr;

use hf_core::Endpoint;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use super::MicroUsd;
use crate::run::RunId;

/// What costs money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// Jobs on the Hub's hardware.
    Jobs,
    /// Calls of models that somebody serves.
    Inference,
    /// Spaces on paid hardware.
    Spaces,
}

impl Service {
    /// All services, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Jobs, Self::Inference, Self::Spaces];

    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Inference => "inference",
            Self::Spaces => "spaces",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names none of the things it could.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is none of {allowed}")]
pub struct UnknownWord {
    word: String,
    allowed: &'static str,
}

impl UnknownWord {
    /// `word` is none of `allowed`.
    pub(crate) fn new(word: &str, allowed: &'static str) -> Self {
        Self {
            word: word.to_owned(),
            allowed,
        }
    }
}

impl FromStr for Service {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|service| service.as_str() == word)
            .ok_or_else(|| UnknownWord {
                word: word.to_owned(),
                allowed: "jobs, inference, spaces",
            })
    }
}

/// What a cap watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CapScope {
    /// One service.
    One(Service),
    /// All services together.
    All,
}

impl CapScope {
    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::One(service) => service.as_str(),
            Self::All => "all",
        }
    }

    /// Whether what `service` costs counts against a cap of this scope.
    pub fn covers(self, service: Service) -> bool {
        match self {
            Self::One(one) => one == service,
            Self::All => true,
        }
    }
}

impl fmt::Display for CapScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for CapScope {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        if word == "all" {
            return Ok(Self::All);
        }
        word.parse().map(Self::One).map_err(|_| UnknownWord {
            word: word.to_owned(),
            allowed: "jobs, inference, spaces, all",
        })
    }
}

impl Serialize for CapScope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The stretch over which a cap adds up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// A day of UTC.
    Day,
    /// A calendar month of UTC.
    Month,
    /// One run; each run has the whole amount.
    Run,
    /// All time.
    Total,
}

impl Window {
    /// All windows, the shortest first.
    pub const ALL: [Self; 4] = [Self::Day, Self::Month, Self::Run, Self::Total];

    /// The word in JSON, in the store and, with two dashes, on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
            Self::Run => "run",
            Self::Total => "total",
        }
    }

    /// The name of the stretch that something reserved on `day` for `run` counts in; `None` where it counts in none.
    pub fn bucket(self, day: Date, run: Option<RunId>) -> Option<String> {
        match self {
            Self::Day => Some(day.to_string()),
            Self::Month => Some(day.strftime("%Y-%m").to_string()),
            Self::Run => run.map(|run| run.to_string()),
            Self::Total => Some(String::new()),
        }
    }

    /// When a cap over the stretch around `now` begins anew; `None` if it never does.
    pub fn resets_at(self, now: Timestamp) -> Option<Timestamp> {
        let day = utc_day(now);
        let next = match self {
            Self::Day => day.checked_add(1.day()).ok()?,
            Self::Month => day.first_of_month().checked_add(1.month()).ok()?,
            Self::Run | Self::Total => return None,
        };
        Some(next.to_zoned(TimeZone::UTC).ok()?.timestamp())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Window {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|window| window.as_str() == word)
            .ok_or_else(|| UnknownWord {
                word: word.to_owned(),
                allowed: "day, month, run, total",
            })
    }
}

/// The day of UTC that a time lies in.
pub(crate) fn utc_day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// Which book an entry is in. Each is added up for itself, and each has the caps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Book {
    /// What an account is charged.
    #[default]
    Account,
    /// What a Hub of this machine says it would cost: nobody pays it.
    Simulated,
}

impl Book {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Account, Self::Simulated];

    /// The book of what is asked for at a Hub.
    pub fn at(endpoint: &Endpoint) -> Self {
        if endpoint.is_loopback() {
            Self::Simulated
        } else {
            Self::Account
        }
    }

    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Simulated => "simulated",
        }
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Book {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|book| book.as_str() == word)
            .ok_or_else(|| UnknownWord {
                word: word.to_owned(),
                allowed: "account, simulated",
            })
    }
}

/// The most that may be reserved and settled together in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Cap {
    /// What counts against it.
    pub scope: CapScope,
    /// Over which stretch.
    pub window: Window,
    /// The most.
    #[serde(rename = "cap_micro_usd")]
    pub amount: MicroUsd,
}

/// What is to be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReserveRequest {
    /// The intent's own name. The same key again is the same reservation, however often it is asked for.
    pub key: String,
    /// What costs.
    pub service: Service,
    /// The run it is for.
    pub run: Option<RunId>,
    /// What for, in a word or two: it can be asked for in the history.
    pub purpose: String,
    /// The most it can cost: price by time limit, for example. `None` if the price is not known.
    pub worst: Option<MicroUsd>,
    /// Whether a price that is not known is accepted. It then stays unknown, and counts as unknown.
    pub allow_unknown_price: bool,
}

/// Money set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// The entry, as it now stands in the ledger.
    pub entry: LedgerEntry,
    /// Whether this call changed the ledger; `false` where an earlier one had reserved the same.
    pub is_new: bool,
}

/// Where a cost comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CostSource {
    /// Measured duration by the price a minute.
    DurationPrice,
    /// Usage that the provider reported.
    ReportedUsage,
    /// Nobody said: the worst case stands, and if that was not known either, the cost is unknown.
    Unknown,
}

impl CostSource {
    /// The word in JSON and in the store.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DurationPrice => "duration_price",
            Self::ReportedUsage => "reported_usage",
            Self::Unknown => "unknown",
        }
    }
}

impl FromStr for CostSource {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        [Self::DurationPrice, Self::ReportedUsage, Self::Unknown]
            .into_iter()
            .find(|source| source.as_str() == word)
            .ok_or_else(|| UnknownWord {
                word: word.to_owned(),
                allowed: "duration_price, reported_usage, unknown",
            })
    }
}

/// What it cost in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// The amount; `None` is read as [`CostSource::Unknown`].
    pub actual: Option<MicroUsd>,
    /// Where the amount comes from.
    pub source: CostSource,
}

impl Settlement {
    /// A cost that nobody can name: the worst case stands.
    pub const UNKNOWN: Self = Self {
        actual: None,
        source: CostSource::Unknown,
    };
}

/// How far an entry got.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum EntryState {
    /// Set aside; may be spent at any time.
    Reserved,
    /// Spent.
    Settled {
        /// What it cost. With [`CostSource::Unknown`] this is the worst case, or `None` if that was not known.
        amount: Option<MicroUsd>,
        /// Where the amount comes from.
        source: CostSource,
        /// When it was settled.
        at: Timestamp,
    },
    /// Given back: nothing was spent.
    Released {
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
}

impl EntryState {
    /// The word in JSON and in the store.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Reserved => "reserved",
            Self::Settled { .. } => "settled",
            Self::Released { .. } => "released",
        }
    }
}

/// One line of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LedgerEntry {
    /// The intent's own name.
    pub key: String,
    /// Whose money it is.
    pub book: Book,
    /// What costs.
    pub service: Service,
    /// The run it is for.
    pub run: Option<RunId>,
    /// What for.
    pub purpose: String,
    /// The most it could cost; `None` if the price was not known.
    pub worst: Option<MicroUsd>,
    /// When it was reserved. It counts in that day and month of UTC, whenever it ends.
    pub reserved_at: Timestamp,
    /// How far it got.
    #[serde(flatten)]
    pub state: EntryState,
}

impl LedgerEntry {
    /// The day of UTC that the entry counts in.
    pub fn day(&self) -> Date {
        utc_day(self.reserved_at)
    }
}
