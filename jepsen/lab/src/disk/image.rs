//! What a power cut leaves of files: two of each, what programs see and what was synced.
//!
//! The strictest reading of POSIX, which file systems undercut and programs must not rely on: a
//! file's bytes are kept once the file was synced, a name once its directory was. Of what was
//! written since, a cut may keep any part, in any order, to a sector.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

use nix::errno::Errno;

pub(super) type Ino = u64;
pub(super) const ROOT: Ino = 1;

/// Written whole or not at all.
const SECTOR: usize = 512;

#[derive(Clone, Debug)]
pub(super) struct Image {
    nodes: BTreeMap<Ino, Node>,
    next: Ino,
    /// Bytes that all files together may have.
    room: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Type and permissions, as `st_mode` has them.
    pub(super) mode: u32,
    pub(super) owner: (u32, u32),
    pub(super) modified: SystemTime,
    /// A file without a name lives as long as somebody has it open.
    opened: usize,
    body: Body,
}

#[derive(Clone, Debug)]
enum Body {
    File(Content),
    Directory(Names),
    /// A socket or a pipe: the kernel has what is in it.
    Special,
}

#[derive(Clone, Debug, Default)]
struct Content {
    now: Vec<u8>,
    kept: Vec<u8>,
    /// What makes the one of the other, in order.
    pending: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Bytes { at: usize, bytes: Vec<u8> },
    Length(usize),
}

#[derive(Clone, Debug, Default)]
struct Names {
    now: BTreeMap<OsString, Ino>,
    kept: BTreeMap<OsString, Ino>,
}

/// What becomes of changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    Lost,
    /// Each by itself is there, is not, or breaks off at a sector; by a seed.
    Torn(u64),
}

type Result<T> = std::result::Result<T, Errno>;

impl Image {
    pub(super) fn new(room: u64) -> Image {
        let root = Node::new(nix::libc::S_IFDIR | 0o755, (0, 0));
        Image { nodes: BTreeMap::from([(ROOT, root)]), next: ROOT + 1, room }
    }

    pub(super) fn node(&self, ino: Ino) -> Result<&Node> {
        self.nodes.get(&ino).ok_or(Errno::ENOENT)
    }

