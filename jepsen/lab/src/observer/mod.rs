//! The witness: asks for each address every few milliseconds and notes who answers.
//!
//! Each question names another unused address as its asker, and the answer is addressed to that
//! asker, so an answer tells which question it belongs to. Answers are dated by the kernel on
//! arrival, so the thread may collect them once per tick and still be exact; questions are dated
//! as they are really sent, so a late tick widens no figure unnoticed.

pub mod adverts;
mod asking;
mod dated;
mod echo;
mod frame;
mod listener;
mod neighbours;
pub mod observation;
pub mod questions;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use wire::{link_address, packet_socket};

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::asking::{Asking, Medium};
use self::echo::Echoes;
use self::neighbours::Neighbours;
use self::observation::{Answer, Observation, Record};
use crate::wait::patience;
use crate::{Host, LabError, Mac, Result, now_ns};

/// How an observer asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The host's interface to ask from.
    pub interface: String,
    /// The addresses to ask for.
    pub vips: Vec<IpAddr>,
    /// Time between two ticks.
    pub interval: Duration,
    /// Questions per tick: with more addresses than this, they take turns, so a thousand addresses
    /// at 8 per 2 ms are asked for every 250 ms each. Raise it where that is too coarse.
    pub questions_per_tick: usize,
    /// Unused IPv4 addresses of the subnet to ask from, used in turn.
    pub askers: Vec<Ipv4Addr>,
}

impl Settings {
    /// Every 2 ms, at most 8 questions a tick. `askers` must still be given.
    pub fn new(interface: &str, vips: &[IpAddr]) -> Settings {
        Settings {
            interface: interface.to_owned(),
            vips: vips.to_vec(),
            interval: Duration::from_millis(2),
            questions_per_tick: 8,
            askers: Vec::new(),
        }
    }
}

/// A witness at work. Dropping it ends it.
#[derive(Debug)]
pub struct Observer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<()>>>,
    _host: Host,
}

#[derive(Debug, Default)]
struct Shared {
    seen: Mutex<Observation>,
    answered: Condvar,
    stopping: AtomicBool,
}

impl Observer {
    /// Starts asking for hardware addresses from `host`; returns when the first question can be
    /// sent.
    pub fn start(host: &Host, settings: Settings) -> Result<Observer> {
        if settings.askers.is_empty() {
            return Err(LabError::Argument(
                "an observer needs unused addresses to ask from".to_owned(),
            ));
        }
        Observer::spawn(host, settings, Neighbours::open)
    }

    /// Starts ICMP echoes instead, through the kernel of `host`: what a client feels, lost
    /// announcements and stale neighbour entries included. Its answers name no hardware address.
    pub fn start_echo(host: &Host, settings: Settings) -> Result<Observer> {
        Observer::spawn(host, settings, Echoes::open)
    }

    fn spawn<M: Medium>(
        host: &Host,
        settings: Settings,
        open: impl FnOnce(&Settings) -> Result<M> + Send + 'static,
    ) -> Result<Observer> {
        if settings.vips.is_empty() {
            return Err(LabError::Argument("an observer needs addresses to ask for".to_owned()));
        }
        let records = settings.vips.iter().map(|vip| (*vip, Record::default())).collect();
        let shared = Arc::new(Shared::default());
        *shared.seen() = Observation { started_ns: now_ns(), records, ..Observation::default() };
        let (ready, started) = mpsc::sync_channel(1);
        let (inside, place) = (Arc::clone(&shared), host.clone());
        let thread = std::thread::spawn(move || {
            // A medium belongs to the namespace of the thread that opens it.
            match place.move_this_thread().and_then(|()| open(&settings)) {
                Err(error) => {
                    let _ = ready.send(Err(error));
                    Ok(())
                }
                Ok(medium) => {
                    asking::ask_for_priority();
                    let _ = ready.send(Ok(()));
                    Asking::new(settings, medium).run(&inside)
                }
            }
        });
        started
            .recv()
            .map_err(|_| LabError::Argument("the observer's thread died".to_owned()))??;
        Ok(Observer { shared, thread: Some(thread), _host: host.clone() })
    }

    /// Waits for an answer for `vip` to a question sent from now on; from `mac` if one is named.
    pub fn wait_for(&self, vip: IpAddr, mac: Option<Mac>, limit: Duration) -> Result<Answer> {
        let what =
            mac.map_or(format!("an answer for {vip}"), |m| format!("{m} to answer for {vip}"));
        self.wait(vip, &what, now_ns(), patience(limit), |answer| {
            mac.is_none_or(|mac| answer.mac == mac)
        })
    }

    /// Waits for an answer for `vip` by anybody but `mac`.
    pub fn wait_for_other(&self, vip: IpAddr, mac: Mac, limit: Duration) -> Result<Answer> {
        let what = format!("anybody but {mac} to answer for {vip}");
        self.wait(vip, &what, now_ns(), patience(limit), |answer| answer.mac != mac)
    }

    /// Waits until every address was answered for, by anybody, to a question sent from now on.
    pub fn wait_for_all(&self, limit: Duration) -> Result<()> {
        let (began, deadline) = (now_ns(), Instant::now() + patience(limit));
        let vips: Vec<IpAddr> = self.shared.seen().records.keys().copied().collect();
        vips.into_iter().try_for_each(|vip| {
            let left = deadline.saturating_duration_since(Instant::now());
            self.wait(vip, &format!("an answer for {vip}"), began, left, |_| true).map(drop)
        })
    }

    /// Waits until `vip` has gone unanswered for `silence`.
    pub fn wait_for_silence(&self, vip: IpAddr, silence: Duration, limit: Duration) -> Result<()> {
        let began = now_ns();
        crate::until(&format!("nobody to answer for {vip}"), limit, || {
            let last = self.shared.seen().last_answer(vip).map_or(0, |answer| answer.received_ns);
            let since = last.max(began);
            (now_ns().saturating_sub(since) >= silence.as_nanos() as u64).then_some(())
        })
    }

    /// What was seen so far.
    pub fn snapshot(&self) -> Observation {
        let mut seen = self.shared.seen().clone();
        seen.ended_ns = now_ns();
        seen
    }

    /// Stops asking and returns what was seen.
    pub fn stop(mut self) -> Result<Observation> {
        self.end()?;
        Ok(std::mem::take(&mut *self.shared.seen()))
    }

    fn end(&mut self) -> Result<()> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    fn wait(
        &self,
        vip: IpAddr,
        what: &str,
        asked_from_ns: u64,
        limit: Duration,
        wanted: impl Fn(&Answer) -> bool,
    ) -> Result<Answer> {
        let deadline = Instant::now() + limit;
        let mut seen = self.shared.seen();
        loop {
            let Some(record) = seen.records.get(&vip) else {
                return Err(LabError::Argument(format!("{vip} is not observed")));
            };
            let fresh =
                record.answers.iter().rev().take_while(|answer| answer.sent_ns >= asked_from_ns);
            if let Some(answer) = fresh.copied().find(|answer| wanted(answer)) {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LabError::Timeout { what: what.to_owned(), limit });
            }
            let waited = self.shared.answered.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        // Whoever wanted its verdict has called `stop`.
        let _ = self.end();
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Observation> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
