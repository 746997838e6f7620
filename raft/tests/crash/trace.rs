//! What a disk may hold after a power cut, from the record of what a process did.
//!
//! Of each file, what was written before the beginning of a sync that has ended is there. Of the
//! rest, any part may be there, in any order, torn between sectors. Names (files made, renamed,
//! removed) appear in order; those before a sync of their directory are there, and any number of
//! the later ones.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const SECTOR: usize = 512;

#[derive(Debug)]
pub(crate) enum Event {
    Write { path: PathBuf, offset: usize, data: Vec<u8> },
    Truncate { path: PathBuf, length: usize },
    SyncBegin { path: PathBuf },
    SyncEnd { path: PathBuf },
    Create { path: PathBuf },
    Mkdir { path: PathBuf },
    Rename { from: PathBuf, to: PathBuf },
    Unlink { path: PathBuf },
    Say { text: String },
}

/// Reads what the shim recorded. A record cut short by the kill is left out.
pub(crate) fn read(file: &Path) -> Vec<Event> {
    let bytes = std::fs::read(file).unwrap();
    let mut rest = bytes.as_slice();
    let mut events = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<17>() {
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().unwrap()) as usize;
        let (path_length, data_length) = (number(1), number(5));
        if after.len() < path_length + data_length {
            break;
        }
        let offset = u64::from_le_bytes(head[9..17].try_into().unwrap()) as usize;
        let (path, after) = after.split_at(path_length);
        let (data, after) = after.split_at(data_length);
        rest = after;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let path = PathBuf::from(text(path));
        events.push(match head[0] {
            1 => Event::Write { path, offset, data: data.to_vec() },
            2 => Event::Truncate { path, length: offset },
            3 => Event::SyncBegin { path },
            4 => Event::SyncEnd { path },
            5 => Event::Create { path },
            6 => Event::Mkdir { path },
            7 => Event::Rename { from: path, to: PathBuf::from(text(data)) },
            8 => Event::Unlink { path },
            9 => Event::Say { text: text(data) },
            other => panic!("the shim recorded an event of kind {other}"),
        });
    }
    events
}

/// A generator whose numbers depend on the seed alone.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// Less than `sides`.
    pub(crate) fn roll(&mut self, sides: usize) -> usize {
        // SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % sides.max(1) as u64) as usize
    }
}

/// What a disk does with what was not synced.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Lost,
    Kept,
    Mixed,
}

/// One file's history. Names point to it.
#[derive(Default)]
struct Inode {
    changes: Vec<Change>,
    /// How many of `changes` a sync that is under way will make durable.
    syncing: usize,
    durable: usize,
}

enum Change {
    Write { offset: usize, data: Vec<u8> },
    Truncate(usize),
}

enum Naming {
    Create(PathBuf, usize),
    Mkdir(PathBuf),
    Rename(PathBuf, PathBuf),
    Unlink(PathBuf),
}

impl Naming {
    fn parent(&self) -> Option<&Path> {
        match self {
            Self::Create(path, _) | Self::Mkdir(path) | Self::Unlink(path) => path.parent(),
            Self::Rename(_, to) => to.parent(),
        }
    }
}

#[derive(Default)]
struct Disk {
    inodes: Vec<Inode>,
    namings: Vec<Naming>,
    names: BTreeMap<PathBuf, usize>,
    /// Directories being synced, and how many namings there were when that began.
    syncing: BTreeMap<PathBuf, usize>,
    durable_namings: usize,
}

