//! The configuration as people write it: TOML in, canonical TOML out, and every fault in one run.

pub(crate) mod canonical;
mod check;
pub(crate) mod checks;
pub(crate) mod hex;
pub(crate) mod mail;
pub(crate) mod pattern;
mod read;
pub(crate) mod routing;
mod schema;
pub(crate) mod spelling;
pub(crate) mod tracks;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use leasehold_model::Config;

use crate::diagnostic::{Diagnostic, Place, Places};

pub(crate) use check::{Fault, entrances, faults};
pub use check::{
    MAX_DESTINATIONS, MAX_INSTANCES, MAX_RANGE, MAX_SERVICES, MAX_VIPS, check_backend,
    check_directors, validate,
};
pub(crate) use read::{Reading, read};
pub use schema::json_schema;
pub use write::to_toml;

/// The most seconds that every kernel takes as a timeout of IPVS: it counts them in ticks, of
/// which a second has up to 1000, in 31 bits (`ip_vs_set_timeout`).
pub(crate) const MAX_LVS_TIMEOUT_S: u32 = i32::MAX.unsigned_abs() / 1000;
/// Bytes of a document: the most services and real servers, with a check each, take less.
pub(crate) const MAX_TEXT: usize = 16 << 20;
/// Where GUE is received unless said otherwise (IANA).
pub(crate) const DEFAULT_GUE_PORT: u16 = 6080;

/// Reads a configuration. `file` is the name to call it by in messages.
///
/// The configuration is absent where a diagnostic is an error. [`validate`] has been run.
#[must_use]
pub fn parse_toml(file: &str, text: &str) -> (Option<Config>, Vec<Diagnostic>) {
    if text.len() > MAX_TEXT {
        let place = Place { file: file.to_owned(), line: 1, column: 1 };
        let message = format!("the document has {} bytes: {MAX_TEXT} is the limit", text.len());
        return (None, vec![Diagnostic::error(Some(place), message)]);
    }
    let read::Reading { config, places, mut diagnostics } = read::read(file, text);
    diagnostics.extend(located_faults(&config, &places));
    let diagnostics = diagnostics.sorted();
    let failed = diagnostics.iter().any(Diagnostic::is_error);
    ((!failed).then_some(config), diagnostics)
}

/// The faults of a configuration whose values stand at `places`.
pub(crate) fn located_faults(config: &Config, places: &Places) -> Vec<Diagnostic> {
    let read = check::faults(config).into_iter().filter(|fault| places.was_read(&fault.path));
    read.map(|fault| fault.locate(places)).collect()
}
