//! What this kernel refused of a group's services, and how long that is held against it.
//!
//! Only a holder finds out what its kernel takes. One that was refused something keeps its
//! complaint when the group has gone elsewhere, or it would come back at once; and not for ever,
//! since what was refused once may be taken now.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use leasehold_dataplane::service::{self, Health, Key, Service};
use leasehold_model::{GroupId, Overrides};
use leasehold_raft::state::State;

/// How long the first complaint lasts where nobody can try again; each one after it twice as
/// long as the one before.
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// What a group asks of a kernel, whatever the health of its real servers.
type Asked = Vec<(Key, Service)>;

#[derive(Debug, Default)]
pub(crate) struct Complaints(BTreeMap<GroupId, Complaint>);

#[derive(Debug)]
struct Complaint {
    asked: Asked,
    why: String,
    lasts: Duration,
    until: Instant,
    /// Over, and remembered only for how long the next one lasts.
    over: bool,
}

impl Complaints {
    /// A look at the services of the groups in `served` had these failures.
    pub(crate) fn handle_look(
        &mut self,
        state: &State,
        served: &BTreeSet<GroupId>,
        failures: BTreeMap<GroupId, String>,
        now: Instant,
    ) {
        if self.0.is_empty() && failures.is_empty() {
            return;
        }
        let mut asked = asked(state);
        self.0.retain(|group, one| {
            asked.get(group) == Some(&one.asked)
                && (!served.contains(group) || failures.contains_key(group))
        });
        for one in self.0.values_mut() {
            one.over |= one.until <= now;
        }
        for (group, why) in failures {
            let before = self.0.remove(&group);
            let lasts = before.map_or(FIRST, |one| {
                if one.over { (one.lasts * 2).min(LONGEST) } else { one.lasts }
            });
            let asked = asked.remove(&group).unwrap_or_default();
            let until = now + lasts;
            self.0.insert(group, Complaint { asked, why, lasts, until, over: false });
        }
    }

    pub(crate) fn list(&self) -> impl Iterator<Item = (GroupId, &str)> {
        let lasting = self.0.iter().filter(|(_, one)| !one.over);
        lasting.map(|(group, one)| (*group, one.why.as_str()))
    }
}

fn asked(state: &State) -> BTreeMap<GroupId, Asked> {
    let all = state.groups.values().copied().collect();
    let health = Health::default();
    let table = service::desired(&state.config, &state.groups, &all, &health, &Overrides::new());
    let mut asked: BTreeMap<GroupId, Asked> = BTreeMap::new();
    for (key, service) in table {
        asked.entry(service.group).or_default().push((key, service));
    }
    asked
}

#[cfg(test)]
mod tests {
    use leasehold_node_core::document;

    use super::*;

    const WEB: GroupId = GroupId(1);
    const MAIL: GroupId = GroupId(2);

    fn state(weight: u32) -> State {
        let text = format!(
            "[instance.web]\nvirtual_router_id = 1\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"192.0.2.1/24\"]\n\
             [instance.mail]\nvirtual_router_id = 2\ninterface = \"eth0\"\n\
             virtual_ipaddress = [\"192.0.2.2/24\"]\n\
             [[virtual_server]]\naddress = \"192.0.2.1:80\"\nprotocol = \"tcp\"\n\
             lb_algo = \"rr\"\nlb_kind = \"DR\"\n\
             real_server = [{{ address = \"192.0.2.9:80\", weight = {weight} }}]\n"
        );
        let (config, faults) = document::parse_toml("s.toml", &text);
        let config = config.unwrap_or_else(|| panic!("{faults:?}")).into();
        let groups = [("web".to_owned(), WEB), ("mail".to_owned(), MAIL)].into();
        State { config, groups, ..State::default() }
    }

    fn refused() -> BTreeMap<GroupId, String> {
        [(WEB, "EINVAL".to_owned())].into()
    }

    fn complains(one: &Complaints) -> bool {
        one.list().next().is_some()
    }

    #[test]
    fn it_is_kept_where_the_group_went_elsewhere_and_not_for_ever() {
        let (now, mut one) = (Instant::now(), Complaints::default());
        one.handle_look(&state(1), &[WEB].into(), refused(), now);
        one.handle_look(&state(1), &[].into(), BTreeMap::new(), now + FIRST / 2);
        assert!(complains(&one));
        one.handle_look(&state(1), &[].into(), BTreeMap::new(), now + FIRST);
        assert!(!complains(&one));
        let again = now + FIRST * 2;
        one.handle_look(&state(1), &[WEB].into(), refused(), again);
        one.handle_look(&state(1), &[].into(), BTreeMap::new(), again + FIRST);
        assert!(complains(&one), "the second lasts longer");
        one.handle_look(&state(1), &[].into(), BTreeMap::new(), again + FIRST * 2);
        assert!(!complains(&one));
    }

    #[test]
    fn it_ends_with_a_success() {
        let (now, mut one) = (Instant::now(), Complaints::default());
        one.handle_look(&state(1), &[WEB].into(), refused(), now);
        one.handle_look(&state(1), &[WEB].into(), BTreeMap::new(), now);
        assert!(!complains(&one));
    }

    #[test]
    fn another_configuration_of_the_group_is_tried_and_of_another_group_is_not() {
        let (now, mut one) = (Instant::now(), Complaints::default());
        one.handle_look(&state(1), &[WEB].into(), refused(), now);
        let mut other = state(1);
        let mut config = (*other.config).clone();
        config.instances.get_mut("mail").expect("it is there").preempt = false;
        other.config = config.into();
        one.handle_look(&other, &[].into(), BTreeMap::new(), now);
        assert!(complains(&one));
        one.handle_look(&state(2), &[].into(), BTreeMap::new(), now);
        assert!(!complains(&one));
    }
}
