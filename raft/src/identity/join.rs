//! How a machine becomes a node: as the first of a cluster, or with a token.

use std::path::Path;

use leasehold_proto::peer::{JoinRequest, JoinResponse};
use leasehold_raft_core::model::{NodeId, Role};
use rcgen::KeyPair;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tonic::transport::Endpoint;

use super::directory::{CA, CA_KEY, CERTIFICATE, Claim, KEY};
use super::settings::{FORMAT, check_address, check_name};
use super::{
    Authority, Directory, Error, Fingerprint, Identity, KnownPeer, Settings, SigningRequest, Token,
    any_node_endpoint, authority, names, tls,
};

/// A new cluster, and its first node's directory.
#[derive(Debug)]
pub struct Founded {
    pub cluster: String,
    pub node: NodeId,
    pub directory: Directory,
}

/// Make `dir` the first node of a new cluster.
pub fn found(dir: &Path, name: &str, listen: &str, timing: Value) -> Result<Founded, Error> {
    check_name(name)?;
    check_address(listen)?;
    let (cluster, node) = (names::new_cluster(), NodeId(1));
    let claim = Claim::take(dir)?;
    let authority = Authority::found(&cluster)?;
    let key = KeyPair::generate()?;
    claim.write(CA, authority.certificate_pem())?;
    claim.write(CA_KEY, &authority.key_pem())?;
    claim.write(KEY, &key.serialize_pem())?;
    claim.write(CERTIFICATE, &authority.node_certificate(&key, node)?)?;
    let directory = claim.finish(&Settings {
        format: FORMAT,
        cluster: cluster.clone(),
        node,
        name: name.to_owned(),
        listen: listen.to_owned(),
        role: Role::Director,
        timing,
        incarnation: 0,
        peers: Vec::new(),
    })?;
    Ok(Founded { cluster, node, directory })
}

/// A join that is under way: the directory is ours and writable, the key is made.
#[derive(Debug)]
pub struct PendingJoin {
    claim: Claim,
    name: String,
    listen: String,
    token: Token,
    key: KeyPair,
    request: Vec<u8>,
}

/// All that can fail here fails before the token is used up.
pub fn prepare_join(
    dir: &Path,
    name: &str,
    listen: &str,
    token: Token,
) -> Result<PendingJoin, Error> {
    check_name(name)?;
    check_address(listen)?;
    let claim = Claim::take(dir)?;
    let (key, request) = authority::key_and_request()?;
    claim.write(KEY, &key.serialize_pem())?;
    let (name, listen) = (name.to_owned(), listen.to_owned());
    Ok(PendingJoin { claim, name, listen, token, key, request })
}

impl PendingJoin {
    /// How to reach the cluster that made the token through its member at `address`.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, Error> {
        check_address(address)?;
        any_node_endpoint(address, self.token.ca(), None)
    }

    /// What to send to `Admission.Join`. Holds the token.
    #[must_use]
    pub fn request(&self) -> JoinRequest {
        JoinRequest {
            token: self.token.reveal(),
            name: self.name.clone(),
            address: self.listen.clone(),
            csr: self.request.clone(),
        }
    }
}

/// What the cluster answers to a joiner that it has admitted as `node`.
///
/// Call [`SigningRequest::parse`] before the admission is proposed: a request that is refused
/// then leaves the token good and the log clean.
pub fn answer_join(
    identity: &Identity,
    request: &SigningRequest,
    node: NodeId,
    role: Role,
    members: &[KnownPeer],
    timing: &Value,
) -> Result<JoinResponse, Error> {
    let authority = identity.authority()?;
    let ca_key_pem = match role {
        Role::Director => Some(authority.key_pem()),
        Role::Witness => None,
    };
    Ok(JoinResponse {
        node: node.0,
        cluster: identity.cluster.clone(),
        ca_pem: identity.ca_pem.clone(),
        certificate_pem: authority.sign(request, node)?,
        role: role.to_string(),
        members: serde_json::to_vec(members).expect("strings and numbers are JSON"),
        timing: serde_json::to_vec(timing).expect("JSON is JSON"),
        ca_key_pem,
    })
}

/// Check the answer to `pending` against the token, and write it down.
pub fn complete_join(pending: PendingJoin, answer: JoinResponse) -> Result<Directory, Error> {
    let unusable = |why: &str| Error::JoinAnswer(why.to_owned());
    let PendingJoin { claim, name, listen, token, key, .. } = pending;
    let (node, cluster) = (NodeId(answer.node), answer.cluster);
    if !names::is_cluster(&cluster) || node == NodeId(0) {
        return Err(unusable("it names no cluster or no node"));
    }
    let ca = CertificateDer::from_pem_slice(answer.ca_pem.as_bytes())
        .map_err(|_| unusable("its CA's certificate cannot be read"))?;
    if Fingerprint::of(&ca) != token.ca() {
        return Err(unusable("its CA is not the one that the token names"));
    }
    tls::check_certificate(&answer.certificate_pem, &key, &ca, &cluster, node)
        .map_err(|why| Error::JoinAnswer(format!("of the certificate for this node: {why}")))?;
    let role = match answer.role.as_str() {
        "director" => Role::Director,
        "witness" => Role::Witness,
        other => return Err(Error::JoinAnswer(format!("it gives an unknown role, `{other}`"))),
    };
    let peers: Vec<KnownPeer> = serde_json::from_slice(&answer.members)
        .map_err(|error| Error::JoinAnswer(format!("its list of members: {error}")))?;
    let timing = serde_json::from_slice(&answer.timing)
        .map_err(|error| Error::JoinAnswer(format!("its timing: {error}")))?;

    let ca_key = match role {
        Role::Director => answer.ca_key_pem,
        Role::Witness => None,
    };
    if let Some(key) = &ca_key {
        Authority::load(&cluster, &answer.ca_pem, key)
            .map_err(|why| Error::JoinAnswer(format!("of the CA's key: {why}")))?;
    }

    let unrecorded =
        |source| Error::Unrecorded { node, name: name.clone(), source: Box::new(source) };
    claim.write(CA, &answer.ca_pem).map_err(unrecorded)?;
    claim.write(CERTIFICATE, &answer.certificate_pem).map_err(unrecorded)?;
    if let Some(key) = &ca_key {
        claim.write(CA_KEY, key).map_err(unrecorded)?;
    }
    let (format, own) = (FORMAT, name.clone());
    let settings =
        Settings { format, cluster, node, name: own, listen, role, timing, incarnation: 0, peers };
    claim.finish(&settings).map_err(unrecorded)
}
