//! openraft's own suite.

use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use tempfile::TempDir;

use crate::TypeConfig;
use crate::store::{LogStore, StateMachine, open};

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let dir = TempDir::new().unwrap();
        let opened = open(dir.path()).unwrap();
        Ok((dir, opened.log, opened.state_machine))
    }
}

#[tokio::test]
async fn the_store_passes_the_suite() {
    Suite::test_all(Builder).await.unwrap();
}
