//! Groups of real nodes on loopback, in one process, on stores in memory.

mod cluster;
mod leading;
mod links;
mod membership;
mod speed;
mod store;
