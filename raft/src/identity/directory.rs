//! The data directory: everything that makes this machine a certain node.
//!
//! ```text
//! node.json      settings; written last, so a directory without it is no node yet
//! ca.pem         the cluster's CA
//! ca-key.pem     its key, on directors
//! node.pem       this node's certificate
//! node-key.pem   its key, which never leaves this directory
//! store/         Raft's log, vote and snapshots
//! lock           flock; the process id of who runs on the directory
//! control.sock   where local clients reach the daemon
//! ```

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_raft_core::model::{NodeId, Role};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::net::UnixListener;

use super::files::Lock;
use super::{Authority, Error, Fingerprint, Settings, files, tls};

pub(super) const SETTINGS: &str = "node.json";
pub(super) const CA: &str = "ca.pem";
pub(super) const CA_KEY: &str = "ca-key.pem";
pub(super) const CERTIFICATE: &str = "node.pem";
pub(super) const KEY: &str = "node-key.pem";
const LOCK: &str = "lock";

/// `sockaddr_un.sun_path`, less the final zero.
const SOCKET_PATH_LIMIT: usize = 107;

/// A node's data directory, ours alone until dropped.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    settings: Settings,
    identity: Arc<Identity>,
    _lock: Lock,
}

impl Directory {
    /// Open an existing node's directory and check that all in it belongs together.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        require_node(dir)?;
        let lock = files::lock(dir)?;
        Self::with_lock(dir, lock)
    }

    pub(super) fn with_lock(dir: &Path, lock: Lock) -> Result<Self, Error> {
        let (settings, identity) = read(dir)?;
        Ok(Self { path: dir.to_owned(), settings, identity: Arc::new(identity), _lock: lock })
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    #[must_use]
    pub fn identity(&self) -> Arc<Identity> {
        Arc::clone(&self.identity)
    }

    /// Where the Raft store lives. The store makes it.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join("store")
    }

    /// Change the settings on disk: the known peers, as a rule. Unchanged ones cost no write.
    pub fn update(&mut self, change: impl FnOnce(&mut Settings)) -> Result<(), Error> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        if settings != self.settings {
            files::write(&self.path, SETTINGS, settings.to_text().as_bytes())?;
            self.settings = settings;
        }
        Ok(())
    }

    /// Listen on the control socket. A socket that is there already is a dead daemon's, since
    /// the lock is ours.
    pub fn listen_for_clients(&self) -> Result<UnixListener, Error> {
        let path = Self::control_socket(&self.path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &path)(error));
            }
            Ok(()) | Err(_) => {}
        }
        let listener = UnixListener::bind(&path).map_err(Error::io("listen on", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))
            .map_err(Error::io("set the permissions of", &path))?;
        Ok(listener)
    }

    /// Where a client finds the daemon of `dir`.
    pub fn control_socket(dir: &Path) -> Result<PathBuf, Error> {
        let path = dir.join("control.sock");
        if path.as_os_str().as_bytes().len() > SOCKET_PATH_LIMIT {
            return Err(Error::SocketPath { path, limit: SOCKET_PATH_LIMIT });
        }
        Ok(path)
    }
}

/// A node's proof of who it is: certificate, key and the CA of its cluster.
pub struct Identity {
    pub(super) cluster: String,
    pub(super) node: NodeId,
    pub(super) ca_pem: String,
    pub(super) ca: CertificateDer<'static>,
    pub(super) certificate_pem: String,
    pub(super) key_pem: String,
    pub(super) authority: Option<Authority>,
}

impl Identity {
    /// Read without the lock, beside a running daemon.
    pub fn read(dir: &Path) -> Result<(Settings, Self), Error> {
        require_node(dir)?;
        read(dir)
    }

    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    #[must_use]
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// What join tokens carry, and joiners trust.
    #[must_use]
    pub fn ca_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.ca)
    }

    /// The CA, if this node may sign for it: every director may, a witness may not.
    pub fn authority(&self) -> Result<&Authority, Error> {
        self.authority.as_ref().ok_or(Error::NoAuthority)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("cluster", &self.cluster)
            .field("node", &self.node)
            .field("signs", &self.authority.is_some())
            .finish_non_exhaustive()
    }
}

