//! A command that runs beside everything else, and whose answer is looked at later.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use super::Cluster;
use crate::{Host, Result};

/// What was asked of a member. Nobody waits for it when it is dropped.
#[derive(Debug)]
pub struct Errand {
    what: String,
    answer: Receiver<Result<String>>,
}

impl Errand {
    /// The command's words.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// The command's output, or the line with which it failed; `None` where it takes longer.
    pub fn answer(&self, limit: Duration) -> Option<Result<String>> {
        self.answer.recv_timeout(limit).ok()
    }
}

/// A member's command line, for whoever has no hold of the cluster.
#[derive(Clone, Debug)]
pub struct Desk {
    pub host: Host,
    pub data_dir: PathBuf,
    program: String,
}

impl Desk {
    /// Runs a command of the member's; its output, or the line with which it failed.
    pub fn cli(&self, words: &[&str]) -> Result<String> {
        let data_dir = self.data_dir.display().to_string();
        let mut arguments = vec!["--data-dir", data_dir.as_str()];
        arguments.extend(words);
        self.host.run(&self.program, &arguments)
    }

    /// The same with `input` on its standard input.
    pub fn feed(&self, words: &[&str], input: &str) -> Result<String> {
        let data_dir = self.data_dir.display().to_string();
        let mut arguments = vec!["--data-dir", data_dir.as_str()];
        arguments.extend(words);
        self.host.feed(&self.program, &arguments, input)
    }

    /// Does something with it on a thread of its own.
    pub fn errand(
        &self,
        what: &str,
        work: impl FnOnce(&Desk) -> Result<String> + Send + 'static,
    ) -> Errand {
        let (told, answer) = sync_channel(1);
        let desk = self.clone();
        std::thread::spawn(move || {
            // Whoever asked may have stopped listening.
            let _ = told.send(work(&desk));
        });
        Errand { what: what.to_owned(), answer }
    }

    /// A command as an errand.
    pub fn send(&self, words: &[&str]) -> Errand {
        let all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.errand(&words.join(" "), move |desk| {
            desk.cli(&all.iter().map(String::as_str).collect::<Vec<_>>())
        })
    }
}

impl Cluster {
    pub fn desk(&self, index: usize) -> Desk {
        let node = &self.nodes[index];
        let (host, data_dir) = (node.host.clone(), node.data_dir.clone());
        Desk { host, data_dir, program: self.binary.display().to_string() }
    }
}
