//! Clients that read the configuration and replace it where nobody else has, at members taken at
//! random: a compare-and-set register whose every state has a revision.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_lab::LabError;
use leasehold_proto::control::{ApplyRequest, ExportRequest};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tonic::Status;

use super::client::{Ended, connect, proves};
use super::document::{Document, Layout, Orders, Values};
use crate::history::{Cas, F, Process, Read, Recorder, Refused, Version, Write};
use crate::random::Random;

/// Longer than a member waits for a leader to be elected.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Between two operations of one client.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// Each operation under way ends by then.
const STOP_WITHIN: Duration = Duration::from_secs(12);

/// A member as clients know it.
#[derive(Clone, Debug)]
pub struct Address {
    pub name: String,
    pub data_dir: PathBuf,
}

/// What all clients share.
#[derive(Debug)]
pub struct Shared {
    pub members: Vec<Address>,
    pub recorder: Arc<Recorder>,
    pub values: Values,
    pub layout: Layout,
    pub orders: Orders,
    stopping: AtomicBool,
}

impl Shared {
    #[must_use]
    pub fn new(
        members: Vec<Address>,
        recorder: Arc<Recorder>,
        values: Values,
        layout: Layout,
    ) -> Arc<Shared> {
        let (orders, stopping) = (Orders::default(), AtomicBool::new(false));
        Arc::new(Shared { members, recorder, values, layout, orders, stopping })
    }
}

/// Clients at work. Dropping it abandons what is under way.
#[derive(Debug)]
pub struct Clients {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<Result<(), Refused>>>,
}

impl Clients {
    #[must_use]
    pub fn start(runtime: &Runtime, shared: &Arc<Shared>, number: usize, seed: u64) -> Clients {
        let one = |nth: usize| {
            let random = Random::new(seed ^ (nth as u64 + 1).wrapping_mul(0x9e37_79b9));
            runtime.spawn(Client::new(Arc::clone(shared), random).run())
        };
        Clients { shared: Arc::clone(shared), tasks: (0..number).map(one).collect() }
    }

    /// Lets each end its operation.
    ///
    /// # Errors
    /// Where one does not end, or found the history full.
    pub fn stop(self, runtime: &Runtime) -> Result<(), LabError> {
        self.shared.stopping.store(true, Ordering::Relaxed);
        runtime.block_on(async {
            for task in self.tasks {
                let ended = tokio::time::timeout(STOP_WITHIN, task).await;
                let ended = ended.map_err(|_| LabError::Timeout {
                    what: "a client to end its operation".to_owned(),
                    limit: STOP_WITHIN,
                })?;
                let ended = ended.map_err(|error| LabError::Argument(error.to_string()))?;
                ended.map_err(|refused| LabError::Argument(refused.to_string()))?;
            }
            Ok(())
        })
    }
}

struct Client {
    shared: Arc<Shared>,
    random: Random,
    me: Process,
}

impl Client {
    fn new(shared: Arc<Shared>, random: Random) -> Client {
        let me = shared.recorder.fresh_process();
        Client { shared, random, me }
    }

    async fn run(mut self) -> Result<(), Refused> {
        while !self.shared.stopping.load(Ordering::Relaxed) {
            match self.random.below(20) {
                0..=2 => self.read(true).await.map(drop)?,
                3..=7 => self.read(false).await.map(drop)?,
                8 => self.write().await?,
                _ => self.replace().await?,
            }
            let pause = self.random.between(PAUSE.0, PAUSE.1);
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    fn member(&mut self) -> Address {
        let nth = self.random.below(self.shared.members.len());
        self.shared.members[nth].clone()
    }

    /// What is in force, or what one member has applied.
    async fn read(&mut self, local: bool) -> Result<Option<(u64, Document)>, Refused> {
        let member = self.member();
        let name = local.then(|| member.name.clone());
        let f = |found| F::Read(Read { local: name.clone(), found });
        self.shared.recorder.invoke(self.me, f(None))?;
        let asked = async {
            let mut client = connect(&member.data_dir).await?;
            let request = ExportRequest { local, revision: None };
            answered(client.export(request)).await
        };
        let read = match asked.await {
            Ok(answer) => answer,
            // A read that was not answered changed nothing, so no doubt is left.
            Err(Ended::Failed(why) | Ended::InDoubt(why)) => {
                self.shared.recorder.fail(self.me, f(None), &why)?;
                return Ok(None);
            }
        };
        match Document::parse(&read.toml) {
            Ok(document) => {
                let version = Version { revision: read.revision, value: document.value() };
                self.shared.recorder.ok(self.me, f(Some(version)))?;
                Ok(Some((read.revision, document)))
            }
            Err(error) => {
                self.shared.recorder.fail(self.me, f(None), &error.to_string())?;
                Ok(None)
            }
        }
    }

    /// Reads, and replaces what was read.
    async fn replace(&mut self) -> Result<(), Refused> {
        let Some((revision, document)) = self.read(false).await? else { return Ok(()) };
        let order = self.shared.orders.take();
        let document = match &order {
            Some(order) => document.with(&order.change, &self.shared.layout),
            None => document,
        };
        let value = self.shared.values.fresh();
        let f = |made| F::Cas(Cas { if_revision: revision, value, revision: made });
        let done = self.apply(document.with_value(value), Some(revision), value, f).await?;
        match order {
            Some(order) if done => self.shared.orders.done(&order),
            Some(order) => self.shared.orders.put_back(order),
            None => {}
        }
        Ok(())
    }

    /// Reads, and writes whatever is in force by then.
    async fn write(&mut self) -> Result<(), Refused> {
        let Some((_, document)) = self.read(false).await? else { return Ok(()) };
        let value = self.shared.values.fresh();
        let f = |revision| F::Write(Write { value, revision });
        self.apply(document.with_value(value), None, value, f).await.map(drop)
    }

    /// True where it was acknowledged.
    async fn apply(
        &mut self,
        document: Document,
        if_revision: Option<u64>,
        value: u64,
        f: impl Fn(Option<u64>) -> F,
    ) -> Result<bool, Refused> {
        let member = self.member();
        self.shared.recorder.invoke(self.me, f(None))?;
        let asked = async {
            let mut client = connect(&member.data_dir).await?;
            let (toml, message) = (document.text(), value.to_string());
            let request = ApplyRequest { toml, if_revision, message, ..ApplyRequest::default() };
            answered(client.apply(request)).await
        };
        match asked.await {
            Ok(answer) => {
                self.shared.recorder.ok(self.me, f(Some(answer.revision)))?;
                Ok(true)
            }
            Err(Ended::Failed(why)) => {
                let why = format!("{}: {why}", member.name);
                self.shared.recorder.fail(self.me, f(None), &why)?;
                Ok(false)
            }
            Err(Ended::InDoubt(why)) => {
                let why = format!("{}: {why}", member.name);
                self.shared.recorder.info(self.me, f(None), &why)?;
                self.me = self.shared.recorder.fresh_process();
                Ok(false)
            }
        }
    }
}

/// The answer within the time that a client has.
async fn answered<T>(
    call: impl Future<Output = Result<tonic::Response<T>, Status>>,
) -> Result<T, Ended> {
    match tokio::time::timeout(ANSWER_WITHIN, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(proves(&status)),
        Err(_) => Err(Ended::InDoubt("no answer in time".to_owned())),
    }
}
