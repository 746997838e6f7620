//! Every way of telling, as the configuration has them, and who is told by which.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Alerts, Config, Global};
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;

use super::fifo::{self, Fifo, States, ToPipe, Which};
use super::mail::{self, Mail, Mailed};
use super::news::{Field, Key, News, keys};
use super::queue::Queue;
use super::scripts::{PARALLEL, Scripts};
use super::webhook;

/// After this a script is killed, and the next one of the same subject begins.
const SCRIPT_WITHIN: Duration = Duration::from_secs(30);

/// From the start of one script to that of the next. Real servers go by the thousand.
const LVS_APART: Duration = Duration::from_millis(5);

/// Scripts that are being started at once, apart for each field: where all those of real servers
/// hang in a file server, those of instances start.
static VRRP_STARTING: Semaphore = Semaphore::const_new(PARALLEL);
static LVS_STARTING: Semaphore = Semaphore::const_new(PARALLEL);

/// Mails and posts of one field that may wait; what is older goes.
const WAITING: usize = 256;

pub(super) struct Ways {
    vrrp: Apart,
    lvs: Apart,
    states: States,
    pipes: BTreeMap<Which, Pipe>,
    /// Pipes that were told to leave, by their paths.
    leaving: BTreeMap<String, oneshot::Receiver<Infallible>>,
    tasks: JoinSet<()>,
}

/// What each field has for itself.
struct Apart {
    scripts: Scripts,
    mails: Arc<Queue<Mail>>,
    mailed: Mailed,
    webhooks: BTreeMap<String, Arc<Queue<Arc<News>>>>,
}

/// A pipe as it is now.
struct Pipe {
    settings: fifo::Settings,
    tell: mpsc::Sender<ToPipe>,
    /// Resolves when all of it is gone.
    gone: oneshot::Receiver<Infallible>,
}

impl Ways {
    pub(super) fn new() -> Self {
        let mut tasks = JoinSet::new();
        Self {
            vrrp: Apart::new(Duration::ZERO, &VRRP_STARTING, &mut tasks),
            lvs: Apart::new(LVS_APART, &LVS_STARTING, &mut tasks),
            states: States::default(),
            pipes: BTreeMap::new(),
            leaving: BTreeMap::new(),
            tasks,
        }
    }

    /// Waits for something that was begun to end. Never returns while nothing is under way.
    pub(super) async fn turn(&mut self) {
        tokio::select! {
            () = self.vrrp.scripts.turn() => {}
            () = self.lvs.scripts.turn() => {}
            Some(_) = self.tasks.join_next() => {}
        }
    }

    pub(super) async fn tell(&mut self, news: News, global: &Global) {
        let news = Arc::new(news);
        let apart = match news.key.field() {
            Field::Vrrp => &mut self.vrrp,
            Field::Lvs => &mut self.lvs,
        };
        apart.tell(&news, global);
        self.states.handle_news(&news);
        for (which, pipe) in &self.pipes {
            if which.takes(&news.key) {
                // It always takes them in, whatever the pipe does: it keeps a backlog.
                let _ = pipe.tell.send(ToPipe::News(news.clone())).await;
            }
        }
    }

    /// Begins and ends ways of telling as the configuration says, and forgets what left it.
    pub(super) async fn follow(&mut self, config: &Config) {
        let (alerts, keys) = (&config.global.alerts, Arc::new(keys(config)));
        self.states.retain(&keys);
        self.vrrp.follow(alerts, &keys, &mut self.tasks);
        self.lvs.follow(alerts, &keys, &mut self.tasks);
        self.follow_pipes(alerts).await;
        for pipe in self.pipes.values() {
            let _ = pipe.tell.send(ToPipe::Keys(keys.clone())).await;
        }
    }

    async fn follow_pipes(&mut self, alerts: &Alerts) {
        // There must not be two readers of one path, which another setting may name from now on:
        // who comes waits for who goes.
        self.leaving.retain(|_, gone| gone.try_recv() == Err(TryRecvError::Empty));
        for (which, mut pipe) in std::mem::take(&mut self.pipes) {
            let settings = fifo::Settings::new(which, alerts);
            match settings {
                Some(settings) if settings == pipe.settings => {}
                Some(settings) if pipe.settings.goes_on_as(&settings) => {
                    pipe.settings = settings.clone();
                    let _ = pipe.tell.send(ToPipe::Settings(settings)).await;
                }
                Some(_) | None => {
                    let _ = pipe.tell.send(ToPipe::Leave).await;
                    self.leaving.insert(pipe.settings.path().to_owned(), pipe.gone);
                    continue;
                }
            }
            self.pipes.insert(which, pipe);
        }
        for which in Which::EVERY {
            let Some(settings) = fifo::Settings::new(which, alerts) else { continue };
            if self.pipes.contains_key(&which) {
                continue;
            }
            let (tell, told) = mpsc::channel(WAITING);
            let (going, gone) = oneshot::channel();
            let before = self.leaving.remove(settings.path());
            let fifo = Fifo::new(settings.clone(), self.states.of(which), before, going);
            self.tasks.spawn(fifo.run(told));
            self.pipes.insert(which, Pipe { settings, tell, gone });
        }
    }

    /// Waits until everyone was told everything.
    pub(super) async fn finish(&mut self) {
        self.pipes.clear();
        self.vrrp.close();
        self.lvs.close();
        tokio::join!(self.vrrp.scripts.finish(), self.lvs.scripts.finish());
        while self.tasks.join_next().await.is_some() {}
    }
}

impl Apart {
    fn new(scripts_apart: Duration, starting: &'static Semaphore, tasks: &mut JoinSet<()>) -> Self {
        let mails = Queue::new("mail", WAITING);
        tasks.spawn(mail::run(mails.clone()));
        Self {
            scripts: Scripts::new(SCRIPT_WITHIN, scripts_apart, starting),
            mails,
            mailed: Mailed::default(),
            webhooks: BTreeMap::new(),
        }
    }

    fn tell(&mut self, news: &Arc<News>, global: &Global) {
        self.scripts.handle_news(news, &global.alerts);
        if let Some(mail) = self.mailed.compose(news, global) {
            self.mails.push(mail);
        }
        for queue in self.webhooks.values() {
            queue.push(news.clone());
        }
    }

    fn follow(&mut self, alerts: &Alerts, keys: &Arc<BTreeSet<Key>>, tasks: &mut JoinSet<()>) {
        self.mailed.retain(keys);
        self.webhooks.retain(|url, queue| {
            let stays = alerts.webhook.contains(url);
            if !stays {
                queue.close();
            }
            stays
        });
        for url in &alerts.webhook {
            if self.webhooks.contains_key(url) {
                continue;
            }
            let queue = Queue::new("webhook", WAITING);
            tasks.spawn(webhook::run(url.clone(), queue.clone()));
            self.webhooks.insert(url.clone(), queue);
        }
    }

    fn close(&mut self) {
        self.mails.close();
        for queue in self.webhooks.values() {
            queue.close();
        }
    }
}
