//! A director and a client, each in a network namespace of its own, on one wire.
//!
//! The client asks by raw frames, so that no neighbour table stands between a test and the truth.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that has no bed has failed")]
#![allow(clippy::wildcard_enum_match_arm, reason = "control messages are no machine's states")]

use std::io::IoSliceMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime};

use leasehold_dataplane::fence::{Fence, boot_now};
use leasehold_dataplane::frame::{Arp, ArpOperation, Mac, Nd, Solicitation};
use leasehold_dataplane::plan::Binding;
use leasehold_model::{BootNanos, GroupId, Scope};
use nix::ifaddrs::getifaddrs;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::sockopt::{RcvBufForce, ReceiveTimestampns};
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recv, recvmsg, send, setsockopt, socket,
};
use nix::sys::time::TimeSpec;

pub(crate) const DIRECTOR_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
pub(crate) const CLIENT_IP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
pub(crate) const CLIENT_IP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
pub(crate) const VIP6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
pub(crate) const GROUP: GroupId = GroupId(7);
pub(crate) const LIFETIME: Duration = Duration::from_secs(60);

static NEXT: AtomicU32 = AtomicU32::new(0);

pub(crate) struct Bed {
    pub(crate) director: String,
    pub(crate) client: String,
    pub(crate) pin_dir: PathBuf,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let id = format!("{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let bed = Self {
            director: format!("lhd{id}"),
            client: format!("lhc{id}"),
            pin_dir: Path::new("/sys/fs/bpf/leasehold").join(format!("test_{id}")),
        };
        let (director, client) = (&bed.director, &bed.client);
        for ns in [director, client] {
            ip(&format!("netns add {ns}"));
            ip(&format!("-n {ns} link set lo up"));
        }
        bed.wire("eth0");
        ip(&format!("-n {director} addr add {DIRECTOR_IP}/24 dev eth0"));
        ip(&format!("-n {director} addr add fd77::1/64 dev eth0 nodad"));
        ip(&format!("-n {client} addr add {CLIENT_IP}/24 dev eth0"));
        ip(&format!("-n {client} addr add {CLIENT_IP6}/64 dev eth0 nodad"));
        bed
    }

    /// A veth pair called `name` at both ends.
    pub(crate) fn wire(&self, name: &str) {
        let (director, client) = (&self.director, &self.client);
        ip(&format!("-n {director} link add {name} type veth peer name {name} netns {client}"));
        ip(&format!("-n {director} link set {name} up"));
        ip(&format!("-n {client} link set {name} up"));
    }

    /// Runs `body` on a thread of the director's namespace.
    pub(crate) fn on_director<T: Send + 'static>(
        &self,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        in_ns(&self.director, body)
    }

    /// Asks for the VIP from the client, on `eth0`.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.client, "eth0")
    }

    /// A fence in the director's namespace, attached, with the VIPs of the two constants.
    pub(crate) fn fence(&self) -> Fence {
        let pin_dir = self.pin_dir.clone();
        self.on_director(move || {
            let mut fence = Fence::open(&pin_dir).unwrap();
            fence.attach_all().unwrap();
            fence.set_vips(&[(VIP.into(), GROUP), (VIP6.into(), GROUP)].into()).unwrap();
            fence
        })
    }

    pub(crate) fn bind(&self, address: IpAddr) {
        let (director, prefix) = (&self.director, if address.is_ipv4() { 24 } else { 64 });
        let nodad = if address.is_ipv4() { "" } else { "nodad" };
        ip(&format!("-n {director} addr add {address}/{prefix} dev eth0 {nodad}"));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for ns in [&self.director, &self.client] {
            let _ = Command::new("ip").args(["netns", "del", ns]).output();
        }
        let _ = Fence::remove(&self.pin_dir);
    }
}

pub(crate) fn ip(words: &str) {
    run("ip", words);
}

