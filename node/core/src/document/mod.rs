//! The configuration as people write it: TOML in, canonical TOML out, and every fault in one run.

pub(crate) mod canonical;
mod check;
pub(crate) mod checks;
mod read;
pub(crate) mod write;

#[cfg(test)]
mod tests;

use leasehold_model::Config;

use crate::diagnostic::{self, Diagnostic, Places, Severity};

pub(crate) use check::entrances;
pub use check::{
    MAX_DESTINATIONS, MAX_INSTANCES, MAX_RANGE, MAX_SERVICES, MAX_VIPS, check_backend,
    check_directors, validate,
};
pub use write::to_toml;

/// 31 days in seconds, keepalived's limit of every timeout of IPVS.
pub(crate) const MAX_LVS_TIMEOUT_S: u32 = 86_400 * 31;
/// Where GUE is received unless said otherwise (IANA).
pub(crate) const DEFAULT_GUE_PORT: u16 = 6080;

/// Reads a configuration. `file` is the name to call it by in messages.
///
/// The configuration is absent where a diagnostic is an error. [`validate`] has been run.
#[must_use]
pub fn parse_toml(file: &str, text: &str) -> (Option<Config>, Vec<Diagnostic>) {
    let read::Reading { config, places, mut diagnostics } = read::read(file, text);
    diagnostics.extend(located_faults(&config, &places));
    diagnostic::sort(&mut diagnostics);
    let failed = diagnostics.iter().any(|one| one.severity == Severity::Error);
    ((!failed).then_some(config), diagnostics)
}

/// The faults of a configuration whose values stand at `places`.
pub(crate) fn located_faults(config: &Config, places: &Places) -> Vec<Diagnostic> {
    let read = check::faults(config).into_iter().filter(|fault| places.was_read(&fault.path));
    read.map(|fault| fault.locate(places)).collect()
}
