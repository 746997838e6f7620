//! The planted faults still fit the product: a fault that can't be planted would pass for one that
//! is not found.

use std::path::Path;
use std::process::Command;

#[test]
fn every_planted_fault_can_still_be_planted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = root.join("jepsen/planted");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).expect("the folder is part of this crate") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|ending| ending != "patch") {
            continue;
        }
        let name = path.file_stem().expect("it has a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a patch is text");
        assert!(text.contains(&format!("\"{name}\"")), "{name} must ask for its own name");
        names.push(path);
    }
    assert_eq!(names.len(), 7, "as docs/jepsen.md has them");
    names.sort();
    // All of them, one after the other: they are built together.
    let output = Command::new("git")
        .arg("apply")
        .arg("--check")
        .args(&names)
        .current_dir(&root)
        .output()
        .expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "make these patches anew by hand: {said}");
}
