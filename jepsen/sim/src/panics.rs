//! A panic anywhere in the cluster: no fault that is injected excuses one.
//!
//! tokio catches what a task panics with, and the daemon is told at best that something ended.

use std::sync::{Mutex, PoisonError};

/// What was said first. Every seed has a process to itself.
static FIRST: Mutex<Option<String>> = Mutex::new(None);

/// From here on panics are kept, and printed as before.
pub(crate) fn watch() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let text = panic.payload_as_str().unwrap_or("something that is no text");
        FIRST.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| text.to_owned());
        print(panic);
    }));
}

/// The first since the last look.
pub(crate) fn take() -> Option<String> {
    FIRST.lock().unwrap_or_else(PoisonError::into_inner).take()
}
