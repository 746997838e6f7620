//! TLS to a real server: faults by their names, and one setting for all checks that trust alike.
//!
//! Where any certificate will do, sessions are resumed: a handshake is then cheap. Where it is
//! verified, each handshake is a whole one, as a new client's would be: a resumed session shows
//! no certificate, and one that has run out would go unnoticed as long as the ticket is good.

mod any;
mod sessions;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use leasehold_model::{HttpVersion, Sni, TlsCheck, Trust};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientConfig, Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, CertificateError, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{CheckError, Target, is_local};

/// Why there was no TLS, or none that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsFault {
    #[error("its certificate expired {0} s ago")]
    Expired(u64),
    #[error("its certificate is valid only in {0} s")]
    NotYetValid(u64),
    #[error("its certificate is not for {0}")]
    WrongName(String),
    #[error("its certificate is by an unknown issuer")]
    UnknownIssuer,
    #[error("it speaks no HTTP/2 over TLS")]
    NoHttp2,
    #[error("the connection broke: {0}")]
    Broken(io::Error),
    #[error(transparent)]
    Other(rustls::Error),
}

/// How to begin TLS for one check.
#[derive(Debug)]
pub(super) struct Tls {
    key: Key,
    sni: Sni,
    settings: OnceLock<Settings>,
}

#[derive(Debug)]
struct Settings {
    config: Arc<ClientConfig>,
    /// What others may share, kept for them.
    _shared: Arc<ClientConfig>,
}

/// What makes one setting another.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    trust: Trust,
    http2: bool,
    /// Whether the name that is verified is also sent.
    sends_name: bool,
}

impl Tls {
    pub(super) fn new(check: &TlsCheck, version: HttpVersion) -> Self {
        let http2 = match version {
            HttpVersion::Http2 => true,
            HttpVersion::Http10 | HttpVersion::Http10Close | HttpVersion::Http11 => false,
        };
        let key = Key { trust: check.trust.clone(), http2, sends_name: check.sni != Sni::Off };
        Self { key, sni: check.sni.clone(), settings: OnceLock::new() }
    }

    /// In time, as a step of its own.
    pub(super) async fn handshake(
        &self,
        target: &Target,
        stream: TcpStream,
        virtualhost: Option<&str>,
    ) -> Result<TlsStream<TcpStream>, CheckError> {
        let config = self.config().map_err(|error| CheckError::Unknown(target.address, error))?;
        let name = self.name(target.address, virtualhost);
        let connector = TlsConnector::from(config.clone());
        let step = async {
            let stream = connector.connect(name.clone(), stream).await;
            stream.map_err(|error| failed(target.address, &name, error))
        };
        let stream = target.within(step).await?;
        if self.key.http2 && stream.get_ref().1.alpn_protocol() != Some(HTTP2) {
            return Err(CheckError::Tls(target.address, TlsFault::NoHttp2));
        }
        Ok(stream)
    }

    /// The name that the certificate must be for: that of the handshake, else the virtual host,
    /// else the address.
    fn name(&self, address: SocketAddr, virtualhost: Option<&str>) -> ServerName<'static> {
        let name = match (&self.sni, &self.key.trust) {
            (Sni::Name(name), Trust::Any | Trust::System | Trust::File(_)) => Some(name.as_str()),
            (Sni::Virtualhost, Trust::Any | Trust::System | Trust::File(_))
            | (Sni::Off, Trust::System | Trust::File(_)) => virtualhost.map(without_port),
            (Sni::Off, Trust::Any) => None,
        };
        let name = name.and_then(|name| ServerName::try_from(name.to_owned()).ok());
        name.unwrap_or_else(|| address.ip().into())
    }

    /// Made when it is first asked for, and again where that failed: a file may yet come.
    fn config(&self) -> io::Result<&Arc<ClientConfig>> {
        if let Some(settings) = self.settings.get() {
            return Ok(&settings.config);
        }
        let shared = shared(&self.key)?;
        let config = match &self.key.trust {
            // The verifier and the algorithms, which are what takes room, stay shared.
            Trust::Any => {
                let mut own = ClientConfig::clone(&shared);
                own.resumption = Resumption::store(Arc::new(sessions::Sessions::default()));
                Arc::new(own)
            }
            Trust::System | Trust::File(_) => shared.clone(),
        };
        Ok(&self.settings.get_or_init(|| Settings { config, _shared: shared }).config)
    }
}

const HTTP2: &[u8] = b"h2";

/// A virtual host may have the port of its Host header, and an IPv6 address its brackets.
fn without_port(host: &str) -> &str {
    if let Some((address, _)) = host.strip_prefix('[').and_then(|host| host.split_once(']')) {
        return address;
    }
    match host.split_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        Some(_) | None => host,
    }
}

/// The settings that some check has in use.
static SHARED: Mutex<Vec<(Key, Weak<ClientConfig>)>> = Mutex::new(Vec::new());

/// The one setting of this kind, for as long as a check has it.
fn shared(key: &Key) -> io::Result<Arc<ClientConfig>> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.retain(|(_, config)| config.strong_count() > 0);
    let found = shared.iter().find(|(one, _)| one == key);
    if let Some(config) = found.and_then(|(_, config)| config.upgrade()) {
        return Ok(config);
    }
    let config = Arc::new(made(key)?);
    shared.push((key.clone(), Arc::downgrade(&config)));
    Ok(config)
}

fn made(key: &Key) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous();
    let roots = match &key.trust {
        Trust::Any => None,
        Trust::System => Some(system()?),
        Trust::File(path) => Some(file(path)?),
    };
    let verifier: Arc<dyn ServerCertVerifier> = match roots {
        None => Arc::new(any::AnyCertificate::new(provider)),
        Some(roots) => verifier(roots, provider)?,
    };
    let mut config = builder.with_custom_certificate_verifier(verifier).with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = key.sends_name;
    if key.http2 {
        config.alpn_protocols = vec![HTTP2.to_vec()];
    }
    Ok(config)
}

