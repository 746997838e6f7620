//! Numbers that name things. None of them is ever reused.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }
    };
}

id! {
    /// A member of the Raft group. The first node is 1; a later one is named by the index of the
    /// log entry that admitted it, so a wiped disk can never come back under an old id.
    NodeId(u64)
}
id! {
    /// What one lease covers: a sync group or a lone instance. Also its slot in the fence.
    GroupId(u32)
}
id! {
    /// The number of a grant: the index of the log entry that made it. A fencing token.
    Epoch(u64)
}
id! {
    /// The number of a configuration: the index of the log entry that applied it. 0: none yet.
    Revision(u64)
}
