//! The data directory refuses what is not a whole node, and says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

/// From a file's content to a damaged one.
type Damage<'a> = Box<dyn Fn(&str) -> String + 'a>;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn refusal(dir: &Path) -> String {
    Directory::open(dir).unwrap_err().to_string()
}

#[test]
fn a_node_is_found_again_as_it_was_made() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("a/b");
    let Founded { cluster, node, directory } = found_in(&dir);
    assert_eq!(node, NodeId(1));
    let settings = directory.settings().clone();
    assert_eq!(settings.cluster, cluster);
    drop(directory);
    let mut again = Directory::open(&dir).unwrap();
    assert_eq!(again.settings(), &settings);
    let peer =
        KnownPeer { id: NodeId(7), name: "ds2".into(), address: "[2001:db8::7]:7400".into() };
    again.update(|settings| settings.peers = vec![peer.clone()]).unwrap();
    drop(again);
    let (settings, identity) = Identity::read(&dir).unwrap();
    assert_eq!(settings.peers, [peer]);
    assert_eq!(settings.timing, json!({"profile": "default"}));
    assert_eq!((identity.cluster(), identity.node()), (cluster.as_str(), NodeId(1)));
}

#[test]
fn only_the_owner_can_look_inside() {
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let founded = found_in(temp.path());
    assert_eq!(mode(temp.path()), 0o700);
    for entry in fs::read_dir(temp.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    drop(founded);
    let key = temp.path().join("node-key.pem");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(refusal(temp.path()).contains("can be read by other users (mode 0640): chmod 600"));
}

#[test]
fn a_directory_serves_one_process_at_a_time() {
    let temp = tempfile::tempdir().unwrap();
    let founded = found_in(temp.path());
    let expected =
        format!("data directory {} is in use by pid {}", temp.path().display(), std::process::id());
    assert_eq!(refusal(temp.path()), expected);
    drop(founded);
    Directory::open(temp.path()).unwrap();
}

#[test]
fn a_node_is_never_overwritten() {
    let temp = tempfile::tempdir().unwrap();
    let cluster = found_in(temp.path()).cluster;
    let expected = format!(
        "{} already holds node ds1 of cluster {cluster}; choose another --data-dir, or remove it \
         to start anew under a new id",
        temp.path().display()
    );
    let again = found(temp.path(), "ds9", "192.0.2.9:7400", json!(null)).unwrap_err();
    assert_eq!(again.to_string(), expected);
    let token = Token::new(Fingerprint::of(b"ca"));
    let join = prepare_join(temp.path(), "ds9", "192.0.2.9:7400", token).unwrap_err();
    assert_eq!(join.to_string(), expected);
}

#[test]
fn a_directory_of_something_else_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("photo.jpg"), "").unwrap();
    let error = found(temp.path(), "ds1", "192.0.2.1:7400", json!(null)).unwrap_err();
    assert!(error.to_string().contains("it holds photo.jpg"), "{error}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn an_attempt_that_did_not_end_does_not_stand_in_the_way() {
    let temp = tempfile::tempdir().unwrap();
    for name in ["lock", "node-key.pem", ".node.json.tmp", ".node.pem.tmp"] {
        fs::write(temp.path().join(name), "").unwrap();
    }
    fs::create_dir(temp.path().join("lost+found")).unwrap();
    assert!(refusal(temp.path()).contains("run `leasehold init` or `leasehold join` first"));
    found_in(temp.path());
}

#[test]
fn a_node_without_its_settings_is_damaged_not_new() {
    let temp = tempfile::tempdir().unwrap();
    let founded = found_in(temp.path());
    fs::create_dir(founded.directory.store()).unwrap();
    drop(founded);
    fs::remove_file(temp.path().join("node.json")).unwrap();
    assert!(refusal(temp.path()).contains("node.json is damaged: it is missing, while store is"));
    let error = found(temp.path(), "ds1", "192.0.2.1:7400", json!(null)).unwrap_err();
    assert!(error.to_string().contains("it holds store"), "{error}");
}

#[test]
fn nothing_there_names_the_commands_that_make_a_node() {
    let expected = "no node in /nonexistent; run `leasehold init` or `leasehold join` first";
    assert_eq!(refusal(Path::new("/nonexistent")), expected);
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("file");
    fs::write(&file, "").unwrap();
    let error = found(&file.join("d"), "ds1", "192.0.2.1:7400", json!(null)).unwrap_err();
    assert!(error.to_string().contains("file/d"), "{error}");
    // Nobody, root included, makes a directory here.
    let error = found(Path::new("/proc/leasehold"), "ds1", "192.0.2.1:7400", json!(null));
    assert!(error.unwrap_err().to_string().starts_with("cannot create /proc/leasehold: "));
}

