//! What the leases that are open need beside their addresses: routes and rules, and interfaces with
//! a virtual MAC address.
//!
//! A route that can't be added costs no VIP: it is said once, and tried again with each look.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use leasehold_dataplane::DataplaneError;
use leasehold_dataplane::address::Addresses;
use leasehold_dataplane::macvlan::Macvlans;
use leasehold_dataplane::plan::{Binding, Macvlan, Routing, routing_diff};
use leasehold_dataplane::route::{Refused, Routes};
use leasehold_model::GroupId;

pub(super) struct Router {
    routes: Routes,
    macvlans: Macvlans,
    /// None was wanted, and the last look left none.
    flat: bool,
    /// The last look found nothing of ours.
    bare: bool,
    /// What was said, and still is so.
    said: BTreeSet<String>,
}

impl Router {
    pub(super) fn open(addresses: &Addresses) -> Result<Self, DataplaneError> {
        let macvlans = Macvlans::new(addresses.handle().clone());
        let routes = Routes::open()?;
        Ok(Self { routes, macvlans, flat: false, bare: false, said: BTreeSet::new() })
    }

    /// Deletes interfaces that no open lease wants, and makes what is missing. An address whose
    /// interface can't be made can't be bound, and its lease is another's.
    pub(super) async fn raise(&mut self, wanted: &[Macvlan]) {
        if self.flat && wanted.is_empty() {
            return;
        }
        let outcome = self.macvlans.reconcile(wanted).await;
        let failed = outcome.unwrap_or_else(|error| vec![error]);
        self.flat = failed.is_empty() && wanted.is_empty();
        for error in failed {
            tracing::error!(%error, "a virtual MAC address is not as it should be");
        }
    }

    /// Removes what no open lease wants. To be called before addresses are unbound.
    pub(super) async fn withdraw(&mut self, wanted: &BTreeMap<GroupId, Routing>) {
        let wanted = merged(wanted.values());
        if self.bare && wanted.is_empty() {
            return;
        }
        let outcome = async {
            let actual = self.routes.read().await?;
            let stale = routing_diff(&wanted, &actual).remove;
            self.bare = actual.is_empty();
            if stale.is_empty() { Ok(Refused::new()) } else { self.routes.remove(&stale).await }
        };
        for error in outcome.await.unwrap_or_else(|error| vec![error]) {
            self.say(&error);
        }
    }

    /// Adds what is missing of the leases whose addresses are all bound: one may be a route's
    /// source.
    pub(super) async fn lay(
        &mut self,
        wanted: &BTreeMap<GroupId, Routing>,
        bindings: &[Binding],
        bound: &BTreeSet<IpAddr>,
    ) {
        let late = bindings.iter().filter(|one| !bound.contains(&one.address));
        let late: BTreeSet<GroupId> = late.map(|one| one.group).collect();
        let ready = wanted.iter().filter(|(group, _)| !late.contains(group));
        let ready = merged(ready.map(|(_, routing)| routing));
        if ready.is_empty() {
            return;
        }
        let outcome = async {
            let missing = routing_diff(&ready, &self.routes.read().await?).add;
            self.bare = false;
            if missing.is_empty() { Ok(Refused::new()) } else { self.routes.add(&missing).await }
        };
        let refused = outcome.await.unwrap_or_else(|error| vec![error]);
        for error in &refused {
            self.say(error);
        }
        let still: BTreeSet<String> = refused.iter().map(ToString::to_string).collect();
        self.said.retain(|one| still.contains(one));
    }

    fn say(&mut self, error: &DataplaneError) {
        if self.said.insert(error.to_string()) {
            tracing::error!("{error}; its VIPs are served without, and it is tried again");
        }
    }
}

fn merged<'a>(some: impl Iterator<Item = &'a Routing>) -> Routing {
    let mut all = Routing::default();
    some.for_each(|one| all.extend(one.clone()));
    all
}
