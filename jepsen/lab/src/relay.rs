//! A wire with manners: delays, repeats, reorders and loses frames between two ports of a bridge.
//!
//! netem does the same in the kernel, where the kernel has it. Here a thread reads what enters at
//! one port, which the bridge itself then refuses to pass, and sends it out at another, each frame
//! at its own time. Frames keep the sender's notes on checksums and segments, so that the receiver
//! sees them as it would have.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::fault::Cut;
use crate::observer::{link_address, packet_socket};
use crate::sys::{PacketOption, turn_on};
use crate::{Host, LabError, Mac, Result, now_ns};

/// How a relay treats what passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manners {
    /// At least so long.
    pub delay: Duration,
    /// And up to so much longer, each frame by itself: more than the time between two frames
    /// reorders them.
    pub jitter: Duration,
    /// So many of a hundred frames are sent twice.
    pub repeated_percent: u8,
    /// No more than this passes; what would have to wait for too long is lost. 0: no limit.
    pub bytes_per_s: u64,
    /// So many of a thousand frames begin a burst of losses.
    pub burst_permille: u16,
    /// How many frames a burst takes away, itself included, on an average.
    pub burst_frames: u16,
}

impl fmt::Display for Manners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (least, most) = (self.delay.as_millis(), (self.delay + self.jitter).as_millis());
        let mut parts = Vec::new();
        if most > 0 {
            parts.push(format!("{least} to {most} ms late"));
        }
        if self.repeated_percent > 0 {
            parts.push(format!("{} % twice", self.repeated_percent));
        }
        if self.bytes_per_s > 0 {
            parts.push(format!("at most {} bytes/s", self.bytes_per_s));
        }
        if self.burst_permille > 0 {
            let (rate, length) = (self.burst_permille, self.burst_frames);
            parts.push(format!("{rate} in 1000 begin a loss of about {length} frames"));
        }
        f.write_str(&parts.join(", "))
    }
}

/// One direction of a line: when what enters it comes out.
#[derive(Debug)]
struct Line {
    manners: Manners,
    random: u64,
    /// When the last byte that entered has passed its narrowest place.
    free_ns: u64,
    losing: bool,
}

impl Line {
    fn new(manners: Manners, seed: u64) -> Line {
        // An odd number, as xorshift stays at zero for ever.
        Line { manners, random: seed | 1, free_ns: 0, losing: false }
    }

    /// How often a frame is sent.
    fn copies(&mut self) -> usize {
        1 + usize::from(self.roll(100) < self.manners.repeated_percent.into())
    }

    /// When a frame of this length arrives; `None` where it is lost.
    fn pass(&mut self, now_ns: u64, bytes: usize) -> Option<u64> {
        if self.loses() {
            return None;
        }
        let mut through_ns = now_ns;
        // By no rate: whatever enters has passed.
        let takes_ns = (bytes as u64 * 1_000_000_000).checked_div(self.manners.bytes_per_s);
        if let Some(takes_ns) = takes_ns {
            let queued_ns = self.free_ns.saturating_sub(now_ns);
            if queued_ns > QUEUE_NS {
                return None;
            }
            self.free_ns = now_ns + queued_ns + takes_ns;
            through_ns = self.free_ns;
        }
        let jitter_ns = self.manners.jitter.as_nanos() as u64;
        Some(through_ns + self.manners.delay.as_nanos() as u64 + self.roll(jitter_ns + 1))
    }

    /// By Gilbert's model: a line that is well or not, and changes at random.
    fn loses(&mut self) -> bool {
        let ends = self.losing && self.roll(self.manners.burst_frames.max(1).into()) == 0;
        if ends {
            self.losing = false;
        } else if !self.losing && self.manners.burst_permille > 0 {
            self.losing = self.roll(1000) < self.manners.burst_permille.into();
        }
        self.losing
    }

    /// A number below `bound`, which must not be zero.
    fn roll(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }
}

/// A port to send out at, and who is behind it.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) port: String,
    pub(crate) mac: Mac,
}

/// A relay at work, between two ports. Dropping it ends it; what is under way is lost.
#[derive(Debug)]
pub struct Relay {
    cuts: Vec<Cut>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stopping: AtomicBool,
    passed: AtomicU64,
    refused: AtomicU64,
}

/// Every frame.
const ETHERTYPE_ALL: u16 = 0x0003;

/// Length of the notes before each frame.
const NOTES: usize = 10;

/// A frame that segments are yet to be made of, and its notes.
const FRAME_MAX: usize = 66 << 10;

/// Frames that wait; one more is lost, as in a queue of a switch.
const WAITING_MAX: usize = 4096;

/// What waits for a narrow line, in time: as much as a switch that is not made for voice.
const QUEUE_NS: u64 = 200_000_000;

/// How soon an end is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(20);

impl Relay {
    pub(crate) fn start(
        bridge: &Host,
        from: String,
        to: Vec<Route>,
        cuts: Vec<Cut>,
        manners: Manners,
        seed: u64,
    ) -> Result<Relay> {
        let shared = Arc::new(Shared::default());
        let (ready, started) = mpsc::sync_channel(1);
        let (inside, place) = (Arc::clone(&shared), bridge.clone());
        let thread = std::thread::spawn(move || {
            match place.move_this_thread().and_then(|()| Passing::open(&from, &to, manners, seed)) {
                Err(error) => {
                    let _ = ready.send(Err(error));
                }
                Ok(mut passing) => {
                    let _ = ready.send(Ok(()));
                    passing.run(&inside);
                }
            }
        });
        started.recv().map_err(|_| LabError::Argument("the relay's thread died".to_owned()))??;
        Ok(Relay { cuts, shared, thread: Some(thread) })
    }

