//! TLS between nodes: who is trusted to be whom.

use std::sync::Arc;
use std::time::Duration;

use leasehold_raft_core::model::NodeId;
use rcgen::{KeyPair, PublicKeyData};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, ServerTlsConfig};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::names::Who;
use super::{ClientCertificate, Error, Fingerprint, Identity, names};

/// A peer that stops in the middle of a handshake costs this long, and no longer.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

impl Identity {
    /// For a server that strangers may reach too. What a caller may do is for a [`super::Gate`]
    /// to decide; that a certificate, if shown, is of this cluster is decided here.
    #[must_use]
    pub fn server_config(&self) -> ServerTlsConfig {
        // The CA goes along, for joiners that know only its hash.
        let chain = format!("{}{}", self.certificate_pem, self.ca_pem);
        ServerTlsConfig::new()
            .identity(tonic::transport::Identity::from_pem(chain, &self.key_pem))
            .client_ca_root(Certificate::from_pem(&self.ca_pem))
            .client_auth_optional(true)
            .timeout(HANDSHAKE_TIMEOUT)
    }

    /// How to reach node `expected` of this cluster, and nobody else, at `address`.
    ///
    /// The certificate may name any address: it is the node that is checked.
    pub fn endpoint(&self, expected: NodeId, address: &str) -> Result<Endpoint, Error> {
        let own = tonic::transport::Identity::from_pem(&self.certificate_pem, &self.key_pem);
        let tls = ClientTlsConfig::new()
            .domain_name(names::node(&self.cluster, expected))
            .ca_certificate(Certificate::from_pem(&self.ca_pem))
            .identity(own)
            .timeout(HANDSHAKE_TIMEOUT);
        Ok(Endpoint::from_shared(format!("https://{address}"))?.tls_config(tls)?)
    }
}

impl ClientCertificate {
    /// How to reach, at `address`, any node of the cluster that this certificate is of.
    pub fn endpoint(&self, address: &str) -> Result<Endpoint, Error> {
        let ca = CertificateDer::from_pem_slice(self.ca_pem.as_bytes())
            .map_err(|_| Error::ClientBundle("the CA's certificate in it cannot be read"))?;
        any_node_endpoint(address, Fingerprint::of(&ca), Some(self))
    }
}

/// How to reach, at `address`, any node of the cluster whose CA has this hash.
///
/// The server shows the CA itself, and its certificate is checked against that.
pub fn any_node_endpoint(
    address: &str,
    ca: Fingerprint,
    client: Option<&ClientCertificate>,
) -> Result<Endpoint, Error> {
    let mut tls = ClientTlsConfig::new().timeout(HANDSHAKE_TIMEOUT);
    if let Some(client) = client {
        let own = tonic::transport::Identity::from_pem(&client.certificate_pem, &client.key_pem);
        tls = tls.identity(own);
    }
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let verifier = Arc::new(AnyNode { ca, algorithms });
    let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
    Ok(endpoint.tls_config_with_verifier(tls, verifier)?)
}

/// Accepts every node, and no client, of the cluster whose CA has the hash.
#[derive(Debug)]
struct AnyNode {
    ca: Fingerprint,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AnyNode {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refuse = |why: &str| rustls::Error::General(why.to_owned());
        let ca =
            intermediates.iter().find(|one| Fingerprint::of(one) == self.ca).ok_or_else(|| {
                refuse("the server is not of the cluster that was meant: it shows another CA")
            })?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)?;
        match names::of_certificate(end_entity).map(|subject| subject.who) {
            Some(Who::Node(_)) => Ok(ServerCertVerified::assertion()),
            Some(Who::Client(_)) | None => Err(refuse("the server's certificate is no node's")),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// Whether the certificate is this key's, from this CA, for this node; why not, otherwise.
pub(super) fn check_certificate(
    pem: &str,
    key: &KeyPair,
    ca: &CertificateDer<'_>,
    cluster: &str,
    node: NodeId,
) -> Result<(), String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|error| format!("it is no certificate in PEM: {error}"))?;
    let unreadable = |_| "it cannot be read as a certificate".to_owned();
    let (_, certificate) = X509Certificate::from_der(&der).map_err(unreadable)?;
    let (_, issuer) = X509Certificate::from_der(ca)
        .map_err(|_| "the CA's certificate, ca.pem, cannot be read".to_owned())?;
    if certificate.verify_signature(Some(issuer.public_key())).is_err() {
        return Err("it was not signed by the CA in ca.pem".to_owned());
    }
    match names::of_certificate(&der) {
        Some(subject) if subject.cluster == cluster && subject.who == Who::Node(node) => {}
        Some(subject) => {
            let (theirs, who) = (subject.cluster, subject.who);
            return Err(format!(
                "it is for {who} of cluster {theirs}, not for node {node} of cluster {cluster}"
            ));
        }
        None => return Err("it names no node".to_owned()),
    }
    if certificate.public_key().subject_public_key.data != key.der_bytes() {
        return Err("it is not for the key in node-key.pem".to_owned());
    }
    Ok(())
}

/// The public key in a certificate, as it stands there.
pub(super) fn public_key(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(certificate.public_key().subject_public_key.data.to_vec())
}
