//! What waits to be delivered: a bounded line in which the oldest makes room for the newest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// One task takes what another puts in, and never makes it wait.
pub(crate) struct Queue<T> {
    what: &'static str,
    capacity: usize,
    line: Mutex<Line<T>>,
    changed: Notify,
}

struct Line<T> {
    waiting: VecDeque<T>,
    closed: bool,
    dropped: u64,
}

impl<T> Queue<T> {
    /// `what` it holds is for the log.
    pub(super) fn new(what: &'static str, capacity: usize) -> Arc<Self> {
        let line = Mutex::new(Line { waiting: VecDeque::new(), closed: false, dropped: 0 });
        Arc::new(Self { what, capacity, line, changed: Notify::new() })
    }

    pub(super) fn push(&self, one: T) {
        let mut line = self.line();
        line.waiting.push_back(one);
        let full = line.waiting.len() > self.capacity;
        if full {
            line.waiting.pop_front();
            line.dropped += 1;
        }
        let dropped = line.dropped;
        // The other side waits for no log.
        drop(line);
        self.changed.notify_one();
        // A flood must not fill the log too.
        if full && dropped.is_power_of_two() {
            let (what, capacity) = (self.what, self.capacity);
            tracing::warn!(dropped, "more than {capacity} wait, the oldest {what} is dropped");
        }
    }

    /// Nothing more comes; what waits can be taken still.
    pub(super) fn close(&self) {
        self.line().closed = true;
        self.changed.notify_one();
    }

    /// The oldest; nothing once it is closed and empty.
    pub(crate) async fn pop(&self) -> Option<T> {
        loop {
            {
                let mut line = self.line();
                if let Some(one) = line.waiting.pop_front() {
                    return Some(one);
                }
                if line.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        // Nobody panics amid a change that could be half done.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
