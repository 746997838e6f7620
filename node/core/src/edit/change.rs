//! The change itself: the part of the configuration that is meant becomes a tree, the settings are
//! put into it, and what comes of it is read and checked as any document.

use leasehold_model::{Config, Protocol, RealServer, Service, VirtualServer};

use super::fault::Judge;
use super::put::put;
use super::render::Rendered;
use super::schema::{self, Table};
use super::tree::{self, Node, Value};
use super::{Edit, Edited, Names, Refused, Verb, name};
use crate::document::{self, Reading};
use crate::real_servers::{find, virtual_server_named};

/// Which part of the configuration it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part<'a> {
    /// The one at this place in the list; absent: a new one.
    Server(Option<usize>),
    Instance(&'a str),
    Global,
}

pub(super) fn change(edit: &Edit, config: &Config) -> Result<Edited, Refused> {
    match &edit.names {
        Names::Server { server, word } => server_changed(edit, config, server, *word),
        Names::Real { server, word, real, real_word } => {
            real_changed(edit, config, (server, *word), (real, *real_word))
        }
        Names::Instance { name, word } => instance_changed(edit, config, name, *word),
        Names::Global => {
            let global = Config { global: config.global.clone(), ..Config::default() };
            let mut tree = part(&global, "global")?.unwrap_or_else(Node::empty);
            edit.put(&mut tree, &schema::GLOBAL)?;
            let done = "what is global is changed".to_owned();
            edit.read(config, Part::Global, &tree, done)
        }
    }
}

impl Edit {
    fn refuse(&self, word: usize, why: &str) -> Refused {
        Refused(vec![format!("{}: {why}", self.words[word])])
    }

    fn put(&self, node: &mut Node, table: &'static Table) -> Result<(), Refused> {
        let wrong = self.settings.iter().filter_map(|setting| {
            let put = put(node, table, &setting.path, setting);
            put.err().map(|why| format!("{}: {why}", self.words[setting.word]))
        });
        let wrong: Vec<String> = wrong.collect();
        if wrong.is_empty() { Ok(()) } else { Err(Refused(wrong)) }
    }

    /// The configuration with this part.
    fn read(
        &self,
        config: &Config,
        part: Part<'_>,
        tree: &Node,
        done: String,
    ) -> Result<Edited, Refused> {
        let rendered = match part {
            Part::Server(_) => {
                let list = Node::old(Value::List(vec![tree.clone()]));
                Rendered::of("virtual_server", &list)
            }
            Part::Instance(name) => {
                let named = Value::Table([(name.to_owned(), tree.clone())].into());
                Rendered::of("instance", &Node::old(named))
            }
            Part::Global => Rendered::of("global", tree),
        };
        let mut reading = document::read("", &rendered.text);
        let (now, path) = spliced(config, part, &mut reading);
        let judge = Judge { edit: self, before: config, rendered: &rendered, reading: &reading };
        let warnings = judge.judge(&now, &path)?;
        Ok(Edited { config: now, warnings, done })
    }

    /// The configuration without what was removed.
    fn without(&self, config: &Config, now: Config, done: String) -> Result<Edited, Refused> {
        let rendered = Rendered::of("global", &Node::empty());
        let reading = document::read("", "");
        let judge = Judge { edit: self, before: config, rendered: &rendered, reading: &reading };
        let warnings = judge.judge(&now, &["nothing".to_owned()])?;
        Ok(Edited { config: now, warnings, done })
    }
}

fn server_changed(
    edit: &Edit,
    config: &Config,
    asked: &str,
    word: usize,
) -> Result<Edited, Refused> {
    if edit.verb == Verb::Add {
        let (service, protocol) =
            name::service(config, asked).map_err(|why| edit.refuse(word, &why))?;
        let new = VirtualServer::new(service, protocol);
        let name = new.name();
        if config.virtual_servers.iter().any(|one| one.key() == new.key()) {
            let why = format!("{name} is there already: `leasehold vs set` changes it");
            return Err(Refused(vec![why]));
        }
        let mut tree = server_tree(new)?.said_by(word);
        edit.put(&mut tree, &schema::SERVER)?;
        return edit.read(config, Part::Server(None), &tree, format!("{name} is added"));
    }
    let (at, server) = server_of(config, asked)?;
    let name = server.name();
    if edit.verb == Verb::Rm {
        let mut now = config.clone();
        now.virtual_servers.remove(at);
        return edit.without(config, now, format!("{name} is removed"));
    }
    let mut tree = server_tree(server.clone())?;
    tree.word = Some(word);
    edit.put(&mut tree, &schema::SERVER)?;
    edit.read(config, Part::Server(Some(at)), &tree, format!("{name} is changed"))
}

fn real_changed(
    edit: &Edit,
    config: &Config,
    (asked, _): (&str, usize),
    (real, real_word): (&str, usize),
) -> Result<Edited, Refused> {
    let (at, server) = server_of(config, asked)?;
    let name = server.name();
    let address = name::real(server, real).map_err(|why| edit.refuse(real_word, &why))?;
    let mut server = server.clone();
    let there = server.real_servers.iter().position(|one| one.address == address);
    let (nth, done) = match (edit.verb, there) {
        (Verb::Add, Some(_)) => {
            let why = format!(
                "{address} is a real server of {name} already: `leasehold rs set` changes it"
            );
            return Err(Refused(vec![why]));
        }
        (Verb::Add, None) => {
            server.real_servers.push(RealServer::new(address));
            (server.real_servers.len() - 1, format!("{address} of {name} is added"))
        }
        (Verb::Set | Verb::Rm, None) => {
            let missing = find(config, asked, &address.to_string()).err();
            return Err(Refused(missing.iter().map(ToString::to_string).collect()));
        }
        (Verb::Rm, Some(nth)) => {
            let mut now = config.clone();
            now.virtual_servers[at].real_servers.remove(nth);
            return edit.without(config, now, format!("{address} of {name} is removed"));
        }
        (Verb::Set, Some(nth)) => (nth, format!("{address} of {name} is changed")),
    };
    let mut tree = server_tree(server)?;
    let item =
        tree.get_mut("real_server").and_then(Node::items_mut).and_then(|all| all.get_mut(nth));
    let item = item.ok_or_else(|| Refused(vec![format!("{address} can't be written down")]))?;
    if edit.verb == Verb::Add {
        item.mark(real_word);
    }
    item.word = Some(real_word);
    edit.put(item, &schema::REAL)?;
    edit.read(config, Part::Server(Some(at)), &tree, done)
}

