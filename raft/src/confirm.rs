//! Proof of leadership, shared by whoever waits for one.
//!
//! A waiter may only rest on a round that began after it asked. Rounds run one at a time; those
//! who ask during one wait for the next together, so a thousand renewals cost two rounds.

use std::future::Future;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::group::NotLeader;

/// Waiters that may queue; beyond it a caller waits for room.
const WAITERS: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Confirmer {
    waiters: mpsc::Sender<oneshot::Sender<Result<(), NotLeader>>>,
}

impl Confirmer {
    /// A confirmer and the task that serves it, which ends with the last confirmer.
    /// `round` must begin its proof when it is first polled, not earlier.
    pub(crate) fn new<R, F>(round: R) -> (Self, impl Future<Output = ()> + Send + 'static)
    where
        R: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), NotLeader>> + Send + 'static,
    {
        let (waiters, asked) = mpsc::channel(WAITERS);
        (Self { waiters }, serve(asked, round))
    }

    /// Waits for a round that begins after this call.
    pub(crate) async fn confirm(&self, limit: Duration) -> Result<(), NotLeader> {
        let (done, answer) = oneshot::channel();
        let ask = async {
            self.waiters.send(done).await.map_err(|_| NotLeader::stopped())?;
            answer.await.map_err(|_| NotLeader::stopped())?
        };
        tokio::time::timeout(limit, ask).await.unwrap_or_else(|_| Err(NotLeader::no_quorum(limit)))
    }
}

async fn serve<R, F>(mut asked: mpsc::Receiver<oneshot::Sender<Result<(), NotLeader>>>, round: R)
where
    R: Fn() -> F,
    F: Future<Output = Result<(), NotLeader>>,
{
    let mut waiting = Vec::new();
    while asked.recv_many(&mut waiting, WAITERS).await > 0 {
        let verdict = round().await;
        for waiter in waiting.drain(..) {
            // A waiter that gave up in the meantime needs no answer.
            let _ = waiter.send(verdict.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn those_who_ask_during_a_round_share_the_next_one() {
        let rounds = Arc::new(AtomicU64::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (confirmer, serve) = Confirmer::new({
            let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
            move || {
                let (rounds, gate) = (Arc::clone(&rounds), Arc::clone(&gate));
                async move {
                    rounds.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    Ok(())
                }
            }
        });
        tokio::spawn(serve);
        let first = tokio::spawn({
            let confirmer = confirmer.clone();
            async move { confirmer.confirm(LIMIT).await }
        });
        while rounds.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let later: Vec<_> = (0..100)
            .map(|_| {
                let confirmer = confirmer.clone();
                tokio::spawn(async move { confirmer.confirm(LIMIT).await })
            })
            .collect();
        while confirmer.waiters.capacity() > WAITERS - 100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(2);
        first.await.unwrap().unwrap();
        for one in later {
            one.await.unwrap().unwrap();
        }
        assert_eq!(rounds.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_round_without_end_fails_its_waiters_in_time() {
        let (confirmer, serve) = Confirmer::new(std::future::pending);
        tokio::spawn(serve);
        assert!(confirmer.confirm(Duration::from_millis(20)).await.is_err());
    }
}
