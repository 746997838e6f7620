//! Addresses: reading what is bound, binding, unbinding, and renewing lifetimes.
//!
//! The lifetime is the last resort of three: a VIP whose daemon and guard are both gone is unbound
//! by the kernel. It is coarse, so the fence is what closes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use leasehold_dataplane_core::plan::{AddressOp, Binding, Bound, scope_number};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope, CacheInfo,
};
use rtnetlink::Handle;

use crate::DataplaneError;
use crate::links::{self, Link};

/// How many requests are on their way to the kernel at once.
const IN_FLIGHT: usize = 128;

/// The addresses of this network namespace.
#[derive(Clone, Debug)]
pub struct Addresses {
    handle: Handle,
}

impl Addresses {
    /// Opens a netlink socket in the calling thread's network namespace.
    ///
    /// # Errors
    /// Where the kernel gives none.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn open() -> Result<Self, DataplaneError> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(DataplaneError::Netlink)?;
        // Ends with the last handle.
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    /// The connection, for those who ask about interfaces.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Every address there is, ours or not.
    ///
    /// # Errors
    /// Where the kernel does not say.
    pub async fn read(&self) -> Result<Vec<Bound>, DataplaneError> {
        let names: BTreeMap<u32, String> = links::list(&self.handle)
            .await?
            .into_iter()
            .map(|(name, link)| (link.index, name))
            .collect();
        let dump = self.handle.address().get().execute();
        let all: Vec<AddressMessage> = dump
            .try_collect()
            .await
            .map_err(|source| DataplaneError::Read { what: "addresses", source })?;
        Ok(all.iter().filter_map(|message| bound(message, &names)).collect())
    }

    /// Does these, many at a time, in the order of what goes and what comes.
    ///
    /// `valid_for` is rounded up to whole seconds; absent, the addresses stay for good.
    ///
    /// # Errors
    /// The first failure; the others have been tried all the same. To unbind what is not bound,
    /// or to bind what is, is no failure.
    pub async fn apply(
        &self,
        ops: &[AddressOp],
        valid_for: Option<Duration>,
    ) -> Result<(), DataplaneError> {
        let links = links::list(&self.handle).await?;
        let unbind = ops.iter().filter_map(|op| match op {
            AddressOp::Unbind(bound) => Some(bound),
            AddressOp::Bind(_) => None,
        });
        let outcomes: Vec<_> = stream::iter(unbind.map(|bound| self.unbind(bound, &links)))
            .buffered(IN_FLIGHT)
            .collect()
            .await;
        let bind = ops.iter().filter_map(|op| match op {
            AddressOp::Bind(binding) => Some(binding),
            AddressOp::Unbind(_) => None,
        });
        let bound: Vec<_> = stream::iter(bind.map(|binding| self.bind(binding, &links, valid_for)))
            .buffered(IN_FLIGHT)
            .collect()
            .await;
        outcomes.into_iter().chain(bound).collect()
    }

    /// Renews the lifetimes of what is bound, and binds what is not.
    ///
    /// # Errors
    /// The first failure; the others have been tried all the same.
    pub async fn renew(
        &self,
        bindings: &[Binding],
        valid_for: Duration,
    ) -> Result<(), DataplaneError> {
        let ops: Vec<_> = bindings.iter().cloned().map(AddressOp::Bind).collect();
        self.apply(&ops, Some(valid_for)).await
    }

    async fn bind(
        &self,
        binding: &Binding,
        links: &BTreeMap<String, Link>,
        valid_for: Option<Duration>,
    ) -> Result<(), DataplaneError> {
        let Some(link) = links.get(&binding.interface) else {
            return Err(DataplaneError::NoInterface { name: binding.interface.clone() });
        };
        let mut request =
            self.handle.address().add(link.index, binding.address, binding.prefix).replace();
        fill(request.message_mut(), binding, valid_for);
        request.execute().await.map_err(|source| DataplaneError::Bind {
            address: binding.address,
            interface: binding.interface.clone(),
            source,
        })
    }

    async fn unbind(
        &self,
        bound: &Bound,
        links: &BTreeMap<String, Link>,
    ) -> Result<(), DataplaneError> {
        // An interface takes its addresses with it.
        let Some(link) = links.get(&bound.interface) else { return Ok(()) };
        let mut message = AddressMessage::default();
        message.header.family = match bound.address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.index = link.index;
        message.header.prefix_len = bound.prefix;
        message.attributes.push(AddressAttribute::Local(bound.address));
        match self.handle.address().del(message).execute().await {
            Err(rtnetlink::Error::NetlinkError(error))
                if matches!(-error.raw_code(), libc::EADDRNOTAVAIL | libc::ENODEV) =>
            {
                Ok(())
            }
            outcome => outcome.map_err(|source| DataplaneError::Unbind {
                address: bound.address,
                interface: bound.interface.clone(),
                source,
            }),
        }
    }
}

fn fill(message: &mut AddressMessage, binding: &Binding, valid_for: Option<Duration>) {
    let attributes = &mut message.attributes;
    // rtnetlink derives a broadcast address from the prefix; ours has one where it was given one.
    attributes.retain(|attribute| !matches!(attribute, AddressAttribute::Broadcast(_)));
    match binding.address {
        IpAddr::V4(_) => {
            attributes.extend(binding.broadcast.map(AddressAttribute::Broadcast));
            attributes.extend(binding.label.clone().map(AddressAttribute::Label));
            message.header.scope = AddressScope::from(scope_number(binding.scope));
        }
        IpAddr::V6(_) => {
            // The lease has decided whose it is: there is nothing to detect, and no second to
            // wait for.
            message.header.flags |= AddressHeaderFlags::Nodad;
            attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
        }
    }
    if let Some(valid_for) = valid_for {
        let whole = valid_for.as_secs() + u64::from(valid_for.subsec_nanos() > 0);
        // Zero would unbind it, and the largest number means for ever.
        let seconds = u32::try_from(whole).unwrap_or(u32::MAX - 1).max(1);
        let mut lifetime = CacheInfo::default();
        lifetime.ifa_valid = seconds;
        // An IPv6 address is preferred as the source of new connections the newer it is. A VIP
        // that may go at any moment is no source for ours.
        lifetime.ifa_preferred = match binding.address {
            IpAddr::V4(_) => seconds,
            IpAddr::V6(_) => 0,
        };
        attributes.push(AddressAttribute::CacheInfo(lifetime));
    }
}

fn bound(message: &AddressMessage, names: &BTreeMap<u32, String>) -> Option<Bound> {
    let interface = names.get(&message.header.index)?.clone();
    let (mut local, mut address, mut label, mut broadcast) = (None, None, None, None);
    for attribute in &message.attributes {
        if let AddressAttribute::Local(value) = attribute {
            local = Some(*value);
        } else if let AddressAttribute::Address(value) = attribute {
            address = Some(*value);
        } else if let AddressAttribute::Label(value) = attribute {
            label = Some(value.clone()).filter(|label| *label != interface);
        } else if let AddressAttribute::Broadcast(value) = attribute {
            broadcast = Some(*value);
        }
    }
    Some(Bound {
        // On a point-to-point link IFA_ADDRESS is the other end.
        address: local.or(address)?,
        prefix: message.header.prefix_len,
        interface,
        label,
        broadcast,
        scope: u8::from(message.header.scope),
    })
}
