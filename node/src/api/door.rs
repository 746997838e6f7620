//! Who may have a connection at all, before anybody has said who they are.
//!
//! A stranger can complete a TLS handshake without a certificate, since that is how a machine
//! joins; and whoever has one is a stranger until its first call was let through. So strangers
//! share a bounded number of connections, one address has fewer still, and none lasts long. Where
//! they are too many it is the oldest that goes, never the newest that is turned away: a member
//! shows its certificate within a few round trips, and then counts among its own connections only,
//! whatever address it came from and whoever else is there.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use leasehold_raft::identity::Caller;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Sleep;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::{Connected, TcpConnectInfo};

/// Connections of one stranger's address, and of one member. A member has one for each kind of
/// traffic and peer process.
const EACH: usize = 64;
/// Connections of all strangers.
const STRANGERS: usize = 256;
/// A stranger is here to join, and that takes less.
const STRANGERS_STAY: Duration = Duration::from_secs(10);
/// After an error of `accept`, as a rule for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The two ends of a connection, ours first: no two have the same.
pub(crate) type Ends = (SocketAddr, SocketAddr);

/// The list of who is inside.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    inside: Arc<Mutex<Inside>>,
    strangers_stay: Duration,
}

#[derive(Debug, Default)]
struct Inside {
    seats: HashMap<Ends, Seat>,
    next: u64,
}

#[derive(Debug)]
struct Seat {
    /// The order in which they came.
    nth: u64,
    whose: Whose,
    /// Dropped, it shows the guest out.
    _stay: oneshot::Sender<()>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whose {
    Strangers(IpAddr),
    Known(Caller),
}

/// A connection that counts for as long as it lives.
pub(crate) struct Guest {
    stream: TcpStream,
    pass: Pass,
    /// Until when it may stay without having been recognised.
    patience: Option<Pin<Box<Sleep>>>,
    shown_out: bool,
}

struct Pass {
    door: Door,
    ends: Ends,
    nth: u64,
    stays: oneshot::Receiver<()>,
}

/// Accepts until the receiving end is gone.
pub(crate) fn open(listener: TcpListener, door: Door) -> ReceiverStream<io::Result<Guest>> {
    let (sender, guests) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            let (stream, theirs) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            // A connection without an end of ours is gone already.
            let Ok(ours) = stream.local_addr() else { continue };
            let pass = door.let_in((ours, theirs));
            let patience = Some(Box::pin(tokio::time::sleep(door.strangers_stay)));
            // What it delays is heartbeats; where it fails, the connection is going anyway.
            let _ = stream.set_nodelay(true);
            let guest = Guest { stream, pass, patience, shown_out: false };
            if sender.send(Ok(guest)).await.is_err() {
                return;
            }
        }
    });
    ReceiverStream::new(guests)
}

impl Default for Door {
    fn default() -> Self {
        Self { inside: Arc::default(), strangers_stay: STRANGERS_STAY }
    }
}

impl Door {
    /// Everybody is let in as a stranger; the oldest makes room.
    fn let_in(&self, ends: Ends) -> Pass {
        let from = neighbourhood(ends.1.ip());
        let mut inside = self.inside();
        inside.make_room(&Whose::Strangers(from));
        let strangers = inside.strangers();
        if strangers.values().sum::<usize>() >= STRANGERS
            && let Some((most, _)) = strangers.into_iter().max_by_key(|(_, count)| *count)
        {
            inside.show_out_oldest(&Whose::Strangers(most));
        }
        let (stay, stays) = oneshot::channel();
        let nth = inside.next;
        inside.next += 1;
        inside.seats.insert(ends, Seat { nth, whose: Whose::Strangers(from), _stay: stay });
        drop(inside);
        Pass { door: self.clone(), ends, nth, stays }
    }

