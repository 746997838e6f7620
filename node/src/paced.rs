//! The replicated state for whoever need not wake for every entry.
//!
//! A change wakes at once, and those that follow closely wake once, after a rest: a burst of writes
//! does not wake a dozen threads for each. What is read is always the newest, never older than what
//! the lease thread acts on.

use std::time::Duration;

use tokio::sync::watch::error::RecvError;
use tokio::sync::watch::{self, Ref};

/// Far below what anybody notices of a new configuration, and a hundred looks a second at most.
pub(crate) const REST: Duration = Duration::from_millis(10);

/// A [`watch::Receiver`] that is not woken more often than that.
#[derive(Debug)]
pub(crate) struct Paced<T> {
    wake: watch::Receiver<()>,
    newest: watch::Receiver<T>,
}

/// Follows `source` until it ends, or nobody listens. What `source` has not seen counts as a
/// change.
pub(crate) fn paced<T>(source: watch::Receiver<T>) -> Paced<T>
where
    T: Send + Sync + 'static,
{
    let (passed_on, wake) = watch::channel(());
    let newest = source.clone();
    let mut followed = source;
    tokio::spawn(async move {
        while followed.changed().await.is_ok() && passed_on.send(()).is_ok() {
            tokio::time::sleep(REST).await;
        }
    });
    Paced { wake, newest }
}

impl<T> Paced<T> {
    /// # Errors
    /// Where no more changes come.
    pub(crate) async fn changed(&mut self) -> Result<(), RecvError> {
        self.wake.changed().await
    }

    pub(crate) fn borrow(&self) -> Ref<'_, T> {
        self.newest.borrow()
    }

    pub(crate) fn borrow_and_update(&mut self) -> Ref<'_, T> {
        // First the wake: a change in between wakes once more.
        self.wake.mark_unchanged();
        self.newest.borrow_and_update()
    }

    /// Whether there is something newer than what was read with
    /// [`borrow_and_update`](Self::borrow_and_update), woken for or not.
    pub(crate) fn is_outdated(&self) -> bool {
        self.newest.has_changed().unwrap_or(false)
    }
}

impl<T> Clone for Paced<T> {
    fn clone(&self) -> Self {
        Self { wake: self.wake.clone(), newest: self.newest.clone() }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test]
    async fn the_first_wakes_at_once_and_a_burst_once_with_its_last() {
        let (sender, source) = watch::channel(0);
        let mut paced = paced(source);
        let begun = Instant::now();
        sender.send_replace(1);
        paced.changed().await.unwrap();
        assert_eq!(*paced.borrow_and_update(), 1);
        for number in 2..=100 {
            sender.send_replace(number);
        }
        assert!(paced.is_outdated());
        assert_eq!(*paced.borrow(), 100, "what is read does not wait");
        paced.changed().await.unwrap();
        assert_eq!(*paced.borrow_and_update(), 100);
        assert!(begun.elapsed() >= REST, "{:?}", begun.elapsed());
        assert!(!paced.is_outdated());
        drop(sender);
        assert!(paced.changed().await.is_err());
    }

    #[tokio::test]
    async fn what_was_there_before_wakes_too() {
        let (sender, source) = watch::channel(0);
        sender.send_replace(1);
        let mut paced = paced(source);
        paced.changed().await.unwrap();
        assert_eq!(*paced.borrow_and_update(), 1);
    }
}
