//! Every revision, told as this node applies it.
//!
//! A watcher is told of one revision at a time, from the state as it is when its turn comes: one
//! that does not listen holds up nobody, and keeps nothing in memory that would be dropped. It is
//! told that it missed some instead.

use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Config, Revision};
use leasehold_node_core::plan::{self, What};
use leasehold_proto::control::changed::Item;
use leasehold_proto::control::{self, Changed, WatchResponse, watch_response};
use leasehold_raft::state::State;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::revisions::told;

/// Watchers of one node.
pub(crate) const WATCHERS: usize = 64;

/// Messages that may wait for one watcher.
const AHEAD: usize = 4;

/// How long a watcher that does not read may hold up its own farewell.
const FAREWELL: Duration = Duration::from_millis(100);

pub(crate) type Events = ReceiverStream<Result<WatchResponse, Status>>;

/// What watching takes.
#[derive(Clone)]
pub(crate) struct Watching {
    pub(crate) state: watch::Receiver<Arc<State>>,
    /// True once the daemon is told to stop.
    pub(crate) ending: watch::Receiver<bool>,
    pub(crate) seats: Arc<Semaphore>,
}

impl Watching {
    pub(super) fn begin(&self, from: Revision) -> Result<Response<Events>, Status> {
        let seat = Arc::clone(&self.seats).try_acquire_owned().map_err(|_| {
            Status::resource_exhausted(format!(
                "{WATCHERS} watch this node already: watch another member"
            ))
        })?;
        let (sender, events) = mpsc::channel(AHEAD);
        let watcher = Watcher { state: self.state.clone(), told: from, sender, _seat: seat };
        tokio::spawn(watcher.run(self.ending.clone()));
        Ok(Response::new(ReceiverStream::new(events)))
    }
}

struct Watcher {
    state: watch::Receiver<Arc<State>>,
    /// The last revision that it knows.
    told: Revision,
    sender: mpsc::Sender<Result<WatchResponse, Status>>,
    _seat: OwnedSemaphorePermit,
}

impl Watcher {
    async fn run(mut self, mut ending: watch::Receiver<bool>) {
        let farewell = self.sender.clone();
        tokio::select! {
            // It went away, or the daemon has no state any more.
            () = self.tell() => return,
            () = farewell.closed() => return,
            // A sender that is gone means the same.
            _ = ending.wait_for(|ending| *ending) => {}
        }
        let why = Status::unavailable("this node is stopping: watch another member");
        // One that does not read hears nothing: its stream just ends.
        let _ = tokio::time::timeout(FAREWELL, farewell.send(Err(why))).await;
    }

    async fn tell(&mut self) {
        loop {
            let state = Arc::clone(&self.state.borrow_and_update());
            let told = self.told;
            let next = tokio::task::spawn_blocking(move || next(&state, told)).await;
            match next {
                Ok(Some((revision, event))) => {
                    if self.sender.send(Ok(event)).await.is_err() {
                        return;
                    }
                    self.told = revision;
                }
                Ok(None) => {
                    if self.state.changed().await.is_err() {
                        return;
                    }
                }
                // The runtime is ending.
                Err(_) => return,
            }
        }
    }
}

/// What follows on `known`, and what is known once it was told.
fn next(state: &State, known: Revision) -> Option<(Revision, WatchResponse)> {
    let dropped = state.dropped();
    if known < dropped {
        let what = Some(watch_response::What::Dropped(dropped.0));
        return Some((dropped, WatchResponse { what, changed: None }));
    }
    let mut before = None;
    for one in state.revisions() {
        if one.revision > known {
            let nothing = Config::default();
            // Where none was dropped, the oldest is the first there ever was.
            let before = match before {
                Some(before) => Some(before),
                None => (dropped == Revision(0)).then_some(&nothing),
            };
            let changed = before.map(|before| changed(before, one.config));
            let what = Some(watch_response::What::Revision(told(&one)));
            return Some((one.revision, WatchResponse { what, changed }));
        }
        before = Some(&**one.config);
    }
    None
}

fn changed(before: &Config, after: &Config) -> Changed {
    let item = |one: plan::Change| {
        let what = match one.what {
            What::Added => control::changed::What::Added,
            What::Removed => control::changed::What::Removed,
            What::Changed => control::changed::What::Changed,
        };
        Item { kind: one.kind, name: one.name, what: what.into() }
    };
    Changed { items: plan::changes(before, after).into_iter().map(item).collect() }
}