fn verifier(
    roots: RootCertStore,
    provider: Arc<CryptoProvider>,
) -> io::Result<Arc<WebPkiServerVerifier>> {
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(io::Error::other)
}

/// The authorities that this machine trusts.
fn system() -> io::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One that rustls can't read is no reason to trust none of the others.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found.errors.first().map_or_else(String::new, |error| format!(": {error}"));
        return Err(io::Error::other(format!(
            "this machine trusts no authority{why}; install ca-certificates, or name a file"
        )));
    }
    Ok(roots)
}

fn file(path: &str) -> io::Result<RootCertStore> {
    let unread = |error: rustls::pki_types::pem::Error| {
        io::Error::other(format!("{path}: no authority to trust can be read from it: {error}"))
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unread)? {
        roots.add(certificate.map_err(unread)?).map_err(|error| {
            io::Error::other(format!("{path}: a certificate in it can't be trusted: {error}"))
        })?;
    }
    if roots.is_empty() {
        return Err(io::Error::other(format!("{path}: there is no PEM certificate in it")));
    }
    Ok(roots)
}

fn failed(server: SocketAddr, name: &ServerName<'_>, error: io::Error) -> CheckError {
    if is_local(&error) {
        return CheckError::Unknown(server, error);
    }
    let fault = match error.downcast::<rustls::Error>() {
        Ok(rustls::Error::InvalidCertificate(why)) => distrust(why, name),
        Ok(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)) => {
            TlsFault::NoHttp2
        }
        Ok(other) => TlsFault::Other(other),
        Err(error) => TlsFault::Broken(error),
    };
    CheckError::Tls(server, fault)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "rustls may name more faults")]
fn distrust(why: CertificateError, name: &ServerName<'_>) -> TlsFault {
    match why {
        CertificateError::Expired => TlsFault::Expired(0),
        CertificateError::ExpiredContext { time, not_after } => {
            TlsFault::Expired(time.as_secs().saturating_sub(not_after.as_secs()))
        }
        CertificateError::NotValidYet => TlsFault::NotYetValid(0),
        CertificateError::NotValidYetContext { time, not_before } => {
            TlsFault::NotYetValid(not_before.as_secs().saturating_sub(time.as_secs()))
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFault::WrongName(name.to_str().into_owned())
        }
        CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
        other => TlsFault::Other(other.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tls(trust: Trust, sni: Sni, version: HttpVersion) -> Tls {
        Tls::new(&TlsCheck { sni, trust }, version)
    }

    #[test]
    fn checks_that_trust_alike_share_what_takes_room() {
        let pem = tempfile::NamedTempFile::new().expect("a file");
        let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).expect("signed");
        std::fs::write(pem.path(), authority.cert.pem()).expect("a file");
        let file = Trust::File(pem.path().display().to_string());
        let setting = |trust: &Trust, sni, version| {
            let tls = tls(trust.clone(), sni, version);
            tls.config().expect("made").clone()
        };
        for trust in [file, Trust::System] {
            let one = setting(&trust, Sni::Virtualhost, HttpVersion::Http11);
            let named = Sni::Name("a".to_owned());
            assert!(Arc::ptr_eq(&one, &setting(&trust, named, HttpVersion::Http10)));
            assert!(!Arc::ptr_eq(&one, &setting(&trust, Sni::Virtualhost, HttpVersion::Http2)));
            assert!(!Arc::ptr_eq(&one, &setting(&trust, Sni::Off, HttpVersion::Http11)));
            assert!(!Arc::ptr_eq(&one, &setting(&Trust::Any, Sni::Off, HttpVersion::Http11)));
        }
        let any = || tls(Trust::Any, Sni::Off, HttpVersion::Http11);
        let (one, two) = (any(), any());
        let (one, two) = (one.config().expect("made"), two.config().expect("made"));
        assert!(!Arc::ptr_eq(one, two), "each has its own sessions");
        assert!(Arc::ptr_eq(one.crypto_provider(), two.crypto_provider()));
        assert!(size_of::<ClientConfig>() <= 512, "{}", size_of::<ClientConfig>());
    }

    #[test]
    fn the_name_is_of_the_handshake_else_of_the_host_else_the_address() {
        let address: SocketAddr = ([192, 0, 2, 1], 443).into();
        let name = |trust, sni, host| {
            let name = tls(trust, sni, HttpVersion::Http11).name(address, host);
            name.to_str().into_owned()
        };
        let named = || Sni::Name("sni.example.com".to_owned());
        let host = Some("www.example.com:8443");
        for trust in [Trust::System, Trust::File("ca.pem".to_owned())] {
            assert_eq!(name(trust.clone(), named(), host), "sni.example.com");
            assert_eq!(name(trust.clone(), Sni::Virtualhost, host), "www.example.com");
            assert_eq!(name(trust.clone(), Sni::Off, host), "www.example.com");
            assert_eq!(name(trust, Sni::Off, None), "192.0.2.1");
        }
        assert_eq!(name(Trust::Any, Sni::Off, host), "192.0.2.1");
        assert_eq!(name(Trust::Any, Sni::Virtualhost, host), "www.example.com");
        assert_eq!(name(Trust::Any, Sni::Virtualhost, Some("[2001:db8::1]:443")), "2001:db8::1");
        assert_eq!(name(Trust::Any, Sni::Virtualhost, Some("no name")), "192.0.2.1");
    }
}
