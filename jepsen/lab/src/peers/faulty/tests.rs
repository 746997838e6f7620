//! Each fault as a checker meets it, and its end.

use std::io::{Read, Write};

use super::*;

fn site() -> Result<(Host, SocketAddrV4)> {
    Ok((Host::new("faulty")?, SocketAddrV4::new([127, 0, 0, 1].into(), 8080)))
}

/// What a checker of pages gets to see.
fn ask(host: &Host, address: SocketAddrV4) -> std::io::Result<String> {
    let asked = host.enter(|| {
        let mut stream = TcpStream::connect_timeout(&address.into(), Duration::from_millis(300))?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text)
    });
    asked.expect("the host is there")
}

fn is_well(answer: &std::io::Result<String>) -> bool {
    answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 200") && text.ends_with(PAGE))
}

#[test]
fn each_fault_of_a_page_is_seen_and_is_over_when_it_is_healed() -> Result<()> {
    let (host, address) = site()?;
    let mut server = Faulty::start(&host, address, Protocol::Http)?;
    let kind = |answer: std::io::Result<String>| answer.map_err(|error| error.kind());
    for behaviour in [
        Behaviour::Refusing,
        Behaviour::Other,
        Behaviour::Stalling,
        Behaviour::Trickling,
        Behaviour::Resetting,
        Behaviour::Deaf,
    ] {
        assert!(is_well(&ask(&host, address)), "before {behaviour:?}");
        server.behave(behaviour)?;
        let seen = ask(&host, address);
        assert!(!is_well(&seen), "{behaviour:?}");
        match behaviour {
            Behaviour::Refusing => assert!(seen.is_ok_and(|text| text.starts_with("HTTP/1.1 500"))),
            Behaviour::Other => assert!(seen.is_ok_and(|text| text.starts_with("HTTP/1.1 200"))),
            Behaviour::Resetting => {
                assert_eq!(kind(seen), Err(std::io::ErrorKind::ConnectionReset));
            }
            Behaviour::Well => {}
            Behaviour::Stalling | Behaviour::Trickling | Behaviour::Deaf => {
                let waited = [std::io::ErrorKind::WouldBlock, std::io::ErrorKind::TimedOut];
                assert!(seen.is_err_and(|error| waited.contains(&error.kind())), "{behaviour:?}");
            }
        }
        server.behave(Behaviour::Well)?;
    }
    server.stop()?;
    assert_eq!(kind(ask(&host, address)), Err(std::io::ErrorKind::ConnectionRefused));
    server.start_again()?;
    assert!(is_well(&ask(&host, address)));
    Ok(())
}

#[test]
fn one_that_is_deaf_can_be_ended() -> Result<()> {
    let (host, address) = site()?;
    let mut server = Faulty::start(&host, address, Protocol::Tcp)?;
    server.behave(Behaviour::Deaf)?;
    server.stop()
}
