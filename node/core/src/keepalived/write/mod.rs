//! One node's keepalived.conf from the cluster's configuration: the way back.
//!
//! The text has keepalived's own words and layout, and reading it gives the configuration again.
//! What keepalived has no word for is not dropped in silence: it is listed, with its place in the
//! document and the reason. A name that a keepalived.conf can't hold refuses the whole, as what is
//! called by it would be lost.

mod check;
mod global;
mod http;
mod instance;
mod real;
mod server;
mod track;
mod words;

#[cfg(test)]
mod tests;

use std::fmt;

use leasehold_model::Config;

/// The longest line that keepalived reads whole (its `MAXBUF` is 1024), with room for its end.
const MAX_LINE: usize = 1000;
const INDENT: &str = "    ";
/// Why a text is left out.
const UNSPEAKABLE: &str = "a keepalived.conf can't hold this text";

/// A setting that the text lacks, or has otherwise than the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// In the document: keys, and the numbers of what stands in lists.
    pub path: Vec<String>,
    /// The path as people read it.
    shown: String,
    pub why: String,
}

/// One node's keepalived.conf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub text: String,
    pub left_out: Vec<LeftOut>,
}

/// Names that no keepalived.conf can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "there is no keepalived.conf of it, as keepalived can't read these names: {}; rename them",
    .0.join(", ")
)]
pub struct UnwritableNames(pub Vec<String>);

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown, self.why)
    }
}

/// The keepalived.conf of the director called `director`.
///
/// # Errors
/// Where an instance, an interface or the like has a name with a quote or a control character.
pub fn to_keepalived(config: &Config, director: &str) -> Result<Written, UnwritableNames> {
    let mut writer = Writer {
        config,
        director,
        text: String::new(),
        depth: 0,
        path: Vec::new(),
        left_out: Vec::new(),
        unwritable: Vec::new(),
    };
    writer.everything();
    let Writer { text, left_out, unwritable, .. } = writer;
    if !unwritable.is_empty() {
        return Err(UnwritableNames(unwritable));
    }
    Ok(Written { text, left_out })
}

/// A step of the way to a setting: one key, or a list with a number that is called by a name.
struct Step {
    keys: Vec<String>,
    name: Option<String>,
}

struct Writer<'a> {
    config: &'a Config,
    director: &'a str,
    text: String,
    depth: usize,
    path: Vec<Step>,
    left_out: Vec<LeftOut>,
    unwritable: Vec<String>,
}

impl Writer<'_> {
    fn everything(&mut self) {
        let director = self.director;
        self.line(&format!("! keepalived.conf of {director}, written by leasehold export"));
        self.global();
        self.tracked();
        self.sync_groups();
        self.instances();
        self.groups();
        self.servers();
    }

    fn line(&mut self, line: &str) {
        for _ in 0..self.depth {
            self.text.push_str(INDENT);
        }
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// At the root each block stands apart.
    fn block(&mut self, head: &str, inner: impl FnOnce(&mut Self)) {
        if self.depth == 0 {
            self.text.push('\n');
        }
        self.line(&format!("{head} {{"));
        self.depth += 1;
        inner(self);
        self.depth -= 1;
        self.line("}");
    }

    fn flag(&mut self, word: &str, is_set: bool) {
        if is_set {
            self.line(word);
        }
    }

    fn number(&mut self, word: &str, number: Option<impl fmt::Display>) {
        if let Some(number) = number {
            self.line(&format!("{word} {number}"));
        }
    }

    fn switch(&mut self, word: &str, switch: Option<bool>) {
        if let Some(on) = switch {
            self.line(&format!("{word} {}", if on { "on" } else { "off" }));
        }
    }

    /// `word` and a text that the setting called `key` has.
    fn text_of(&mut self, key: &str, word: &str, text: Option<&str>) {
        if let Some(text) = text {
            let value = words::word(text);
            self.value(key, word, value);
        }
    }

    /// What can't be written, or makes the line too long for keepalived, is left out.
    fn value(&mut self, key: &str, word: &str, value: Option<String>) {
        let line = value.map(|value| format!("{word} {value}"));
        match line.filter(|line| self.fits(line)) {
            Some(line) => self.line(&line),
            None => self.leave_out(key, UNSPEAKABLE),
        }
    }

    fn fits(&self, line: &str) -> bool {
        line.len() + self.depth * INDENT.len() <= MAX_LINE
    }

    /// A name that has to be written: without it what is called so would be lost.
    fn name(&mut self, name: &str) -> String {
        match words::word(name).filter(|word| word.len() < MAX_LINE / 4) {
            Some(word) => word,
            None => {
                let shown = format!("{name:?}");
                if !self.unwritable.contains(&shown) {
                    self.unwritable.push(shown);
                }
                String::new()
            }
        }
    }

    fn at(&mut self, key: &str, inner: impl FnOnce(&mut Self)) {
        self.step(Step { keys: vec![key.to_owned()], name: None }, inner);
    }

    fn at_item(&mut self, list: &str, index: usize, name: String, inner: impl FnOnce(&mut Self)) {
        let keys = vec![list.to_owned(), index.to_string()];
        self.step(Step { keys, name: Some(name) }, inner);
    }

    fn step(&mut self, step: Step, inner: impl FnOnce(&mut Self)) {
        self.path.push(step);
        inner(self);
        self.path.pop();
    }

    /// Says that the setting called `key` is not in the text.
    fn leave_out(&mut self, key: &str, why: impl Into<String>) {
        let last = Step { keys: vec![key.to_owned()], name: None };
        let steps = || self.path.iter().chain([&last]);
        let path = steps().flat_map(|step| step.keys.clone()).collect();
        let mut parts: Vec<String> = Vec::new();
        let mut is_open = false;
        for step in steps() {
            let keys = step.keys.join(".");
            match (&step.name, parts.last_mut()) {
                (Some(name), _) => parts.push(name.clone()),
                (None, Some(part)) if is_open => *part = format!("{part}.{keys}"),
                (None, _) => parts.push(keys),
            }
            is_open = step.name.is_none();
        }
        self.left_out.push(LeftOut { path, shown: parts.join(", "), why: why.into() });
    }
}
