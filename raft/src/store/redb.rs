//! The log in redb: one file, one fdatasync for each batch.

use std::io;
use std::path::Path;

use redb::{
    Database, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
};

use super::engine::{Engine, Meta, Op};
use super::error::EngineError;
use super::synced::{self, Held};
use super::writer::guarded;

const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// The log of a Raft group that compacts is small; what is read often is cached above.
const CACHE_BYTES: usize = 16 << 20;

pub struct RedbEngine {
    database: Database,
}

impl RedbEngine {
    /// Makes a new file; it must not be there yet.
    pub fn create(path: &Path) -> Result<Self, EngineError> {
        let database = database(Held::new(path)?.create()?)?;
        let transaction = begin(&database)?;
        transaction.open_table(LOG)?;
        transaction.open_table(META)?;
        transaction.commit()?;
        Ok(Self { database })
    }

    /// Opens a file made before, and checks every page's checksum.
    pub fn open(path: &Path) -> Result<Self, EngineError> {
        Self::open_where(path, |_| Ok(()))
    }

    /// The same. Where what is read may not be on the disk, `is_good` sees it before it is made
    /// durable in the place of what is there.
    pub(super) fn open_where(
        path: &Path,
        is_good: impl FnOnce(&Self) -> Result<(), EngineError>,
    ) -> Result<Self, EngineError> {
        let held = Held::new(path)?;
        if held.is_in_doubt() {
            let bytes = held.bytes()?;
            let seen = guarded(|| is_good(&Self::of(&bytes)?));
            seen.map_err(|error| match error {
                EngineError::Corrupt(what) => EngineError::Doubtful(what),
                EngineError::Doubtful(_) | EngineError::Io(_) | EngineError::InUse => error,
            })?;
            held.renew(&bytes)?;
        }
        if std::fs::metadata(path)?.len() == 0 {
            return Err(EngineError::Corrupt("the file is empty".to_owned()));
        }
        Self::whole(held.open()?)
    }

    /// What the file holds, for whoever only looks: nothing is changed on the disk.
    pub(super) fn look(path: &Path) -> Result<Self, EngineError> {
        Self::of(&synced::look(path)?)
    }

    fn of(bytes: &[u8]) -> Result<Self, EngineError> {
        if bytes.is_empty() {
            return Err(EngineError::Corrupt("the file is empty".to_owned()));
        }
        Self::whole(synced::in_memory(bytes)?)
    }

    fn whole(backend: impl StorageBackend) -> Result<Self, EngineError> {
        let mut database = database(backend)?;
        if !database.check_integrity()? {
            return Err(EngineError::Corrupt("pages failed their checksums".to_owned()));
        }
        Ok(Self { database })
    }
}

impl Engine for RedbEngine {
    fn write(&mut self, batch: &[Op]) -> Result<(), EngineError> {
        let transaction = begin(&self.database)?;
        {
            let mut log = transaction.open_table(LOG)?;
            let mut meta = transaction.open_table(META)?;
            for op in batch {
                match op {
                    Op::Append { index, record } => {
                        log.insert(index, record.as_slice())?;
                    }
                    Op::TruncateFrom(from) => log.retain_in(*from.., |_, _| false)?,
                    Op::PurgeUpTo(upto) => log.retain_in(..=*upto, |_, _| false)?,
                    Op::Put(key, record) => {
                        meta.insert(key.name(), record.as_slice())?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn read(&self, from: u64, to: u64) -> Result<Vec<(u64, Vec<u8>)>, EngineError> {
        let log = self.database.begin_read()?.open_table(LOG)?;
        let mut records = Vec::new();
        for pair in log.range(from..to)? {
            let (index, record) = pair?;
            records.push((index.value(), record.value().to_vec()));
        }
        Ok(records)
    }

    fn bounds(&self) -> Result<Option<(u64, u64)>, EngineError> {
        let log = self.database.begin_read()?.open_table(LOG)?;
        let first = log.first()?.map(|(index, _)| index.value());
        let last = log.last()?.map(|(index, _)| index.value());
        Ok(first.zip(last))
    }

    fn meta(&self, key: Meta) -> Result<Option<Vec<u8>>, EngineError> {
        let meta = self.database.begin_read()?.open_table(META)?;
        Ok(meta.get(key.name())?.map(|record| record.value().to_vec()))
    }
}

fn database(backend: impl StorageBackend) -> Result<Database, EngineError> {
    Ok(redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?)
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, EngineError> {
    let mut transaction = database.begin_write()?;
    transaction
        .set_durability(Durability::Immediate)
        .map_err(|error| EngineError::Io(io::Error::other(error)))?;
    Ok(transaction)
}

impl From<redb::Error> for EngineError {
    fn from(error: redb::Error) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "redb's list of errors is open")]
        match error {
            // What ends early was longer when it was written.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::UnexpectedEof => {
                Self::Corrupt(format!("the file is cut short: {source}"))
            }
            // The same of a copy in memory.
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidInput => {
                Self::Corrupt(format!("the file is cut short: {source}"))
            }
            redb::Error::Io(source) if source.kind() == io::ErrorKind::InvalidData => {
                Self::Corrupt(source.to_string())
            }
            redb::Error::Io(source) => Self::Io(source),
            redb::Error::DatabaseAlreadyOpen => Self::InUse,
            redb::Error::PreviousIo => {
                Self::Io(io::Error::other("an earlier read or write failed"))
            }
            // Anything else is about the file's content: tables that are gone or of another
            // type, checksums, versions.
            other => Self::Corrupt(other.to_string()),
        }
    }
}

macro_rules! through_redb_error {
    ($($kind:ident),*) => {$(
        impl From<redb::$kind> for EngineError {
            fn from(error: redb::$kind) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

through_redb_error!(CommitError, DatabaseError, StorageError, TableError, TransactionError);
