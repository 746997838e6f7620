//! Telling, with real scripts, pipes, relays and web servers.

mod bench;
mod fifo;
mod mail;
mod scripts;
mod server;
mod webhook;
mod whole;
