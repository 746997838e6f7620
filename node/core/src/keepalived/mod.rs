//! keepalived.conf, one node's or every node's, to one configuration of the cluster.
//!
//! `lex` and `parse` know no keyword, `keywords` is the one table of them, `lower` reads
//! what is served and reports the rest, `merge` makes one of many. Nothing is dropped without
//! a diagnostic.

mod alike;
mod checker;
mod docs;
mod draft;
mod escape;
mod expand;
mod generate;
mod group;
mod include;
mod keywords;
mod lex;
mod lower;
mod merge;
mod notify;
mod page;
mod parse;
mod pattern;
mod probe;
mod real;
mod server;
mod source;
mod statement;
mod sync;
mod together;
mod track;
mod unite;
mod vip;
mod vrrp;
mod write;

use leasehold_model::Config;

use crate::diagnostic::{Diagnostic, Place};
use crate::document;

pub use docs::to_markdown;
pub use include::{Included, Includes, NoIncludes};
pub use keywords::{Block, Keyword, Status, all as keywords};
pub use write::{LeftOut, UnwritableNames, Written, to_keepalived};

/// One keepalived.conf.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The director it belongs to. Absent: the one file is meant for every director alike.
    pub node: Option<&'a str>,
    /// The name to call it by in messages; includes are relative to its directory.
    pub file: &'a str,
    pub text: &'a str,
}

/// One configuration of the cluster from each node's file.
///
/// With nodes named, every instance gets a director of each file that has it, with that file's
/// priority and interface, and any other director is a spare. Without, the file's priority is
/// every director's. A virtual server is the same in every file that has it. The configuration is
/// absent where a diagnostic is an error.
#[must_use]
pub fn to_config(
    sources: &[Source<'_>],
    includes: &dyn Includes,
) -> (Option<Config>, Vec<Diagnostic>) {
    let mut report = lex::Report::default();
    refuse_ambiguous(sources, &mut report);
    let nodes = sources.iter().filter_map(|source| source.node).collect();
    let mut files = Vec::new();
    for source in sources {
        let Source { node, file, text } = *source;
        if text.contains("{{") || text.contains("{%") {
            let place = Place { file: file.to_owned(), line: 1, column: 1 };
            let error = Diagnostic::error(Some(place), "this is a template, not a configuration");
            report.diagnostics.push(error.hint("render it first"));
            continue;
        }
        let chars = expand::expand(source, &nodes, includes, &mut report);
        let tokens = lex::tokens(&chars, &mut report);
        drop(chars);
        let statements = parse::parse(tokens, &mut report);
        files.push((node, lower::lower(&statements, &mut report)));
    }
    let (mut config, mut places) = merge::merge(&files, &mut report);
    unite::unite(&files, &mut config, &mut places, &mut report);
    let mut diagnostics = report.diagnostics;
    diagnostics.extend(document::located_faults(&config, &places));
    let diagnostics = diagnostics.sorted();
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    ((!failed).then_some(config), diagnostics)
}

fn refuse_ambiguous(sources: &[Source<'_>], report: &mut lex::Report) {
    let mut refuse = |message: String, hint: &str| {
        report.diagnostics.push(Diagnostic::error(None, message).hint(hint));
    };
    if sources.is_empty() {
        refuse("there is no file to import".to_owned(), "leasehold import ds1=FILE ds2=FILE");
    }
    for (index, source) in sources.iter().enumerate() {
        match source.node {
            None if sources.len() > 1 => refuse(
                format!("{} has no node's name", source.file),
                "with several files each needs one: leasehold import ds1=FILE ds2=FILE",
            ),
            Some(node) if sources[..index].iter().any(|one| one.node == Some(node)) => {
                refuse(format!("{node} is given two files"), "one file per node");
            }
            None | Some(_) => {}
        }
    }
}
