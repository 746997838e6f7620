//! Files that a keepalived.conf includes, found on this machine's disk as glob(3) finds them for
//! keepalived: hidden ones only where the dot is written, and no program among them.

use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use glob::Pattern;
use leasehold_node_core::keepalived::{Included, Includes};
use nix::fcntl::OFlag;

use super::config::MAX_FILE;

pub(super) struct Disk;

impl Includes for Disk {
    fn include(&self, from: &str, pattern: &str) -> Result<Included, String> {
        let mut found = Included::default();
        let mut bytes = 0;
        for path in matches(from, pattern)? {
            let name = path.display().to_string();
            match text_of(&path)? {
                Entry::Skipped(what) => found.skipped.push((name, what.to_owned())),
                Entry::Text(text) => {
                    bytes += u64::try_from(text.len()).unwrap_or(u64::MAX);
                    if bytes > MAX_FILE {
                        return Err(format!("its files have more than {MAX_FILE} bytes together"));
                    }
                    found.files.push((name, text));
                }
            }
        }
        Ok(found)
    }
}

enum Entry {
    Text(String),
    Skipped(&'static str),
}

/// It is looked at before it is opened, as that may do something to a device, and again after, as
/// it may have become another. Nothing of it is waited for: files of `/proc` may have no end.
fn text_of(path: &Path) -> Result<Entry, String> {
    let failed = |error: Error| format!("reading {}: {error}", path.display());
    match fs::metadata(path) {
        Ok(metadata) => {
            if let Some(what) = no_text(&metadata) {
                return Ok(Entry::Skipped(what));
            }
        }
        // It was seen a moment ago.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Entry::Skipped("a link to nothing"));
        }
        Err(error) => return Err(failed(error)),
    }
    let flags = (OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    if let Some(what) = no_text(&file.metadata().map_err(failed)?) {
        return Ok(Entry::Skipped(what));
    }
    let text = super::config::read_open(&file);
    text.map(Entry::Text).map_err(|error| format!("reading {}: {error:#}", path.display()))
}

/// What keepalived would not read either, as it stands in a directory of configuration.
fn no_text(metadata: &fs::Metadata) -> Option<&'static str> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        Some("a directory")
    } else if kind.is_fifo() {
        Some("a pipe")
    } else if kind.is_socket() {
        Some("a socket")
    } else if !kind.is_file() {
        Some("a device")
    } else if metadata.permissions().mode() & 0o111 != 0 {
        Some("executable, as a program is")
    } else {
        None
    }
}

/// What `pattern` in the file `from` matches, in the order of glob(3). The directory of `from` is
/// no part of the pattern. The `glob` crate's own walk would be: it loses hidden names that are
/// written out, and knows a `**` that glob(3) does not.
fn matches(from: &str, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let start = if pattern.starts_with('/') {
        PathBuf::from("/")
    } else {
        Path::new(from).parent().unwrap_or(Path::new("")).to_owned()
    };
    let mut paths = vec![start];
    for step in pattern.split('/').filter(|step| !step.is_empty()) {
        if !step.contains(['*', '?', '[', '\\']) {
            paths.iter_mut().for_each(|path| path.push(step));
            continue;
        }
        let wanted = translated(step)?;
        let wanted = Pattern::new(&wanted).map_err(|error| format!("{step}: {error}"))?;
        let mut next = Vec::new();
        for path in paths {
            let failed = |error: Error| format!("{}: {error}", path.display());
            next.extend(among(&path, step, &wanted).map_err(failed)?);
        }
        paths = next;
    }
    // Steps without a pattern were not looked for yet. What can't be looked at is not passed over:
    // half a configuration would take VIPs away.
    let mut there = Vec::new();
    for path in paths {
        match fs::symlink_metadata(&path) {
            Ok(_) => there.push(path),
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(format!("{}: {error}", path.display())),
        }
    }
    there.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    Ok(there)
}

fn is_absent(error: &Error) -> bool {
    [ErrorKind::NotFound, ErrorKind::NotADirectory].contains(&error.kind())
}

/// Those in a directory that one step of a pattern matches.
fn among(folder: &Path, step: &str, wanted: &Pattern) -> std::io::Result<Vec<PathBuf>> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match fs::read_dir(here) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut all = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let text = name.to_string_lossy();
        let hidden = text.starts_with('.') && !step.starts_with(['.', '\\']);
        if !hidden && wanted.matches(&text) {
            all.push(folder.join(&name));
        }
    }
    Ok(all)
}

/// A step of glob(3) in the words of the `glob` crate. glob(3) has escapes, `[^...]`, and brackets
/// that nothing closes, which mean themselves; it knows no `**`.
fn translated(step: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = step.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                let literal = rest.next().unwrap_or('\\');
                out.push_str(&Pattern::escape(&literal.to_string()));
            }
            '*' if out.ends_with('*') => {}
            '[' => match bracket(rest.as_str()) {
                Some((set, _)) if ["[:", "[.", "[="].iter().any(|class| set.contains(class)) => {
                    return Err(format!("[{set}] has a class of characters: write them out"));
                }
                Some((set, after)) => {
                    let negated = set.strip_prefix(['!', '^']);
                    let sign = if negated.is_some() { "!" } else { "" };
                    out.push_str(&format!("[{sign}{}]", negated.unwrap_or(set)));
                    rest = after.chars();
                }
                None => out.push_str("[[]"),
            },
            c => out.push(c),
        }
    }
    Ok(out)
}

