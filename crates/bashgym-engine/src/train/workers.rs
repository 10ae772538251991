//! Threads that each do whole parts of a step.
//!
//! Splitting the batch keeps every core busy through every operation, where splitting each multiplication would leave
//! all others on one core. Each part is worked out by one thread, and the parts are added in their order, so the number
//! of threads does not change the result.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{EngineError, Result};

const STACK_BYTES: usize = 8 * 1024 * 1024;

/// One pool of one thread for each worker: candle's multiplications stay on the thread of their part.
pub(crate) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// Starts the threads.
    pub(crate) fn start(threads: usize) -> Result<Self> {
        let pools = (0..threads.max(1))
            .map(|_| {
                ThreadPoolBuilder::new()
                    .num_threads(1)
                    .stack_size(STACK_BYTES)
                    .build()
            })
            .collect::<Result<_, _>>()
            .map_err(|error| EngineError::BadConfig {
                option: "threads",
                why: error.to_string(),
            })?;
        Ok(Self { pools })
    }

    /// Gives the number of threads.
    pub(crate) fn len(&self) -> usize {
        self.pools.len()
    }

    /// Runs one part on each thread. Gives the results in the order of the parts, which may not outnumber the threads.
    pub(crate) fn run<T: Sync, R: Send>(
        &self,
        parts: &[T],
        work: impl Fn(&T) -> Result<R> + Sync,
    ) -> Result<Vec<R>> {
        let work = &work;
        std::thread::scope(|scope| {
            let handles: Vec<_> = parts
                .iter()
                .zip(&self.pools)
                .map(|(part, pool)| scope.spawn(move || pool.install(|| work(part))))
                .collect();
            // Every thread is waited for before the first error is given.
            let results: Vec<_> = handles
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect();
            results
                .into_iter()
                .map(|result| result.map_err(|_| EngineError::WorkerLost)?)
                .collect()
        })
    }
}