    pub(super) fn node_mut(&mut self, ino: Ino) -> Result<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::ENOENT)
    }

    pub(super) fn lookup(&self, parent: Ino, name: &OsStr) -> Result<Ino> {
        self.names(parent)?.now.get(name).copied().ok_or(Errno::ENOENT)
    }

    /// Names with their nodes, in the order of the latter, which no removal changes.
    pub(super) fn list(&self, parent: Ino) -> Result<Vec<(Ino, OsString)>> {
        let now = &self.names(parent)?.now;
        let mut all: Vec<(Ino, OsString)> = now.iter().map(|(n, ino)| (*ino, n.clone())).collect();
        all.sort();
        Ok(all)
    }

    pub(super) fn make(
        &mut self,
        parent: Ino,
        name: &OsStr,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<Ino> {
        let ino = self.next;
        let names = self.names_mut(parent)?;
        if names.now.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        names.now.insert(name.to_owned(), ino);
        self.nodes.insert(ino, Node::new(mode, owner));
        self.next += 1;
        Ok(ino)
    }

    pub(super) fn remove(&mut self, parent: Ino, name: &OsStr, directory: bool) -> Result<()> {
        let ino = self.lookup(parent, name)?;
        match &self.node(ino)?.body {
            Body::Directory(names) if directory && names.now.is_empty() => {}
            Body::Directory(_) if directory => return Err(Errno::ENOTEMPTY),
            Body::Directory(_) => return Err(Errno::EISDIR),
            Body::File(_) | Body::Special if directory => return Err(Errno::ENOTDIR),
            Body::File(_) | Body::Special => {}
        }
        self.names_mut(parent)?.now.remove(name);
        self.collect();
        Ok(())
    }

    pub(super) fn rename(&mut self, from: (Ino, &OsStr), to: (Ino, &OsStr)) -> Result<()> {
        let ino = self.lookup(from.0, from.1)?;
        if let Ok(there) = self.lookup(to.0, to.1) {
            if there == ino {
                return Ok(());
            }
            self.remove(to.0, to.1, self.node(there)?.is_directory())?;
        }
        self.names_mut(to.0)?.now.insert(to.1.to_owned(), ino);
        self.names_mut(from.0)?.now.remove(from.1);
        Ok(())
    }

    pub(super) fn open(&mut self, ino: Ino) -> Result<()> {
        self.node_mut(ino)?.opened += 1;
        Ok(())
    }

    pub(super) fn release(&mut self, ino: Ino) {
        if let Some(node) = self.nodes.get_mut(&ino) {
            node.opened = node.opened.saturating_sub(1);
        }
        self.collect();
    }

    pub(super) fn read(&self, ino: Ino, at: u64, size: u32) -> Result<&[u8]> {
        let now = &self.content(ino)?.now;
        let from = place(at)?.min(now.len());
        Ok(&now[from..now.len().min(from + size as usize)])
    }

    pub(super) fn write(&mut self, ino: Ino, at: u64, bytes: &[u8]) -> Result<()> {
        let at = place(at)?;
        self.grow(ino, at + bytes.len())?;
        self.change(ino, Change::Bytes { at, bytes: bytes.to_vec() })
    }

    pub(super) fn set_length(&mut self, ino: Ino, length: u64) -> Result<()> {
        let length = place(length)?;
        self.grow(ino, length)?;
        self.change(ino, Change::Length(length))
    }

    /// What programs see of this one outlives a cut from now on.
    pub(super) fn sync(&mut self, ino: Ino) -> Result<()> {
        match &mut self.node_mut(ino)?.body {
            Body::File(content) => {
                for change in content.pending.drain(..) {
                    change.apply(&mut content.kept);
                }
            }
            Body::Directory(names) => names.kept = names.now.clone(),
            Body::Special => {}
        }
        self.collect();
        Ok(())
    }

    /// A sync that failed, after which nobody tries to write these changes again: programs go on
    /// seeing them, as Linux does with pages that it could not write.
    pub(super) fn give_up(&mut self, ino: Ino) -> Result<()> {
        if let Body::File(content) = &mut self.node_mut(ino)?.body {
            content.pending.clear();
        }
        Ok(())
    }

    /// Everything is on disk, as it is some seconds after the last change.
    pub(super) fn sync_all(&mut self) {
        for node in self.nodes.values_mut() {
            match &mut node.body {
                // Also what was given up: an operator saw to the disk.
                Body::File(content) => {
                    content.pending.clear();
                    content.kept.clone_from(&content.now);
                }
                Body::Directory(names) => names.kept = names.now.clone(),
                Body::Special => {}
            }
        }
        self.collect();
    }

    /// The power goes. Whoever had something open must be gone.
    pub(super) fn cut(&mut self, unsynced: Unsynced) {
        let mut dice = Dice(unsynced);
        for node in self.nodes.values_mut() {
            node.opened = 0;
            match &mut node.body {
                Body::File(content) => {
                    for change in content.pending.drain(..) {
                        if let Some(part) = dice.part(change) {
                            part.apply(&mut content.kept);
                        }
                    }
                    content.now.clone_from(&content.kept);
                }
                // A journal keeps the changes of a directory's names, or none of them.
                Body::Directory(names) if dice.keeps() => names.kept = names.now.clone(),
                Body::Directory(names) => names.now = names.kept.clone(),
                Body::Special => {}
            }
        }
        self.collect();
    }

    /// Bytes that a cut might lose.
    pub(super) fn pending(&self) -> usize {
        let of = |node: &Node| match &node.body {
            Body::File(content) => content.pending.iter().map(Change::size).sum(),
            Body::Directory(_) | Body::Special => 0,
        };
        self.nodes.values().map(of).sum()
    }

    pub(super) fn used(&self) -> u64 {
        self.nodes.values().map(Node::size).sum()
    }

    pub(super) fn room(&self) -> u64 {
        self.room
    }

    pub(super) fn set_room(&mut self, room: u64) {
        self.room = room;
    }

    fn names(&self, ino: Ino) -> Result<&Names> {
        match &self.node(ino)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) | Body::Special => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self, ino: Ino) -> Result<&mut Names> {
        match &mut self.node_mut(ino)?.body {
            Body::Directory(names) => Ok(names),
            Body::File(_) | Body::Special => Err(Errno::ENOTDIR),
        }
    }

    fn content(&self, ino: Ino) -> Result<&Content> {
        match &self.node(ino)?.body {
            Body::File(content) => Ok(content),
            Body::Directory(_) => Err(Errno::EISDIR),
            Body::Special => Err(Errno::EINVAL),
        }
    }

    fn grow(&self, ino: Ino, length: usize) -> Result<()> {
        let more = length.saturating_sub(self.content(ino)?.now.len()) as u64;
        if more > 0 && self.used() + more > self.room { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    fn change(&mut self, ino: Ino, change: Change) -> Result<()> {
        let node = self.node_mut(ino)?;
        node.modified = SystemTime::now();
        if let Body::File(content) = &mut node.body {
            change.clone().apply(&mut content.now);
            content.pending.push(change);
        }
        Ok(())
    }

    /// Forgets what no name leads to, neither one that programs see nor one that a cut brings
    /// back, and that nobody has open.
    fn collect(&mut self) {
        let (mut reached, mut ahead) = (BTreeSet::new(), vec![ROOT]);
        while let Some(ino) = ahead.pop() {
            if reached.insert(ino)
                && let Some(Node { body: Body::Directory(names), .. }) = self.nodes.get(&ino)
            {
                ahead.extend(names.now.values().chain(names.kept.values()));
            }
        }
        self.nodes.retain(|ino, node| node.opened > 0 || reached.contains(ino));
    }
}

impl Node {
    fn new(mode: u32, owner: (u32, u32)) -> Node {
        let body = match mode & nix::libc::S_IFMT {
            nix::libc::S_IFREG => Body::File(Content::default()),
            nix::libc::S_IFDIR => Body::Directory(Names::default()),
            _ => Body::Special,
        };
        Node { mode, owner, modified: SystemTime::now(), opened: 0, body }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            Body::File(content) => content.now.len() as u64,
            Body::Directory(_) | Body::Special => 0,
        }
    }
}

