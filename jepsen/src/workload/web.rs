//! Web requests through a VIP, one after the other: what the service's own clients see.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use leasehold_lab::peers::web::ask;
use leasehold_lab::{Host, LabError};

use crate::history::{F, Get, Recorder, Refused};

const PAUSE: Duration = Duration::from_millis(200);

/// A client at work.
#[derive(Debug)]
pub struct Browser {
    stopping: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), Refused>>,
}

impl Browser {
    #[must_use]
    pub fn start(host: &Host, vip: IpAddr, recorder: &Arc<Recorder>) -> Browser {
        let stopping = Arc::new(AtomicBool::new(false));
        let (told, host, recorder) = (Arc::clone(&stopping), host.clone(), Arc::clone(recorder));
        let thread = std::thread::spawn(move || {
            let me = recorder.fresh_process();
            while !told.load(Ordering::Relaxed) {
                recorder.invoke(me, F::Get(Get { vip, by: None }))?;
                match ask(&host, vip) {
                    Some(by) => recorder.ok(me, F::Get(Get { vip, by: Some(by) }))?,
                    // What was asked for was not given; a question changes nothing.
                    None => recorder.fail(me, F::Get(Get { vip, by: None }), "no answer")?,
                }
                std::thread::sleep(PAUSE);
            }
            Ok(())
        });
        Browser { stopping, thread }
    }

    /// Lets it end its request.
    ///
    /// # Errors
    /// Where the history was full.
    pub fn stop(self) -> Result<(), LabError> {
        self.stopping.store(true, Ordering::Relaxed);
        let ended = self.thread.join();
        let ended = ended.map_err(|_| LabError::Argument("the web client died".to_owned()))?;
        ended.map_err(|refused| LabError::Argument(refused.to_string()))
    }
}
