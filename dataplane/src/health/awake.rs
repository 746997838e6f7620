//! Waiting that a stop of this machine does not use up.
//!
//! Where the whole machine stands still, as a virtual one does that is moved, every timer of every
//! check is over when it wakes, and each real server would be down at once. So a limit is waited
//! for in parts, and a stop of any length uses up one of them.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;

const PARTS: u32 = 8;

/// What `step` comes to within so much time that this machine is awake for.
pub(super) async fn within<T>(limit: Duration, step: impl Future<Output = T>) -> Option<T> {
    let mut step = pin!(step);
    for _ in 0..PARTS {
        if let Ok(done) = timeout(limit / PARTS, step.as_mut()).await {
            return Some(done);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use tokio::sync::oneshot;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(800);

    #[tokio::test]
    async fn silence_is_waited_for_to_the_limit() {
        let begun = Instant::now();
        assert_eq!(within(LIMIT, std::future::pending::<()>()).await, None);
        assert!(begun.elapsed() >= LIMIT);
    }

    #[tokio::test]
    async fn an_answer_that_comes_soon_after_a_long_stop_is_heard() {
        let (tell, told) = oneshot::channel();
        let stop = async {
            // The timer of the wait is set by now, and nobody looks at it for three limits.
            tokio::task::yield_now().await;
            let (_open, never) = mpsc::channel::<()>();
            let _ = never.recv_timeout(LIMIT * 3);
            let _ = timeout(LIMIT / 4, std::future::pending::<()>()).await;
            tell.send(7)
        };
        let (heard, sent) = tokio::join!(within(LIMIT, told), stop);
        assert_eq!((heard, sent), (Some(Ok(7)), Ok(())));
    }
}