/// What a bracket that was opened before `text` holds, and what follows it. A `]` that comes first
/// closes nothing.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let sign = usize::from(text.starts_with(['!', '^']));
    let first = text.get(sign..)?.chars().next()?;
    let from = sign + first.len_utf8();
    let close = from + text.get(from..)?.find(']')?;
    Some((&text[..close], &text[close + 1..]))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    fn names(included: &[(String, String)]) -> Vec<&str> {
        included.iter().map(|(name, _)| name.rsplit_once('/').unwrap().1).collect()
    }

    fn file(folder: &Path, name: &str, mode: u32) {
        let path = folder.join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn found(folder: &Path, pattern: &str) -> Included {
        let from = folder.join("keepalived.conf").display().to_string();
        Disk.include(&from, pattern).unwrap()
    }

    #[test]
    fn a_directory_is_read_as_keepalived_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let parts = folder.path().join("conf.d");
        fs::create_dir_all(parts.join("sub")).unwrap();
        file(&parts, "b.conf", 0o644);
        file(&parts, "a.conf", 0o600);
        file(&parts, ".a.conf.swp", 0o644);
        file(&parts, "run.conf", 0o744);
        file(&parts.join("sub"), "deep.conf", 0o644);
        nix::unistd::mkfifo(&parts.join("pipe.conf"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let socket = UnixListener::bind(parts.join("socket.conf")).unwrap();
        std::os::unix::fs::symlink("nowhere", parts.join("link.conf")).unwrap();
        std::os::unix::fs::symlink("a.conf", parts.join("same.conf")).unwrap();
        let all = found(folder.path(), "conf.d/*");
        assert_eq!(names(&all.files), ["a.conf", "b.conf", "same.conf"]);
        assert_eq!(all.files[0].1, "a.conf");
        let skipped: Vec<&str> = all.skipped.iter().map(|one| one.1.as_str()).collect();
        assert_eq!(
            names(&all.skipped),
            ["link.conf", "pipe.conf", "run.conf", "socket.conf", "sub"]
        );
        let what = [
            "a link to nothing",
            "a pipe",
            "executable, as a program is",
            "a socket",
            "a directory",
        ];
        assert_eq!(skipped, what);
        drop(socket);
        // Where its dot is written, a hidden file is one like any other.
        assert_eq!(names(&found(folder.path(), "conf.d/.*.swp").files), [".a.conf.swp"]);
        assert_eq!(names(&found(folder.path(), "conf.d/.a.conf.swp").files), [".a.conf.swp"]);
        assert_eq!(found(folder.path(), "conf.d/none*"), Included::default());
    }

    #[test]
    fn what_has_no_end_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let of = |pattern: &str| {
            let from = folder.path().join("keepalived.conf").display().to_string();
            Disk.include(&from, pattern)
        };
        // It takes no room on the disk.
        let sparse = fs::File::create(folder.path().join("large.conf")).unwrap();
        sparse.set_len(MAX_FILE + 1).unwrap();
        let why = of("large.conf").unwrap_err();
        assert!(why.contains("large.conf") && why.contains("16777216"), "{why}");
        sparse.set_len(MAX_FILE).unwrap();
        assert!(of("large.conf").is_ok());
        file(folder.path(), "one.conf", 0o644);
        let why = of("*.conf").unwrap_err();
        assert!(why.contains("together"), "{why}");
        let skipped = of("/dev/zero").unwrap().skipped;
        assert_eq!(skipped, [("/dev/zero".to_owned(), "a device".to_owned())]);
        std::os::unix::fs::symlink("/dev/zero", folder.path().join("zero")).unwrap();
        assert_eq!(of("zero").unwrap().skipped[0].1, "a device");
        // The file itself, which keepalived has one of, is bounded too.
        let why = format!("{:#}", super::super::config::read(Path::new("/dev/zero")).unwrap_err());
        assert!(why.contains("/dev/zero") && why.contains("16777216"), "{why}");
    }

    #[test]
    fn two_stars_are_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        file(&folder.path().join("a"), "one.conf", 0o644);
        file(&folder.path().join("a/b"), "two.conf", 0o644);
        assert_eq!(names(&found(folder.path(), "**/*.conf").files), ["one.conf"]);
        assert_eq!(names(&found(folder.path(), "a/**").files), ["one.conf"]);
        assert_eq!(names(&found(folder.path(), "a/o**.conf").files), ["one.conf"]);
    }

    #[test]
    fn the_directory_of_the_file_is_no_pattern() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["site[1]", "site1", "new*", "newer"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            file(&folder.path().join(name), &format!("{name}.conf"), 0o644);
        }
        assert_eq!(names(&found(&folder.path().join("site[1]"), "*.conf").files), ["site[1].conf"]);
        assert_eq!(names(&found(&folder.path().join("new*"), "*.conf").files), ["new*.conf"]);
        let name = folder.path().join("site1/site1.conf").display().to_string();
        assert_eq!(names(&found(&folder.path().join("new*"), &name).files), ["site1.conf"]);
    }

    #[test]
    fn a_name_that_is_no_utf_8_does_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"gr\xfcn.conf")), "a").unwrap();
        let all = found(folder.path(), "*.conf");
        assert_eq!((names(&all.files), all.files[0].1.as_str()), (vec!["gr\u{fffd}n.conf"], "a"));
    }

    #[test]
    fn a_step_of_a_pattern_means_what_it_means_to_glob_3() {
        let of = |pattern: &str| translated(pattern).unwrap();
        assert_eq!(of("*.conf"), "*.conf");
        assert_eq!(of("a***b?"), "a*b?");
        assert_eq!(of(r"a\*b\[c\\"), r"a[*]b[[]c\");
        assert_eq!(of("[^a]x[!]b]y[]]"), "[!a]x[!]b]y[]]");
        assert_eq!(of("a[b"), "a[[]b");
        assert!(translated("[[:alpha:]]*").unwrap_err().contains("write them out"));
    }
}
