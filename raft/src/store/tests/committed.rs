//! How far the log is committed: written with the next write, or soon at idle, and never ahead of
//! the entries that it names.

use std::io;
use std::time::Duration;

use openraft::storage::IOFlushed;
use openraft::type_config::TypeConfigExt;
use tokio::sync::mpsc;

use super::*;
use crate::store::frame;
use crate::store::log::{Known, LogStore};
use crate::store::mark::Mark;

struct Batches(mpsc::Receiver<Vec<Op>>);

impl Batches {
    /// The entries of the next batch, and how far it says that the log is committed.
    async fn next(&mut self) -> (Vec<u64>, Option<u64>) {
        let next = tokio::time::timeout(Duration::from_secs(20), self.0.recv()).await;
        let batch = next.expect("nothing is written").unwrap();
        let (mut entries, mut committed) = (Vec::new(), None);
        for op in batch {
            match op {
                Op::Append { index, .. } => entries.push(index),
                Op::Put(Meta::Committed, record) => {
                    let id: Option<LogId> = frame::decode(&record).unwrap();
                    committed = id.map(|id| id.index);
                }
                Op::Put(..) | Op::TruncateFrom(_) | Op::PurgeUpTo(_) => {}
            }
        }
        (entries, committed)
    }
}

/// An empty log, and the writer, which does nothing before it is spawned.
fn log(dir: &Path) -> (LogStore, impl Future<Output = ()> + Send + 'static, Batches) {
    let (mark, _) = Mark::open(dir).unwrap();
    let (told, batches) = mpsc::channel(16);
    let engine = Writing(move |batch: &[Op]| {
        told.try_send(batch.to_vec()).map_err(|error| io::Error::other(error).into())
    });
    let (log, task) =
        LogStore::with_task(Box::new(engine), dir.join("log"), mark, Known::default());
    (log, task, Batches(batches))
}

async fn send(log: &mut LogStore, index: u64) {
    let (done, _) = TypeConfig::oneshot();
    log.append([blank(1, index)], IOFlushed::signal(done)).await.unwrap();
}

#[tokio::test]
async fn it_rides_along_with_what_is_written_anyway() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, task, mut batches) = log(dir.path());
    send(&mut log, 0).await;
    log.save_committed(Some(id(1, 0))).await.unwrap();
    send(&mut log, 1).await;
    tokio::spawn(task);
    assert_eq!(batches.next().await, (vec![0, 1], Some(0)));
}

#[tokio::test]
async fn at_idle_it_is_written_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, task, mut batches) = log(dir.path());
    tokio::spawn(task);
    log.blocking_append([blank(1, 0), blank(1, 1)]).await.unwrap();
    assert_eq!(batches.next().await, (vec![0, 1], None));
    log.save_committed(Some(id(1, 0))).await.unwrap();
    assert_eq!(batches.next().await, (vec![], Some(0)), "a look was due");
    log.save_committed(Some(id(1, 1))).await.unwrap();
    assert_eq!(batches.next().await, (vec![], Some(1)), "nobody would have looked");
}

#[tokio::test]
async fn it_waits_for_the_entries_that_it_names() {
    let dir = tempfile::tempdir().unwrap();
    let (mut log, task, mut batches) = log(dir.path());
    tokio::spawn(task);
    log.save_committed(Some(id(1, 2))).await.unwrap();
    log.blocking_append([blank(1, 0), blank(1, 1)]).await.unwrap();
    assert_eq!(batches.next().await, (vec![0, 1], None));
    log.blocking_append([blank(1, 2)]).await.unwrap();
    assert_eq!(batches.next().await, (vec![2], Some(2)));
}
