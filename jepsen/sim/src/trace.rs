//! What happened, in order: a hash over all of it, and the lines for people to read.

use std::io::Write;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// The trace of one run. Two runs of one seed have the same, byte for byte.
#[derive(Default)]
pub(crate) struct Trace {
    hash: Sha256,
    lines: Vec<String>,
    messages: u64,
}

impl Trace {
    /// Notes an event at this instant, in nanoseconds of the simulation.
    pub(crate) fn note(&mut self, at: u64, host: usize, what: &str, more: &Value) {
        let line = format!(
            "{{\"at_us\":{},\"host\":{host},\"event\":\"{what}\",\"data\":{more}}}",
            at / 1000
        );
        self.hash.update(&line);
        self.hash.update(b"\n");
        self.lines.push(line);
    }

    /// A message is only counted in: its bytes are part of the hash.
    pub(crate) fn message(&mut self, at: u64, ends: (usize, usize), bytes: &[u8]) {
        self.messages += 1;
        self.hash.update(at.to_le_bytes());
        self.hash
            .update([u8::try_from(ends.0).unwrap_or(255), u8::try_from(ends.1).unwrap_or(255)]);
        self.hash.update(bytes);
    }

    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    pub(crate) fn hash(&self) -> String {
        let digest = self.hash.clone().finalize();
        digest.iter().take(12).map(|byte| format!("{byte:02x}")).collect()
    }

    pub(crate) fn write(&self, path: &Path) -> std::io::Result<()> {
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
        for line in &self.lines {
            writeln!(file, "{line}")?;
        }
        file.flush()
    }
}
