//! Includes, `$NAME` definitions, `@id` conditions and `~SEQ`/`~LST` generators: all that happens
//! to lines before they are words.

use std::collections::BTreeMap;

use super::lex::{self, Char, Pos, Report};

/// Hands over the files that an `include` names.
pub trait Includes {
    /// Name and text of every file that `pattern` (a glob, relative to the directory of `from`)
    /// matches, sorted by name. An error says why they can't be had.
    ///
    /// # Errors
    /// Where no file matches, or one can't be read.
    fn include(&self, from: &str, pattern: &str) -> Result<Vec<(String, String)>, String>;
}

/// For texts that came without their files.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Includes for NoIncludes {
    fn include(&self, _from: &str, _pattern: &str) -> Result<Vec<(String, String)>, String> {
        Err("no other file came with this text".to_owned())
    }
}

/// Levels of include, of definitions in definitions and of generators in generators.
const MAX_DEPTH: usize = 32;
/// Characters after expansion: a generator must not eat the machine.
const MAX_CHARS: usize = 4 << 20;
const MAX_GENERATED: usize = 70_000;
const MAX_SUBSTITUTIONS: usize = 1000;
/// Lines looked at: definitions of definitions may multiply without leaving a character.
const MAX_LINES: usize = 1 << 20;

/// Reads `text` with everything it includes. `id` is what `@id` lines are compared with.
pub(super) fn expand(
    file: &str,
    text: &str,
    id: Option<&str>,
    includes: &dyn Includes,
    report: &mut Report,
) -> Vec<Char> {
    let definitions = BTreeMap::new();
    let (open, out) = (None, Vec::new());
    let mut expander =
        Expander { id, includes, report, definitions, open, out, lines: 0, full: false };
    expander.file(file, text, 0);
    expander.out
}

struct Expander<'a> {
    id: Option<&'a str>,
    includes: &'a dyn Includes,
    report: &'a mut Report,
    definitions: BTreeMap<String, Vec<Char>>,
    /// A definition of several lines that has not ended.
    open: Option<(String, Vec<Char>)>,
    out: Vec<Char>,
    lines: usize,
    full: bool,
}

