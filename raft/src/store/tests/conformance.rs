//! openraft's own suite.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::TypeConfig;
use crate::store::{EngineKind, LogStore, StateMachine, open};

struct Builder(EngineKind);

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let opened = open(dir.path(), self.0).unwrap();
        Ok((dir, opened.log, opened.state_machine))
    }
}

#[tokio::test]
async fn redb_passes_the_suite() {
    Suite::test_all(Builder(EngineKind::Redb)).await.unwrap();
}

#[tokio::test]
async fn sled_passes_the_suite() {
    Suite::test_all(Builder(EngineKind::Sled)).await.unwrap();
}
