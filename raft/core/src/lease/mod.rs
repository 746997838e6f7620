//! The lease protocol: how one director at a time may answer for a VIP.
//!
//! # The problem
//!
//! A director that answers for a VIP must know that no other does, while messages are lost, late,
//! copied and out of order, processes are stopped, killed and started again, leaders come and go,
//! and clocks agree on nothing but, roughly, how long a second is. It must go on answering while
//! the leader is away, or each election would be an outage.
//!
//! # Naive answers
//!
//! *The log says who holds it.* A node that is cut off reads an old log. *A grant in the log is
//! good for a ttl.* From when? The reader may be late by any time; and each renewal would cost an
//! fsync on every member. *The leader remembers.* It dies, and the next one must not guess. *The
//! voters refuse elections while a lease is good.* A voter that restarted has forgotten, a leader
//! that is transferred asks for no patience, and implementations have had holes here: nothing
//! below rests on it.
//!
//! # What is done
//!
//! `Grant` and `Release` are log entries; the index is the epoch. Renewals are not in the log.
//!
//! * The [`Holder`] reads its clock, `t0`, before a renewal leaves, and may answer until
//!   `t0 + ttl - margin` by that clock, if a leader says that the lease is good.
//! * The leader's [`Grantor`] says so after a quorum confirmed, in a round that began after the
//!   renewal arrived, that it leads, and if the state, with all applied that was committed when
//!   the round began, has that epoch. It notes the instant, `last_ok`.
//! * An epoch is over for the leader at `last_ok + ttl * (1 + drift) + margin` by its own clock.
//!   Only then, or after a `Release`, does it propose a grant that replaces the epoch.
//! * Between that proposal and its effect it approves nothing of the group ([`Grantor::block`]).
//!
//! # Why one node answers at a time
//!
//! Take a deadline that node H wrote for epoch e, the renewal behind it (sent at t0, approved by
//! leader L in a round with quorum Q), and the entry that ended e so that another could open.
//!
//! *A release by H, or by its guard*: H closed before it sent the release, and never opens e again
//! (`Surrendered` has no way out; the guard waits until the daemon is gone; a daemon that starts
//! has a higher incarnation and uses only epochs granted after it).
//!
//! *A grant by L itself, in the same term*: the approval came before the proposal, or the block
//! would have stopped it. So `last_ok >= t0`, as instants, and L waited a ttl of the slowest clock
//! from there: H's deadline had passed. Were the approval made for a state that already has the
//! grant, e would not have been in it.
//!
//! *A grant by a later leader L2*: Q and the quorum that elected L2 share a voter V. V acknowledged
//! L before it voted for L2, and after t0, as the round began after the renewal arrived. So L2 was
//! elected after t0, and "ttl after my election" is late enough: [`Grantor::handle_elected`].
//! Where several leaders and membership changes lie between, each handed on the same: a leader's
//! quorum meets the next one's electors. To wait less, L2 asks a quorum when each last acknowledged
//! a leader before it ([`takeover`]): V is among them, and says an instant after t0, or its start
//! if it restarted since, which is later still. Four things are easy to get wrong there: a node
//! that led acknowledged *itself*; a voter must have seen L2's vote when it answers, else it may
//! yet acknowledge L; the voter sets must be those of the election, not ones that L2 made since;
//! and the voter's clock may run faster than L2's.
//!
//! *A grant judged by one leadership and logged by another* would break this: L2 may have approved
//! renewals in between, and renewals do not change the epoch that the grant names. So a grant that
//! rests on silence must be appended by the leadership that judged it, or not at all: the shell
//! tells Raft which term it expects. A grant that was appended in time and is committed by a later
//! leader is harmless: that leader applies it before its first confirmed round.
//!
//! # Addresses
//!
//! A lease covers the addresses that its group has in *the holder's* applied state, which may be
//! old. An address that leaves a held group is therefore on `State::retiring` until that holder
//! reports that its kernel follows the log that far, or until its epoch has *ended in the log*.
//! Silence is not enough while the epoch is in force: the holder could come back with its old
//! state, be confirmed, and open the address ([`Grantor::retired`]). And a report is about one
//! departure: the address may come back and leave again.
//!
//! That list names who held the group when the address left. A node that held it before, and is
//! granted it again later, may have a kernel that still follows the log of its first time. So it
//! opens an epoch only once its kernel follows the log to that grant
//! ([`Holder::handle_programmed`]): every departure before it is behind this node then, and for
//! each one after it the list names this node.
//!
//! # What it rests on
//!
//! Clock *rates* of two members differ by at most `max_clock_drift_ppm`. All members count the same
//! ttl. Leaders' quorums intersect as Raft's do; a vote that was given is on disk. The holder's
//! commands are carried out in order by one thread, and the fence compares absolute instants, so a
//! write that comes late opens nothing that has passed. A hypervisor that freezes a machine with
//! its clocks for longer than the ttl breaks the first of these; see
//! [`Holder::handle_clock_jump`] for what is left to do then.

mod grantor;
mod holder;
mod takeover;
mod timing;

#[cfg(test)]
mod tests;

pub use grantor::{Grantor, GrantorCommand, GrantorWake};
pub use holder::{Closed, Holder, HolderCommand, HolderLease, HolderWake};
pub use takeover::{Acknowledgements, LastAcknowledged, takeover};
pub use timing::{Profile, Timing, UnknownProfile, UnsafeTiming};
