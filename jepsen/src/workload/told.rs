//! What members say of their leases, asked of each again and again.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use leasehold_lab::now_ns;
use leasehold_proto::control::StatusRequest;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::client::connect;
use super::register::Address;
use crate::history::{Source, Told, Word};

const ASK_EVERY: Duration = Duration::from_millis(100);

const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// More than a long run's changes; what is over is not noted.
const TOLD_MAX: usize = 500_000;

/// Asks until it is stopped.
#[derive(Debug)]
pub struct Listening {
    told: Arc<Mutex<Vec<Told>>>,
    stopping: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Listening {
    /// `runs` counts the starts of each member's daemon.
    #[must_use]
    pub fn start(runtime: &Runtime, members: &[Address], runs: &Arc<Vec<AtomicU64>>) -> Listening {
        let (told, stopping) = (Arc::default(), Arc::default());
        let one = |(nth, member): (usize, &Address)| {
            let ear = Ear {
                member: member.clone(),
                nth,
                runs: Arc::clone(runs),
                told: Arc::clone(&told),
                stopping: Arc::clone(&stopping),
                last: BTreeMap::new(),
            };
            runtime.spawn(ear.run())
        };
        let tasks = members.iter().enumerate().map(one).collect();
        Listening { told, stopping, tasks }
    }

    /// All that was told.
    #[must_use]
    pub fn stop(self, runtime: &Runtime) -> Vec<Told> {
        self.stopping.store(true, Ordering::Relaxed);
        runtime.block_on(async {
            for task in self.tasks {
                // One that hangs has nothing more to tell.
                let _ = tokio::time::timeout(ANSWER_WITHIN * 3, task).await;
            }
        });
        std::mem::take(&mut *self.told.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Ear {
    member: Address,
    nth: usize,
    runs: Arc<Vec<AtomicU64>>,
    told: Arc<Mutex<Vec<Told>>>,
    stopping: Arc<AtomicBool>,
    /// By run and group, what was told last.
    last: BTreeMap<(u64, String), (u64, String)>,
}

impl Ear {
    async fn run(mut self) {
        while !self.stopping.load(Ordering::Relaxed) {
            let run = self.runs[self.nth].load(Ordering::Relaxed);
            let asked = async {
                let mut client = connect(&self.member.data_dir).await.ok()?;
                let answer = client.status(StatusRequest {}).await.ok()?.into_inner();
                serde_json::from_str::<Value>(&answer.json).ok()
            };
            let status = tokio::time::timeout(ANSWER_WITHIN, asked).await.ok().flatten();
            // An answer of a daemon that another has followed meanwhile is nobody's.
            if let Some(status) = status
                && self.runs[self.nth].load(Ordering::Relaxed) == run
            {
                self.note(&status, run);
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }

    fn note(&mut self, status: &Value, run: u64) {
        for one in status["instances"].as_array().into_iter().flatten() {
            let (Some(group), Some(epoch), Some(holder)) =
                (one["name"].as_str(), one["epoch"].as_u64(), one["holder"].as_str())
            else {
                continue;
            };
            let now = (epoch, holder.to_owned());
            let key = (run, group.to_owned());
            if self.last.get(&key) == Some(&now) {
                continue;
            }
            self.last.insert(key, now);
            let source =
                Source { node: self.member.name.clone(), run, channel: "status".to_owned() };
            let mut all = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if all.len() < TOLD_MAX {
                all.push(Told {
                    seen_ns: now_ns(),
                    source,
                    word: Word::Holds,
                    group: group.to_owned(),
                    epoch,
                    holder: holder.to_owned(),
                });
            }
        }
    }
}
