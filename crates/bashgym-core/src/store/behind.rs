//! Writing behind whoever has something to remember: together, a moment later.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hf_core::Clock;

use super::StoreError;

/// How long one waits for others to be written with.
const GATHER: Duration = Duration::from_millis(100);
/// What is written at once, at most.
const BATCH: usize = 256;
/// What waits, at most, before whoever brings more should wait for the store.
pub(crate) const MOST_WAITING: usize = 4096;

/// What takes batches in.
#[async_trait]
pub(crate) trait Batches<T>: Send + Sync {
    /// Writes a batch, all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError`]; the batch is brought again as it was left.
    async fn write(&self, batch: &mut [T]) -> Result<(), StoreError>;
}

/// Gathers what comes one by one and writes it in batches, in the order in which it came. What waits is lost with a process that
/// is killed. While the store fails, twice [`MOST_WAITING`] are kept for it and no more. Cloning shares everything.
pub(crate) struct WriteBehind<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Clone for WriteBehind<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

struct Shared<T> {
    store: Box<dyn Batches<T>>,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting<T>>,
    /// One writes at a time.
    writing: tokio::sync::Mutex<()>,
}

struct Waiting<T> {
    items: Vec<T>,
    has_writer: bool,
}

impl<T: Send + 'static> WriteBehind<T> {
    pub(crate) fn new(store: impl Batches<T> + 'static, clock: Arc<dyn Clock>) -> Self {
        Self {
            shared: Arc::new(Shared {
                store: Box::new(store),
                clock,
                waiting: Mutex::new(Waiting {
                    items: Vec::new(),
                    has_writer: false,
                }),
                writing: tokio::sync::Mutex::default(),
            }),
        }
    }

    /// Leaves something to be written. False when the store is so far behind that it is not kept.
    pub(crate) fn push(&self, item: T) -> bool {
        let needs_writer = {
            let mut waiting = self.shared.lock();
            if waiting.items.len() >= 2 * MOST_WAITING {
                return false;
            }
            waiting.items.push(item);
            !std::mem::replace(&mut waiting.has_writer, true)
        };
        if needs_writer {
            let shared = Arc::clone(&self.shared);
            match tokio::runtime::Handle::try_current() {
                Ok(runtime) => drop(runtime.spawn(async move { shared.write().await })),
                // Without a runtime it waits for the next one that has, or for a flush.
                Err(_) => self.shared.lock().has_writer = false,
            }
        }
        true
    }

    /// Whether so much waits that whoever brings more should wait for the store.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.lock().items.len() >= MOST_WAITING
    }

    /// Writes what waits.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written waits on.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        self.shared.flush().await
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.writing.lock().await;
        loop {
            let mut batch: Vec<T> = {
                let mut waiting = self.lock();
                let count = waiting.items.len().min(BATCH);
                waiting.items.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.store.write(&mut batch).await {
                self.lock().items.splice(..0, batch);
                return Err(error);
            }
        }
    }

    async fn write(&self) {
        loop {
            self.clock.sleep(GATHER).await;
            let written = self.flush().await;
            let mut waiting = self.lock();
            if let Err(error) = &written {
                tracing::warn!(%error, "the store did not take what was to be remembered; it is tried again with the next");
            }
            if written.is_err() || waiting.items.is_empty() {
                waiting.has_writer = false;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use hf_core::testing::ManualClock;
    use jiff::Timestamp;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept {
        batches: Arc<Mutex<Vec<Vec<usize>>>>,
        fails: Arc<AtomicBool>,
    }

    #[async_trait]
    impl Batches<usize> for Kept {
        async fn write(&self, batch: &mut [usize]) -> Result<(), StoreError> {
            if self.fails.load(Ordering::SeqCst) {
                return Err(StoreError::Gone {
                    what: "disk".to_owned(),
                });
            }
            self.batches.lock().unwrap().push(batch.to_vec());
            Ok(())
        }
    }

    impl Kept {
        fn all(&self) -> Vec<usize> {
            self.batches.lock().unwrap().concat()
        }
    }

    fn behind(kept: &Kept) -> (WriteBehind<usize>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        (WriteBehind::new(kept.clone(), clock.clone()), clock)
    }

    #[tokio::test]
    async fn what_comes_within_a_moment_is_written_together() {
        let kept = Kept::default();
        let (behind, clock) = behind(&kept);
        for number in 0..5 {
            assert!(behind.push(number));
        }
        while clock.sleeps().is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(kept.all().is_empty(), "nothing is written before its time");
        clock.advance(GATHER);
        while kept.all().is_empty() {
            tokio::task::yield_now().await;
        }
        assert_eq!(*kept.batches.lock().unwrap(), [vec![0, 1, 2, 3, 4]]);
    }

    #[tokio::test]
    async fn what_a_store_did_not_take_is_brought_again_in_its_order() {
        let kept = Kept::default();
        let (behind, _clock) = behind(&kept);
        kept.fails.store(true, Ordering::SeqCst);
        assert!(behind.push(1) && behind.push(2));
        assert!(behind.flush().await.is_err());
        kept.fails.store(false, Ordering::SeqCst);
        assert!(behind.push(3));
        behind.flush().await.unwrap();
        assert_eq!(kept.all(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn what_waits_for_a_store_that_fails_is_bounded() {
        let kept = Kept::default();
        let (behind, _clock) = behind(&kept);
        for number in 0..2 * MOST_WAITING {
            assert!(behind.push(number));
        }
        assert!(behind.is_behind());
        assert!(!behind.push(0), "no memory without end");
        behind.flush().await.unwrap();
        assert!(!behind.is_behind());
        assert_eq!(kept.all(), (0..2 * MOST_WAITING).collect::<Vec<_>>());
        assert!(
            kept.batches
                .lock()
                .unwrap()
                .iter()
                .all(|batch| batch.len() <= BATCH)
        );
    }
}
