//! A world in which nothing happens by itself: time moves only when everybody waits, and a seed decides who is next,
//! what fails and who dies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use async_trait::async_trait;
use hf_core::Clock;
use jiff::Timestamp;

/// Random numbers from a seed: splitmix64.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

#[derive(Debug, Default)]
struct Time {
    elapsed: Duration,
    /// Who sleeps until when.
    sleepers: BinaryHeap<Reverse<(Duration, u64)>>,
    wakers: std::collections::HashMap<u64, Waker>,
    next: u64,
}

/// The time of the world.
#[derive(Debug, Clone, Default)]
pub(crate) struct SimClock(Arc<Mutex<Time>>);

impl SimClock {
    /// Moves to the next moment at which somebody wakes. False when nobody sleeps.
    fn advance(&self) -> bool {
        let mut time = self.0.lock().unwrap();
        while let Some(Reverse((until, id))) = time.sleepers.pop() {
            // Who was dropped left its entry without a waker.
            if let Some(waker) = time.wakers.remove(&id) {
                time.elapsed = time.elapsed.max(until);
                waker.wake();
                return true;
            }
        }
        false
    }
}

struct Sleep {
    clock: SimClock,
    until: Duration,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut time = clock.0.lock().unwrap();
        if time.elapsed >= self.until {
            return Poll::Ready(());
        }
        let until = self.until;
        let id = *self.id.get_or_insert_with(|| {
            time.next += 1;
            let id = time.next;
            time.sleepers.push(Reverse((until, id)));
            id
        });
        time.wakers.insert(id, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.0.lock().unwrap().wakers.remove(&id);
        }
    }
}

#[async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        let start = Timestamp::from_second(1_791_532_800).unwrap();
        start.saturating_add(self.elapsed()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let until = self.elapsed() + duration;
        Sleep {
            clock: self.clone(),
            until,
            id: None,
        }
        .await;
    }
}

/// Gives others the turn once: a point at which a process can die.
pub(crate) async fn turn() {
    let mut given = false;
    std::future::poll_fn(move |context| {
        if std::mem::replace(&mut given, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

type Life = Pin<Box<dyn Future<Output = ()>>>;

/// A process: it lives, may die at any await point, and is started again.
pub(crate) struct Process {
    life: Option<Life>,
    ready: Arc<Flag>,
    generation: u64,
    start: Box<dyn Fn(u64) -> Life>,
    pub(crate) crashes: u64,
}

impl Process {
    pub(crate) fn new(start: impl Fn(u64) -> Life + 'static) -> Self {
        Self {
            life: Some(start(0)),
            ready: Arc::new(Flag(AtomicBool::new(true))),
            generation: 0,
            start: Box::new(start),
            crashes: 0,
        }
    }
}

/// Runs all processes to their end. `crashes` is how many deaths there may be, at which odds (one in so many polls).
/// `check` is called before time moves and at the end.
///
/// Returns the number of steps.
pub(crate) fn run(
    clock: &SimClock,
    rng: &mut Rng,
    processes: &mut [Process],
    mut crashes: u64,
    odds: u64,
    mut check: impl FnMut() -> Result<(), String>,
) -> Result<u64, String> {
    let mut steps = 0;
    loop {
        let ready: Vec<usize> = (0..processes.len())
            .filter(|n| processes[*n].life.is_some() && processes[*n].ready.0.load(Ordering::SeqCst))
            .collect();
        if ready.is_empty() {
            check()?;
            if processes.iter().all(|process| process.life.is_none()) {
                return Ok(steps);
            }
            if !clock.advance() {
                return Err("everybody waits for nothing".to_owned());
            }
            continue;
        }
        steps += 1;
        if steps > 200_000 {
            return Err("it does not come to an end".to_owned());
        }
        let process = &mut processes[ready[usize::try_from(rng.below(ready.len() as u64)).unwrap()]];
        process.ready.0.store(false, Ordering::SeqCst);
        let waker = Waker::from(process.ready.clone());
        let life = process.life.as_mut().unwrap();
        if life.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            process.life = None;
        } else if crashes > 0 && rng.below(odds) == 0 {
            crashes -= 1;
            process.crashes += 1;
            process.generation += 1;
            // All that it held in memory is gone.
            process.life = None;
            let (next, pause, clock) = (
                (process.start)(process.generation),
                rng.millis(60_000),
                clock.clone(),
            );
            process.life = Some(Box::pin(async move {
                clock.sleep(pause).await;
                next.await;
            }));
            process.ready.0.store(true, Ordering::SeqCst);
        }
    }
}

/// Runs one future to its end, or until `dies` says so: then it is dropped where it stands.
pub(crate) fn drive<T>(
    clock: &SimClock,
    future: impl Future<Output = T>,
    mut dies: impl FnMut() -> bool,
) -> Option<T> {
    let flag = Arc::new(Flag(AtomicBool::new(true)));
    let waker = Waker::from(flag.clone());
    let mut future = std::pin::pin!(future);
    loop {
        if flag.0.swap(false, Ordering::SeqCst) {
            if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Some(value);
            }
            if dies() {
                return None;
            }
        } else {
            assert!(clock.advance(), "it waits for nothing");
        }
    }
}
