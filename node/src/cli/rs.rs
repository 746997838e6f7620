//! `leasehold rs`: what an operator says of one real server.

use leasehold_proto::control::OverrideRealServerRequest;
use leasehold_proto::control::override_real_server_request::Word;

use super::args::Rs;
use super::client::Target;
use super::{edit, out, words};

pub(super) fn rs(target: &Target, command: &Rs) -> anyhow::Result<()> {
    let (words, word, weight) = match command {
        Rs::Add(said) => return edit::edit(target, said),
        Rs::Set(said) => return edit::edit(target, said),
        Rs::Rm(said) => return edit::edit(target, said),
        Rs::Drain(named) => (&named.words[..], Word::Drain, 0),
        Rs::Disable(named) => (&named.words[..], Word::Disable, 0),
        Rs::Enable(named) => (&named.words[..], Word::Enable, 0),
        Rs::Weight { words } => {
            let (names, weight) = apart(words);
            (names, Word::Weight, weight_of(weight))
        }
    };
    let (virtual_server, real_server) = apart(words);
    let request = OverrideRealServerRequest {
        virtual_server: virtual_server.join(" "),
        real_server: real_server.to_owned(),
        word: word.into(),
        weight: weight.into(),
    };
    let answer = target.call(async |mut client| client.override_real_server(request).await)?;
    out::data(&answer.into_inner().message)
}

/// The last word, and those before it.
fn apart(words: &[String]) -> (&[String], &str) {
    words.split_last().map_or((&[], ""), |(last, before)| (before, last))
}

/// Ends the process where it is none, as for any other word that the command line can't have.
fn weight_of(word: &str) -> u16 {
    word.parse().unwrap_or_else(|_| {
        let why = format!("{word} is no weight: a whole number from 0 to 65535, behind VS and RS");
        words::misused(&["rs", "weight"], &why)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use clap::error::ErrorKind;

    use super::super::args::{Arguments, Command, Named};
    use super::*;

    fn parsed(line: &str) -> Result<Rs, ErrorKind> {
        let words = ["leasehold", "rs"].into_iter().chain(line.split(' '));
        let read = Arguments::try_parse_from(words).map_err(|error| error.kind())?;
        let Command::Rs { command } = read.command else { panic!("{read:?}") };
        Ok(command)
    }

    #[test]
    fn a_name_of_several_words_needs_no_quotes() {
        let Ok(Rs::Drain(Named { words })) = parsed("drain fwmark 8 inet6 [fd00::9]:0") else {
            panic!("it is `rs drain`")
        };
        let (server, real) = apart(&words);
        assert_eq!((server.join(" "), real), ("fwmark 8 inet6".to_owned(), "[fd00::9]:0"));
        let Ok(Rs::Weight { words }) = parsed("weight 192.168.1.100:80 10.0.0.9:80 5") else {
            panic!("it is `rs weight`")
        };
        let (names, weight) = apart(&words);
        assert_eq!(weight_of(weight), 5);
        let (server, real) = apart(names);
        assert_eq!((server.join(" "), real), ("192.168.1.100:80".to_owned(), "10.0.0.9:80"));
    }

    #[test]
    fn too_few_words_are_usage() {
        for line in ["drain 192.168.1.100:80", "weight 192.168.1.100:80 10.0.0.9:80"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
