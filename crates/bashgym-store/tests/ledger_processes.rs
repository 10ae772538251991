//! Real processes, each with several connections, write to one ledger at once and are killed in the middle of it.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; the figures are shown"
)]

mod common;

use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bashgym_core::ledger::contract::{SetClock, job_request, sums_are_those_of_the_entries};
use bashgym_core::ledger::{
    Buckets, Budget, Cap, CapScope, CostSource, EntryCursor, EntryFilter, EntryState, Ledger, LedgerEntry,
    LedgerError, LedgerStore, MicroUsd, Service, Settlement, Totals, UsageBy, Window,
};
use common::{Place, places};
use nix::sys::signal::{Signal, raise};

const TEST: &str = "processes_that_are_killed_cannot_pass_a_cap_together";
/// How a process of this test learns that it is a writer: the address, its number and the round.
const WRITER: &str = "BASHGYM_TEST_LEDGER_WRITER";
const NOW: &str = "2026-11-22T12:00:00Z";
const CAP: u64 = 1_000_000;
const PROCESSES: u64 = 4;
const CONNECTIONS: u64 = 2;
const KEYS: u64 = 25;
/// Rounds in which every process is killed at some point; then one in which none is.
const KILLING_ROUNDS: u64 = 2;

/// A number from others, the same whenever it is asked for.
fn number(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |mixed, part| {
        // The finaliser of SplitMix64.
        let mixed = (mixed ^ part).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (mixed >> 31)
    })
}

#[test]
fn processes_that_are_killed_cannot_pass_a_cap_together() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the way from this test to its own processes"
    )]
    let task = std::env::var(WRITER);
    match task {
        Ok(task) => runtime.block_on(write(&task)),
        Err(_) => runtime.block_on(watch()),
    }
}

async fn watch() {
    for place in places(TEST).await {
        let store = place.open().await;
        let ledger = Ledger::new(Arc::new(store.clone()), SetClock::at(NOW));
        let cap = Cap {
            scope: CapScope::One(Service::Jobs),
            window: Window::Day,
            amount: MicroUsd::new(CAP).unwrap(),
        };
        ledger.set_cap(cap).await.unwrap();
        let (mut killed, mut looks) = (0, 0);
        for round in 0..=KILLING_ROUNDS {
            let mut writers: Vec<Child> = (0..PROCESSES)
                .map(|process| writer(&place, process, round))
                .collect();
            while writers
                .iter_mut()
                .any(|writer| writer.try_wait().unwrap().is_none())
            {
                below_the_cap(&ledger).await;
                looks += 1;
            }
            for mut writer in writers {
                let status = writer.wait().unwrap();
                if round < KILLING_ROUNDS {
                    assert_eq!(status.signal(), Some(Signal::SIGKILL as i32), "{status}");
                    killed += 1;
                } else {
                    assert!(status.success(), "{status}");
                }
            }
            below_the_cap(&ledger).await;
            sums_are_those_of_the_entries(&ledger).await;
        }

        let entries = all(&ledger).await;
        assert!(
            entries.iter().all(|entry| entry.key.starts_with('w')),
            "what was not committed is not there"
        );
        assert!(
            entries
                .iter()
                .all(|entry| !matches!(entry.state, EntryState::Reserved)),
            "after a crash each reservation was taken up again"
        );
        let spent = below_the_cap(&ledger).await;
        let wanted: u64 = (0..PROCESSES * CONNECTIONS)
            .flat_map(|writer| (0..KEYS).map(move |key| number(&[writer, key]) % 100_000))
            .sum();
        assert!(wanted > 5 * CAP, "far more was wanted than there was");
        println!(
            "{}: {} entries by {PROCESSES} processes at once, {killed} killed; {spent} of {CAP} micro-USD spent of \
             {wanted} wanted; the cap held in each of {looks} looks",
            match &place {
                Place::File(_) => "SQLite",
                Place::Server(_) | Place::Given(_) => "PostgreSQL",
            },
            entries.len(),
        );
        store.close().await;
    }
}

