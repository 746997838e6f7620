//! A join gives what the role needs, and believes nothing that the token does not vouch for.

use super::*;

type Spoil<'a> = &'a dyn Fn(&mut JoinResponse);

fn secrets(identity: &Identity) -> Vec<String> {
    let pems = [Some(identity.key_pem.clone()), identity.authority().ok().map(Authority::key_pem)];
    // The second line of a key's PEM is the key.
    pems.iter().flatten().map(|pem| pem.lines().nth(1).unwrap().to_owned()).collect()
}

#[test]
fn a_director_can_admit_others_and_a_witness_cannot() {
    let temp = tempfile::tempdir().unwrap();
    let first = found_in(&temp.path().join("1")).directory.identity();
    let second = join_in(&temp.path().join("2"), &first, NodeId(7), Role::Director);
    assert_eq!(second.settings().role, Role::Director);
    assert_eq!(second.settings().peers[0].name, "ds1");
    assert_eq!(second.settings().timing, json!({"profile": "default"}));
    let third = join_in(&temp.path().join("3"), &second.identity(), NodeId(9), Role::Witness);
    assert_eq!(third.identity().node(), NodeId(9));
    assert_eq!(third.identity().ca_fingerprint(), first.ca_fingerprint());
    let error = third.identity().authority().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("ask a director"), "{error}");
    assert!(!temp.path().join("3/ca-key.pem").exists());
}

#[test]
fn an_answer_that_the_token_does_not_vouch_for_makes_no_node() {
    let temp = tempfile::tempdir().unwrap();
    let right = found_in(&temp.path().join("right")).directory.identity();
    let wrong = found_in(&temp.path().join("wrong")).directory.identity();
    let dir = temp.path().join("new");
    let attempt = |spoil: Spoil<'_>| {
        let token = Token::new(right.ca_fingerprint());
        let pending = prepare_join(&dir, "ds2", "192.0.2.2:7400", token).unwrap();
        let mut answer = admit(&right, &pending, NodeId(7), Role::Director);
        spoil(&mut answer);
        complete_join(pending, answer).map(|_| ()).map_err(|error| error.to_string())
    };
    let cases: [(Spoil<'_>, &str); 8] = [
        (&|answer| answer.ca_pem.clone_from(&wrong.ca_pem), "not the one that the token names"),
        (&|answer| answer.certificate_pem.clone_from(&right.certificate_pem), "it is for node 1"),
        (&|answer| answer.certificate_pem.clone_from(&wrong.certificate_pem), "not signed by"),
        (&|answer| answer.node = 8, "it is for node 7"),
        (&|answer| answer.cluster = "../../etc".into(), "names no cluster"),
        (&|answer| answer.role = "king".into(), "unknown role, `king`"),
        (&|answer| answer.members = b"{".into(), "its list of members"),
        (&|answer| answer.ca_key_pem = Some(right.key_pem.clone()), "of the CA's key: it is not"),
    ];
    for (spoil, expected) in cases {
        let error = attempt(spoil).unwrap_err();
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
        assert!(matches!(Directory::open(&dir), Err(Error::NoNode { .. })), "{expected}");
    }
    attempt(&|_| {}).unwrap();
}

#[test]
fn a_request_gives_its_key_and_none_of_its_names() {
    let temp = tempfile::tempdir().unwrap();
    let first = found_in(temp.path()).directory.identity();
    let key = rcgen::KeyPair::generate().unwrap();
    let claimed = format!("node-1.{}.leasehold", first.cluster());
    let mut params = rcgen::CertificateParams::new(vec![claimed.clone()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut der = params.serialize_request(&key).unwrap().der().to_vec();
    let request = SigningRequest::parse(&der).unwrap();
    let pem = first.authority().unwrap().sign(&request, NodeId(7)).unwrap();
    let check = |node| tls::check_certificate(&pem, &key, &first.ca, first.cluster(), node);
    assert_eq!(check(NodeId(7)), Ok(()));
    assert!(check(NodeId(1)).is_err());
    let signed = rustls::pki_types::pem::PemObject::from_pem_slice(pem.as_bytes());
    let signed: rustls::pki_types::CertificateDer<'_> = signed.unwrap();
    assert!(!String::from_utf8_lossy(&signed).contains(&claimed));

    let last = der.len() - 1;
    der[last] ^= 1;
    assert!(SigningRequest::parse(&der).is_err(), "somebody else's key");
    assert!(SigningRequest::parse(b"").is_err());
    let big = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let der = rcgen::CertificateParams::default().serialize_request(&big).unwrap();
    assert!(SigningRequest::parse(der.der()).is_err(), "another curve");
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let temp = tempfile::tempdir().unwrap();
    let founded = found_in(&temp.path().join("1"));
    let first = founded.directory.identity();
    let token = Token::new(first.ca_fingerprint());
    let text = token.reveal();
    let pending = prepare_join(&temp.path().join("2"), "ds2", "192.0.2.2:7400", token).unwrap();
    let answer = admit(&first, &pending, NodeId(7), Role::Director);
    let client = first.authority().unwrap().issue_client("ops").unwrap();
    let shown = format!(
        "{founded:?} {first:?} {:?} {pending:?} {:?} {answer:?} {client:?} {:?}",
        first.authority(),
        pending.request(),
        first.server_config(),
    );
    let mut hidden = secrets(&first);
    hidden.push(client.key_pem.lines().nth(1).unwrap().to_owned());
    hidden.push(text.split('.').nth(1).unwrap().to_owned());
    for secret in hidden {
        assert!(!shown.contains(&secret), "{secret} in {shown}");
    }
    assert!(!shown.contains("PRIVATE"), "{shown}");
}

#[test]
fn a_client_file_is_read_back_whole() {
    let temp = tempfile::tempdir().unwrap();
    let first = found_in(temp.path()).directory.identity();
    let client = first.authority().unwrap().issue_client("ops").unwrap();
    let text = client.reveal();
    assert_eq!(ClientCertificate::parse(&text).unwrap(), client);
    assert!(ClientCertificate::parse(&text[..text.len() / 2]).is_err());
    assert!(ClientCertificate::parse("").is_err());
    assert!(first.authority().unwrap().issue_client("Ops.1").is_err());
}
