//! One change of the configuration, said in a few words: of a virtual server, a real server, an
//! instance or what is global.
//!
//! It is made in the document's own form and read again with every check that a file gets, so that
//! nothing is accepted here that a file could not say; and what is wrong is told of the word that
//! says it.

mod alias;
mod change;
mod fault;
mod flags;
mod list;
mod name;
mod put;
mod render;
mod schema;
#[cfg(test)]
mod tests;
mod tree;
mod value;
mod words;

use leasehold_model::Config;

pub use flags::{Flag, flags};
pub use list::{Listed, list};
pub use words::Word;

use put::Setting;

/// What a command is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    VirtualServer,
    RealServer,
    Instance,
    Global,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Add,
    Set,
    Rm,
}

/// A change that can be made to any configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    verb: Verb,
    names: Names,
    settings: Vec<Setting>,
    /// As a person would write them.
    words: Vec<String>,
}

/// What is to be changed, and the numbers of the words that name it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Names {
    Server { server: String, word: usize },
    Real { server: String, word: usize, real: String, real_word: usize },
    Instance { name: String, word: usize },
    Global,
}

/// The words make no command.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Usage(String);

/// The configuration can't be changed so. Each line is one fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Refused(pub Vec<String>);

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub config: Config,
    /// What it does that is seldom meant, a line each.
    pub warnings: Vec<String>,
    /// What was done, in a few words.
    pub done: String,
}

impl Edit {
    /// # Errors
    /// Where the words make no command, whatever the configuration.
    pub fn of(noun: Noun, verb: Verb, words: &[Word]) -> Result<Self, Usage> {
        words::edit(noun, verb, words)
    }

    /// # Errors
    /// Where there is nothing of that name, or already; and where what would become of it is no
    /// configuration. Nothing is half done.
    pub fn of_config(&self, config: &Config) -> Result<Edited, Refused> {
        change::change(self, config)
    }
}
