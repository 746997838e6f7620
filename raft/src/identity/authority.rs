//! The cluster's own certificate authority: one key that says who is who.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_raft_core::model::NodeId;
use rcgen::string::Ia5String;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKey,
    PublicKeyData, SanType,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use super::{Error, Fingerprint, names};

const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// Of the CA and of nodes. Membership, not age, is what ends a node's certificate.
const NODE_VALIDITY: Duration = YEAR.saturating_mul(10);
/// Of clients, which nothing but age takes away.
const CLIENT_VALIDITY: Duration = YEAR;
/// 2026-01-01. A machine whose clock says that it is earlier has lost the time, and a
/// certificate counted from there would end before it is used.
const NO_EARLIER_THAN: Duration = Duration::from_secs(1_767_225_600);

/// The CA's certificate and key. Whoever has it can be any node of the cluster.
pub struct Authority {
    cluster: String,
    certificate_pem: String,
    fingerprint: Fingerprint,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// A new CA for a new cluster.
    pub(super) fn found(cluster: &str) -> Result<Self, Error> {
        let key = KeyPair::generate()?;
        let mut params = params(&format!("Leasehold CA of cluster {cluster}"), NODE_VALIDITY);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        let fingerprint = Fingerprint::of(certificate.der());
        let issuer = Issuer::new(params, key);
        let cluster = cluster.to_owned();
        Ok(Self { cluster, certificate_pem: certificate.pem(), fingerprint, issuer })
    }

    /// The CA with this certificate, if the key is its key.
    pub(super) fn load(
        cluster: &str,
        certificate_pem: &str,
        key_pem: &str,
    ) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(certificate_pem.as_bytes())
            .map_err(|error| format!("the CA's certificate cannot be read: {error}"))?;
        // The parser's own words could quote the key.
        let key = KeyPair::from_pem(key_pem).map_err(|_| "it is no private key in PEM")?;
        if super::tls::public_key(&der).as_deref() != Some(key.der_bytes()) {
            return Err("it is not the key of the CA's certificate, ca.pem".to_owned());
        }
        let issuer = Issuer::from_ca_cert_der(&der, key)
            .map_err(|error| format!("the CA's certificate cannot be read: {error}"))?;
        Ok(Self {
            cluster: cluster.to_owned(),
            certificate_pem: certificate_pem.to_owned(),
            fingerprint: Fingerprint::of(&der),
            issuer,
        })
    }

    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The CA's key. It leaves this process for a file of mode 0600, or for a joining director.
    pub(super) fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A certificate for `node`, whatever names the request asked for.
    pub fn sign(&self, request: &SigningRequest, node: NodeId) -> Result<String, Error> {
        self.node_certificate(&request.0, node)
    }

    pub(super) fn node_certificate(
        &self,
        key: &impl PublicKeyData,
        node: NodeId,
    ) -> Result<String, Error> {
        let mut params = params(&format!("Leasehold node {node}"), NODE_VALIDITY);
        let uri = Ia5String::try_from(names::node_uri(&self.cluster, node))?;
        params.subject_alt_names = vec![dns(names::node(&self.cluster, node))?, SanType::URI(uri)];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(key, &self.issuer)?.pem())
    }

    /// A key and certificate for a person or program that commands the cluster from afar.
    pub fn issue_client(&self, name: &str) -> Result<ClientCertificate, Error> {
        names::check_client(name)?;
        let key = KeyPair::generate()?;
        let mut params = params(&format!("Leasehold client {name}"), CLIENT_VALIDITY);
        params.subject_alt_names = vec![dns(names::client(&self.cluster, name))?];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(ClientCertificate {
            ca_pem: self.certificate_pem.clone(),
            certificate_pem: params.signed_by(&key, &self.issuer)?.pem(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// A stranger's request for a certificate, proven to come from the owner of the key in it.
#[derive(Debug)]
pub struct SigningRequest(PublicKey);

impl SigningRequest {
    /// Check a PKCS#10 request. Only its key counts: what names it claims is not even looked at.
    pub fn parse(der: &[u8]) -> Result<Self, Error> {
        let der = CertificateSigningRequestDer::from(der);
        let request = CertificateSigningRequestParams::from_der(&der)
            .map_err(|_| Error::SigningRequest("it cannot be read, or its signature is wrong"))?;
        let key = request.public_key;
        // An uncompressed point of P-256; the signature's algorithm alone does not tell the curve.
        let p256 = key.algorithm() == &rcgen::PKCS_ECDSA_P256_SHA256 && key.der_bytes().len() == 65;
        if p256 { Ok(Self(key)) } else { Err(Error::SigningRequest("its key is not on P-256")) }
    }
}

/// What `--connect` needs, to be kept in one file of mode 0600.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    pub(super) ca_pem: String,
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
}

impl ClientCertificate {
    /// The file's content: certificate, key and the CA to trust. Holds a secret.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{}{}{}", self.certificate_pem, self.key_pem, self.ca_pem)
    }

    /// Read back what [`Self::reveal`] gave.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        for section in text.split_inclusive("-----END ").collect::<Vec<_>>().windows(2) {
            let Some(start) = section[0].rfind("-----BEGIN ") else { continue };
            let end = section[1].find("-----\n").map_or(section[1].len(), |at| at + 6);
            let pem = format!("{}{}", &section[0][start..], &section[1][..end]);
            if pem.starts_with("-----BEGIN CERTIFICATE-----") {
                certificates.push(pem);
            } else {
                keys.push(pem);
            }
        }
        let wrong =
            Error::ClientBundle("it must hold a certificate, its key and the CA's certificate");
        let (Ok([certificate_pem, ca_pem]), Ok([key_pem])) =
            (<[String; 2]>::try_from(certificates), <[String; 1]>::try_from(keys))
        else {
            return Err(wrong);
        };
        Ok(Self { ca_pem, certificate_pem, key_pem })
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

/// A joiner's key, and the request for its certificate in DER.
pub(super) fn key_and_request() -> Result<(KeyPair, Vec<u8>), Error> {
    let key = KeyPair::generate()?;
    let request = CertificateParams::default().serialize_request(&key)?;
    Ok((key, request.der().to_vec()))
}

fn params(common_name: &str, validity: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.use_authority_key_identifier_extension = true;
    // The CA says otherwise of itself.
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    // A machine that starts with its clock in the past must still find its cluster.
    params.not_before = epoch;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_after = epoch + now.max(NO_EARLIER_THAN) + validity;
    params
}

fn dns(name: String) -> Result<SanType, Error> {
    Ok(SanType::DnsName(Ia5String::try_from(name)?))
}
