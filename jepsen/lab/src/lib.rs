//! The testbed: hosts as network namespaces, faults between them, and a witness on the wire.
//!
//! A leaf crate. It shares no code with the product, not even an ARP codec, because a witness that
//! shares code with the accused shares its bugs. It ends only processes, namespaces and pins that
//! it made itself.
//!
//! ```no_run
//! use std::time::Duration;
//! use leasehold_lab::{Lan, End, Host, Program, Returns, now_ns};
//!
//! # fn main() -> Result<(), leasehold_lab::LabError> {
//! let lan = Lan::new("service", "10.77.0.0/24", Some("fd77::/64"))?;
//! let (ds1, ds2, client) = (Host::new("ds1")?, Host::new("ds2")?, Host::new("client")?);
//! let port1 = lan.attach(&ds1, "eth0", 11)?;
//! lan.attach(&ds2, "eth0", 12)?;
//! lan.attach(&client, "eth0", 50)?;
//!
//! let vip = "10.77.0.100".parse().expect("an address");
//! let observer = lan.observe(&client, &[vip])?;
//! let daemon = Program::new("ds1", "/usr/local/bin/leasehold").arg("run").start(&ds1)?;
//! observer.wait_for(vip, Some(port1.mac), Duration::from_secs(5))?;
//!
//! let fault = now_ns();
//! daemon.kill_tree()?;
//! lan.link_down(&ds1, End::Bridge)?;
//! observer.wait_for_other(vip, port1.mac, Duration::from_secs(5))?;
//!
//! let seen = observer.stop()?;
//! assert_eq!(seen.duplicates(vip, Returns::AtMost(0)), []);
//! println!("{}", seen.outage(vip, fault).expect("an outage"));
//! # Ok(())
//! # }
//! ```

mod binary;
mod capture;
pub mod cluster;
pub mod disk;
mod error;
mod fault;
mod link;
mod mac;
mod netns;
pub mod observer;
mod owner;
pub mod peers;
mod process;
pub mod relay;
pub mod site;
mod subnet;
mod sweep;
mod sys;
pub mod vm;
mod wait;
pub mod wall_clock;

pub use binary::find_binary;
pub use error::LabError;
pub use fault::Traffic;
pub use link::{End, Lan, Port, PortSpec};
pub use mac::Mac;
pub use netns::Host;
pub use nix::sys::signal::Signal;
pub use observer::adverts::{Advert, AdvertWatch, Heard};
pub use observer::observation::{Duplicate, DuplicateKind, Observation, Outage, Reign, Returns};
pub use observer::questions::{Question, QuestionWatch, Questions};
pub use observer::{Observer, Settings};
pub use process::{Process, Program};
pub use sweep::{PinDir, Swept, sweep};
pub use wait::{now_ns, until};

/// What every fallible call of the lab returns.
pub type Result<T> = std::result::Result<T, LabError>;