pub(crate) fn run(program: &str, words: &str) -> String {
    let output = Command::new(program).args(words.split_whitespace()).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {words}: {stderr}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `body` on a thread of its own in the network namespace `ns`.
pub(crate) fn in_ns<T: Send + 'static>(ns: &str, body: impl FnOnce() -> T + Send + 'static) -> T {
    let ns = std::fs::File::open(Path::new("/run/netns").join(ns)).unwrap();
    let thread = std::thread::spawn(move || {
        setns(ns, CloneFlags::CLONE_NEWNET).unwrap();
        body()
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Runs a future to its end on a current-thread runtime in the network namespace `ns`.
pub(crate) fn block_in_ns<T, F>(ns: &str, future: impl FnOnce() -> F + Send + 'static) -> T
where
    T: Send + 'static,
    F: Future<Output = T>,
{
    in_ns(ns, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future())
    })
}

pub(crate) fn binding(address: IpAddr) -> Binding {
    Binding {
        address,
        prefix: if address.is_ipv4() { 24 } else { 64 },
        interface: "eth0".to_owned(),
        label: None,
        broadcast: None,
        scope: Scope::Global,
        group: GROUP,
    }
}

pub(crate) fn ahead(span: Duration) -> BootNanos {
    boot_now().after(span)
}

/// An observer with a raw socket on one interface of the client's namespace.
pub(crate) struct Client {
    socket: OwnedFd,
    pub(crate) mac: Mac,
}

impl Client {
    pub(crate) fn new(ns: &str, interface: &str) -> Self {
        let interface = interface.to_owned();
        in_ns(ns, move || {
            let link = link_addr(&interface);
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::EthAll,
            )
            .unwrap();
            // A thousand frames may come while the observer waits for its turn.
            setsockopt(&socket, RcvBufForce, &(8 << 20)).unwrap();
            setsockopt(&socket, ReceiveTimestampns, &true).unwrap();
            bind(socket.as_raw_fd(), &link).unwrap();
            Self { socket, mac: Mac(link.addr().unwrap()) }
        })
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).unwrap();
    }

    /// Sends what the fence may drop: the kernel then says ENOBUFS.
    pub(crate) fn offer(&self, frame: &[u8]) -> bool {
        send(self.socket.as_raw_fd(), frame, MsgFlags::empty()).is_ok()
    }

    /// The next frame before `until`.
    pub(crate) fn receive(&self, until: Instant) -> Option<Vec<u8>> {
        let mut buffer = vec![0; 2048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let millis = u16::try_from(left.as_millis()).unwrap_or(u16::MAX);
            let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
            let timeout = if left.is_zero() { PollTimeout::ZERO } else { (millis + 1).into() };
            match poll(&mut fds, timeout) {
                Ok(0) if left.is_zero() => return None,
                Ok(0) | Err(nix::errno::Errno::EINTR) => {}
                Ok(_) => {
                    let len = recv(self.socket.as_raw_fd(), &mut buffer, MsgFlags::empty());
                    buffer.truncate(len.unwrap());
                    return Some(buffer);
                }
                Err(error) => panic!("poll: {error}"),
            }
        }
    }

    /// The next frame that has come, and when the kernel had it: not when this thread got its
    /// turn to read it.
    pub(crate) fn received(&self) -> Option<(Vec<u8>, BootNanos)> {
        let mut buffer = vec![0; 2048];
        let mut space = nix::cmsg_space!(TimeSpec);
        let mut slices = [IoSliceMut::new(&mut buffer)];
        let fd = self.socket.as_raw_fd();
        let flags = MsgFlags::MSG_DONTWAIT;
        let message = recvmsg::<()>(fd, &mut slices, Some(&mut space), flags).ok()?;
        let stamp = message.cmsgs().unwrap().find_map(|one| match one {
            ControlMessageOwned::ScmTimestampns(stamp) => Some(Duration::from(stamp)),
            _ => None,
        });
        let len = message.bytes;
        buffer.truncate(len);
        Some((buffer, boot_time_of(stamp.unwrap())))
    }

    pub(crate) fn arp_question(&self, vip: Ipv4Addr) -> Vec<u8> {
        Arp::request(CLIENT_IP, self.mac, vip).frame()
    }

    pub(crate) fn nd_question(&self, vip: Ipv6Addr) -> Vec<u8> {
        Solicitation { source: CLIENT_IP6, source_mac: self.mac, target: vip }.frame()
    }

    /// Asks once, and waits for the answer; false after `patience`.
    pub(crate) fn asks(&self, vip: IpAddr, patience: Duration) -> bool {
        let question = match vip {
            IpAddr::V4(vip) => self.arp_question(vip),
            IpAddr::V6(vip) => self.nd_question(vip),
        };
        self.send(&question);
        self.hears(patience, |frame| self.is_answer(frame, vip)).is_some()
    }

    /// Asks again and again until there is an answer; false only after seconds.
    pub(crate) fn reaches(&self, vip: IpAddr) -> bool {
        (0..100).any(|_| self.asks(vip, Duration::from_millis(50)))
    }

    pub(crate) fn hears(
        &self,
        patience: Duration,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        while let Some(frame) = self.receive(until) {
            if wanted(&frame) {
                return Some(frame);
            }
        }
        None
    }

    /// Whether the frame says that the sender is `vip`.
    pub(crate) fn is_claim(&self, frame: &[u8], vip: IpAddr) -> bool {
        match vip {
            IpAddr::V4(vip) => Arp::parse(frame).is_some_and(|arp| arp.sender == vip),
            IpAddr::V6(_) => self.is_answer(frame, vip),
        }
    }

    pub(crate) fn is_answer(&self, frame: &[u8], vip: IpAddr) -> bool {
        match vip {
            IpAddr::V4(vip) => Arp::parse(frame)
                .is_some_and(|arp| arp.operation == ArpOperation::Reply && arp.sender == vip),
            IpAddr::V6(vip) => match Nd::parse(frame) {
                Some(Nd::Advertisement(answer)) => answer.target == vip,
                Some(Nd::Solicitation(_)) | None => false,
            },
        }
    }
}

/// The instant of a wall-clock time: nothing steps that clock during a test.
fn boot_time_of(wall: Duration) -> BootNanos {
    // Both clocks are read until no one came between, or the difference would be someone else's.
    loop {
        let before = boot_now();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        if boot_now().since(before) < Duration::from_micros(10) {
            return before.before(now.saturating_sub(wall));
        }
    }
}

fn link_addr(interface: &str) -> LinkAddr {
    getifaddrs()
        .unwrap()
        .filter(|entry| entry.interface_name == interface)
        .find_map(|entry| entry.address?.as_link_addr().copied())
        .unwrap()
}