    /// A call on this connection showed that it is this member's, or this client's.
    pub(crate) fn recognise(&self, ends: Ends, caller: &Caller) {
        let mut inside = self.inside();
        let known = |seat: &Seat| matches!(seat.whose, Whose::Known(_));
        if inside.seats.get(&ends).is_none_or(known) {
            return;
        }
        let whose = Whose::Known(caller.clone());
        inside.make_room(&whose);
        if let Some(seat) = inside.seats.get_mut(&ends) {
            seat.whose = whose;
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    /// Strangers by where they are from.
    fn strangers(&self) -> BTreeMap<IpAddr, usize> {
        let mut strangers = BTreeMap::new();
        for seat in self.seats.values() {
            if let Whose::Strangers(from) = seat.whose {
                *strangers.entry(from).or_default() += 1;
            }
        }
        strangers
    }

    /// Sees that there is room for one more of these.
    fn make_room(&mut self, whose: &Whose) {
        if self.seats.values().filter(|seat| seat.whose == *whose).count() >= EACH {
            self.show_out_oldest(whose);
        }
    }

    fn show_out_oldest(&mut self, whose: &Whose) {
        let theirs = self.seats.iter().filter(|(_, seat)| seat.whose == *whose);
        let Some(ends) = theirs.min_by_key(|(_, seat)| seat.nth).map(|(ends, _)| *ends) else {
            return;
        };
        tracing::debug!(from = %ends.1, ?whose, "too many connections: the oldest goes");
        self.seats.remove(&ends);
    }
}

/// One host of IPv6 has a whole network of addresses.
fn neighbourhood(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(from) => Ipv6Addr::from_bits(from.to_bits() & !u128::from(u64::MAX)).into(),
        IpAddr::V4(from) => from.into(),
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut inside = self.door.inside();
        if inside.seats.get(&self.ends).is_some_and(|seat| seat.nth == self.nth) {
            inside.seats.remove(&self.ends);
        }
    }
}

impl Pass {
    fn is_strangers(&self) -> bool {
        let inside = self.door.inside();
        let seat = inside.seats.get(&self.ends);
        seat.is_some_and(|seat| matches!(seat.whose, Whose::Strangers(_)))
    }
}

impl Guest {
    /// An error for whoever was shown out. Polled with everything it does, or a guest who neither
    /// sends nor reads would not be.
    fn may_stay(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.shown_out {
            // It resolves when its other end is dropped.
            self.shown_out = Pin::new(&mut self.pass.stays).poll(cx).is_ready();
        }
        if let Some(patience) = &mut self.patience
            && patience.as_mut().poll(cx).is_ready()
        {
            self.patience = None;
            self.shown_out |= self.pass.is_strangers();
        }
        if self.shown_out {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "shown out"));
        }
        Ok(())
    }
}

impl Connected for Guest {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.stream.connect_info()
    }
}

