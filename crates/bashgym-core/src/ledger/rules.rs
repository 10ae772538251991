//! What may be written to the ledger. No rule here waits or stores.

use jiff::Timestamp;

use super::books::{Sums, Totals, UsageBy};
use super::{
    Book, Cap, CapExceeded, CostSource, EntryState, LedgerEntry, LedgerError, MicroUsd, ReserveRequest,
    Service, Settlement,
};

/// What a call comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// The ledger stays as it is.
    Stands(LedgerEntry),
    /// The entry is written.
    Write(LedgerEntry),
}

const KEY_MAX: usize = 200;
const PURPOSE_MAX: usize = 100;
const REASON_MAX: usize = 1000;

/// Refuses names that not every store can keep, or that no line can show.
pub(super) fn check_names(request: &ReserveRequest) -> Result<(), LedgerError> {
    check_text("a purpose", &request.purpose, PURPOSE_MAX)?;
    check_key(&request.key)
}

pub(super) fn check_key(key: &str) -> Result<(), LedgerError> {
    check_text("a key", key, KEY_MAX)
}

pub(super) fn reserve(
    request: &ReserveRequest,
    book: Book,
    existing: Option<LedgerEntry>,
    now: Timestamp,
) -> Result<Step, LedgerError> {
    if let Some(entry) = &existing {
        let differs = [
            (entry.book != book, "book"),
            (entry.service != request.service, "service"),
            (entry.run != request.run, "run"),
            (entry.purpose != request.purpose, "purpose"),
        ];
        if let Some((_, differs)) = differs.into_iter().find(|(other, _)| *other) {
            return Err(LedgerError::KeyReused {
                key: request.key.clone(),
                differs,
            });
        }
    }
    let fresh = |reserved_at| LedgerEntry {
        key: request.key.clone(),
        book,
        service: request.service,
        run: request.run,
        purpose: request.purpose.clone(),
        worst: request.worst,
        reserved_at,
        state: EntryState::Reserved,
    };
    let step = match existing {
        Some(entry) if matches!(entry.state, EntryState::Settled { .. }) => return Ok(Step::Stands(entry)),
        Some(entry) if entry.state == EntryState::Reserved => match (entry.worst, request.worst) {
            (Some(old), Some(new)) if new > old => Step::Write(fresh(entry.reserved_at)),
            (None, Some(_)) => Step::Write(fresh(entry.reserved_at)),
            _ => return Ok(Step::Stands(entry)),
        },
        _ => Step::Write(fresh(now)),
    };
    if request.worst.is_none() && !request.allow_unknown_price {
        return Err(LedgerError::UnknownPrice {
            service: request.service,
            purpose: request.purpose.clone(),
        });
    }
    Ok(step)
}

pub(super) fn settle(entry: LedgerEntry, settlement: Settlement, now: Timestamp) -> Step {
    let known = settlement
        .actual
        .filter(|_| settlement.source != CostSource::Unknown);
    let source = if known.is_some() {
        settlement.source
    } else {
        CostSource::Unknown
    };
    match &entry.state {
        EntryState::Settled { source: before, .. } if *before != CostSource::Unknown || known.is_none() => {
            return Step::Stands(entry);
        }
        // Nobody has seen a cost, and it is certain that there was none.
        EntryState::Released { .. } if known.is_none() => return Step::Stands(entry),
        _ => {}
    }
    Step::Write(LedgerEntry {
        state: EntryState::Settled {
            amount: known.or(entry.worst),
            source,
            at: now,
        },
        ..entry
    })
}

pub(super) fn release(entry: LedgerEntry, reason: &str, now: Timestamp) -> Result<Step, LedgerError> {
    match entry.state {
        EntryState::Settled { .. } => Err(LedgerError::AlreadySettled { key: entry.key }),
        EntryState::Released { .. } => Ok(Step::Stands(entry)),
        EntryState::Reserved => Ok(Step::Write(LedgerEntry {
            state: EntryState::Released {
                reason: plain(reason),
                at: now,
            },
            ..entry
        })),
    }
}

/// Refuses an entry that would pass a cap, given the sums before it. Of several caps, the one with the least left
/// is named.
pub(super) fn check_caps(
    entry: &LedgerEntry,
    old: Totals,
    caps: &[Cap],
    sums: &Sums,
    now: Timestamp,
) -> Result<(), LedgerError> {
    let added = i128::from(Totals::of(entry).reserved_micro_usd)
        - i128::from(old.reserved_micro_usd)
        - i128::from(old.settled_micro_usd);
    if added <= 0 && entry.worst.is_some() {
        return Ok(());
    }
    let mut refusal: Option<CapExceeded> = None;
    for cap in caps.iter().filter(|cap| cap.scope.covers(entry.service)) {
        if cap.window.bucket(entry.day(), entry.run).is_none() {
            continue;
        }
        let used = used(cap, sums).ok_or(LedgerError::TooLarge)?;
        let all = i128::from(used.reserved_micro_usd) + i128::from(used.settled_micro_usd);
        let cap_amount = i128::from(cap.amount.get());
        let passes = if entry.worst.is_some() {
            all + added <= cap_amount
        } else {
            all < cap_amount
        };
        if passes {
            continue;
        }
        let found = CapExceeded {
            cap: *cap,
            run: entry.run,
            asked: entry.worst.map(|_| amount(added)),
            reserved: amount(used.reserved_micro_usd.into()),
            settled: amount(used.settled_micro_usd.into()),
            resets_at: cap.window.resets_at(now),
            holders: Vec::new(),
        };
        let order = |refusal: &CapExceeded| (refusal.left(), refusal.cap.scope, refusal.cap.window);
        if refusal.as_ref().is_none_or(|first| order(&found) < order(first)) {
            refusal = Some(found);
        }
    }
    match refusal {
        Some(refusal) => Err(LedgerError::CapExceeded(Box::new(refusal))),
        None => Ok(()),
    }
}

/// What counts against a cap, of all services it covers.
pub(super) fn used(cap: &Cap, sums: &Sums) -> Option<Totals> {
    Service::ALL
        .into_iter()
        .filter(|service| cap.scope.covers(*service))
        .map(|service| {
            sums.get(&(UsageBy::from(cap.window), service))
                .copied()
                .unwrap_or_default()
        })
        .try_fold(Totals::default(), Totals::plus)
}

/// A sum as an amount to show; beyond the range of amounts it is the largest.
pub(super) fn amount(micro_usd: i128) -> MicroUsd {
    u64::try_from(micro_usd.max(0))
        .ok()
        .and_then(|micros| MicroUsd::new(micros).ok())
        .unwrap_or(MicroUsd::MAX)
}

fn check_text(what: &'static str, text: &str, max: usize) -> Result<(), LedgerError> {
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(LedgerError::BadText { what, max });
    }
    Ok(())
}

/// A reason on one line, whoever gave it.
fn plain(reason: &str) -> String {
    reason
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(REASON_MAX)
        .collect()
}
