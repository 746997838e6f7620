//! The parts together: founding, joining, and TLS over loopback.

mod directory;
mod handshake;
mod joining;

use std::path::Path;

use leasehold_proto::peer::JoinResponse;
use leasehold_raft_core::model::{NodeId, Role};
use serde_json::json;

use super::*;

fn found_in(dir: &Path) -> Founded {
    found(dir, "ds1", "192.0.2.1:7400", json!({"profile": "default"})).unwrap()
}

/// Admit `pending` as `node`, the way a director does.
fn admit(by: &Identity, pending: &PendingJoin, node: NodeId, role: Role) -> JoinResponse {
    let request = SigningRequest::parse(&pending.request().csr).unwrap();
    let first = KnownPeer { id: NodeId(1), name: "ds1".into(), address: "192.0.2.1:7400".into() };
    answer_join(by, &request, node, role, &[first], &json!({"profile": "default"})).unwrap()
}

fn join_in(dir: &Path, by: &Identity, node: NodeId, role: Role) -> Directory {
    let token = Token::new(by.ca_fingerprint());
    let pending = prepare_join(dir, "ds2", "192.0.2.2:7400", token).unwrap();
    let answer = admit(by, &pending, node, role);
    complete_join(pending, answer).unwrap()
}
