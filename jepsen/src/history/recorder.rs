//! Where all processes of a run write what they do, each at any time, in one order.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{F, Kind, Nanos, Op, Process};

/// Writes a history down. An operation takes a lock and one reading of the clock; the lock makes
/// the order of indices that of time.
#[derive(Debug)]
pub struct Recorder {
    limit: usize,
    clock: fn() -> Nanos,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
struct Book {
    ops: Vec<Op>,
    processes: u64,
    refused: u64,
}

/// The history is full: end the run, since what is not written down can't be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history holds {limit} operations and takes no more: end the run, or raise its limit")]
pub struct Refused {
    pub limit: usize,
}

impl Recorder {
    /// Takes so many lines at most, dated by `clock`: `leasehold_lab::now_ns` in a run.
    #[must_use]
    pub fn new(limit: usize, clock: fn() -> Nanos) -> Recorder {
        Recorder { limit, clock, book: Mutex::default() }
    }

    /// A number for a client that has none, or whose last operation ended in doubt.
    pub fn fresh_process(&self) -> Process {
        let mut book = self.book();
        book.processes += 1;
        Process::Client(book.processes - 1)
    }

    /// An operation begins. Call it before anything is sent.
    ///
    /// # Errors
    /// Where the history is full; do not begin it then.
    pub fn invoke(&self, process: Process, f: F) -> Result<(), Refused> {
        self.write(process, Kind::Invoke, f, None)
    }

    /// It happened. Call it after the answer came.
    ///
    /// # Errors
    /// Where the history is full.
    pub fn ok(&self, process: Process, f: F) -> Result<(), Refused> {
        self.write(process, Kind::Ok, f, None)
    }

    /// It certainly did not happen.
    ///
    /// # Errors
    /// Where the history is full.
    pub fn fail(&self, process: Process, f: F, why: &str) -> Result<(), Refused> {
        self.write(process, Kind::Fail, f, Some(why.to_owned()))
    }

    /// It may have happened, or may yet. A client takes [a fresh number](Self::fresh_process) then.
    ///
    /// # Errors
    /// Where the history is full.
    pub fn info(&self, process: Process, f: F, why: &str) -> Result<(), Refused> {
        self.write(process, Kind::Info, f, Some(why.to_owned()))
    }

    /// The nemesis has done what it invoked; the fault says with what outcome.
    ///
    /// # Errors
    /// Where the history is full.
    pub fn done(&self, f: F) -> Result<(), Refused> {
        self.write(Process::Nemesis, Kind::Info, f, None)
    }

    /// What was written so far.
    #[must_use]
    pub fn history(&self) -> Vec<Op> {
        self.book().ops.clone()
    }

    /// How many lines were refused: must be zero, else the history is no evidence.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.book().refused
    }

    fn write(
        &self,
        process: Process,
        kind: Kind,
        f: F,
        error: Option<String>,
    ) -> Result<(), Refused> {
        let mut book = self.book();
        if book.ops.len() >= self.limit {
            book.refused += 1;
            return Err(Refused { limit: self.limit });
        }
        let index = book.ops.len() as u64;
        book.ops.push(Op { index, time_ns: (self.clock)(), process, kind, f, error });
        Ok(())
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // A thread that died while it wrote left whole lines behind it: a push is the last step.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