fn instance_changed(
    edit: &Edit,
    config: &Config,
    name: &str,
    word: usize,
) -> Result<Edited, Refused> {
    let there = config.instances.get(name);
    let (mut tree, done) = match (edit.verb, there) {
        (Verb::Add, Some(_)) => {
            let why = format!("{name} is there already: `leasehold instance set` changes it");
            return Err(Refused(vec![why]));
        }
        (Verb::Add, None) => (Node::empty(), "added"),
        (Verb::Set | Verb::Rm, None) => {
            let known: Vec<&str> = config.instances.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let why = format!("no instance is called {name}; configured: {known}");
            return Err(Refused(vec![why]));
        }
        (Verb::Rm, Some(_)) => {
            let mut now = config.clone();
            now.instances.remove(name);
            return edit.without(config, now, format!("{name} is removed"));
        }
        (Verb::Set, Some(one)) => {
            let instances = [(name.to_owned(), one.clone())].into();
            let alone = Config { instances, ..Config::default() };
            let mut all = part(&alone, "instance")?.unwrap_or_else(Node::empty);
            let own = all.get_mut(name).map(|node| node.clone());
            (own.unwrap_or_else(Node::empty), "changed")
        }
    };
    tree.word = Some(word);
    edit.put(&mut tree, &schema::INSTANCE)?;
    own_interface(&mut tree);
    edit.read(config, Part::Instance(name), &tree, format!("{name} is {done}"))
}

/// `10.0.0.1/24@eth0` says the interface of an instance that names none; and one that has it says
/// nothing new with it.
fn own_interface(tree: &mut Node) {
    let dev = |vip: &Node| vip.get("dev").and_then(Node::as_text).map(str::to_owned);
    let first = match tree.get("virtual_ipaddress").map(|node| &node.value) {
        Some(Value::List(vips)) => vips.first().and_then(|vip| Some((dev(vip)?, vip.word))),
        Some(_) | None => None,
    };
    let Value::Table(map) = &mut tree.value else { return };
    if !map.contains_key("interface")
        && let Some((dev, word)) = first
    {
        map.insert("interface".to_owned(), Node { word, ..Node::text(&dev) });
    }
    let Some(interface) = map.get("interface").and_then(Node::as_text).map(str::to_owned) else {
        return;
    };
    for list in ["virtual_ipaddress", "virtual_ipaddress_excluded"] {
        for vip in map.get_mut(list).and_then(Node::items_mut).into_iter().flatten() {
            let same = dev(vip).as_deref() == Some(interface.as_str()) && vip.word.is_some();
            if same && let Value::Table(vip) = &mut vip.value {
                vip.remove("dev");
            }
        }
    }
}

fn server_of<'a>(config: &'a Config, asked: &str) -> Result<(usize, &'a VirtualServer), Refused> {
    let server = virtual_server_named(config, asked.trim());
    let server = server.map_err(|why| Refused(vec![why.to_string()]))?;
    let at = config.virtual_servers.iter().position(|one| std::ptr::eq(one, server));
    Ok((at.unwrap_or_default(), server))
}

fn server_tree(server: VirtualServer) -> Result<Node, Refused> {
    let alone = Config { virtual_servers: vec![server], ..Config::default() };
    let mut all = part(&alone, "virtual_server")?;
    let first = all.as_mut().and_then(Node::items_mut).and_then(Vec::pop);
    Ok(first.unwrap_or_else(Node::empty))
}

/// A part of the configuration as a tree.
fn part(alone: &Config, name: &str) -> Result<Option<Node>, Refused> {
    let all = tree::document(&document::to_toml(alone)).map_err(|why| Refused(vec![why]))?;
    Ok(all.get(name).cloned())
}

/// The configuration with the part that was read in its place, and the way to that part.
fn spliced(config: &Config, part: Part<'_>, reading: &mut Reading) -> (Config, Vec<String>) {
    let mut now = config.clone();
    match part {
        Part::Server(at) => {
            if let Some(at) = at {
                now.virtual_servers.remove(at);
            }
            let new = reading.config.virtual_servers.pop();
            let unread = || {
                let any = Service::Group(String::new());
                VirtualServer::new(any, Protocol::default())
            };
            let new = new.unwrap_or_else(unread);
            let at = now.virtual_servers.partition_point(|one| one.key() <= new.key());
            now.virtual_servers.insert(at, new);
            // What was read as the first of its list is now at this place.
            let mut order = vec![usize::MAX; at];
            order.push(0);
            reading.places.reorder("virtual_server", &order);
            (now, vec!["virtual_server".to_owned(), at.to_string()])
        }
        Part::Instance(name) => {
            now.instances.extend(std::mem::take(&mut reading.config.instances));
            (now, vec!["instance".to_owned(), name.to_owned()])
        }
        Part::Global => {
            now.global = std::mem::take(&mut reading.config.global);
            (now, vec!["global".to_owned()])
        }
    }
}
