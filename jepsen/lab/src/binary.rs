//! The program under test: named by `LEASEHOLD_BIN`, or built once.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::{LabError, Result};

/// The path of the `leasehold` binary.
pub fn find_binary() -> Result<PathBuf> {
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os("LEASEHOLD_BIN") {
        let path = PathBuf::from(path);
        return path.canonicalize().map_err(LabError::system(format!(
            "LEASEHOLD_BIN names {}, which can't be used",
            path.display()
        )));
    }
    BUILT.get_or_init(build).clone().map_err(LabError::Argument)
}

fn build() -> std::result::Result<PathBuf, String> {
    let command = "cargo build -p leasehold --bin leasehold";
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "-p", "leasehold", "--bin", "leasehold", "--message-format=json"])
        // The profile of the tests, so that a release run measures a release build.
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .output()
        .map_err(|error| format!("`{command}`: {error}; set LEASEHOLD_BIN to a built binary"))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        return Err(format!("`{command}` failed: {}", stderr.trim()));
    }
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message.get("executable")?.as_str().map(PathBuf::from))
        .next_back()
        .ok_or_else(|| format!("`{command}` named no executable; set LEASEHOLD_BIN"))
}
