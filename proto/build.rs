//! Generates the services from `proto/`, without a `protoc` on the machine.

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let files = ["peer.proto", "control.proto"];
    let descriptors = protox::compile(files, ["proto"])?;
    // These carry secrets: `src/secret.rs` has a `Debug` for them that shows none.
    let secret = [
        ".leasehold.peer.v1.JoinRequest",
        ".leasehold.peer.v1.JoinResponse",
        ".leasehold.control.v1.CreateTokenResponse",
    ];
    tonic_prost_build::configure().skip_debug(secret).compile_fds(descriptors)?;
    // What clients may ask for; what nodes say to each other is not theirs.
    let public = protox::compile(["control.proto"], ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("control.bin"), public.encode_to_vec())?;
    println!("cargo::rerun-if-changed=proto");
    Ok(())
}
