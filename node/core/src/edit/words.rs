//! The words of a command line, taken apart: whom they name, and what they set.

use super::alias::{self, Change};
use super::flags::{Means, flags};
use super::put::{Op, Setting};
use super::schema::{self, Kind, Table};
use super::{Edit, Names, Noun, Usage, Verb};
use crate::document::spelling;

/// A word as it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// An option, by its long name.
    Flag { long: String, value: Option<String> },
    /// A name, or `KEY=VALUE`.
    Plain(String),
}

pub(super) fn table(noun: Noun) -> &'static Table {
    match noun {
        Noun::VirtualServer => &schema::SERVER,
        Noun::RealServer => &schema::REAL,
        Noun::Instance => &schema::INSTANCE,
        Noun::Global => &schema::GLOBAL,
    }
}

/// # Errors
/// Where the words make no command, whatever the configuration.
pub(super) fn edit(noun: Noun, verb: Verb, words: &[Word]) -> Result<Edit, Usage> {
    let mut taken = Taken::new(noun, verb);
    for word in words {
        taken.take(word)?;
    }
    taken.finish()
}

/// A name, and the number of the word that says it.
type Name = (String, usize);

struct Taken {
    noun: Noun,
    verb: Verb,
    /// Each as a person would write it.
    words: Vec<String>,
    settings: Vec<Setting>,
    /// Names that stand alone.
    plain: Vec<Name>,
    server: Option<Name>,
    inet6: Option<usize>,
    real: Option<Name>,
}

impl Taken {
    fn new(noun: Noun, verb: Verb) -> Self {
        Self {
            noun,
            verb,
            words: Vec::new(),
            settings: Vec::new(),
            plain: Vec::new(),
            server: None,
            inet6: None,
            real: None,
        }
    }

    fn take(&mut self, word: &Word) -> Result<(), Usage> {
        let number = self.words.len();
        match word {
            Word::Plain(text) => {
                self.words.push(text.clone());
                match assignment(text) {
                    Some((key, op, value)) => self.assign(number, key, op, value),
                    None => {
                        self.plain.push((text.clone(), number));
                        Ok(())
                    }
                }
            }
            Word::Flag { long, value } => {
                let mut all = flags(self.noun, self.verb);
                let flag = all
                    .find(|flag| flag.long == long)
                    .ok_or_else(|| Usage(format!("--{long} is no option of this command")))?;
                let name = match flag.short {
                    Some(short) => format!("-{short}"),
                    None => format!("--{long}"),
                };
                let given = value.as_deref().filter(|value| Some(*value) != flag.otherwise);
                self.words.push(given.map_or(name.clone(), |value| format!("{name} {value}")));
                self.flag(number, flag.means, value.as_deref().unwrap_or_default())
            }
        }
    }

    fn flag(&mut self, number: usize, means: Means, value: &str) -> Result<(), Usage> {
        match means {
            Means::Service(protocol) => {
                let name = with_port(value);
                let name = match protocol {
                    "tcp" => name,
                    other => format!("{name}/{other}"),
                };
                self.name_server(name, number)
            }
            Means::Fwmark => self.name_server(format!("fwmark {value}"), number),
            Means::Inet6 => {
                self.inet6 = Some(number);
                Ok(())
            }
            Means::RealServer => {
                self.real = Some((value.to_owned(), number));
                Ok(())
            }
            Means::Key(key) => self.set(number, key, value),
            Means::Fixed(key, value) => self.set(number, key, value),
        }
    }

    fn name_server(&mut self, name: String, number: usize) -> Result<(), Usage> {
        if let Some((_, first)) = &self.server {
            let (first, second) = (&self.words[*first], &self.words[number]);
            return Err(Usage(format!("{first} and {second} name two virtual servers")));
        }
        self.server = Some((name, number));
        Ok(())
    }

    fn set(&mut self, number: usize, key: &str, value: &str) -> Result<(), Usage> {
        if value.is_empty() {
            let word = self.words[number].trim_end();
            return Err(Usage(format!("{word} has an empty value: {key}= takes the setting away")));
        }
        self.assign(number, key, Op::Set, value)
    }

