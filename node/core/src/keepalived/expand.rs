//! Includes, `$NAME` definitions, `@id` conditions and `~SEQ`/`~LST` generators: all that happens
//! to lines before they are words.

use std::collections::{BTreeMap, BTreeSet};

use super::Source;
use super::generate;
use super::include::{self, Includes};
use super::lex::{self, Char, Pos, Report};

/// Levels of include, of definitions in definitions and of generators in generators.
const MAX_DEPTH: usize = 32;
/// Characters after expansion: a generator must not eat the machine.
const MAX_CHARS: usize = 6 << 20;
const MAX_SUBSTITUTIONS: usize = 1000;
/// Characters looked at on the way there. Definitions of definitions, generators of nothing and
/// files of comments may multiply without leaving a character.
const MAX_WORK: usize = 128 << 20;
/// What a line takes on top of its characters, in those.
const LINE_WORK: usize = 64;
/// Characters of one line, with what was put into it.
const MAX_LINE: usize = 1 << 20;
/// Characters of a name between braces: no keepalived has a use for more.
const MAX_NAME: usize = 255;

/// Reads the text of `source` with everything it includes. `nodes` are those that are imported
/// with it.
pub(super) fn expand(
    source: &Source<'_>,
    nodes: &BTreeSet<&str>,
    includes: &dyn Includes,
    report: &mut Report,
) -> Vec<Char> {
    let Source { node: id, file, text } = *source;
    let definitions = BTreeMap::new();
    let mut expander = Expander {
        id,
        nodes,
        includes,
        report,
        definitions,
        open: None,
        out: Vec::new(),
        defined: 0,
        work: 0,
        full: false,
        at: Pos::default(),
    };
    expander.file(file, text, Pos::default(), 0);
    // Half of it would be blamed for what the other half has.
    if expander.full { Vec::new() } else { expander.out }
}

struct Expander<'a> {
    /// What `@id` lines are compared with.
    id: Option<&'a str>,
    nodes: &'a BTreeSet<&'a str>,
    includes: &'a dyn Includes,
    report: &'a mut Report,
    definitions: BTreeMap<String, Vec<Char>>,
    /// A definition of several lines that has not ended.
    open: Option<(String, Vec<Char>)>,
    out: Vec<Char>,
    /// Characters that the definitions hold.
    defined: usize,
    work: usize,
    /// A limit was passed, and said to be: nothing more is looked at.
    full: bool,
    /// The line of the file: where nothing is in it, nothing else says where it is.
    at: Pos,
}

