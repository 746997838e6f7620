//! The operator's scripts: those of one subject, an instance or a real server, one after the
//! other, those of different ones at the same time.
//!
//! A script sees every state, also one that has passed when its turn comes: a state is told in
//! order or, where too many wait, dropped with a word in the log.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use leasehold_dataplane::checker::Subject;
use leasehold_model::Alerts;
use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use super::news::{Call, Key, News};
use crate::script::{self, Ended, Job};
use crate::wake;

/// Scripts that run at the same time.
pub(super) const PARALLEL: usize = 64;

/// Scripts of one subject that may wait for the one that runs.
pub(super) const WAITING: usize = 64;

/// Scripts of all subjects that may wait: some kilobytes each.
pub(super) const WAITING_IN_ALL: usize = 16_384;

/// One run of one script.
struct Planned {
    /// The configuration's word for it.
    word: &'static str,
    /// What it tells of.
    line: String,
    job: Job,
}

pub(super) struct Scripts {
    /// After this a script is killed, and the next one begins.
    within: Duration,
    /// From one start to the next: many at once would take the processors from everything else.
    apart: Duration,
    /// Starts that hang hold up those that have the same.
    starting: &'static Semaphore,
    start_at: Instant,
    /// By their number: the first of all is the oldest.
    lines: BTreeMap<Key, VecDeque<(u64, Planned)>>,
    /// Whose each is that waits.
    waiting: BTreeMap<u64, Key>,
    number: u64,
    /// Those with something to run and nothing running: quorums, and then first come, first served.
    ready: VecDeque<Key>,
    running: JoinSet<(Planned, Ended)>,
    whose: BTreeMap<Id, Key>,
    dropped: u64,
}

impl Scripts {
    pub(super) fn new(within: Duration, apart: Duration, starting: &'static Semaphore) -> Self {
        Self {
            within,
            apart,
            starting,
            start_at: Instant::now(),
            lines: BTreeMap::new(),
            waiting: BTreeMap::new(),
            number: 0,
            ready: VecDeque::new(),
            running: JoinSet::new(),
            whose: BTreeMap::new(),
            dropped: 0,
        }
    }

    /// Plans what is to be run.
    pub(super) fn handle_news(&mut self, news: &News, alerts: &Alerts) {
        for Call { word, script, arguments } in &news.scripts {
            match Job::new(script, alerts, news.env.clone(), self.within) {
                Ok(mut job) => {
                    job.words.extend(arguments.iter().cloned());
                    self.plan(&news.key, Planned { word, line: news.line.clone(), job });
                }
                Err(error) => tracing::error!("{word} for {}: {error}", news.line),
            }
        }
        self.start();
    }

    fn plan(&mut self, key: &Key, planned: Planned) {
        let runs = self.whose.values().any(|one| one == key);
        let line = self.lines.entry(key.clone()).or_default();
        if line.is_empty() && !runs {
            self.line_up(key.clone());
        }
        let line = self.lines.entry(key.clone()).or_default();
        self.number += 1;
        line.push_back((self.number, planned));
        self.waiting.insert(self.number, key.clone());
        if line.len() > WAITING {
            self.drop_oldest(key, WAITING);
        }
        if self.waiting.len() > WAITING_IN_ALL
            && let Some(key) = self.waiting.first_key_value().map(|(_, key)| key.clone())
        {
            self.drop_oldest(&key, WAITING_IN_ALL);
        }
    }

    /// A quorum is the sum of its real servers, which may be so many that the stop cuts them off.
    fn line_up(&mut self, key: Key) {
        match &key {
            Key::Server(_, Subject::VirtualServer) => self.ready.push_front(key),
            Key::Instance(_) | Key::Group(_) | Key::Server(_, Subject::RealServer(_)) => {
                self.ready.push_back(key);
            }
        }
    }

    fn drop_oldest(&mut self, key: &Key, limit: usize) {
        let Some(oldest) = self.take(key) else { return };
        self.dropped += 1;
        if self.lines.get(key).is_some_and(VecDeque::is_empty) {
            self.lines.remove(key);
            // It is among the first: those wait for the longest.
            if !self.whose.values().any(|one| one == key)
                && let Some(at) = self.ready.iter().position(|one| one == key)
            {
                self.ready.remove(at);
            }
        }
        // A flood must not fill the log too.
        if self.dropped.is_power_of_two() {
            tracing::warn!(
                dropped = self.dropped,
                "{} for {}: more than {limit} wait, the oldest is not run",
                oldest.word,
                oldest.line,
            );
        }
    }

    /// The oldest of one subject.
    fn take(&mut self, key: &Key) -> Option<Planned> {
        let (number, planned) = self.lines.get_mut(key)?.pop_front()?;
        self.waiting.remove(&number);
        Some(planned)
    }

    fn start(&mut self) {
        while self.running.len() < PARALLEL
            && self.start_at <= Instant::now()
            && let Some(key) = self.ready.pop_front()
        {
            let Some(planned) = self.take(&key) else { continue };
            let job = planned.job.clone();
            let starting = self.starting;
            let run = async move { (planned, script::run(job, starting).await) };
            let run = self.running.spawn(run);
            self.whose.insert(run.id(), key);
            self.start_at = Instant::now() + self.apart;
        }
    }

    /// Waits for one to end or to have its turn, and begins what can begin. Never returns while
    /// there is none.
    pub(super) async fn turn(&mut self) {
        let may_start = self.running.len() < PARALLEL && !self.ready.is_empty();
        tokio::select! {
            Some(ended) = self.running.join_next_with_id() => self.handle_end(ended),
            () = wake::at(may_start.then_some(self.start_at)) => self.start(),
        }
    }

    fn handle_end(&mut self, ended: Result<(Id, (Planned, Ended)), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(key) = self.whose.remove(&id) else { return };
        // The runtime has said what a panic was about.
        if let Ok((_, (planned, ended))) = &ended {
            report(planned, ended);
        }
        match self.lines.get(&key).is_none_or(VecDeque::is_empty) {
            true => drop(self.lines.remove(&key)),
            false => self.line_up(key),
        }
        self.start();
    }

    /// Waits for all of them.
    pub(super) async fn finish(&mut self) {
        while !self.running.is_empty() || !self.ready.is_empty() {
            self.turn().await;
        }
    }

    #[cfg(test)]
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }
}

fn report(planned: &Planned, ended: &Ended) {
    let Planned { word, line, job } = planned;
    match ended {
        Ended::Exited(0) => tracing::debug!("{word} for {line} is done"),
        Ended::TimedOut => {
            let limit = job.timeout;
            tracing::warn!("{word} for {line} was killed: it took longer than {limit:?}");
        }
        Ended::Exited(_) | Ended::Signalled(_) => tracing::warn!("{word} for {line} {ended}"),
        Ended::NotStarted(_) => tracing::error!("{word} for {line} {ended}"),
    }
}
