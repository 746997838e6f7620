//! What this director's checks find down, for the leader: a bounded summary, seldom said.
//!
//! Each report is a renewal, and what it says travels with every one after it. So it names so many
//! real servers and no more, and however often they come and go, it changes a few times a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_dataplane::service::Health;
use leasehold_model::{Config, Down, Eligibility, RealName};
use leasehold_raft::state::State;
use tokio::sync::watch;

use crate::paced::Paced;

/// Why each real server was last found down, as its check put it. May hold some that are up.
pub(crate) type Reasons = BTreeMap<RealName, String>;

/// Between two reports.
const REPORT_APART: Duration = Duration::from_millis(200);

pub(crate) struct Inputs {
    pub(crate) state: Paced<Arc<State>>,
    pub(crate) health: watch::Receiver<Health>,
    pub(crate) reasons: watch::Receiver<Reasons>,
    /// For this node's own `status`.
    pub(crate) down: watch::Sender<Option<Down>>,
    pub(crate) eligibility: watch::Sender<Eligibility>,
}

/// Runs until the daemon drops the other ends.
pub(crate) async fn run(mut inputs: Inputs) {
    // What is not checked yet is not seen: nothing is said before the first look at health.
    while inputs.health.changed().await.is_ok() {
        let health = inputs.health.borrow_and_update().clone();
        let config = inputs.state.borrow_and_update().config.clone();
        let now = summary(&config, &health, |name| inputs.reasons.borrow().get(name).cloned());
        inputs.down.send_if_modified(|said| {
            let differs = said.as_ref() != Some(&now);
            *said = Some(now.clone());
            differs
        });
        inputs.eligibility.send_if_modified(|one| {
            let differs = one.down.as_ref() != Some(&now);
            one.down = Some(now);
            differs
        });
        // What changes meanwhile is in the next one.
        tokio::time::sleep(REPORT_APART).await;
    }
}

/// The real servers of `config` that `health` finds down: the first in the order of the
/// configuration by name, with what `why` says of each, and the number of the others.
pub(crate) fn summary(
    config: &Config,
    health: &Health,
    why: impl Fn(&RealName) -> Option<String>,
) -> Down {
    let mut named = BTreeMap::new();
    let mut unnamed = 0_u32;
    for server in &config.virtual_servers {
        for real in server.real_servers.iter().filter(|one| !health.is_up(server, one)) {
            if named.len() == Down::NAMED_MAX {
                unnamed = unnamed.saturating_add(1);
                continue;
            }
            let name = RealName::new(server, real.address);
            let why = why(&name).unwrap_or_else(|| "no check of it has passed yet".to_owned());
            named.insert(name, short(why));
        }
    }
    Down { named: Arc::new(named), unnamed }
}

/// One line, cut where it is too long.
fn short(mut why: String) -> String {
    if let Some(end) = why.find('\n') {
        why.truncate(end);
    }
    if why.len() > Down::REASON_MAX {
        why.truncate(why.floor_char_boundary(Down::REASON_MAX - '…'.len_utf8()));
        why.push('…');
    }
    why
}

#[cfg(test)]
mod tests {
    use leasehold_dataplane::checker::{Findings, Verdict};
    use leasehold_dataplane::fence::boot_now;
    use leasehold_model::{Overrides, Protocol, RealServer, Service, VirtualServer};

    use super::*;
    use crate::paced::paced;

    fn config(servers: u16, real: u16) -> Config {
        let one = |port| {
            let service = Service::Address(([192, 168, 1, 100], port).into());
            let mut server = VirtualServer::new(service, Protocol::Tcp);
            server.real_servers =
                (1..=real).map(|port| RealServer::new(([10, 0, 0, 1], port).into())).collect();
            server
        };
        Config { virtual_servers: (1..=servers).map(one).collect(), ..Config::default() }
    }

    fn all_down(config: &Config) -> Health {
        let servers = config.virtual_servers.iter();
        let findings: Findings = servers
            .flat_map(|server| {
                let down = |real: &RealServer| ((server.key(), real.address), Verdict::Down.into());
                server.real_servers.iter().map(down)
            })
            .collect();
        let mut health = Health::default();
        health.handle_config(config, &findings, &Overrides::new(), boot_now());
        health
    }

    #[test]
    fn ten_thousand_that_are_down_make_a_report_of_the_same_size() {
        let long = |_: &RealName| Some("no route to host; ".repeat(50));
        let size = |real| {
            let config = config(100, real);
            let down = summary(&config, &all_down(&config), long);
            assert_eq!(down.named.len(), Down::NAMED_MAX);
            let all = down.named.len() + usize::try_from(down.unnamed).unwrap();
            assert_eq!(all, 100 * usize::from(real));
            serde_json::to_vec(&down).unwrap().len()
        };
        let (some, many) = (size(10), size(100));
        // Ports have more digits there.
        assert!(many <= some + Down::NAMED_MAX, "{many} bytes, and {some} for a tenth of them");
        assert!(many < 64 * 1024, "{many} bytes");
    }

    #[test]
    fn a_reason_is_one_short_line() {
        assert_eq!(short("refused\nand more".to_owned()), "refused");
        let cut = short("ü".repeat(100));
        assert!(cut.len() <= Down::REASON_MAX && cut.ends_with("ü…"), "{cut}");
        let fits = "x".repeat(Down::REASON_MAX);
        assert_eq!(short(fits.clone()), fits);
    }

    #[test]
    fn a_report_comes_back_as_it_was_sent() {
        let config = config(1, 3);
        let down = summary(&config, &all_down(&config), |_| None);
        let report = Eligibility { down: Some(down), ..Eligibility::default() };
        let sent = serde_json::to_vec(&report).unwrap();
        assert_eq!(serde_json::from_slice::<Eligibility>(&sent).unwrap(), report);
        let old = serde_json::to_value(Eligibility::default()).unwrap();
        assert!(old.get("down").is_none(), "{old}");
    }

    /// However often a real server comes and goes, the leader hears of it five times a second,
    /// and of the last change afterwards.
    #[tokio::test]
    async fn a_real_server_that_flaps_is_reported_seldom() {
        let config = config(1, 1);
        let state = State { config: Arc::new(config.clone()), ..State::default() };
        let (_keep, state) = watch::channel(Arc::new(state));
        let state = paced(state);
        let (health, seen) = watch::channel(Health::default());
        let (_reasons, reasons) = watch::channel(Reasons::default());
        let (down, shown) = watch::channel(None);
        let (eligibility, mut reported) = watch::channel(Eligibility::default());
        let thread = run(Inputs { state, health: seen, reasons, down, eligibility });
        let flap = async move {
            let begun = tokio::time::Instant::now();
            let mut tick = tokio::time::interval(Duration::from_millis(2));
            for nth in 0..300 {
                let now = if nth % 2 == 0 { all_down(&config) } else { Health::default() };
                health.send_replace(now);
                tick.tick().await;
            }
            health.send_replace(all_down(&config));
            begun.elapsed()
        };
        let listen = async {
            let mut heard = 0;
            while reported.changed().await.is_ok() {
                reported.borrow_and_update();
                heard += 1;
            }
            (heard, reported.borrow().down.clone())
        };
        let ((), lasted, (heard, last)) = tokio::join!(thread, flap, listen);
        assert_eq!(last.as_ref().map(|down| down.named.len()), Some(1));
        assert_eq!(*shown.borrow(), last);
        let most = lasted.as_millis() / REPORT_APART.as_millis() + 2;
        assert!((1..=most).contains(&heard), "{heard} reports in {lasted:?}");
    }
}
