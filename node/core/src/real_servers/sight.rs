//! Who sees a real server up and who down, as far as directors have told.

use std::fmt;

use leasehold_model::{Config, Down, RealName};
use serde::Serialize;

/// One director's part: its name, and what it reported.
#[derive(Clone, Debug)]
pub struct Witness<'a> {
    pub name: &'a str,
    /// Absent where nothing was heard of it.
    pub down: Option<Down>,
}

/// What one director knows of one real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight<'a> {
    Up,
    Down(&'a str),
    /// It did not say, or has too many that are down to name each.
    Unknown,
}

#[must_use]
pub fn sight<'a>(down: Option<&'a Down>, name: &RealName) -> Sight<'a> {
    match down {
        None => Sight::Unknown,
        Some(down) => match down.named.get(name) {
            Some(why) => Sight::Down(why),
            None if down.unnamed > 0 => Sight::Unknown,
            None => Sight::Up,
        },
    }
}

/// A real server that some directors see up and some down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Disagreement {
    pub virtual_server: String,
    pub real_server: String,
    pub down_for: Vec<Doubter>,
    pub up_for: Vec<String>,
}

/// A director that sees it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Doubter {
    pub director: String,
    pub holds: bool,
    pub why: String,
}

/// Every disagreement over a real server of the virtual servers that `served` picks by the names
/// of their instances, in the order of names. `holder` holds these instances.
#[must_use]
pub fn disagreements(
    config: &Config,
    witnesses: &[Witness<'_>],
    holder: Option<&str>,
    served: impl Fn(&str) -> bool,
) -> Vec<Disagreement> {
    let homes = config.homes();
    let mut disputed: Vec<&RealName> = witnesses
        .iter()
        .filter_map(|one| one.down.as_ref())
        .flat_map(|it| it.named.keys())
        .collect();
    disputed.sort_unstable();
    disputed.dedup();
    let one = |name: &&RealName| {
        let (server, _) = config.real_server(name)?;
        // With ha_suspend one who does not hold it does not look.
        let here = homes.of_server(server).iter().any(|(_, home)| home.is_some_and(&served));
        if server.ha_suspend || !here {
            return None;
        }
        let (mut down_for, mut up_for) = (Vec::new(), Vec::new());
        for witness in witnesses {
            match sight(witness.down.as_ref(), name) {
                Sight::Up => up_for.push(witness.name.to_owned()),
                Sight::Down(why) => down_for.push(Doubter {
                    director: witness.name.to_owned(),
                    holds: holder == Some(witness.name),
                    why: why.to_owned(),
                }),
                Sight::Unknown => {}
            }
        }
        let (virtual_server, real_server) = (name.virtual_server(), name.address.to_string());
        let told = Disagreement { virtual_server, real_server, down_for, up_for };
        (!told.up_for.is_empty()).then_some(told)
    };
    disputed.iter().filter_map(one).collect()
}

/// Lines of `explain`; a director that has lost its way to all of them would fill the screen.
const LINES_MAX: usize = 10;

/// What `explain` says of these, a line each, and of those beyond a screen how many there are.
#[must_use]
pub fn text(disagreements: &[Disagreement]) -> String {
    let mut text = String::new();
    for one in disagreements.iter().take(LINES_MAX) {
        text += &format!("  {}: {one}\n", one.virtual_server);
    }
    if let Some(more) = disagreements.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        text += &format!("  and {more} more that directors see differently: --json names them\n");
    }
    text
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let down: Vec<String> = self.down_for.iter().map(Doubter::to_string).collect();
        let from: Vec<String> = self.down_for.iter().map(|one| one.director.clone()).collect();
        write!(
            f,
            "real server {} is down for {} and up for {}: look at the path from {}",
            self.real_server,
            listed(&down),
            listed(&self.up_for),
            listed(&from)
        )?;
        match self.down_for.first() {
            Some(first) => write!(f, " ({}: {})", first.director, first.why),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Doubter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.director)?;
        if self.holds { f.write_str(" (holder)") } else { Ok(()) }
    }
}

/// "a", "a and b", "a, b and c".
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [all @ .., last] => format!("{} and {last}", all.join(", ")),
    }
}
