//! A real server that fails on command, in one of the ways in which real ones do.
//!
//! It speaks just enough of its protocol for a checker to be content with it, and until it is told
//! otherwise a checker is.

mod conversation;
mod datagrams;

use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use socket2::SockRef;

use crate::{Host, LabError, Result};

/// Of a listener that accepts.
const BACKLOG: i32 = 128;

/// A connection that is not made by then meets a full queue.
const FULL_AFTER: Duration = Duration::from_millis(100);

/// Connections that fill the shortest queue there is, and more.
const FILLERS_MAX: usize = 8;

/// What it speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// It accepts, and says nothing.
    Tcp,
    Http,
    Smtp,
    /// It greets whoever comes, which no handshake of TLS does.
    Plain,
    Dns,
    /// It sends each datagram back.
    Udp,
}

impl Protocol {
    fn is_datagrams(self) -> bool {
        match self {
            Protocol::Tcp | Protocol::Http | Protocol::Smtp | Protocol::Plain => false,
            Protocol::Dns | Protocol::Udp => true,
        }
    }
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    #[default]
    Well,
    /// It accepts nothing, and the queue of those who wait is full.
    Deaf,
    /// It stops in the middle of an answer, and keeps the connection.
    Stalling,
    /// An answer comes, a byte every half second.
    Trickling,
    /// The answer is that it can't: 500, 421, SERVFAIL.
    Refusing,
    /// The answer is another one, and as well-formed.
    Other,
    /// The connection is reset in the middle of an answer.
    Resetting,
}

/// What a page says while all is well: its MD5 is what a checker knows.
pub const PAGE: &str = "All is well here.\n";

/// The MD5 of [`PAGE`].
pub const PAGE_MD5: &str = "b6e18a84e085bb01cde9e17a1ecfa9c2";

/// A server at one address. Dropping it ends it.
#[derive(Debug)]
pub struct Faulty {
    host: Host,
    address: SocketAddrV4,
    protocol: Protocol,
    shared: Arc<Shared>,
    running: Option<Running>,
    /// Connections that nobody accepts.
    fillers: Vec<TcpStream>,
}

#[derive(Debug)]
enum Running {
    Stream { listener: TcpListener, thread: JoinHandle<()> },
    Datagrams { thread: JoinHandle<()> },
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    behaviour: Behaviour,
    ending: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    /// Waits for so long, or until its end is wanted; true to go on.
    fn linger(&self, span: Duration) -> bool {
        let waited = self.changed.wait_timeout_while(self.state(), span, |state| !state.ending);
        !waited.unwrap_or_else(PoisonError::into_inner).0.ending
    }

    /// Waits until it is to listen; true to go on.
    fn wait_to_listen(&self) -> bool {
        let deaf = |state: &mut State| state.behaviour == Behaviour::Deaf && !state.ending;
        let waited = self.changed.wait_while(self.state(), deaf);
        !waited.unwrap_or_else(PoisonError::into_inner).ending
    }
}

impl Faulty {
    /// Serves at an address of `host`.
    pub fn start(host: &Host, address: SocketAddrV4, protocol: Protocol) -> Result<Faulty> {
        let host = host.clone();
        let (shared, fillers) = (Arc::default(), Vec::new());
        let mut faulty = Faulty { host, address, protocol, shared, running: None, fillers };
        faulty.start_again()?;
        Ok(faulty)
    }

    pub fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// Ends it: its port is closed, and who waits to be accepted is cut off.
    pub fn stop(&mut self) -> Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        self.shared.change(|state| state.ending = true);
        let thread = match running {
            Running::Stream { listener, thread } => {
                drop(listener);
                // A connection wakes it.
                let address = self.address.into();
                let woken = || TcpStream::connect_timeout(&address, FULL_AFTER).is_ok();
                let _ = self.host.enter(woken)?;
                thread
            }
            Running::Datagrams { thread } => thread,
        };
        self.fillers.clear();
        thread.join().map_err(|_| LabError::Argument(format!("{} died", self.address)))
    }

    /// Serves again, well.
    pub fn start_again(&mut self) -> Result<()> {
        self.shared.change(|state| *state = State::default());
        let (shared, protocol) = (self.shared.clone(), self.protocol);
        let system = || LabError::system(self.address.to_string());
        let running = if protocol.is_datagrams() {
            let socket = self.host.enter(|| datagrams::open(self.address))?.map_err(system())?;
            let thread = std::thread::spawn(move || datagrams::serve(&socket, protocol, &shared));
            Running::Datagrams { thread }
        } else {
            let listener = self.host.enter(|| listen(self.address))?.map_err(system())?;
            let inside = listener.try_clone().map_err(system())?;
            let thread = std::thread::spawn(move || accept(&inside, protocol, &shared));
            Running::Stream { listener, thread }
        };
        self.running = Some(running);
        Ok(())
    }

    /// From the next question on. What is under way stays as it is.
    pub fn behave(&mut self, behaviour: Behaviour) -> Result<()> {
        self.shared.change(|state| state.behaviour = behaviour);
        let Some(Running::Stream { listener, .. }) = &self.running else { return Ok(()) };
        let queue = |length| {
            let listened = SockRef::from(listener).listen(length);
            listened.map_err(LabError::system(self.address.to_string()))
        };
        if behaviour != Behaviour::Deaf {
            queue(BACKLOG)?;
            self.fillers.clear();
            return Ok(());
        }
        queue(0)?;
        let address = self.address.into();
        let fillers = self.host.enter(|| -> Vec<TcpStream> {
            let one = || TcpStream::connect_timeout(&address, FULL_AFTER).ok();
            std::iter::from_fn(one).take(FILLERS_MAX).collect()
        })?;
        if fillers.len() == FILLERS_MAX {
            return Err(LabError::Argument(format!("the queue of {address} does not fill")));
        }
        self.fillers = fillers;
        Ok(())
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        // What does not end here ends with the process.
        let _ = self.stop();
    }
}

fn listen(address: SocketAddrV4) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn accept(listener: &TcpListener, protocol: Protocol, shared: &Arc<Shared>) {
    loop {
        let accepted = listener.accept();
        let state = *shared.state();
        if state.ending {
            return;
        }
        if let Ok((stream, _)) = accepted {
            // A checker that goes away is its own affair, and so is what it makes of this.
            let (shared, behaviour) = (shared.clone(), state.behaviour);
            std::thread::spawn(move || {
                let _ = conversation::hold(stream, protocol, behaviour, &shared);
            });
        }
        if !shared.wait_to_listen() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
