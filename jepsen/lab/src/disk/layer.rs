//! A file system of the lab's own, in memory, that does with writes and syncs what it is told.
//!
//! It is mounted by FUSE, so what lies on it needs no change and notices nothing but the faults.
//! Files are opened past the kernel's page cache: after a cut nothing is remembered that the disk
//! has lost.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption};
use nix::errno::Errno;
use nix::mount::{MntFlags, umount2};

use super::image::{Image, Ino};
use super::serve::Served;
use crate::{LabError, Result, until};

pub use super::image::Unsynced;

/// For a program to get to a sync, while it is asked for changes all the time.
const NEXT_SYNC_WITHIN: Duration = Duration::from_secs(2);

/// What a sync comes to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Syncs {
    #[default]
    Work,
    /// EIO, and the next one tries again.
    Fail,
    /// EIO, and what was to be written never will be, though it is seen: as on Linux.
    FailForGood,
}

/// What waits until it is let go on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    Syncs,
    Everything,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Write,
    Sync,
}

/// A mounted layer. Dropping it unmounts it; what is on it is gone.
#[derive(Debug)]
pub(super) struct Layer {
    at: PathBuf,
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) image: Image,
    pub(super) reads_fail: bool,
    syncs: Syncs,
    sync_takes: Duration,
    held: Held,
    /// Syncs that are held.
    waiting: usize,
    failed: u64,
    /// Counts cuts: what was asked before one is not done after it.
    era: u64,
}

impl Layer {
    pub(super) fn mount(at: &Path, room: u64) -> Result<Layer> {
        let state = State {
            image: Image::new(room),
            reads_fail: false,
            syncs: Syncs::Work,
            sync_takes: Duration::ZERO,
            held: Held::Nothing,
            waiting: 0,
            failed: 0,
            era: 0,
        };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let mut config = Config::default();
        let name = MountOption::FSName("leasehold-lab".to_owned());
        config.mount_options = vec![name, MountOption::NoAtime];
        let session = fuser::spawn_mount(Served(Arc::clone(&shared)), at, &config);
        let session =
            session.map_err(LabError::system(format!("mounting FUSE on {}", at.display())))?;
        Ok(Layer { at: at.to_owned(), shared, session: Some(session) })
    }

    pub(super) fn stall(&self) {
        self.shared.change(|state| state.held = Held::Everything);
    }

    pub(super) fn thaw(&self) {
        self.shared.change(|state| state.held = Held::Nothing);
    }

    /// Leaves no room beyond what is used, or gives it back.
    pub(super) fn limit(&self, room: Option<u64>) {
        self.shared.change(|state| {
            let room = room.unwrap_or_else(|| state.image.used());
            state.image.set_room(room);
        });
    }

    pub(super) fn slow_syncs(&self, take: Duration) {
        self.shared.change(|state| state.sync_takes = take);
    }

    /// Says how many have failed so far.
    pub(super) fn fail_syncs(&self, syncs: Syncs) -> u64 {
        self.shared.change(|state| {
            state.syncs = syncs;
            state.failed
        })
    }

    pub(super) fn fail_reads(&self, fail: bool) {
        self.shared.change(|state| state.reads_fail = fail);
    }

    /// Holds syncs until one waits and something would be lost by a cut.
    pub(super) fn catch_a_sync(&self) -> Result<()> {
        self.shared.change(|state| state.held = Held::Syncs);
        until("a sync of something", NEXT_SYNC_WITHIN, || {
            let state = self.shared.lock();
            (state.waiting > 0 && state.image.pending() > 0).then_some(())
        })
    }

    /// What was not synced is lost; whoever waits is told of an error and does not live to see it.
    /// Says how many bytes a cut could have lost.
    pub(super) fn cut(&self, unsynced: Unsynced) -> usize {
        self.shared.change(|state| {
            let pending = state.image.pending();
            state.image.cut(unsynced);
            state.held = Held::Nothing;
            state.era += 1;
            pending
        })
    }

    pub(super) fn sync_all(&self) {
        self.shared.change(|state| state.image.sync_all());
    }
}

impl Drop for Layer {
    fn drop(&mut self) {
        self.cut(Unsynced::Lost);
        // First out of sight, then the end of the session by itself, once nobody has it open.
        let _ = umount2(&self.at, MntFlags::MNT_DETACH);
        drop(self.session.take());
    }
}

impl Shared {
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let done = change(&mut self.lock());
        self.changed.notify_all();
        done
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn sync(&self, ino: Ino) -> std::result::Result<(), Errno> {
        let mut state = self.pass(Work::Sync)?;
        match state.syncs {
            Syncs::Work => state.image.sync(ino),
            Syncs::Fail => {
                state.failed += 1;
                Err(Errno::EIO)
            }
            Syncs::FailForGood => {
                state.failed += 1;
                state.image.give_up(ino)?;
                Err(Errno::EIO)
            }
        }
    }

    pub(super) fn write(&self, ino: Ino, at: u64, bytes: &[u8]) -> std::result::Result<(), Errno> {
        self.pass(Work::Write)?.image.write(ino, at, bytes)
    }

    /// Waits for as long as such work is held, and a slow disk takes.
    fn pass(&self, work: Work) -> std::result::Result<MutexGuard<'_, State>, Errno> {
        let begun = Instant::now();
        let mut state = self.lock();
        let era = state.era;
        while state.must_wait(work) {
            let left = match state.held {
                Held::Nothing => state.sync_takes.saturating_sub(begun.elapsed()),
                Held::Syncs | Held::Everything => Duration::MAX,
            };
            if left.is_zero() {
                break;
            }
            state.waiting += usize::from(work == Work::Sync);
            let woken = self.changed.wait_timeout(state, left.min(Duration::from_secs(3600)));
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= usize::from(work == Work::Sync);
        }
        if state.era == era { Ok(state) } else { Err(Errno::EIO) }
    }
}

impl State {
    pub(super) fn must_wait(&self, work: Work) -> bool {
        match (self.held, work) {
            (Held::Everything, Work::Write | Work::Sync) | (Held::Syncs, Work::Sync) => true,
            (Held::Syncs | Held::Nothing, Work::Write) => false,
            (Held::Nothing, Work::Sync) => !self.sync_takes.is_zero(),
        }
    }
}