impl Change {
    fn apply(self, to: &mut Vec<u8>) {
        match self {
            Change::Length(length) => to.resize(length, 0),
            Change::Bytes { at, bytes } => {
                let end = at + bytes.len();
                to.resize(to.len().max(end), 0);
                to[at..end].copy_from_slice(&bytes);
            }
        }
    }

    fn size(&self) -> usize {
        match self {
            Change::Length(_) => 0,
            Change::Bytes { bytes, .. } => bytes.len(),
        }
    }
}

/// What the disk's own order of writing came to.
struct Dice(Unsynced);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        match &mut self.0 {
            Unsynced::Lost => 0,
            Unsynced::Torn(state) => {
                // A linear generator's upper bits are good enough to choose by.
                *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (*state >> 33) as usize % sides.max(1)
            }
        }
    }

    fn keeps(&mut self) -> bool {
        self.roll(2) == 1
    }

    fn part(&mut self, change: Change) -> Option<Change> {
        match (self.roll(3), change) {
            (0, _) => None,
            (1, Change::Bytes { at, mut bytes }) => {
                let sectors = (at + bytes.len()).div_ceil(SECTOR) - at / SECTOR;
                let end = (at / SECTOR + self.roll(sectors)) * SECTOR;
                bytes.truncate(end.saturating_sub(at));
                (!bytes.is_empty()).then_some(Change::Bytes { at, bytes })
            }
            (_, whole) => Some(whole),
        }
    }
}