    fn assign(&mut self, number: usize, key: &str, op: Op, value: &str) -> Result<(), Usage> {
        let wrong = |why: &str| Usage(format!("{}: {why}", self.words[number]));
        if self.verb == Verb::Rm {
            return Err(wrong("what is removed has no settings"));
        }
        let own = table(self.noun);
        let first = key.split('.').next().unwrap_or_default();
        let known = own.key(first).is_some();
        let row = alias::rows(self.noun).iter().find(|(word, ..)| *word == key);
        let (key, change) = match row {
            Some((_, key, change)) if !known => (*key, *change),
            Some(_) | None => (key, Change::Same),
        };
        if op != Op::Set && change == Change::Not {
            return Err(wrong("true or false"));
        }
        let value = match op {
            Op::Unset => String::new(),
            Op::Set | Op::Add | Op::Remove => change.of(value).map_err(wrong)?,
        };
        let path = split(key).ok_or_else(|| wrong("a quote in it is not closed"))?;
        if self.noun == Noun::Instance && key == "priority" && value.contains('=') {
            return self.priorities(number, op, &value);
        }
        check(self.noun, own, &path).map_err(|why| wrong(&why))?;
        self.push(Setting { path, op, value, word: number })
    }

    /// `ds1=150,ds2=100`
    fn priorities(&mut self, number: usize, op: Op, value: &str) -> Result<(), Usage> {
        for one in value.split(',') {
            let wrong = || {
                let word = &self.words[number];
                Usage(format!("{word}: {one:?} is no DIRECTOR=PRIORITY, as in ds1=150,ds2=100"))
            };
            let (director, value) = one.trim().split_once('=').ok_or_else(wrong)?;
            if op != Op::Set || director.is_empty() || value.is_empty() {
                return Err(wrong());
            }
            let path = ["director", director, "priority"].map(str::to_owned).to_vec();
            self.push(Setting { path, op, value: value.to_owned(), word: number })?;
        }
        Ok(())
    }

    fn push(&mut self, setting: Setting) -> Result<(), Usage> {
        let whole = |op| matches!(op, Op::Set | Op::Unset);
        let is_same = |one: &&Setting| {
            one.path == setting.path && whole(one.op) && (whole(setting.op) || one.op == setting.op)
        };
        if let Some(first) = self.settings.iter().find(is_same) {
            let (first, second) = (&self.words[first.word], &self.words[setting.word]);
            let again = self.noun == Noun::Instance && first.starts_with("--vip ");
            if !again || !second.starts_with("--vip ") {
                return Err(Usage(format!("{first} and {second} set the same")));
            }
            self.settings.push(Setting { op: Op::Add, ..setting });
            return Ok(());
        }
        self.settings.push(setting);
        Ok(())
    }

    fn finish(mut self) -> Result<Edit, Usage> {
        if let Some(number) = self.inet6 {
            match &mut self.server {
                Some((name, _)) if name.starts_with("fwmark ") => name.push_str(" inet6"),
                Some(_) | None => {
                    let word = &self.words[number];
                    return Err(Usage(format!("{word} is for a mark: -f MARK")));
                }
            }
        }
        let names = self.names()?;
        if self.verb == Verb::Set && self.settings.is_empty() {
            return Err(Usage("nothing is said that it should set: KEY=VALUE".to_owned()));
        }
        // What is said of the whole of a setting comes before what is said of its parts, and what
        // makes one before what is said of it.
        let makes = ["type", "path", "address", "connect", "tunnel", "command", "begins"];
        self.settings.sort_by_key(|one| {
            let last = one.path.last().map(String::as_str).unwrap_or_default();
            (one.path.len(), !makes.contains(&last))
        });
        Ok(Edit { verb: self.verb, names, settings: self.settings, words: self.words })
    }

    fn names(&mut self) -> Result<Names, Usage> {
        let plain = std::mem::take(&mut self.plain);
        match self.noun {
            Noun::Global => match plain.first() {
                Some((word, _)) => Err(Usage(format!("{word} is no KEY=VALUE"))),
                None => Ok(Names::Global),
            },
            Noun::Instance => match plain.as_slice() {
                [(name, word)] => Ok(Names::Instance { name: name.clone(), word: *word }),
                [] => Err(Usage("name the instance".to_owned())),
                [_, (second, _), ..] => Err(Usage(format!(
                    "{second} is one name too many: an instance has one, and a setting is KEY=VALUE"
                ))),
            },
            Noun::VirtualServer => {
                let (server, word) = self.server_named(plain)?;
                Ok(Names::Server { server, word })
            }
            Noun::RealServer => {
                let (real, plain) = self.real_named(plain)?;
                let (server, word) = self.server_named(plain)?;
                let (real, real_word) = real;
                Ok(Names::Real { server, word, real, real_word })
            }
        }
    }

