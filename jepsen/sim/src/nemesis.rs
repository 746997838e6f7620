//! What goes wrong, drawn from the seed.

use leasehold_model::GroupId;

use crate::random::Random;

/// One fault, or one thing that an operator does. Hosts are indices, spans are milliseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The daemon is killed, and its guard finishes its work.
    KillDaemon {
        host: usize,
        down: u64,
    },
    /// Daemon and guard are killed: only the fence is left.
    KillAll {
        host: usize,
        down: u64,
    },
    CutPower {
        host: usize,
        down: u64,
    },
    /// SIGSTOP, then SIGCONT; with the guard or without it.
    Stop {
        host: usize,
        span: u64,
        guard_too: bool,
    },
    /// Nothing passes from the first to the second, and back where `both`.
    Cut {
        from: usize,
        to: usize,
        both: bool,
    },
    /// The host hears nobody, or nobody hears it, or both.
    Isolate {
        host: usize,
        inward: bool,
        outward: bool,
    },
    /// The first `size` hosts against the rest.
    Halves {
        size: usize,
    },
    /// Messages are lost and doubled, so many in a million, and late by up to so much.
    Degrade {
        from: usize,
        to: usize,
        lost: u64,
        doubled: u64,
        late: u64,
    },
    /// All that is said to the host is about so late.
    Late {
        host: usize,
        late: u64,
    },
    HealNetwork,
    /// The host's clock runs so many billionths faster.
    Rate {
        host: usize,
        faster: i64,
    },
    SlowDisk {
        host: usize,
        takes: u64,
    },
    FailDisk {
        host: usize,
    },
    HealDisk {
        host: usize,
    },
    Transfer,
    Configure {
        host: usize,
    },
    Drain {
        host: usize,
        drained: bool,
    },
    Pin {
        group: GroupId,
        host: usize,
    },
}

/// What a run's faults are drawn within.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) hosts: usize,
    pub(crate) ttl_ms: u64,
    /// In billionths, either way: two clocks may be twice that apart.
    pub(crate) rate: i64,
}

impl Bounds {
    /// Draws the next fault.
    pub(crate) fn draw(&self, random: &mut Random) -> Fault {
        let hosts = self.hosts as u64;
        let any = |random: &mut Random| usize::try_from(random.between(0, hosts)).unwrap_or(0);
        let host = any(random);
        let down = random.between(200, 4_000);
        match random.between(0, 30) {
            0 | 1 => Fault::KillDaemon { host, down },
            2 => Fault::KillAll { host, down },
            3 => Fault::CutPower { host, down: down + 1_000 },
            4..=7 => {
                let span = random.between(self.ttl_ms / 10, self.ttl_ms * 3);
                Fault::Stop { host, span, guard_too: random.one_in(2) }
            }
            8 | 9 => Fault::Cut { from: host, to: any(random), both: random.one_in(2) },
            10..=12 => {
                let way = random.between(0, 3);
                Fault::Isolate { host, inward: way != 1, outward: way != 0 }
            }
            13 => {
                let size = usize::try_from(random.between(1, hosts)).unwrap_or(1);
                Fault::Halves { size }
            }
            14 => Fault::Degrade {
                from: host,
                to: any(random),
                lost: random.between(0, 400_000),
                doubled: random.between(0, 300_000),
                late: random.between(1, self.ttl_ms / 2) * 1_000,
            },
            15 => {
                let late = random.between(self.ttl_ms / 8, self.ttl_ms / 2) * 1_000;
                Fault::Late { host, late }
            }
            16..=19 => Fault::HealNetwork,
            20 | 21 => {
                let span = random.between(0, u64::try_from(self.rate).unwrap_or(0) * 2 + 1);
                Fault::Rate { host, faster: span.cast_signed() - self.rate }
            }
            22 => Fault::SlowDisk { host, takes: random.between(5, self.ttl_ms * 2) },
            23 if random.one_in(3) => Fault::FailDisk { host },
            23 | 24 => Fault::HealDisk { host },
            25 => Fault::Transfer,
            26 | 27 => Fault::Configure { host },
            28 => Fault::Drain { host, drained: random.one_in(2) },
            _ => {
                let number = u32::try_from(random.between(1, 4)).unwrap_or(1);
                Fault::Pin { group: GroupId(number), host }
            }
        }
    }
}
