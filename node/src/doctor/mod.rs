//! `doctor`: what on this machine, and between it and its peers, would keep Leasehold from
//! working, each with what to do about it. It changes nothing.

mod disk;
mod machine;
mod neighbours;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use leasehold_model::{Config, Instance};
use leasehold_node_core::document;
use leasehold_raft::identity::{Identity, Settings};
use serde::Serialize;
use serde_json::Value;

use crate::daemon::pin_dir;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    /// It works, and something is worth knowing or doing.
    Warning,
    /// It will not work, or not safely.
    Failure,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    verdict: Verdict,
    check: &'static str,
    finding: String,
}

impl Finding {
    fn new(verdict: Verdict, check: &'static str, finding: impl Into<String>) -> Self {
        Self { verdict, check, finding: finding.into() }
    }

    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self::new(Verdict::Ok, check, finding)
    }

    fn warning(check: &'static str, finding: impl Into<String>) -> Self {
        Self::new(Verdict::Warning, check, finding)
    }

    fn failure(check: &'static str, finding: impl Into<String>) -> Self {
        Self::new(Verdict::Failure, check, finding)
    }

    pub(crate) fn is_failure(&self) -> bool {
        self.verdict == Verdict::Failure
    }

    pub(crate) fn text(&self) -> &str {
        &self.finding
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Failure => "FAILURE",
        };
        write!(f, "{verdict:<8} {:<9} {}", self.check, self.finding)
    }
}

/// What a running daemon says.
pub(crate) struct Told {
    pub(crate) status: Value,
    /// The configuration in force, as TOML.
    pub(crate) toml: String,
}

/// Looks at everything. `told` is absent where no daemon answers.
pub(crate) async fn examine(data_dir: &Path, told: Result<Told, String>) -> Vec<Finding> {
    let mut found = machine::examine();
    let node = match Identity::read(data_dir) {
        Ok(node) => node,
        Err(error) => {
            found.push(Finding::warning("node", error.to_string()));
            return found;
        }
    };
    let (settings, identity) = &node;
    found.push(Finding::ok("node", describe(settings)));
    found.extend(disk::examine(data_dir, settings));
    let told = match told {
        Ok(told) => told,
        Err(error) => {
            found.push(Finding::warning("daemon", error));
            found.extend(neighbours::reach(settings, identity, None).await);
            return found;
        }
    };
    let (config, _) = document::parse_toml("export", &told.toml);
    let config = config.unwrap_or_default();
    found.push(daemon(&told.status));
    found.extend(neighbours::reach(settings, identity, Some(&told.status)).await);
    found.extend(interfaces(settings, &config).into_iter().flat_map(|one| machine::sysctls(&one)));
    let all = config.instances.values().flat_map(Instance::vips);
    let vips: BTreeSet<_> = all.map(|vip| vip.address).collect();
    found.extend(machine::other_fences(&pin_dir(identity), &vips));
    found.extend(neighbours::answerers(settings, &config, &told.status));
    found
}

fn describe(settings: &Settings) -> String {
    let Settings { name, node, role, cluster, listen, .. } = settings;
    format!("{name} is node {node}, a {role}, of cluster {cluster}, at {listen}")
}

/// The interfaces that this node's VIPs go on.
fn interfaces(settings: &Settings, config: &Config) -> BTreeSet<String> {
    let vips = config.instances.values().flat_map(|instance| {
        let vips = instance.vips();
        vips.map(|vip| instance.interface_of(vip, &settings.name).to_owned())
    });
    vips.collect()
}

fn daemon(status: &Value) -> Finding {
    match status["cluster"]["leader"].as_str() {
        Some(leader) => Finding::ok("daemon", format!("it runs, and {leader} leads")),
        None => Finding::failure(
            "daemon",
            "there is no leader: a majority of the voters must run and reach each other",
        ),
    }
}