    fn server_named(&mut self, plain: Vec<Name>) -> Result<Name, Usage> {
        match (self.server.take(), plain.first()) {
            (Some(named), None) => Ok(named),
            (Some((_, first)), Some((second, _))) => {
                let first = &self.words[first];
                Err(Usage(format!("{first} and {second} name two virtual servers")))
            }
            (None, Some((_, word))) => {
                let word = *word;
                let all: Vec<&str> = plain.iter().map(|(name, _)| name.as_str()).collect();
                Ok((all.join(" "), word))
            }
            (None, None) => Err(Usage(format!(
                "name the virtual server{}: ADDRESS:PORT[/udp|/sctp], fwmark N or group NAME",
                if self.noun == Noun::RealServer { " before the real server" } else { "" }
            ))),
        }
    }

    fn real_named(&mut self, mut plain: Vec<Name>) -> Result<(Name, Vec<Name>), Usage> {
        let real = match self.real.take() {
            Some(real) => Some(real),
            None => plain.pop(),
        };
        let real = real.ok_or_else(|| {
            Usage("name the virtual server, and then the real server: ADDRESS:PORT".to_owned())
        })?;
        Ok((real, plain))
    }
}

/// `KEY=VALUE`, `KEY=`, `KEY+=VALUE` or `KEY-=VALUE`.
fn assignment(text: &str) -> Option<(&str, Op, &str)> {
    let (key, value) = text.split_once('=')?;
    let begins = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    if !begins || key.contains(char::is_whitespace) {
        return None;
    }
    Some(match (key.strip_suffix('+'), key.strip_suffix('-')) {
        (Some(key), _) => (key, Op::Add, value),
        (None, Some(key)) => (key, Op::Remove, value),
        (None, None) if value.is_empty() => (key, Op::Unset, value),
        (None, None) => (key, Op::Set, value),
    })
}

/// ipvsadm takes an address alone for every port of it.
fn with_port(address: &str) -> String {
    let alone = address.parse::<std::net::IpAddr>();
    match alone {
        Ok(ip) => std::net::SocketAddr::new(ip, 0).to_string(),
        Err(_) => address.to_owned(),
    }
}

/// The names between dots; one with a dot in it stands in quotes.
fn split(key: &str) -> Option<Vec<String>> {
    let mut path = vec![String::new()];
    let mut quoted = false;
    for one in key.chars() {
        match one {
            '"' => quoted = !quoted,
            '.' if !quoted => path.push(String::new()),
            other => path.last_mut()?.push(other),
        }
    }
    (!quoted).then_some(path)
}

/// Whether there is such a setting.
fn check(noun: Noun, table: &'static Table, path: &[String]) -> Result<(), String> {
    let (name, rest) = path.split_first().ok_or("it names no setting")?;
    let Some(key) = table.key(name) else {
        if let Some(why) = alias::elsewhere(noun, name) {
            return Err(why.to_owned());
        }
        return Err(unknown(noun, table, name));
    };
    below(noun, name, &key.kind, rest)
}

fn below(noun: Noun, name: &str, kind: &'static Kind, rest: &[String]) -> Result<(), String> {
    let Some((next, after)) = rest.split_first() else { return Ok(()) };
    match kind {
        Kind::Table(table) => check(noun, table, rest),
        // One of the list, by its number or by what tells it apart.
        Kind::Tables(table) if !after.is_empty() && table.key(next).is_none() => {
            check(noun, table, after)
        }
        Kind::Tables(table) => check(noun, table, rest),
        Kind::Map(inner) => below(noun, next, inner, after),
        Kind::Plain(_) | Kind::List(_) => Err(format!("{name} has no settings of its own")),
    }
}

fn unknown(noun: Noun, table: &'static Table, name: &str) -> String {
    let mut known = table.names();
    if std::ptr::eq(table, self::table(noun)) {
        known.extend(alias::rows(noun).iter().map(|(word, ..)| *word));
    }
    match spelling::nearest(name, &known) {
        Some(near) => format!("{name} is no setting of {}: did you mean {near}?", table.noun),
        None => {
            let all = table.names().join(", ");
            format!("{name} is no setting of {}; there are {all}", table.noun)
        }
    }
}
