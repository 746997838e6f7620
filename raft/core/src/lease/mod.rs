//! The lease protocol: how one director at a time may answer for a VIP.

mod grantor;
mod holder;
mod takeover;
mod timing;

#[cfg(test)]
mod tests;

pub use grantor::{Grantor, GrantorCommand, GrantorWake};
pub use holder::{Closed, Holder, HolderCommand, HolderLease, HolderWake};
pub use takeover::{Acknowledgements, LastAcknowledged, takeover};
pub use timing::{Profile, Timing, UnknownProfile, UnsafeTiming};
