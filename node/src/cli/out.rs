//! The only place that prints: data to stdout, words to stderr.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// A reader that went away is no error.
pub(crate) fn data(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| match text.ends_with('\n') {
        true => stdout.flush(),
        false => stdout.write_all(b"\n"),
    });
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Data that may be nothing at all.
pub(super) fn text(text: &str) -> anyhow::Result<()> {
    if text.is_empty() { Ok(()) } else { data(text) }
}

pub(crate) fn note(text: &str) {
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// One line: what, why, and where the refusal knows it, what to do.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    let mut line = String::new();
    for one in error.chain() {
        let text = one.to_string();
        // Many an error tells its cause by itself.
        if !line.contains(&text) {
            line.push_str(if line.is_empty() { "leasehold: " } else { ": " });
            line.push_str(&text);
        }
    }
    note(&line);
    ExitCode::FAILURE
}