/// Builds in `into` what is left of `root` when power fails after `events`.
pub(crate) fn power_cut(events: &[Event], root: &Path, into: &Path, dice: &mut Dice) {
    let mut disk = Disk::default();
    for event in events {
        disk.take(event);
    }
    let later = disk.namings.len() - disk.durable_namings;
    let kept = disk.durable_namings + dice.roll(later + 1);
    let fate = [Fate::Lost, Fate::Kept, Fate::Mixed, Fate::Mixed][dice.roll(4)];
    let place = |path: &Path| into.join(path.strip_prefix(root).unwrap());
    std::fs::create_dir_all(into).unwrap();
    let mut names = BTreeMap::new();
    for naming in &disk.namings[..kept] {
        match naming {
            Naming::Mkdir(path) => std::fs::create_dir_all(place(path)).unwrap(),
            Naming::Create(path, inode) => {
                names.insert(path.clone(), *inode);
            }
            Naming::Unlink(path) => {
                names.remove(path);
            }
            Naming::Rename(from, to) => rename(&mut names, from, to),
        }
    }
    for (path, inode) in names {
        std::fs::write(place(&path), disk.inodes[inode].after(fate, dice)).unwrap();
    }
}

fn rename(names: &mut BTreeMap<PathBuf, usize>, from: &Path, to: &Path) {
    let inode = names.remove(from).expect("a store renames files that it made, and no directory");
    names.insert(to.to_owned(), inode);
}

impl Disk {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Write { path, offset, data } => {
                let change = Change::Write { offset: *offset, data: data.clone() };
                self.inode(path).changes.push(change);
            }
            Event::Truncate { path, length } => {
                self.inode(path).changes.push(Change::Truncate(*length));
            }
            Event::SyncBegin { path } => match self.names.get(path) {
                Some(inode) => {
                    let inode = &mut self.inodes[*inode];
                    inode.syncing = inode.changes.len();
                }
                None => {
                    self.syncing.insert(path.clone(), self.namings.len());
                }
            },
            Event::SyncEnd { path } => match self.names.get(path) {
                Some(inode) => {
                    let inode = &mut self.inodes[*inode];
                    inode.durable = inode.durable.max(inode.syncing);
                }
                None => self.directory_synced(path),
            },
            Event::Create { path } => {
                self.names.insert(path.clone(), self.inodes.len());
                self.namings.push(Naming::Create(path.clone(), self.inodes.len()));
                self.inodes.push(Inode::default());
            }
            Event::Mkdir { path } => self.namings.push(Naming::Mkdir(path.clone())),
            Event::Rename { from, to } => {
                rename(&mut self.names, from, to);
                self.namings.push(Naming::Rename(from.clone(), to.clone()));
            }
            Event::Unlink { path } => {
                self.names.remove(path);
                self.namings.push(Naming::Unlink(path.clone()));
            }
            Event::Say { .. } => {}
        }
    }

    fn inode(&mut self, path: &Path) -> &mut Inode {
        let inode = self.names.get(path).unwrap_or_else(|| panic!("{path:?} was never made"));
        &mut self.inodes[*inode]
    }

    fn directory_synced(&mut self, path: &Path) {
        let Some(before) = self.syncing.remove(path) else { return };
        let inside = |naming: &Naming| naming.parent() == Some(path);
        if let Some(last) = self.namings[..before].iter().rposition(inside) {
            self.durable_namings = self.durable_namings.max(last + 1);
        }
    }
}

impl Inode {
    fn after(&self, fate: Fate, dice: &mut Dice) -> Vec<u8> {
        let mut content = Vec::new();
        for (number, change) in self.changes.iter().enumerate() {
            let durable = number < self.durable;
            match (change, durable, fate) {
                (_, false, Fate::Lost) => {}
                (Change::Truncate(length), true, _)
                | (Change::Truncate(length), false, Fate::Kept) => {
                    content.resize(*length, 0);
                }
                (Change::Truncate(length), false, Fate::Mixed) => {
                    if dice.roll(2) == 0 {
                        content.resize(*length, 0);
                    }
                }
                (Change::Write { offset, data }, true, _)
                | (Change::Write { offset, data }, false, Fate::Kept) => {
                    write(&mut content, *offset, data);
                }
                (Change::Write { offset, data }, false, Fate::Mixed) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if dice.roll(2) == 0 {
                            write(&mut content, offset + sector * SECTOR, part);
                        }
                    }
                }
            }
        }
        content
    }
}

fn write(content: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if content.len() < offset + data.len() {
        content.resize(offset + data.len(), 0);
    }
    content[offset..offset + data.len()].copy_from_slice(data);
}
