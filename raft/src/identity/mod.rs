//! Who a node is, and how it proves it: its data directory, its certificate and its join token.
//!
//! A cluster has a certificate authority of its own. A certificate says which node of which
//! cluster its holder is, and nothing more: roles and membership live in the replicated state, so
//! a removed node is out without any list of revoked certificates.

mod authority;
mod caller;
mod channels;
mod directory;
mod error;
mod files;
mod join;
mod names;
mod settings;
mod tls;
mod token;

#[cfg(test)]
mod tests;

pub use authority::{Authority, ClientCertificate, SigningRequest};
pub use caller::{Caller, Gate, Refusals, caller, counts};
pub use directory::{Directory, Identity};
pub use error::Error;
pub use join::{Founded, PendingJoin, answer_join, complete_join, found, prepare_join};
pub use settings::{KnownPeer, Settings, check_address, check_name};
pub use tls::any_node_endpoint;
pub use token::{Fingerprint, Token, TokenError};
