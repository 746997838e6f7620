//! The witness's thread: even ticks, each with its questions and whatever was heard since.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};

use super::observation::{Answer, Claim, Observation};
use super::{Settings, Shared};
use crate::{Result, now_ns};

/// What is asked with: neighbour questions or echoes.
pub(super) trait Medium: 'static {
    /// Asks for `vip` and says when; `None` if the link refused, being down.
    fn ask(&mut self, vip: IpAddr) -> Result<Option<u64>>;

    /// Adds what has arrived since the last call.
    fn listen(&mut self, heard: &mut Vec<(IpAddr, Event)>) -> Result<()>;

    /// How many frames the kernel dropped because nobody listened in time.
    fn frames_lost(&self) -> u64;
}

/// Something about an address.
#[derive(Debug)]
pub(super) enum Event {
    Asked { sent_ns: u64 },
    Answered(Answer),
    Claimed(Claim),
}

#[derive(Debug)]
pub(super) struct Asking<M> {
    settings: Settings,
    medium: M,
    /// Whose turn it is.
    next: usize,
    /// What is not in the record yet.
    unwritten: Vec<(IpAddr, Event)>,
}

impl<M: Medium> Asking<M> {
    pub(super) fn new(settings: Settings, medium: M) -> Asking<M> {
        Asking { settings, medium, next: 0, unwritten: Vec::new() }
    }

    pub(super) fn run(mut self, shared: &Shared) -> Result<()> {
        let interval_ns = self.settings.interval.as_nanos() as u64;
        let mut tick_ns = now_ns();
        while !shared.stopping.load(Ordering::Relaxed) {
            self.ask()?;
            self.medium.listen(&mut self.unwritten)?;
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
        self.medium.listen(&mut self.unwritten)?;
        let mut seen = shared.seen();
        self.write(&mut seen);
        seen.ended_ns = now_ns();
        seen.frames_lost = self.medium.frames_lost();
        Ok(())
    }

    /// Sends this tick's questions.
    fn ask(&mut self) -> Result<()> {
        for _ in 0..self.settings.questions_per_tick.min(self.settings.vips.len()) {
            let vip = self.settings.vips[self.next];
            self.next = (self.next + 1) % self.settings.vips.len();
            if let Some(sent_ns) = self.medium.ask(vip)? {
                self.unwritten.push((vip, Event::Asked { sent_ns }));
            }
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

/// Real-time priority keeps the ticks even on a busy machine; without it the figures are as
/// honest, since lateness is recorded, only coarser.
pub(super) fn ask_for_priority() {
    let thread = nix::unistd::gettid().to_string();
    let _ = crate::netns::run("chrt", &["-f", "-p", "1", &thread]);
}

pub(super) fn sleep_until(instant_ns: u64) {
    let instant =
        TimeSpec::new((instant_ns / 1_000_000_000) as i64, (instant_ns % 1_000_000_000) as i64);
    // An interruption makes a tick early, which the recorded times show.
    let _ = clock_nanosleep(ClockId::CLOCK_BOOTTIME, ClockNanosleepFlags::TIMER_ABSTIME, &instant);
}