impl AsyncRead for Guest {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.may_stay(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Guest {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.may_stay(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.may_stay(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::NodeId;
    use tokio::io::AsyncReadExt;
    use tokio_stream::StreamExt;

    use super::*;

    /// Connection `nth` of an address.
    fn ends(last: u8, nth: usize) -> Ends {
        let port = u16::try_from(nth).expect("a port");
        let ours = SocketAddr::from(([192, 0, 2, 254], 7400));
        (ours, SocketAddr::from(([192, 0, 2, last], port)))
    }

    fn is_inside(pass: &mut Pass) -> bool {
        matches!(pass.stays.try_recv(), Err(oneshot::error::TryRecvError::Empty))
    }

    fn node(id: u64) -> Caller {
        Caller::Node(NodeId(id))
    }

    #[test]
    fn the_oldest_of_an_address_makes_room() {
        let door = Door::default();
        let mut taken: Vec<_> = (0..=EACH).map(|nth| door.let_in(ends(1, nth))).collect();
        assert!(!is_inside(&mut taken[0]));
        assert!(taken[1..].iter_mut().all(is_inside));
        drop(taken);
        assert!(door.inside().seats.is_empty());
    }

    #[test]
    fn the_oldest_of_the_fullest_address_makes_room_for_another_stranger() {
        let door = Door::default();
        let mut few: Vec<_> = (0..10).map(|nth| door.let_in(ends(1, nth))).collect();
        let mut many: Vec<_> = (0..STRANGERS + 10)
            .map(|nth| door.let_in(ends(2 + u8::try_from(nth / 50).expect("an address"), nth)))
            .collect();
        assert!(few.iter_mut().all(is_inside), "it was not they who were too many");
        assert_eq!(many.iter_mut().filter_map(|one| is_inside(one).then_some(())).count(), 246);
        assert!(is_inside(many.last_mut().expect("a pass")), "the newest is never turned away");
    }

    #[test]
    fn nobody_keeps_a_member_out_nor_drives_it_out() {
        let door = Door::default();
        // From the member's own address, as any user of its machine could.
        let crowd: Vec<_> = (0..EACH).map(|nth| door.let_in(ends(1, nth))).collect();
        let mut member = door.let_in(ends(1, 1000));
        assert!(is_inside(&mut member));
        door.recognise(member.ends, &node(7));
        let after: Vec<_> = (0..EACH).map(|nth| door.let_in(ends(1, 2000 + nth))).collect();
        let far: Vec<_> = (0..=255)
            .flat_map(|last| (0..2).map(move |nth| (last, nth)))
            .map(|(last, nth)| door.let_in(ends(last, 3000 + nth)))
            .collect();
        assert!(is_inside(&mut member));
        assert_eq!(door.inside().strangers().values().sum::<usize>(), STRANGERS);
        drop((crowd, after, far));
    }

    #[test]
    fn a_member_has_a_number_of_its_own() {
        let door = Door::default();
        let mut connections: Vec<_> = (0..=EACH).map(|nth| door.let_in(ends(1, nth))).collect();
        let mut other = door.let_in(ends(2, 0));
        door.recognise(other.ends, &node(8));
        for pass in &connections[1..] {
            door.recognise(pass.ends, &node(7));
            // Each call says it again.
            door.recognise(pass.ends, &node(7));
        }
        assert!(connections[1..].iter_mut().all(is_inside));
        assert!(door.inside().strangers().is_empty(), "none of them counts as a stranger's");
        let mut newest = door.let_in(ends(1, 1000));
        door.recognise(newest.ends, &node(7));
        assert!(!is_inside(&mut connections[1]), "the oldest of its own makes room");
        assert!(is_inside(&mut newest) && is_inside(&mut other));
    }

    #[test]
    fn one_network_of_ipv6_is_one_stranger() {
        let of = |text: &str| neighbourhood(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:0:1::5"), of("2001:db8:0:1:ffff::6"));
        assert_ne!(of("2001:db8:0:1::5"), of("2001:db8:0:2::5"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }

    #[tokio::test]
    async fn a_stranger_is_shown_out_in_time_and_a_member_stays() {
        let stay = Duration::from_millis(100);
        let door = Door { strangers_stay: stay, ..Door::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut guests = open(listener, door.clone());
        let _open = [(); 2].map(|()| std::net::TcpStream::connect(address).expect("connected"));
        let mut come = async || guests.next().await.expect("a guest").expect("a connection");
        let (mut member, mut stranger) = (come().await, come().await);
        door.recognise(member.pass.ends, &node(7));
        let out = tokio::time::timeout(stay * 50, stranger.read_u8()).await;
        let error = out.expect("not for ever").expect_err("nothing was sent");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        assert!(tokio::time::timeout(stay * 3, member.read_u8()).await.is_err(), "it waits on");
    }

    #[tokio::test]
    async fn one_who_makes_room_is_told_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut guests = open(listener, Door::default());
        let connect = || std::net::TcpStream::connect(address).expect("connected");
        let _first = connect();
        let mut first = guests.next().await.expect("a guest").expect("a connection");
        let read = tokio::spawn(async move { first.read_u8().await });
        let mut later = Vec::new();
        for _ in 0..EACH {
            later.push((connect(), guests.next().await));
        }
        let out = tokio::time::timeout(STRANGERS_STAY / 2, read).await.expect("at once");
        assert_eq!(
            out.expect("no panic").map_err(|error| error.kind()),
            Err(io::ErrorKind::ConnectionAborted)
        );
    }
}
