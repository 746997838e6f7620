//! A whole cluster in one process: the product's consensus, store and lease protocol on a
//! simulated clock, network, disk and kernel, all drawn from one seed.

mod clock;
mod command;
mod daemon;
mod disk;
mod host;
mod nemesis;
mod network;
mod panics;
mod plant;
mod random;
mod simulation;
mod sys;
mod trace;
mod world;

pub use command::{Args, main};
pub use plant::Plant;
pub use simulation::{Outcome, Settings, run};
pub use world::Violation;
