//! What a program wrote: kept in a bounded ring, and awaited line by line.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines kept; older ones are counted and dropped.
const LINES_MAX: usize = 10_000;

/// A program's output.
#[derive(Clone, Debug, Default)]
pub(crate) struct Capture(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ring: Mutex<Ring>,
    grown: Condvar,
}

#[derive(Debug, Default)]
struct Ring {
    lines: VecDeque<String>,
    /// The number of the first line still kept.
    first: usize,
}

impl Capture {
    /// Reads `pipe` on a thread of its own until its last writer is gone; copies it to `file`.
    pub(crate) fn follow(&self, pipe: impl Read + Send + 'static, mut file: Option<File>) {
        let capture = self.clone();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                if let Some(file) = &mut file {
                    // The ring is the record; the file is a convenience for whoever looks later.
                    let _ = file.write_all(&line);
                }
                capture.push(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
        });
    }

    /// The number that the next line will have.
    pub(crate) fn mark(&self) -> usize {
        let ring = self.ring();
        ring.first + ring.lines.len()
    }

    /// Every line that is still kept.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.ring().lines.iter().cloned().collect()
    }

    /// The first line from number `from` on that `wanted` accepts.
    pub(crate) fn wait(
        &self,
        from: usize,
        limit: Duration,
        wanted: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let deadline = Instant::now() + limit;
        let (mut ring, mut next) = (self.ring(), from);
        loop {
            let skip = next.saturating_sub(ring.first);
            if let Some(line) = ring.lines.iter().skip(skip).find(|line| wanted(line)) {
                return Some(line.clone());
            }
            next = ring.first + ring.lines.len();
            let left = deadline.checked_duration_since(Instant::now())?;
            let waited = self.0.grown.wait_timeout(ring, left);
            ring = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn push(&self, line: String) {
        let mut ring = self.ring();
        if ring.lines.len() == LINES_MAX {
            ring.lines.pop_front();
            ring.first += 1;
        }
        ring.lines.push_back(line);
        self.0.grown.notify_all();
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_from_a_mark_on_and_old_lines_are_dropped() {
        let capture = Capture::default();
        let text: String = (0..LINES_MAX + 5).map(|n| format!("line {n}\n")).collect();
        capture.follow(std::io::Cursor::new(text), None);
        let last = format!("line {}", LINES_MAX + 4);
        let limit = Duration::from_secs(5);
        assert_eq!(capture.wait(0, limit, |line| line == last), Some(last.clone()));
        assert_eq!(capture.lines().len(), LINES_MAX);
        assert_eq!(capture.wait(capture.mark(), Duration::ZERO, |_| true), None);
    }
}