fn place(at: u64) -> Result<usize> {
    usize::try_from(at).map_err(|_| Errno::EFBIG)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u32 = nix::libc::S_IFREG | 0o600;

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn with_file() -> (Image, Ino) {
        let mut image = Image::new(1 << 20);
        let file = image.make(ROOT, name("log"), FILE, (0, 0)).expect("a new name");
        image.sync(ROOT).expect("the root");
        (image, file)
    }

    fn seen(image: &Image, file: Ino) -> Vec<u8> {
        image.read(file, 0, 1 << 20).expect("the file").to_vec()
    }

    #[test]
    fn a_cut_loses_exactly_what_was_not_synced() {
        let (mut image, file) = with_file();
        image.write(file, 0, b"synced").expect("room");
        image.sync(file).expect("the file");
        image.write(file, 3, b"not this").expect("room");
        image.set_length(file, 40).expect("room");
        assert_eq!((seen(&image, file).len(), image.pending()), (40, 8));
        image.cut(Unsynced::Lost);
        assert_eq!(seen(&image, file), b"synced");
        assert_eq!(image.pending(), 0);
    }

    #[test]
    fn a_name_is_kept_once_its_directory_was_synced() {
        let (mut image, file) = with_file();
        image.write(file, 0, b"old").expect("room");
        image.sync(file).expect("the file");
        let new = image.make(ROOT, name("log.new"), FILE, (0, 0)).expect("a new name");
        image.write(new, 0, b"new").expect("room");
        image.sync(new).expect("the file");
        image.rename((ROOT, name("log.new")), (ROOT, name("log"))).expect("a rename");
        let mut synced = image.clone();
        image.cut(Unsynced::Lost);
        assert_eq!(image.lookup(ROOT, name("log")), Ok(file), "the old one is back");
        assert_eq!(image.lookup(ROOT, name("log.new")), Err(Errno::ENOENT));
        synced.sync(ROOT).expect("the root");
        synced.cut(Unsynced::Lost);
        assert_eq!(synced.lookup(ROOT, name("log")), Ok(new));
        assert_eq!(seen(&synced, new), b"new");
        assert_eq!(synced.node(file).map(Node::size), Err(Errno::ENOENT), "nobody can reach it");
    }

    #[test]
    fn what_was_not_synced_is_torn_at_sectors_and_what_was_is_whole() {
        let mut ends = BTreeSet::new();
        for seed in 0..200 {
            let (mut image, file) = with_file();
            image.write(file, 0, &[1; 4096]).expect("room");
            image.sync(file).expect("the file");
            image.write(file, 1024, &[2; 2048]).expect("room");
            image.cut(Unsynced::Torn(seed));
            let left = seen(&image, file);
            let end = left[1024..].iter().position(|byte| *byte == 1).expect("what was synced");
            assert!(left[..1024].iter().all(|byte| *byte == 1), "before it nothing changed");
            assert!(left[1024 + end..].iter().all(|byte| *byte == 1), "nor behind it");
            ends.insert(end);
        }
        assert_eq!(ends, BTreeSet::from([0, 512, 1024, 1536, 2048]));
    }

    #[test]
    fn what_a_failed_sync_gave_up_is_seen_until_the_cut_and_not_written_by_the_next_sync() {
        let (mut image, file) = with_file();
        image.write(file, 0, b"a").expect("room");
        image.give_up(file).expect("the file");
        image.write(file, 1, b"b").expect("room");
        image.sync(file).expect("the file");
        assert_eq!(seen(&image, file), b"ab");
        image.cut(Unsynced::Lost);
        assert_eq!(seen(&image, file), b"\0b");
    }

    #[test]
    fn a_full_disk_takes_no_more_and_a_removed_file_gives_its_room_back_when_it_is_closed() {
        let mut image = Image::new(100);
        let file = image.make(ROOT, name("a"), FILE, (0, 0)).expect("a new name");
        image.write(file, 0, &[0; 100]).expect("room");
        assert_eq!(image.write(file, 100, b"x"), Err(Errno::ENOSPC));
        image.write(file, 0, b"x").expect("no more room is needed");
        image.open(file).expect("the file");
        image.remove(ROOT, name("a"), false).expect("it is there");
        assert_eq!(image.used(), 100);
        image.release(file);
        assert_eq!(image.used(), 0);
    }
}
