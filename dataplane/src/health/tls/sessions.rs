//! Sessions to resume: of each name that one check asks for, the last one.
//!
//! rustls keeps them by name, and behind one name are many real servers: what one of them gave is
//! of no use with another. So each check has its own; it has one connection at a time, and needs
//! no more than one.

use std::sync::{Mutex, MutexGuard, PoisonError};

use rustls::NamedGroup;
use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;

/// As many as the check's pages have names.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Vec<(ServerName<'static>, Session)>>);

#[derive(Default)]
struct Session {
    group: Option<NamedGroup>,
    tls12: Option<Tls12ClientSessionValue>,
    tls13: Option<Tls13ClientSessionValue>,
}

impl std::fmt::Debug for Sessions {
    /// Secrets are not shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sessions({})", self.lock().len())
    }
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, Vec<(ServerName<'static>, Session)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(
        &self,
        name: &ServerName<'_>,
        what: impl FnOnce(&mut Session) -> Option<T>,
    ) -> Option<T> {
        let mut sessions = self.lock();
        let found = sessions.iter_mut().find(|(one, _)| one == name);
        found.and_then(|(_, session)| what(session))
    }

    fn edit(&self, name: ServerName<'static>, edit: impl FnOnce(&mut Session)) {
        let mut sessions = self.lock();
        if let Some((_, session)) = sessions.iter_mut().find(|(one, _)| *one == name) {
            return edit(session);
        }
        let mut session = Session::default();
        edit(&mut session);
        sessions.push((name, session));
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, name: ServerName<'static>, group: NamedGroup) {
        self.edit(name, |session| session.group = Some(group));
    }

    fn kx_hint(&self, name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(name, |session| session.group)
    }

    fn set_tls12_session(&self, name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.edit(name, |session| session.tls12 = Some(value));
    }

    fn tls12_session(&self, name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(name, |session| session.tls12.clone())
    }

    fn remove_tls12_session(&self, name: &ServerName<'static>) {
        self.with(name, |session| session.tls12.take());
    }

    fn insert_tls13_ticket(&self, name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.edit(name, |session| session.tls13 = Some(value));
    }

    fn take_tls13_ticket(&self, name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(name, |session| session.tls13.take())
    }
}