impl Expander<'_> {
    fn file(&mut self, name: &str, text: &str, depth: usize) {
        let file = self.report.open(name);
        let directory = name.rsplit_once('/').map_or(".", |(directory, _)| directory);
        let at = Pos { file, line: 1, column: 1 };
        let outer = self.definitions.insert("_PWD".to_owned(), chars(directory, at));
        for line in lex::lines(file, text) {
            self.line(line, depth);
        }
        if let Some(outer) = outer {
            self.definitions.insert("_PWD".to_owned(), outer);
        }
    }

    fn line(&mut self, line: Vec<Char>, depth: usize) {
        if self.full {
            return;
        }
        if let Some((name, mut value)) = self.open.take() {
            let (more, body) = continued(&line);
            value.extend_from_slice(body);
            if more {
                value.extend(body.last().or(line.last()).map(|last| Char { c: '\n', ..*last }));
                self.open = Some((name, value));
            } else {
                self.definitions.insert(name, value);
            }
            return;
        }
        let line = trimmed(&line);
        let Some(first) = line.first() else { return self.put(line) };
        self.lines += 1;
        if self.lines > MAX_LINES {
            self.full = true;
            return self.report.error(first.at, "the configuration expands without end", "");
        }
        if depth > MAX_DEPTH {
            let hint = "a file includes itself, or a definition contains itself";
            return self.report.error(first.at, "this is nested too deep", hint);
        }
        if self.is_include(line, depth) {
            return;
        }
        self.statement(line.to_vec(), depth);
    }

    /// Conditions, definitions and generators stand at the beginning of a line; a substitution
    /// may put one there.
    fn statement(&mut self, mut line: Vec<Char>, depth: usize) {
        for _ in 0..MAX_SUBSTITUTIONS {
            let text = trimmed(&line);
            let Some(first) = text.first() else { return self.put(&[]) };
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
            } else {
                let text = text.to_vec();
                return self.put(&text);
            }
            if line.len() > MAX_CHARS {
                break;
            }
        }
        if let Some(first) = line.first() {
            self.report.error(first.at, "the substitution does not end", "");
        }
    }

    fn put(&mut self, line: &[Char]) {
        self.out.extend_from_slice(line);
        let at = self.out.last().map(|last| last.at).unwrap_or_default();
        self.out.push(Char { c: '\n', at });
        if self.out.len() > MAX_CHARS {
            self.full = true;
            self.report.error(at, "the configuration expands to more than 4 Mi characters", "");
        }
    }

    fn is_include(&mut self, line: &[Char], depth: usize) -> bool {
        let text: String = line.iter().map(|one| one.c).collect();
        let Some((keyword, pattern)) = text.split_once(char::is_whitespace) else { return false };
        let names = ["include", "includer", "includem", "includew", "includeb", "includea"];
        if !names.contains(&keyword) {
            return false;
        }
        let at = line[0].at;
        let pattern = pattern.trim().trim_matches('"');
        let from = self.report.name(at.file).to_owned();
        match self.includes.include(&from, pattern) {
            Ok(files) => {
                if files.is_empty() {
                    let message = format!("nothing matches `{keyword} {pattern}`");
                    self.report.warn(at, message, "");
                }
                for (name, text) in files {
                    if depth >= MAX_DEPTH {
                        self.report.error(at, "includes are nested too deep", "");
                        break;
                    }
                    self.file(&name, &text, depth + 1);
                }
            }
            Err(why) => {
                let message = format!("`{keyword} {pattern}` can't be read: {why}");
                self.report.error(at, message, "paste the file in, or remove the line");
            }
        }
        true
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
        ((id == wanted) != negative).then(|| line[end..].to_vec())
    }

    fn define(&mut self, name: String, value: &[Char]) {
        let (more, body) = continued(value);
        let body = trimmed(body).to_vec();
        if more {
            self.open = Some((name, body));
        } else {
            self.definitions.insert(name, body);
        }
    }

    /// The first `$NAME` before a space or `${NAME}` that is defined: where, and its value.
    fn substitution(&mut self, line: &[Char]) -> Option<(usize, usize, Vec<Char>)> {
        let dollars = line.iter().enumerate().filter(|(_, one)| one.c == '$');
        for (start, dollar) in dollars {
            let rest = &line[start + 1..];
            let (name, end) = if rest.first().is_some_and(|one| one.c == '{') {
                let Some(close) = rest.iter().position(|one| one.c == '}') else { continue };
                (&rest[1..close], start + close + 2)
            } else {
                let length = rest.iter().take_while(|one| is_name(one.c)).count();
                if rest.get(length).is_some_and(|one| !one.c.is_whitespace()) {
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
            "_INSTANCE" => self.id.map(|id| chars(id, at)),
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
            header = [&header[..start], &value, &header[end..]].concat();
        }
        let text: String = header[1..header.len() - 1].iter().map(|one| one.c).collect();
        let kind: String = line[..open].iter().map(|one| one.c).collect();
        let rounds = match kind.trim() {
            "~SEQ" => sequence(&text, false),
            "~SEQx" => sequence(&text, true),
            "~LST" => list(&text),
            _ => None,
        };
        let Some(rounds) = rounds else {
            let message = format!("`{kind}({text})` is no generator");
            let hint = "~SEQ(NAME, start, step, end) or ~LST(NAME, a, b, ...)";
            return self.report.error(at, message, hint);
        };
        for round in rounds {
            for (name, value) in round {
                self.definitions.insert(name, chars(&value, at));
            }
            self.line(line[close + 1..].to_vec(), depth + 1);
        }
    }
}

type Round = Vec<(String, String)>;

fn sequence(text: &str, hex: bool) -> Option<Vec<Round>> {
    let parts: Vec<&str> = text.split(',').map(str::trim).collect();
    let (name, numbers) = parts.split_first()?;
    let numbers: Option<Vec<i64>> = numbers.iter().map(|one| number(one)).collect();
    let (start, step, end) = match numbers?.as_slice() {
        [end] => (end.signum(), end.signum(), *end),
        [start, end] => (*start, if end < start { -1 } else { 1 }, *end),
        [start, step, end] => (*start, *step, *end),
        _ => return None,
    };
    if step == 0 {
        return None;
    }
    let mut rounds = Vec::new();
    let mut value = start;
    while if step > 0 { value <= end } else { value >= end } {
        let text = if hex { format!("{value:x}") } else { value.to_string() };
        rounds.push(vec![((*name).to_owned(), text)]);
        value = value.checked_add(step)?;
        if rounds.len() > MAX_GENERATED {
            return None;
        }
    }
    Some(rounds)
}

fn number(text: &str) -> Option<i64> {
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let value = match text.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    Some(if negative { -value } else { value })
}

fn list(text: &str) -> Option<Vec<Round>> {
    let items = split_list(text);
    let (names, values) = items.split_first()?;
    let round = |value: &Vec<String>| {
        (value.len() == names.len())
            .then(|| names.iter().cloned().zip(value.iter().cloned()).collect())
    };
    values.iter().map(round).collect()
}

/// `{A, B}, {1, 2}` or `A, 1, 2`: each item with its parts.
fn split_list(text: &str) -> Vec<Vec<String>> {
    let mut items = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (item, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap_or((inner, "")),
            None => rest.split_once(',').map_or((rest, ""), |(item, after)| (item, after)),
        };
        let parts: Vec<String> = if rest.starts_with('{') {
            item.split(',').map(|part| part.trim().to_owned()).collect()
        } else {
            vec![item.trim().to_owned()]
        };
        items.push(parts);
        rest = after.trim_start().trim_start_matches(',').trim_start();
    }
    items
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