#[test]
fn each_damage_is_told_by_file_and_line() {
    let other = tempfile::tempdir().unwrap();
    drop(found_in(other.path()));
    let foreign = |name: &str| fs::read_to_string(other.path().join(name)).unwrap();
    let cases: Vec<(&str, Damage<'_>, &str)> = vec![
        (
            "node.json",
            Box::new(|text| text[..text.len() / 2].to_owned()),
            "node.json is damaged: EOF",
        ),
        (
            "node.json",
            Box::new(|_| String::new()),
            "node.json is damaged: EOF while parsing a value at line 1",
        ),
        (
            "node.json",
            Box::new(|text| text.replace("\"listen\"", "\"listem\"")),
            "node.json is damaged: unknown field `listem`, expected one of `format`, `cluster`, ",
        ),
        (
            "node.json",
            Box::new(|text| text.replace("\"director\"", "\"king\"")),
            "unknown variant `king`, expected `director` or `witness` at line 7 column 16;",
        ),
        (
            "node.json",
            Box::new(|text| text.replace("\"format\": 1", "\"format\": 2, \"colour\": 3")),
            "node.json has format 2, and this leasehold knows format 1: install",
        ),
        (
            "node.json",
            Box::new(|text| text.replace("192.0.2.1", "0.0.0.0")),
            "node.json is damaged: `0.0.0.0:7400` is no address",
        ),
        (
            "node.json",
            Box::new(|text| text.replace("\"node\": 1", "\"node\": 2")),
            "it is for node 1 of",
        ),
        ("node.pem", Box::new(|_| foreign("node.pem")), "it was not signed by the CA in ca.pem"),
        ("node.pem", Box::new(|text| text[..80].to_owned()), "node.pem is damaged"),
        (
            "node-key.pem",
            Box::new(|_| rcgen::KeyPair::generate().unwrap().serialize_pem()),
            "it is not for the key in node-key.pem",
        ),
        ("node-key.pem", Box::new(|_| "x".into()), "node-key.pem is damaged: it is no private key"),
        ("ca.pem", Box::new(|_| "x".into()), "ca.pem is damaged"),
        (
            "ca-key.pem",
            Box::new(|_| rcgen::KeyPair::generate().unwrap().serialize_pem()),
            "it is not the key of the CA's certificate",
        ),
    ];
    for (name, damage, expected) in cases {
        let temp = tempfile::tempdir().unwrap();
        drop(found_in(temp.path()));
        let path = temp.path().join(name);
        let text = damage(&fs::read_to_string(&path).unwrap());
        fs::write(&path, text).unwrap();
        let error = refusal(temp.path());
        assert!(error.contains(expected), "{error}\nshould say: {expected}");
        fs::remove_file(&path).unwrap();
        let gone = Directory::open(temp.path());
        assert_eq!(gone.is_ok(), name == "ca-key.pem", "{name}");
    }
}

#[test]
fn names_and_addresses_are_checked_before_anything_is_written() {
    let temp = tempfile::tempdir().unwrap();
    for (name, listen) in [
        ("", "192.0.2.1:7400"),
        ("a b", "192.0.2.1:7400"),
        ("-a", "192.0.2.1:7400"),
        ("ds1", "192.0.2.1"),
        ("ds1", "192.0.2.1:0"),
        ("ds1", "0.0.0.0:7400"),
        ("ds1", "[::]:7400"),
        ("ds1", "2001:db8::1:7400"),
        ("ds1", "ds1/x:7400"),
        ("ds1", ":7400"),
    ] {
        assert!(found(temp.path(), name, listen, json!(null)).is_err(), "{name} {listen}");
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    found(temp.path(), "ds1.example", "[2001:db8::1]:7400", json!(null)).unwrap();
}

#[tokio::test]
async fn the_control_socket_is_private_and_replaces_a_dead_one() {
    let temp = tempfile::tempdir().unwrap();
    let founded = found_in(temp.path());
    let path = Directory::control_socket(temp.path()).unwrap();
    drop(founded.directory.listen_for_clients().unwrap());
    let _listener = founded.directory.listen_for_clients().unwrap();
    assert_eq!(mode(&path), 0o600);
    tokio::net::UnixStream::connect(&path).await.unwrap();
    let long = temp.path().join("x".repeat(100));
    let error = Directory::control_socket(&long).unwrap_err().to_string();
    assert!(error.contains("longer than a unix socket's may be (107 bytes)"), "{error}");
}
