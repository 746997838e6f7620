//! The words of `vs`, `rs`, `instance` and `global`: options as the table of edits has them, names
//! and `KEY=VALUE`.

use std::marker::PhantomData;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, CommandFactory};
use leasehold_node_core::edit::{Flag, Noun, Verb, Word, flags};

use super::args::Arguments;

/// A command that edits the configuration.
pub(super) trait Kind {
    const NOUN: Noun;
    const VERB: Verb;
    /// As a user writes it.
    const NAME: [&'static str; 2];
    /// What stands behind its options.
    const WORDS: &'static str;
}

/// What was said to it.
#[derive(Debug)]
pub(super) struct Said<K> {
    pub(super) words: Vec<Word>,
    /// Say what would happen, and change nothing.
    pub(super) dry_run: bool,
    /// What the change is for.
    pub(super) message: Option<String>,
    /// The last instance may go.
    pub(super) allow_empty: bool,
    kind: PhantomData<K>,
}

macro_rules! kinds {
    ($($alias:ident = $kind:ident($noun:ident, $verb:ident, $name:expr, $words:literal);)*) => {$(
        #[derive(Debug)]
        pub(super) struct $kind;

        pub(super) type $alias = Said<$kind>;

        impl Kind for $kind {
            const NOUN: Noun = Noun::$noun;
            const VERB: Verb = Verb::$verb;
            const NAME: [&'static str; 2] = $name;
            const WORDS: &'static str = $words;
        }
    )*};
}

kinds! {
    AddVirtualServer = VsAdd(VirtualServer, Add, ["vs", "add"], "VS and KEY=VALUE");
    SetVirtualServer = VsSet(VirtualServer, Set, ["vs", "set"], "VS and KEY=VALUE");
    RmVirtualServer = VsRm(VirtualServer, Rm, ["vs", "rm"], "VS");
    AddRealServer = RsAdd(RealServer, Add, ["rs", "add"], "VS, RS and KEY=VALUE");
    SetRealServer = RsSet(RealServer, Set, ["rs", "set"], "VS, RS and KEY=VALUE");
    RmRealServer = RsRm(RealServer, Rm, ["rs", "rm"], "VS and RS");
    AddInstance = InstanceAdd(Instance, Add, ["instance", "add"], "NAME and KEY=VALUE");
    SetInstance = InstanceSet(Instance, Set, ["instance", "set"], "NAME and KEY=VALUE");
    RmInstance = InstanceRm(Instance, Rm, ["instance", "rm"], "NAME");
    SetGlobal = GlobalSet(Global, Set, ["global", "set"], "KEY=VALUE");
}

const HELP: &str = "\
VS is a virtual server as status shows it: ADDRESS:PORT[/udp|/sctp], fwmark N or group NAME.
RS is a real server: ADDRESS[:PORT].

KEY is a setting of the configuration, with dots inside it (sorry_server.inhibit), or
keepalived's keyword for it. KEY=VALUE sets it, KEY= takes it away; of a list, KEY+=VALUE adds
and KEY-=VALUE removes. VALUE may be TOML in brackets or braces.";

impl<K: Kind> clap::Args for Said<K> {
    fn augment_args(command: clap::Command) -> clap::Command {
        let words = Arg::new("words")
            .value_name("WORD")
            .help(K::WORDS)
            .num_args(0..)
            .action(ArgAction::Append);
        let dry_run = Arg::new("dry_run")
            .long("dry-run")
            .help("Say what would happen, and change nothing")
            .action(ArgAction::SetTrue);
        // Without a letter: that of `apply` is ipvsadm's for masquerading here.
        let message = Arg::new("message")
            .long("message")
            .value_name("TEXT")
            .help("What the change is for, as `history` tells it");
        let mut command = command
            .args(flags(K::NOUN, K::VERB).map(option))
            .args([words, dry_run, message])
            .after_help(HELP);
        if removes_instances::<K>() {
            let allow = Arg::new("allow_empty")
                .long("allow-empty")
                .help("Also where it is the last, and every VIP goes")
                .action(ArgAction::SetTrue);
            command = command.arg(allow);
        }
        command
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn removes_instances<K: Kind>() -> bool {
    (K::NOUN, K::VERB) == (Noun::Instance, Verb::Rm)
}

fn option(flag: &'static Flag) -> Arg {
    let mut arg = Arg::new(flag.long).long(flag.long).help(flag.help);
    if let Some(short) = flag.short {
        arg = arg.short(short);
    }
    let Some(value) = flag.value else { return arg.action(ArgAction::SetTrue) };
    arg = arg.value_name(value);
    arg = arg.action(if flag.many { ArgAction::Append } else { ArgAction::Set });
    match flag.otherwise {
        Some(otherwise) => arg.num_args(0..=1).default_missing_value(otherwise),
        None => arg,
    }
}

impl<K: Kind> clap::FromArgMatches for Said<K> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut words = Vec::new();
        for flag in flags(K::NOUN, K::VERB).filter(|flag| said(flag.long)) {
            let long = flag.long.to_owned();
            let places = matches.indices_of(flag.long).into_iter().flatten();
            if flag.value.is_none() {
                let word = Word::Flag { long, value: None };
                words.extend(places.map(|place| (place, word.clone())));
                continue;
            }
            let values = matches.get_many::<String>(flag.long).into_iter().flatten();
            words.extend(places.zip(values).map(|(place, value)| {
                (place, Word::Flag { long: long.clone(), value: Some(value.clone()) })
            }));
        }
        let places = matches.indices_of("words").into_iter().flatten();
        let plain = matches.get_many::<String>("words").into_iter().flatten();
        words.extend(places.zip(plain).map(|(place, word)| (place, Word::Plain(word.clone()))));
        words.sort_by_key(|(place, _)| *place);
        Ok(Self {
            words: words.into_iter().map(|(_, word)| word).collect(),
            dry_run: matches.get_flag("dry_run"),
            message: matches.get_one("message").cloned(),
            allow_empty: removes_instances::<K>() && matches.get_flag("allow_empty"),
            kind: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Ends the process, as for any other word that the command line can't have.
pub(super) fn misused(names: &[&str], why: &str) -> ! {
    let mut all = Arguments::command();
    // Without this a command does not know those that it is part of.
    all.build();
    let mut here = &mut all;
    for name in names {
        here = here.find_subcommand_mut(name).expect("it was parsed as this one");
    }
    here.error(ErrorKind::ValueValidation, why).exit()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::{Command, Rs, Vs};
    use super::*;

    fn parsed(line: &str) -> Command {
        let words = std::iter::once("leasehold").chain(line.split(' '));
        Arguments::try_parse_from(words).expect(line).command
    }

    fn flag(long: &str, value: Option<&str>) -> Word {
        Word::Flag { long: long.to_owned(), value: value.map(str::to_owned) }
    }

    #[test]
    fn options_names_and_settings_keep_their_order() {
        let Command::Vs { command: Vs::Add(said) } =
            parsed("vs add -t 10.0.0.1:80 quorum=2 -s wrr -o alpha=true --dry-run --message why")
        else {
            panic!("it is `vs add`")
        };
        let plain = |text: &str| Word::Plain(text.to_owned());
        let expected = [
            flag("tcp-service", Some("10.0.0.1:80")),
            plain("quorum=2"),
            flag("scheduler", Some("wrr")),
            flag("ops", None),
            plain("alpha=true"),
        ];
        assert_eq!(said.words, expected);
        assert!(said.dry_run);
        assert_eq!(said.message.as_deref(), Some("why"));
    }

    #[test]
    fn persistence_needs_no_time() {
        let Command::Vs { command: Vs::Add(said) } = parsed("vs add -f 7 -6 -p -M 24") else {
            panic!("it is `vs add`")
        };
        let expected = [
            flag("fwmark-service", Some("7")),
            flag("ipv6", None),
            flag("persistent", Some("300")),
            flag("netmask", Some("24")),
        ];
        assert_eq!(said.words, expected);
    }

    #[test]
    fn options_of_a_real_server_are_those_of_ipvsadm() {
        let line = "rs add -t 10.0.0.1:80 -r 10.0.0.8:80 -i -w 3 -x 100 -y 50 --tun-type gue";
        let Command::Rs { command: Rs::Add(said) } = parsed(line) else { panic!("it is `rs add`") };
        assert_eq!(said.words.len(), 7);
        assert_eq!(said.words[2], flag("ipip", None));
        let misspelt = Arguments::try_parse_from("leasehold vs add --shceduler rr".split(' '));
        let error = misspelt.expect_err("it is no option").to_string();
        assert!(error.contains("--scheduler"), "{error}");
    }
}