    /// Loses what is under way and all that comes, until it is bypassed.
    pub fn halt(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn cuts(&self) -> &[Cut] {
        &self.cuts
    }

    /// Frames that were sent on, repeats included.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::Relaxed)
    }

    /// Frames that were lost: on the line, for want of room, or as a port did not take them.
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It held nothing that anybody could still want.
            let _ = thread.join();
        }
    }
}

/// When to send it, in which order it came, at which port, and the frame.
type Waiting = (u64, u64, usize, Vec<u8>);

struct Passing {
    source: OwnedFd,
    targets: Vec<(Mac, OwnedFd)>,
    line: Line,
    /// By the time to send it, then by arrival.
    waiting: BinaryHeap<Reverse<Waiting>>,
    arrived: u64,
}

impl Passing {
    /// Opens sockets in the namespace of the calling thread.
    fn open(from: &str, to: &[Route], manners: Manners, seed: u64) -> Result<Passing> {
        let source = socket(from, ETHERTYPE_ALL)?;
        let target = |route: &Route| Ok((route.mac, socket(&route.port, 0)?));
        let targets = to.iter().map(target).collect::<Result<_>>()?;
        let line = Line::new(manners, seed);
        Ok(Passing { source, targets, line, waiting: BinaryHeap::new(), arrived: 0 })
    }

    fn run(&mut self, shared: &Shared) {
        let mut buffer = vec![0_u8; FRAME_MAX];
        while !shared.stopping.load(Ordering::Relaxed) {
            let now = now_ns();
            let next = self.waiting.peek().map(|Reverse((at, ..))| at.saturating_sub(now));
            let wait = next.map_or(LOOK_EVERY, Duration::from_nanos).min(LOOK_EVERY);
            // Rounded up: a wait of zero would be a busy one.
            let wait = PollTimeout::try_from(wait + Duration::from_micros(500));
            let mut fds = [PollFd::new(self.source.as_fd(), PollFlags::POLLIN)];
            // An interruption or an error shows in the next call.
            let _ = poll(&mut fds, wait.unwrap_or(PollTimeout::ZERO));
            while let Ok(length) =
                recv(self.source.as_raw_fd(), &mut buffer, MsgFlags::MSG_DONTWAIT)
            {
                self.take(&buffer[..length], shared);
            }
            self.send_due(shared);
        }
    }

    /// Gives a frame its time, and for each port that it goes to.
    fn take(&mut self, frame: &[u8], shared: &Shared) {
        let Some(destination) = frame.get(NOTES..NOTES + 6) else { return };
        let to_many = destination[0] & 1 == 1;
        for target in 0..self.targets.len() {
            if !to_many && self.targets[target].0.0 != destination {
                continue;
            }
            for _ in 0..self.line.copies() {
                if self.waiting.len() == WAITING_MAX {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                let Some(at) = self.line.pass(now_ns(), frame.len() - NOTES) else {
                    shared.refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                self.arrived += 1;
                self.waiting.push(Reverse((at, self.arrived, target, frame.to_vec())));
            }
        }
    }

    fn send_due(&mut self, shared: &Shared) {
        let now = now_ns();
        while self.waiting.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            let Some(Reverse((_, _, target, frame))) = self.waiting.pop() else { return };
            let sent = send(self.targets[target].1.as_raw_fd(), &frame, MsgFlags::MSG_DONTWAIT);
            let counter = if sent.is_ok() { &shared.passed } else { &shared.refused };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn socket(interface: &str, ethertype: u16) -> Result<OwnedFd> {
    let socket = packet_socket(&link_address(interface)?, ethertype)?;
    for option in [PacketOption::VirtualHeader, PacketOption::IgnoreOutgoing] {
        turn_on(socket.as_fd(), option).map_err(LabError::system(format!("setting {option:?}")))?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND_NS: u64 = 1_000_000_000;

    #[test]
    fn a_narrow_line_passes_its_rate_and_loses_what_does_not_fit_into_its_queue() {
        let mut line = Line::new(Manners { bytes_per_s: 10_000, ..Manners::default() }, 7);
        // A hundred frames of 1000 bytes in a second: ten times what fits.
        let all = (0..100).map(|nth| line.pass(nth * SECOND_NS / 100, 1000));
        let passed: Vec<u64> = all.flatten().collect();
        assert_eq!(passed[..3], [SECOND_NS / 10, SECOND_NS / 5, 3 * SECOND_NS / 10]);
        assert!((10..=13).contains(&passed.len()), "{passed:?}");
        assert!(passed.windows(2).all(|pair| pair[1] - pair[0] >= SECOND_NS / 10));
        assert_eq!(line.pass(9 * SECOND_NS, 1000), Some(9 * SECOND_NS + SECOND_NS / 10), "idle");
    }

    #[test]
    fn losses_come_in_bursts_of_the_length_that_was_asked_for() {
        let manners = Manners { burst_permille: 10, burst_frames: 20, ..Manners::default() };
        let mut line = Line::new(manners, 7);
        let lost: Vec<bool> = (0..100_000).map(|now| line.pass(now, 60).is_none()).collect();
        let begun = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let number = lost.iter().filter(|lost| **lost).count();
        assert!((600..1100).contains(&begun), "{begun} bursts");
        let mean = number as f64 / begun as f64;
        assert!((17.0..23.0).contains(&mean), "{mean} frames each");
    }

    #[test]
    fn a_line_without_manners_changes_nothing() {
        let mut line = Line::new(Manners::default(), 7);
        assert!((0..1000).all(|now| line.copies() == 1 && line.pass(now, 1500) == Some(now)));
    }
}
