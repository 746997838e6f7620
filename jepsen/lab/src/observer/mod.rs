//! The witness: asks for each address every few milliseconds and notes who answers.
//!
//! Each question names another unused address as its asker, and the answer is addressed to that
//! asker, so an answer tells which question it belongs to. Answers are dated by the kernel on
//! arrival, so the thread may collect them once per tick and still be exact; questions are dated
//! as they are really sent, so a late tick widens no figure unnoticed.

mod frame;
pub mod observation;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

use self::frame::{Saying, arp_request, solicitation};
use self::observation::{Answer, Claim, Observation, Record};
use self::wire::Wire;
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
    /// Questions per tick: with more addresses than this, they take turns.
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
    /// Starts asking from `host`; returns when the first question can be sent.
    pub fn start(host: &Host, settings: Settings) -> Result<Observer> {
        if settings.vips.is_empty() || settings.askers.is_empty() {
            return Err(LabError::Argument(
                "an observer needs addresses to ask for and unused ones to ask from".to_owned(),
            ));
        }
        let records = settings.vips.iter().map(|vip| (*vip, Record::default())).collect();
        let shared = Arc::new(Shared::default());
        *shared.seen() = Observation { started_ns: now_ns(), records, ..Observation::default() };
        let (ready, started) = mpsc::sync_channel(1);
        let (inside, place) = (Arc::clone(&shared), host.clone());
        let thread = std::thread::spawn(move || {
            let opened = place
                .move_this_thread()
                .and_then(|()| Wire::open(&settings.interface, &settings.vips));
            let wire = match opened {
                Ok(wire) => wire,
                Err(error) => {
                    let _ = ready.send(Err(error));
                    return Ok(());
                }
            };
            wire::ask_for_priority();
            let _ = ready.send(Ok(()));
            Asking::new(settings, wire).run(&inside)
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
        self.wait(vip, &what, now_ns(), limit, |answer| mac.is_none_or(|mac| answer.mac == mac))
    }

    /// Waits for an answer for `vip` by anybody but `mac`.
    pub fn wait_for_other(&self, vip: IpAddr, mac: Mac, limit: Duration) -> Result<Answer> {
        let what = format!("anybody but {mac} to answer for {vip}");
        self.wait(vip, &what, now_ns(), limit, |answer| answer.mac != mac)
    }

    /// Waits until every address was answered for, by anybody, to a question sent from now on.
    pub fn wait_for_all(&self, limit: Duration) -> Result<()> {
        let (began, deadline) = (now_ns(), Instant::now() + limit);
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

/// The thread's own state.
#[derive(Debug)]
struct Asking {
    settings: Settings,
    wire: Wire,
    /// Whose turn it is.
    next: usize,
    /// How many questions each address has had.
    asked: Vec<usize>,
    /// When each address was last asked for by each asker.
    sent_ns: BTreeMap<(IpAddr, IpAddr), u64>,
    /// What is not in the record yet.
    unwritten: Vec<(IpAddr, Event)>,
}

#[derive(Debug)]
enum Event {
    Asked { sent_ns: u64 },
    Answered(Answer),
    Claimed(Claim),
}

impl Asking {
    fn new(settings: Settings, wire: Wire) -> Asking {
        let asked = vec![0; settings.vips.len()];
        let (sent_ns, unwritten) = (BTreeMap::new(), Vec::new());
        Asking { settings, wire, next: 0, asked, sent_ns, unwritten }
    }

    fn run(mut self, shared: &Shared) -> Result<()> {
        let interval_ns = self.settings.interval.as_nanos() as u64;
        let mut tick_ns = now_ns();
        while !shared.stopping.load(Ordering::Relaxed) {
            self.ask()?;
            self.listen()?;
            // Whoever reads the record may be slow; the next tick must not wait for him.
            if let Ok(mut seen) = shared.seen.try_lock() {
                self.write(&mut seen);
                shared.answered.notify_all();
            }
            // A tick that was missed is not made up for: a burst of questions proves nothing.
            tick_ns = (tick_ns + interval_ns).max(now_ns());
            sleep_until(tick_ns);
        }
        // The last questions may still be under way.
        sleep_until(now_ns() + interval_ns);
        self.listen()?;
        let mut seen = shared.seen();
        self.write(&mut seen);
        seen.ended_ns = now_ns();
        seen.frames_lost = self.wire.frames_lost();
        Ok(())
    }

    /// Sends this tick's questions.
    fn ask(&mut self) -> Result<()> {
        let count = self.settings.questions_per_tick.min(self.settings.vips.len());
        for _ in 0..count {
            let (index, vip) = (self.next, self.settings.vips[self.next]);
            self.next = (self.next + 1) % self.settings.vips.len();
            let turn = self.asked[index] % self.settings.askers.len();
            self.asked[index] += 1;
            let (asker, frame) = match vip {
                IpAddr::V4(vip) => {
                    let asker = self.settings.askers[turn];
                    (IpAddr::V4(asker), arp_request(self.wire.mac(), asker, vip))
                }
                IpAddr::V6(vip) => {
                    // Link-local addresses that no host forms: theirs come from a MAC or at random.
                    let asker = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa5c, turn as u16);
                    (IpAddr::V6(asker), solicitation(self.wire.mac(), asker, vip))
                }
            };
            let sent_ns = now_ns();
            // A question that the link refuses, being down, was not asked.
            if self.wire.send(vip, &frame)? {
                self.sent_ns.insert((vip, asker), sent_ns);
                self.unwritten.push((vip, Event::Asked { sent_ns }));
            }
        }
        Ok(())
    }

    /// Collects what has arrived, and finds the question to each answer.
    fn listen(&mut self) -> Result<()> {
        for (Saying { address, mac, asker }, received_ns) in self.wire.drain()? {
            let question = asker.and_then(|asker| self.sent_ns.get(&(address, asker)));
            let event = match question {
                Some(sent_ns) => Event::Answered(Answer { sent_ns: *sent_ns, received_ns, mac }),
                None => Event::Claimed(Claim { received_ns, mac }),
            };
            self.unwritten.push((address, event));
        }
        Ok(())
    }

    fn write(&mut self, seen: &mut Observation) {
        for (address, event) in self.unwritten.drain(..) {
            // Others' addresses are none of its business.
            let Some(record) = seen.records.get_mut(&address) else { continue };
            match event {
                Event::Asked { sent_ns } => record.sent_ns.push(sent_ns),
                Event::Answered(answer) => record.answers.push(answer),
                Event::Claimed(claim) => record.claims.push(claim),
            }
        }
    }
}

fn sleep_until(instant_ns: u64) {
    let instant =
        TimeSpec::new((instant_ns / 1_000_000_000) as i64, (instant_ns % 1_000_000_000) as i64);
    // An interruption makes a tick early, which the recorded times show.
    let _ = clock_nanosleep(ClockId::CLOCK_BOOTTIME, ClockNanosleepFlags::TIMER_ABSTIME, &instant);
}
