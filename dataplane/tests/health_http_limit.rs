//! A process without a file descriptor left: alone in its binary, as the limit is the process's.

use std::fs::File;
use std::net::TcpListener;

use leasehold_dataplane::health::{CheckError, Prober};
use leasehold_model::{Check, CheckKind, HttpCheck, TlsCheck, Url};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[test]
fn a_machine_without_a_descriptor_left_has_no_verdict() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let url = || vec![Url { path: "/".to_owned(), ..Url::default() }];
    let plain = HttpCheck { urls: url(), ..HttpCheck::default() };
    let tls = HttpCheck { tls: Some(TlsCheck::default()), ..plain.clone() };
    let before = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..before }).expect("less");
    let mut all = Vec::new();
    while let Ok(one) = File::open("/dev/null") {
        all.push(one);
    }
    for kind in [CheckKind::Tcp, CheckKind::Http(plain), CheckKind::Http(tls)] {
        let prober = Prober::new(&Check::new(kind), address, None).expect("it asks the network");
        let error = runtime.block_on(prober.ask()).expect_err("there is no descriptor");
        assert!(
            matches!(&error, CheckError::Unknown(at, why)
            if *at == address && why.raw_os_error() == Some(libc::EMFILE)),
            "{error:?}"
        );
        assert!(!error.is_verdict());
    }
    drop(all);
    setrlimit(Resource::Nofile, before).expect("as it was");
    let tcp = Prober::new(&Check::new(CheckKind::Tcp), address, None).expect("it asks");
    runtime.block_on(tcp.ask()).expect("it accepts");
}