impl Expander<'_> {
    /// `from` is where the file is named.
    fn file(&mut self, name: &str, text: &str, from: Pos, depth: usize) {
        if !self.work(from, text.len()) {
            return;
        }
        let file = self.report.open(name);
        let directory = name.rsplit_once('/').map_or(".", |(directory, _)| directory);
        let at = Pos { file, line: 1, column: 1 };
        let outer = self.definitions.insert("_PWD".to_owned(), chars(directory, at));
        for line in lex::lines(file, text, self.report) {
            // A comment in a definition of several lines is no line of it, and does not end it.
            if self.open.is_some() && trimmed(&line.chars).is_empty() && !line.blank {
                continue;
            }
            self.at = line.at;
            self.line(line.chars, depth);
        }
        if let Some(outer) = outer {
            self.definitions.insert("_PWD".to_owned(), outer);
        }
    }

    fn line(&mut self, line: Vec<Char>, depth: usize) {
        let at = line.first().map_or(self.at, |first| first.at);
        if !self.work(at, line.len() + LINE_WORK) {
            return;
        }
        if let Some((name, mut value)) = self.open.take() {
            let (more, body) = continued(&line);
            value.extend_from_slice(body);
            if more {
                value.extend(body.last().or(line.last()).map(|last| Char { c: '\n', ..*last }));
                self.open = Some((name, value));
            } else {
                self.keep(name, value, at);
            }
            return;
        }
        let line = trimmed(&line);
        let Some(first) = line.first() else { return self.put(line) };
        if depth > MAX_DEPTH {
            let hint = "a file includes itself, or a definition contains itself";
            return self.report.error(first.at, "this is nested too deep", hint);
        }
        self.statement(line.to_vec(), depth);
    }

    /// Conditions, definitions and generators stand at the beginning of a line; a substitution
    /// may put one there.
    fn statement(&mut self, mut line: Vec<Char>, depth: usize) {
        for _ in 0..MAX_SUBSTITUTIONS {
            let text = trimmed(&line);
            let Some(first) = text.first() else { return self.put(&[]) };
            if !self.work(first.at, text.len()) {
                return;
            }
            if first.c == '@' {
                match self.condition(text) {
                    Some(rest) => line = rest,
                    None => return self.put(&[]),
                }
            } else if let Some((name, value)) = definition(text) {
                return self.define(name, value);
            } else if starts_with(text, "~SEQ") || starts_with(text, "~LST") {
                return self.generate(text, depth);
            } else if let Some((start, end, value)) = self.substitution(text) {
                let (before, after) = (&text[..start], &text[end..]);
                let joined = [before, &value, after].concat();
                if value.iter().any(|one| one.c == '\n') {
                    for one in joined.split(|one| one.c == '\n') {
                        self.line(one.to_vec(), depth + 1);
                    }
                    return;
                }
                line = joined;
            } else if let Some(named) = include::parse(text) {
                return self.include(text, &named, depth);
            } else {
                let text = self.uncontinued(text).to_vec();
                return self.put(&text);
            }
            if line.len() > MAX_LINE {
                let message = format!("the line grows to more than {MAX_LINE} characters");
                return self.report.error(line[0].at, message, "a definition contains itself");
            }
        }
        if let Some(first) = line.first() {
            self.report.error(first.at, "the substitution does not end", "");
        }
    }

    fn put(&mut self, line: &[Char]) {
        self.out.extend_from_slice(line);
        let at = line.last().map_or(self.at, |last| last.at);
        self.out.push(Char { c: '\n', at });
        if self.out.len() > MAX_CHARS {
            let message = format!("the configuration expands to more than {MAX_CHARS} characters");
            self.stop(at, &message);
        }
    }

    /// Whether so many more characters may be looked at.
    fn work(&mut self, at: Pos, characters: usize) -> bool {
        self.work = self.work.saturating_add(characters);
        if self.work > MAX_WORK {
            self.stop(at, "the configuration expands without end");
        }
        !self.full
    }

    fn stop(&mut self, at: Pos, message: &str) {
        if !self.full {
            self.full = true;
            self.report.error(at, message, "fewer includes, definitions and generators");
        }
    }

    fn keep(&mut self, name: String, value: Vec<Char>, at: Pos) {
        self.defined += value.len();
        if let Some(before) = self.definitions.insert(name, value) {
            self.defined = self.defined.saturating_sub(before.len());
        }
        if self.defined > MAX_CHARS {
            self.stop(at, &format!("the definitions hold more than {MAX_CHARS} characters"));
        }
    }

    /// Only a definition goes on in the next line.
    fn uncontinued<'l>(&mut self, line: &'l [Char]) -> &'l [Char] {
        let backslashes = line.iter().rev().take_while(|one| one.c == '\\').count();
        let Some((last, rest)) = line.split_last().filter(|_| backslashes % 2 == 1) else {
            return line;
        };
        let message = "a `\\` at the end of a line means nothing outside a definition";
        self.report.warn(last.at, message, "write the statement in one line");
        trimmed(rest)
    }

    fn include(&mut self, line: &[Char], named: &(String, String), depth: usize) {
        for (name, text) in include::files(line, named, self.includes, self.report) {
            if depth >= MAX_DEPTH {
                let hint = "does a file include itself?";
                return self.report.error(line[0].at, "includes are nested too deep", hint);
            }
            self.file(&name, &text, line[0].at, depth + 1);
            if self.full {
                return;
            }
        }
    }

    /// `@id rest` and `@^id rest`: the rest, if it counts here.
    fn condition(&mut self, line: &[Char]) -> Option<Vec<Char>> {
        let end = line.iter().position(|one| one.c.is_whitespace()).unwrap_or(line.len());
        let word: String = line[1..end].iter().map(|one| one.c).collect();
        let (negative, wanted) = match word.strip_prefix('^') {
            Some(wanted) => (true, wanted),
            None => (false, word.as_str()),
        };
        let Some(id) = self.id else {
            self.report.error(
                line[0].at,
                format!("`@{word}` depends on the node, and no node was named"),
                &format!("leasehold import {wanted}=FILE ..."),
            );
            return None;
        };
        if !self.nodes.contains(wanted) {
            let counts = if negative { "counts for all of them" } else { "is for none of them" };
            let nodes: Vec<&str> = self.nodes.iter().copied().collect();
            self.report.warn(
                line[0].at,
                format!(
                    "`@{word}` names no node that is imported ({}): the line {counts}",
                    nodes.join(", ")
                ),
                &format!("correct the name, or import that node too: {wanted}=FILE"),
            );
        }
        ((id == wanted) != negative).then(|| line[end..].to_vec())
    }

    fn define(&mut self, name: String, value: &[Char]) {
        let (more, body) = continued(value);
        let mut body = trimmed(body).to_vec();
        if more {
            body.extend(body.last().map(|last| Char { c: '\n', ..*last }));
            self.open = Some((name, body));
        } else {
            let at = value.first().map(|first| first.at).unwrap_or_default();
            self.keep(name, body, at);
        }
    }

    /// The first `$NAME` before a space or `${NAME}` that is defined: where, and its value.
    fn substitution(&mut self, line: &[Char]) -> Option<(usize, usize, Vec<Char>)> {
        let dollars = line.iter().enumerate().filter(|(_, one)| one.c == '$');
        for (start, dollar) in dollars {
            let rest = &line[start + 1..];
            let (name, end) = if rest.first().is_some_and(|one| one.c == '{') {
                let mut near = rest.iter().take(MAX_NAME);
                let Some(close) = near.position(|one| one.c == '}') else { continue };
                (&rest[1..close], start + close + 2)
            } else {
                let near = rest.iter().take(MAX_NAME);
                let length = near.take_while(|one| is_name(one.c)).count();
                let ends = |one: &Char| one.c.is_whitespace() || one.c == ',' || one.c == ')';
                if !rest.get(length).is_none_or(ends) {
                    continue;
                }
                (&rest[..length], start + 1 + length)
            };
            let name: String = name.iter().map(|one| one.c).collect();
            if let Some(value) = self.value(&name, dollar.at) {
                return Some((start, end, value));
            }
        }
        None
    }

    fn value(&mut self, name: &str, at: Pos) -> Option<Vec<Char>> {
        if let Some(value) = self.definitions.get(name) {
            return Some(value.clone());
        }
        match name.split_whitespace().next()? {
            "_HASH" => Some(chars("#", at)),
            "_BANG" => Some(chars("!", at)),
            "_INSTANCE" => Some(self.id.map_or_else(
                || {
                    let message = "${_INSTANCE} depends on the node, and no node was named";
                    self.report.error(at, message, "leasehold import NODE=FILE ...");
                    Vec::new()
                },
                |id| chars(id, at),
            )),
            "_RANDOM" | "_ENV" => {
                let message = format!("${{{name}}} is another value on every machine");
                self.report.error(at, message, "write the value");
                Some(Vec::new())
            }
            _ => None,
        }
    }

    /// `~SEQ(NAME, start, step, end) rest`, `~SEQx(...)`, `~LST(NAME, a, b) rest` and
    /// `~LST({A, B}, {1, 2}, {3, 4}) rest`: the rest, once for each value.
    fn generate(&mut self, line: &[Char], depth: usize) {
        let at = line[0].at;
        let position = |wanted: char, from: usize| {
            line[from..].iter().position(|one| one.c == wanted).map(|index| from + index)
        };
        let open = position('(', 0);
        let Some((open, close)) = open.and_then(|open| Some((open, position(')', open)?))) else {
            return self.report.error(at, "a generator without (...)", "~SEQ(NAME, 1, 10) text");
        };
        let mut header = line[open..=close].to_vec();
        for _ in 0..MAX_SUBSTITUTIONS {
            let Some((start, end, value)) = self.substitution(&header) else { break };
            if header.len() > MAX_LINE || !self.work(at, header.len() + value.len()) {
                break;
            }
            header = [&header[..start], &value, &header[end..]].concat();
        }
        let text: String = header[1..header.len() - 1].iter().map(|one| one.c).collect();
        let kind: String = line[..open].iter().map(|one| one.c).collect();
        let rounds = match generate::rounds(kind.trim(), &text) {
            Ok(rounds) => rounds,
            Err(why) => {
                let message = format!("`{kind}({text})` is no generator: {why}");
                let hint = "~SEQ(NAME, start, step, end) or ~LST(NAME, a, b, ...)";
                return self.report.error(at, message, hint);
            }
        };
        for round in rounds {
            for (name, value) in round {
                self.keep(name, chars(&value, at), at);
            }
            if self.full {
                return;
            }
            self.line(line[close + 1..].to_vec(), depth + 1);
        }
    }
}