fn require_node(dir: &Path) -> Result<(), Error> {
    let path = dir.join(SETTINGS);
    match fs::metadata(&path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match first_remainder(dir) {
            Some(name) => {
                Err(Error::damaged(&path, format!("it is missing, while {name} is there")))
            }
            None => Err(Error::NoNode { dir: dir.to_owned() }),
        },
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

/// What only a node that has run leaves behind.
fn first_remainder(dir: &Path) -> Option<&'static str> {
    ["store"].into_iter().find(|name| dir.join(name).exists())
}

fn read(dir: &Path) -> Result<(Settings, Identity), Error> {
    let path = dir.join(SETTINGS);
    let settings = Settings::parse(&files::read(&path)?, &path)?;
    settings.check().map_err(|why| Error::damaged(&path, why))?;
    let (cluster, node) = (settings.cluster.clone(), settings.node);

    let path = dir.join(CA);
    let ca_pem = files::read(&path)?;
    let ca = CertificateDer::from_pem_slice(ca_pem.as_bytes())
        .map_err(|error| Error::damaged(&path, error))?;

    let key_path = dir.join(KEY);
    let key_pem = files::read_secret(&key_path)?;
    let path = dir.join(CERTIFICATE);
    let certificate_pem = files::read(&path)?;
    let key = rcgen::KeyPair::from_pem(&key_pem)
        .map_err(|_| Error::damaged(&key_path, "it is no private key in PEM"))?;
    tls::check_certificate(&certificate_pem, &key, &ca, &cluster, node)
        .map_err(|why| Error::damaged(&path, why))?;

    let path = dir.join(CA_KEY);
    let authority = match settings.role {
        Role::Director if path.exists() => {
            let key = files::read_secret(&path)?;
            let loaded = Authority::load(&cluster, &ca_pem, &key);
            Some(loaded.map_err(|why| Error::damaged(&path, why))?)
        }
        Role::Director | Role::Witness => None,
    };
    let identity = Identity { cluster, node, ca_pem, ca, certificate_pem, key_pem, authority };
    Ok((settings, identity))
}

/// A directory that is locked and will be a node's, once its settings are written.
#[derive(Debug)]
pub(super) struct Claim {
    path: PathBuf,
    lock: Lock,
}

impl Claim {
    /// Take a directory that is absent, empty, or left over from an attempt that did not end.
    pub(super) fn take(dir: &Path) -> Result<Self, Error> {
        refuse_occupied(dir)?;
        refuse_foreign(dir)?;
        files::make_private_directory(dir)?;
        let lock = files::lock(dir)?;
        // Another attempt may have ended between the first look and the lock.
        refuse_occupied(dir)?;
        Ok(Self { path: dir.to_owned(), lock })
    }

    pub(super) fn write(&self, name: &str, content: &str) -> Result<(), Error> {
        files::write(&self.path, name, content.as_bytes())
    }

    /// From here on it is a node.
    pub(super) fn finish(self, settings: &Settings) -> Result<Directory, Error> {
        self.write(SETTINGS, &settings.to_text())?;
        Directory::with_lock(&self.path, self.lock)
    }
}

fn refuse_occupied(dir: &Path) -> Result<(), Error> {
    let path = dir.join(SETTINGS);
    if !path.exists() {
        return Ok(());
    }
    let Settings { name, cluster, .. } = Settings::parse(&files::read(&path)?, &path)?;
    Err(Error::Occupied { dir: dir.to_owned(), name, cluster })
}

fn refuse_foreign(dir: &Path) -> Result<(), Error> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", dir)(error)),
    };
    let unfinished = [CA, CA_KEY, CERTIFICATE, KEY, LOCK];
    for entry in entries {
        let name = entry.map_err(Error::io("read", dir))?.file_name();
        let name = name.to_string_lossy();
        let temporary = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(".tmp"));
        let ours = unfinished.contains(&temporary.unwrap_or(&name)) || temporary == Some(SETTINGS);
        // The root of a file system of its own has this.
        if !ours && name != "lost+found" {
            return Err(Error::Foreign { dir: dir.to_owned(), entry: name.into_owned() });
        }
    }
    Ok(())
}
