//! A thread that collects what arrives in a host, dated by the kernel, until it is told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::asking::{ask_for_priority, sleep_until};
use super::dated::Dated;
use crate::{Host, LabError, Result, now_ns};

/// How often what has arrived is collected; it bears its own date.
pub(super) const COLLECT_EVERY: Duration = Duration::from_millis(10);

/// What a frame is: by the number of the socket that it came by, its bytes and its date.
pub(super) type Parse<T> = fn(usize, &[u8], u64) -> Option<T>;

#[derive(Debug)]
pub(super) struct Collected<T> {
    pub(super) all: Vec<T>,
    /// Frames that the kernel dropped because nobody collected them in time, and what was too much.
    pub(super) frames_lost: u64,
}

/// Dropping it ends it.
#[derive(Debug)]
pub(super) struct Listener<T> {
    shared: Arc<Shared<T>>,
    thread: Option<JoinHandle<Result<()>>>,
    _host: Host,
}

#[derive(Debug)]
struct Shared<T> {
    collected: Mutex<Collected<T>>,
    stopping: AtomicBool,
}

impl<T: Send + 'static> Listener<T> {
    /// Listens on the sockets that `open` opens in `host`; returns when it hears. Of more than
    /// `most` the rest is counted as lost.
    pub(super) fn start(
        host: &Host,
        open: impl FnOnce() -> Result<Vec<Dated>> + Send + 'static,
        parse: Parse<T>,
        most: usize,
    ) -> Result<Self> {
        let nothing = Collected { all: Vec::new(), frames_lost: 0 };
        let stopping = AtomicBool::new(false);
        let shared = Arc::new(Shared { collected: Mutex::new(nothing), stopping });
        let (ready, started) = mpsc::sync_channel(1);
        let (inside, place) = (Arc::clone(&shared), host.clone());
        let thread = std::thread::spawn(move || {
            // A socket belongs to the namespace of the thread that opens it.
            match place.move_this_thread().and_then(|()| open()) {
                Err(error) => {
                    let _ = ready.send(Err(error));
                    Ok(())
                }
                Ok(sockets) => {
                    ask_for_priority();
                    let _ = ready.send(Ok(()));
                    listen(sockets, parse, most, &inside)
                }
            }
        });
        started
            .recv()
            .map_err(|_| LabError::Argument("the listener's thread died".to_owned()))??;
        Ok(Self { shared, thread: Some(thread), _host: host.clone() })
    }

    /// Stops listening and returns all that was heard.
    pub(super) fn stop(mut self) -> Result<Collected<T>> {
        self.end()?;
        let mut collected = self.collected();
        let all = std::mem::take(&mut collected.all);
        Ok(Collected { all, frames_lost: collected.frames_lost })
    }
}

impl<T> Listener<T> {
    /// What was heard so far.
    pub(super) fn collected(&self) -> MutexGuard<'_, Collected<T>> {
        self.shared.collected()
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

impl<T> Drop for Listener<T> {
    fn drop(&mut self) {
        // Whoever wanted to know what was heard has called `stop`.
        let _ = self.end();
    }
}

impl<T> Shared<T> {
    fn collected(&self) -> MutexGuard<'_, Collected<T>> {
        self.collected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn listen<T>(
    mut sockets: Vec<Dated>,
    parse: Parse<T>,
    most: usize,
    shared: &Shared<T>,
) -> Result<()> {
    let mut tick_ns = now_ns();
    loop {
        // Asked before the last collection, so that nothing heard before the end is missed.
        let last = shared.stopping.load(Ordering::Relaxed);
        let mut fresh = Vec::new();
        for (number, socket) in sockets.iter_mut().enumerate() {
            socket.drain(|arrival| {
                fresh.extend(parse(number, arrival.packet, arrival.received_ns));
            })?;
        }
        let dropped: u64 = sockets.iter().map(|socket| socket.frames_lost).sum();
        let mut collected = shared.collected();
        let room = most - collected.all.len();
        let over = fresh.len().saturating_sub(room) as u64;
        collected.all.extend(fresh.into_iter().take(room));
        collected.frames_lost = dropped.max(collected.frames_lost) + over;
        drop(collected);
        if last {
            return Ok(());
        }
        tick_ns = (tick_ns + COLLECT_EVERY.as_nanos() as u64).max(now_ns());
        sleep_until(tick_ns);
    }
}
