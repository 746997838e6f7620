//! When VIPs are announced: at a takeover, again in case that was lost, and for as long as they
//! are held where the operator asks for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use leasehold_model::{BootNanos, Garp};

/// Where the configuration says nothing: a lost gratuitous ARP would black-hole a VIP until the
/// neighbours' caches expire.
const REPEATS: [Duration; 4] = [
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(2),
    Duration::from_secs(5),
];

/// keepalived's, where one of its words is given and the others are not.
const MASTER_DELAY_S: u32 = 5;
const MASTER_REPEAT: u32 = 5;
const MASTER_REFRESH_REPEAT: u32 = 1;

/// Those that are due later than this were due when nobody could send them; others may hold the
/// address by now.
const TOO_LATE: Duration = Duration::from_secs(1);

/// A VIP to be announced, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced<'a> {
    pub address: IpAddr,
    pub interface: &'a str,
    pub garp: Garp,
    /// Between two announcements out of one interface.
    pub apart: Duration,
}

/// Announcements to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announcements {
    due: BTreeMap<BootNanos, Vec<IpAddr>>,
    refresh: BTreeMap<IpAddr, Refresh>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refresh {
    next: BootNanos,
    every: Duration,
    repeat: u32,
}

impl Announcements {
    /// The node has taken these over and announced each of them once, just now.
    pub fn handle_taken(&mut self, taken: &[Announced<'_>], now: BootNanos) {
        self.schedule(taken, now, takeover);
        for one in taken {
            let every = Duration::from_secs(one.garp.master_refresh_s.unwrap_or(0).into());
            if every.is_zero() {
                self.refresh.remove(&one.address);
            } else {
                let repeat = one.garp.master_refresh_repeat.unwrap_or(MASTER_REFRESH_REPEAT);
                let next = now.after(every);
                self.refresh.insert(one.address, Refresh { next, every, repeat: repeat.max(1) });
            }
        }
    }

    /// Neighbours may believe another: a link came back, or a rival was heard.
    pub fn handle_doubt(&mut self, doubted: &[Announced<'_>], now: BootNanos) {
        self.schedule(doubted, now, doubt);
    }

    /// What to announce now, as often as it is listed. What is not among `held` is forgotten.
    pub fn take_due(&mut self, held: &BTreeSet<IpAddr>, now: BootNanos) -> Vec<IpAddr> {
        let later = self.due.split_off(&now.after(Duration::from_nanos(1)));
        let due = std::mem::replace(&mut self.due, later);
        let in_time = due.into_iter().filter(|(at, _)| now.since(*at) <= TOO_LATE);
        let once = in_time.flat_map(|(_, addresses)| addresses);
        let mut send: Vec<IpAddr> = once.filter(|address| held.contains(address)).collect();
        self.refresh.retain(|address, _| held.contains(address));
        for (address, one) in self.refresh.iter_mut().filter(|(_, one)| one.next <= now) {
            one.next = now.after(one.every);
            send.extend((0..one.repeat).map(|_| *address));
        }
        send
    }

    /// When the next is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootNanos> {
        let refresh = self.refresh.values().map(|one| one.next).min();
        [self.due.keys().next().copied(), refresh].into_iter().flatten().min()
    }

    fn schedule(
        &mut self,
        taken: &[Announced<'_>],
        now: BootNanos,
        plan: fn(&Garp) -> Vec<(Duration, u32)>,
    ) {
        let mut queued: BTreeMap<&str, u32> = BTreeMap::new();
        for one in taken {
            let place = queued.entry(one.interface).or_default();
            for (after, times) in plan(&one.garp) {
                for time in 0..times {
                    let wait = one.apart * (*place + time);
                    self.due.entry(now.after(after + wait)).or_default().push(one.address);
                }
            }
            *place += 1;
        }
    }
}

/// After the first, which goes out with the takeover itself.
fn takeover(garp: &Garp) -> Vec<(Duration, u32)> {
    let mut plan = bursts(garp.master_repeat, garp.master_delay_s);
    plan[0].1 = plan[0].1.saturating_sub(1);
    plan
}

fn doubt(garp: &Garp) -> Vec<(Duration, u32)> {
    let repeat = garp.lower_prio_repeat.or(garp.master_repeat);
    bursts(repeat, garp.lower_prio_delay_s.or(garp.master_delay_s))
}

/// How many at once, and how many again and when.
fn bursts(repeat: Option<u32>, delay_s: Option<u32>) -> Vec<(Duration, u32)> {
    if repeat.is_none() && delay_s.is_none() {
        let again = REPEATS.map(|after| (after, 1));
        return std::iter::once((Duration::ZERO, 1)).chain(again).collect();
    }
    let repeat = repeat.unwrap_or(MASTER_REPEAT);
    let mut plan = vec![(Duration::ZERO, repeat)];
    let delay = delay_s.unwrap_or(MASTER_DELAY_S);
    if delay > 0 {
        plan.push((Duration::from_secs(delay.into()), repeat));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn one(address: IpAddr, garp: Garp) -> Announced<'static> {
        Announced { address, interface: "eth0", garp, apart: Duration::ZERO }
    }

    fn at(ms: u64) -> BootNanos {
        BootNanos::default().after(Duration::from_millis(1_000_000 + ms))
    }

    /// What is sent, and when, in milliseconds from the takeover, over so long.
    fn sent(all: &mut Announcements, until: u64) -> Vec<(u64, usize)> {
        let held = [A, B].into();
        let mut sent = Vec::new();
        while let Some(due) = all.poll_timeout().filter(|due| *due <= at(until)) {
            let count = all.take_due(&held, due).len();
            let ms = due.since(at(0)).as_millis();
            sent.push((u64::try_from(ms).expect("small"), count));
        }
        sent
    }

    #[test]
    fn without_a_word_it_is_repeated_four_times() {
        let mut all = Announcements::default();
        all.handle_taken(&[one(A, Garp::default())], at(0));
        assert_eq!(sent(&mut all, 60_000), [(100, 1), (500, 1), (2000, 1), (5000, 1)]);
    }

    #[test]
    fn with_keepalived_s_words_it_is_keepalived_s_bursts() {
        let mut all = Announcements::default();
        let garp = Garp { master_repeat: Some(3), ..Garp::default() };
        all.handle_taken(&[one(A, garp)], at(0));
        assert_eq!(sent(&mut all, 60_000), [(0, 2), (5000, 3)], "the first is out already");
        let garp = Garp { master_delay_s: Some(0), ..Garp::default() };
        all.handle_taken(&[one(A, garp)], at(0));
        assert_eq!(sent(&mut all, 60_000), [(0, 4)], "0 is no second burst");
    }

    #[test]
    fn a_refresh_goes_on_until_it_is_not_held() {
        let mut all = Announcements::default();
        let refresh = Some(10);
        let garp = Garp { master_refresh_s: refresh, master_refresh_repeat: Some(2), ..silent() };
        all.handle_taken(&[one(A, garp)], at(0));
        assert_eq!(sent(&mut all, 30_000), [(10_000, 2), (20_000, 2), (30_000, 2)]);
        assert_eq!(all.take_due(&[B].into(), at(40_000)), Vec::<IpAddr>::new());
        assert_eq!(all.poll_timeout(), None);
    }

    fn silent() -> Garp {
        Garp { master_delay_s: Some(0), master_repeat: Some(1), ..Garp::default() }
    }

    #[test]
    fn addresses_of_one_interface_keep_apart() {
        let mut all = Announcements::default();
        let garp = Garp { master_delay_s: Some(0), master_repeat: Some(2), ..Garp::default() };
        let apart = Duration::from_millis(10);
        let both = [A, B].map(|address| Announced { apart, ..one(address, garp) });
        all.handle_taken(&both, at(0));
        assert_eq!(sent(&mut all, 1000), [(0, 1), (10, 1)]);
    }

    #[test]
    fn what_was_due_while_nobody_ran_is_not_sent() {
        let mut all = Announcements::default();
        all.handle_taken(&[one(A, Garp::default())], at(0));
        assert_eq!(all.take_due(&[A].into(), at(5500)), [A], "the last one alone");
    }

    #[test]
    fn a_rival_s_advert_is_answered_at_once() {
        let mut all = Announcements::default();
        let garp = Garp { lower_prio_repeat: Some(2), lower_prio_delay_s: Some(0), ..silent() };
        all.handle_doubt(&[one(A, garp)], at(0));
        assert_eq!(sent(&mut all, 60_000), [(0, 2)]);
    }
}