fn writer(place: &Place, process: u64, round: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", TEST, "--nocapture"])
        .env(WRITER, format!("{process} {round} {}", place.address()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

async fn below_the_cap(ledger: &Ledger) -> i64 {
    let overview = ledger.overview(None).await.unwrap();
    let used = overview.caps[0].used.unwrap();
    let used = used.reserved_micro_usd + used.settled_micro_usd;
    assert!(used <= i64::try_from(CAP).unwrap(), "{used} passes the cap");
    used
}

async fn all(ledger: &Ledger) -> Vec<LedgerEntry> {
    let mut entries: Vec<LedgerEntry> = Vec::new();
    loop {
        let after = entries.last().map(|entry| EntryCursor {
            reserved_at: entry.reserved_at,
            key: entry.key.clone(),
        });
        let page = ledger
            .entries(&EntryFilter::default(), after.as_ref(), 100)
            .await
            .unwrap();
        if page.is_empty() {
            return entries;
        }
        entries.extend(page);
    }
}

/// What a process of this test does: a few writers, each with connections of its own.
async fn write(task: &str) {
    let mut words = task.splitn(3, ' ');
    let process: u64 = words.next().unwrap().parse().unwrap();
    let round: u64 = words.next().unwrap().parse().unwrap();
    let place = Arc::new(Place::Given(words.next().unwrap().to_owned()));
    let writers: Vec<_> = (0..CONNECTIONS)
        .map(|connection| {
            let place = Arc::clone(&place);
            tokio::spawn(async move { one_writer(&place, process * CONNECTIONS + connection, round).await })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
}

async fn one_writer(place: &Place, writer: u64, round: u64) {
    let store: Arc<dyn LedgerStore> = Arc::new(place.open().await);
    let ledger = Ledger::new(Arc::clone(&store), SetClock::at(NOW));
    let last = round == KILLING_ROUNDS;
    let death = number(&[writer, round, 7]) % KEYS;
    for key in 0..KEYS {
        let worst = number(&[writer, key]) % 100_000;
        let name = format!("w{writer}-{key}");
        let reserved = match ledger.reserve(job_request(&name, Some(worst))).await {
            Ok(reserved) => reserved.entry,
            Err(LedgerError::CapExceeded(refusal)) => {
                assert!(refusal.left().get() < worst, "{refusal}");
                continue;
            }
            Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
        };
        if !last && key >= death {
            if number(&[writer, round, key]).is_multiple_of(2) {
                half_a_change(store.as_ref(), &reserved).await;
            }
            raise(Signal::SIGKILL).unwrap();
        }
        match (number(&[writer, round, key, 1]) % 3, &reserved.state) {
            (_, EntryState::Settled { .. } | EntryState::Released { .. }) => {}
            (0, _) if !last => {}
            (1, _) => {
                ledger.release(&name, "not needed").await.unwrap();
            }
            _ => {
                let settlement = Settlement {
                    actual: Some(MicroUsd::new(worst / 2).unwrap()),
                    source: CostSource::DurationPrice,
                };
                ledger.settle(&name, settlement).await.unwrap();
            }
        }
    }
    if !last {
        // Refused so often that its turn to die never came.
        raise(Signal::SIGKILL).unwrap();
    }
}

/// Writes an entry and false sums, and does not commit them.
async fn half_a_change(store: &dyn LedgerStore, entry: &LedgerEntry) {
    let mut change = store.begin_ledger().await.unwrap();
    let half = LedgerEntry {
        key: format!("half of {}", entry.key),
        ..entry.clone()
    };
    assert!(!change.sums(&Buckets::of(&half)).await.unwrap().is_empty());
    let none = UsageBy::ALL.map(|by| (by, Totals::default()));
    change.put(&half, &none).await.unwrap();
    raise(Signal::SIGKILL).unwrap();
}