/// `$NAME=value` at the beginning of a line.
fn definition(line: &[Char]) -> Option<(String, &[Char])> {
    let (dollar, rest) = line.split_first()?;
    let length = rest.iter().take_while(|one| is_name(one.c)).count();
    let is_definition = dollar.c == '$'
        && length > 0
        && !rest[0].c.is_ascii_digit()
        && rest.get(length).is_some_and(|one| one.c == '=');
    let name = rest[..length].iter().map(|one| one.c).collect();
    is_definition.then(|| (name, &rest[length + 1..]))
}

/// Whether a line of a definition says that another follows, and the line without that.
fn continued(line: &[Char]) -> (bool, &[Char]) {
    let body = trimmed(line);
    match body.split_last() {
        Some((last, body)) if last.c == '\\' => (true, body),
        _ => (false, body),
    }
}

fn trimmed(line: &[Char]) -> &[Char] {
    let start = line.iter().position(|one| !one.c.is_whitespace()).unwrap_or(line.len());
    let end = line.iter().rposition(|one| !one.c.is_whitespace()).map_or(start, |last| last + 1);
    &line[start..end]
}

fn starts_with(line: &[Char], prefix: &str) -> bool {
    line.len() >= prefix.len() && prefix.chars().zip(line).all(|(a, b)| a == b.c)
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn chars(text: &str, at: Pos) -> Vec<Char> {
    text.chars().map(|c| Char { c, at }).collect()
}
