//! What a check costs this machine: CPU time of the thread that asks, against Debian's nginx.
//!
//! `cargo bench -p leasehold-dataplane --bench health [-- CHECKS]`, as root. On loopback the
//! thread that asks also carries each packet into nginx's socket, so the figures are the most that
//! a check costs.
#![expect(clippy::print_stdout, reason = "a benchmark's report is its output")]

#[path = "../tests/health_http/server.rs"]
mod server;

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use futures::future::join_all;
use leasehold_dataplane::health::Prober;
use leasehold_model::{
    Check, CheckKind, Digest, HttpCheck, HttpVersion, Pattern, Sni, TlsCheck, Trust, Url,
};
use nix::sched::{CloneFlags, unshare};
use nix::time::{ClockId, clock_gettime};
use server::{HOST, Nginx, certificates};

/// Checks under way at the same time.
const SIDE_BY_SIDE: usize = 64;

fn main() {
    let checks = std::env::args().find_map(|one| one.parse().ok()).unwrap_or(20_000);
    unshare(CloneFlags::CLONE_NEWNET).expect("root");
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
    assert!(up.expect("apt-get install iproute2").success());
    let tls = |port: u16, versions: &str| {
        format!(
            "server {{ listen {port} ssl http2; ssl_certificate DIR/good.pem;
                ssl_certificate_key DIR/good.key; ssl_protocols {versions}; }}"
        )
    };
    let page = "well ".repeat(200);
    let servers = format!(
        "ssl_session_cache shared:SSL:16m;\nserver {{ listen 8080; }}
         server {{ listen 8081 http2; }}\n{}\n{}",
        tls(8443, "TLSv1.3"),
        tls(8444, "TLSv1.2")
    );
    let mut nginx = Nginx::start(&servers, |dir| {
        certificates(dir);
        fs::write(dir.join("page"), &page).expect("a file");
    });
    let at: [SocketAddr; 4] = [8080, 8081, 8443, 8444].map(|port| nginx.at(port));
    let file = Trust::File(nginx.dir().join("authority.pem").display().to_string());
    let url = || Url { path: "/page".to_owned(), ..Url::default() };
    let http =
        |version, url| HttpCheck { version, ..HttpCheck { urls: vec![url], tls: None, version } };
    let pattern =
        Pattern { regex: "ill$|well $".to_owned(), no_match: false, min_offset: 0, max_offset: 0 };
    let digest = Digest::Md5(<md5::Md5 as md5::Digest>::digest(&page).into());
    let plain = |version| CheckKind::Http(http(version, url()));
    let over_tls = |trust: &Trust| {
        let tls = TlsCheck { sni: Sni::Virtualhost, trust: trust.clone() };
        CheckKind::Http(HttpCheck { tls: Some(tls), ..http(HttpVersion::Http11, url()) })
    };
    let regex = CheckKind::Http(http(HttpVersion::Http11, Url { regex: Some(pattern), ..url() }));
    let summed = CheckKind::Http(http(HttpVersion::Http11, Url { digest: Some(digest), ..url() }));
    println!("| check | side by side | us of CPU each | a core's second | ms from ask to answer |");
    println!("| --- | --- | --- | --- | --- |");
    for (what, kind, real, share) in [
        ("TCP", CheckKind::Tcp, at[0], 1),
        ("HTTP/1.1, status", plain(HttpVersion::Http11), at[0], 1),
        ("HTTP/1.0, status", plain(HttpVersion::Http10), at[0], 1),
        ("HTTP/1.1, MD5 of 1,000 bytes", summed, at[0], 1),
        ("HTTP/1.1, regex on 1,000 bytes", regex, at[0], 1),
        ("HTTP/2, status", plain(HttpVersion::Http2), at[1], 2),
        ("TLS 1.3, any certificate, resumed", over_tls(&Trust::Any), at[2], 8),
        ("TLS 1.2, any certificate, resumed", over_tls(&Trust::Any), at[3], 8),
        ("TLS 1.3, verified (P-256)", over_tls(&file), at[2], 8),
        ("TLS 1.2, verified (P-256)", over_tls(&file), at[3], 8),
    ] {
        for side_by_side in [1, SIDE_BY_SIDE] {
            row(what, &Check::new(kind.clone()), real, checks / share, side_by_side);
        }
    }
}

fn row(what: &str, check: &Check, real: SocketAddr, checks: usize, side_by_side: usize) {
    let probers: Vec<Prober> = (0..side_by_side)
        .map(|_| Prober::new(check, real, Some(HOST)).expect("it asks the network"))
        .collect();
    let rounds = checks / side_by_side;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let (cpu, wall) = runtime.expect("a runtime").block_on(async {
        // The first of each is another: a whole handshake, a cold path.
        join_all(probers.iter().map(Prober::ask)).await;
        let (cpu, begun) = (cpu_time(), Instant::now());
        join_all(probers.iter().map(|prober| async {
            for _ in 0..rounds {
                prober.ask().await.expect("it is well");
            }
        }))
        .await;
        (cpu_time().saturating_sub(cpu), begun.elapsed())
    });
    let each = cpu.as_secs_f64() / (rounds * side_by_side) as f64;
    println!(
        "| {what} | {side_by_side} | {:.1} | {:.0} | {:.2} |",
        each * 1e6,
        1.0 / each,
        wall.as_secs_f64() * 1e3 / rounds as f64,
    );
}

/// Of this thread.
fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("a clock of this kernel").into()
}
