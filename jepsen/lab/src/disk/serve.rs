//! The layer's answers to the kernel.
//!
//! One thread answers; what has to wait goes to a thread of its own, so that a read is answered
//! while a sync waits.

use std::ffi::OsStr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use nix::libc;

use super::image::{Image, Ino, Node, ROOT};
use super::layer::{Shared, Work};

/// The kernel is to ask every time: after a cut nothing is as it was.
const TTL: Duration = Duration::ZERO;

const BLOCK: u32 = 4096;

pub(super) struct Served(pub(super) Arc<Shared>);

type Done<T> = Result<T, nix::errno::Errno>;

impl Served {
    fn entry(&self, reply: ReplyEntry, find: impl FnOnce(&mut Image) -> Done<Ino>) {
        let mut state = self.0.lock();
        let found = find(&mut state.image).and_then(|ino| attributes(&state.image, ino));
        drop(state);
        match found {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(told(error)),
        }
    }

    fn empty(&self, reply: ReplyEmpty, change: impl FnOnce(&mut Image) -> Done<()>) {
        let done = change(&mut self.0.lock().image);
        answer(reply, done);
    }

    fn synced(&self, ino: INodeNo, reply: ReplyEmpty) {
        let waits = self.0.lock().must_wait(Work::Sync);
        let shared = Arc::clone(&self.0);
        perhaps_later(waits, move || answer(reply, shared.sync(ino.0)));
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |image| image.lookup(parent.0, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = attributes(&self.0.lock().image, ino.0);
        match found {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut state = self.0.lock();
        let image = &mut state.image;
        let mut change = || {
            if let Some(size) = size {
                image.set_length(ino.0, size)?;
            }
            let node = image.node_mut(ino.0)?;
            if let Some(mode) = mode {
                node.mode = (node.mode & libc::S_IFMT) | (mode & !libc::S_IFMT);
            }
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
            match modified {
                Some(TimeOrNow::SpecificTime(at)) => node.modified = at,
                Some(TimeOrNow::Now) => node.modified = SystemTime::now(),
                None => {}
            }
            attributes(image, ino.0)
        };
        let done = change();
        drop(state);
        match done {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let owner = (request.uid(), request.gid());
        self.entry(reply, |image| image.make(parent.0, name, mode, owner));
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        reply: ReplyEntry,
    ) {
        let owner = (request.uid(), request.gid());
        let mode = libc::S_IFDIR | (mode & !libc::S_IFMT);
        self.entry(reply, |image| image.make(parent.0, name, mode, owner));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |image| image.remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.empty(reply, |image| image.remove(parent.0, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        self.empty(reply, |image| image.rename((parent.0, name), (new_parent.0, new_name)));
    }

    fn open(&self, _: &Request, ino: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.0.lock().image.open(ino.0);
        match opened {
            Ok(()) => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            Err(error) => reply.error(told(error)),
        }
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        let mut state = self.0.lock();
        let image = &mut state.image;
        let mode = libc::S_IFREG | (mode & !libc::S_IFMT);
        let made = image.make(parent.0, name, mode, (request.uid(), request.gid()));
        let made = made.and_then(|ino| {
            image.open(ino)?;
            attributes(image, ino)
        });
        drop(state);
        let flags = FopenFlags::FOPEN_DIRECT_IO;
        match made {
            Ok(one) => reply.created(&TTL, &one, Generation(0), FileHandle(0), flags),
            Err(error) => reply.error(told(error)),
        }
    }

    fn release(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.0.lock().image.release(ino.0);
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let state = self.0.lock();
        if state.reads_fail {
            return reply.error(Errno::EIO);
        }
        match state.image.read(ino.0, at, size) {
            Ok(bytes) => reply.data(bytes),
            Err(error) => reply.error(told(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        at: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let waits = self.0.lock().must_wait(Work::Write);
        let (shared, data) = (Arc::clone(&self.0), data.to_vec());
        perhaps_later(waits, move || match shared.write(ino.0, at, &data) {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(error) => reply.error(told(error)),
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Of a close, which promises nothing.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.synced(ino, reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.synced(ino, reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let state = self.0.lock();
        let names = match state.image.list(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(told(error)),
        };
        // Places by number of the node, so that none is passed over when one before it goes.
        let dots = [(1, ROOT, ".".into()), (2, ROOT, "..".into())];
        let all = dots.into_iter().chain(names.into_iter().map(|(ino, it)| (ino + 2, ino, it)));
        for (place, ino, name) in all.filter(|(place, ..)| *place > offset) {
            let kind = state.image.node(ino).map_or(FileType::RegularFile, kind);
            if reply.add(INodeNo(ino), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let state = self.0.lock();
        let size = u64::from(BLOCK);
        let free = state.image.room().saturating_sub(state.image.used()) / size;
        reply.statfs(state.image.room() / size, free, free, 1 << 20, 1 << 19, BLOCK, 255, BLOCK);
    }
}

fn perhaps_later(waits: bool, work: impl FnOnce() + Send + 'static) {
    if waits {
        std::thread::spawn(work);
    } else {
        work();
    }
}

fn answer(reply: ReplyEmpty, done: Done<()>) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(told(error)),
    }
}

fn told(error: nix::errno::Errno) -> Errno {
    Errno::from_i32(error as i32)
}

fn kind(node: &Node) -> FileType {
    match node.mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFIFO => FileType::NamedPipe,
        _ => FileType::RegularFile,
    }
}

fn attributes(image: &Image, ino: Ino) -> Done<FileAttr> {
    let node = image.node(ino)?;
    Ok(FileAttr {
        ino: INodeNo(ino),
        size: node.size(),
        blocks: node.size().div_ceil(512),
        atime: node.modified,
        mtime: node.modified,
        ctime: node.modified,
        crtime: node.modified,
        kind: kind(node),
        perm: (node.mode & 0o7777) as u16,
        nlink: if node.is_directory() { 2 } else { 1 },
        uid: node.owner.0,
        gid: node.owner.1,
        rdev: 0,
        blksize: BLOCK,
        flags: 0,
    })
}