#[cfg(test)]
mod tests {
    use leasehold_model::Instance;
    use leasehold_raft::state::{Command, Entry, Note};
    use tokio_stream::StreamExt;

    use super::*;

    struct Desk {
        state: State,
        publish: watch::Sender<Arc<State>>,
        end: watch::Sender<bool>,
        watching: Watching,
    }

    impl Desk {
        fn new() -> Self {
            let (publish, state) = watch::channel(Arc::default());
            let (end, ending) = watch::channel(false);
            let watching = Watching { state, ending, seats: Arc::new(Semaphore::new(2)) };
            Self { state: State::default(), publish, end, watching }
        }

        /// A document of this one instance.
        fn change(&mut self, name: &str, bytes: u64) {
            let instances = [(name.to_owned(), Instance::new(1, "eth0"))].into();
            let config = Arc::new(Config { instances, ..Config::default() });
            let note = Note { author: "client ops".to_owned(), message: name.to_owned(), bytes };
            let command = Command::Apply { config, if_revision: None, note: Some(note) };
            self.state.apply(self.state.applied + 1, &Entry { at_unix_ms: 5, command });
        }

        fn publish(&self) {
            self.publish.send_replace(Arc::new(self.state.clone()));
        }

        fn watch(&self, from: u64) -> Events {
            self.watching.begin(Revision(from)).unwrap().into_inner()
        }
    }

    async fn heard(events: &mut Events) -> String {
        let event = tokio::time::timeout(Duration::from_secs(5), events.next()).await;
        match event.expect("in time") {
            None => "the end".to_owned(),
            Some(Err(status)) => status.message().to_owned(),
            Some(Ok(WatchResponse { what: Some(watch_response::What::Dropped(to)), .. })) => {
                format!("dropped up to {to}")
            }
            Some(Ok(WatchResponse {
                what: Some(watch_response::What::Revision(one)),
                changed,
            })) => {
                let items = changed.map_or_else(
                    || "?".to_owned(),
                    |changed| {
                        let item =
                            |one: &Item| format!("{:?} {} {}", one.what(), one.kind, one.name);
                        changed.items.iter().map(item).collect::<Vec<_>>().join(", ")
                    },
                );
                format!("{} by {}: {items}", one.number, one.author)
            }
            Some(Ok(WatchResponse { what: None, .. })) => "nothing".to_owned(),
        }
    }

    #[tokio::test]
    async fn what_is_kept_is_told_and_then_what_comes() {
        let mut desk = Desk::new();
        desk.change("a", 1);
        desk.change("b", 1);
        desk.publish();
        let (mut all, mut late) = (desk.watch(0), desk.watch(2));
        assert_eq!(heard(&mut all).await, "1 by client ops: Added instance a");
        let second = "2 by client ops: Removed instance a, Added instance b";
        assert_eq!(heard(&mut all).await, second);
        // Several in one batch are told each.
        desk.change("c", 1);
        desk.change("d", 1);
        desk.publish();
        for number in ["3", "4"] {
            assert!(heard(&mut all).await.starts_with(number));
            assert!(heard(&mut late).await.starts_with(number));
        }
    }

    #[tokio::test]
    async fn what_was_dropped_is_told_too() {
        let mut desk = Desk::new();
        let large = leasehold_raft::state::BYTES_KEPT;
        for name in ["a", "b", "c"] {
            desk.change(name, large);
        }
        desk.publish();
        let mut all = desk.watch(0);
        assert_eq!(heard(&mut all).await, "dropped up to 1");
        assert_eq!(heard(&mut all).await, "2 by client ops: ?");
        assert!(heard(&mut all).await.starts_with("3 by client ops: "));
        let mut knows = desk.watch(1);
        assert_eq!(heard(&mut knows).await, "2 by client ops: ?");
    }

    #[tokio::test]
    async fn watchers_are_so_many_and_are_told_of_the_end() {
        let desk = Desk::new();
        let (mut one, two) = (desk.watch(0), desk.watch(0));
        let refused = desk.watching.begin(Revision(0)).unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        drop(two);
        // Its seat is free as soon as its task has noticed.
        let free = desk.watching.seats.acquire();
        drop(tokio::time::timeout(Duration::from_secs(5), free).await.expect("in time").unwrap());
        desk.end.send_replace(true);
        assert_eq!(heard(&mut one).await, "this node is stopping: watch another member");
        assert_eq!(heard(&mut one).await, "the end");
    }
}
