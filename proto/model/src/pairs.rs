//! A map whose keys are no texts, written as a list of pairs: JSON has no other keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "pairs")]`.
///
/// # Errors
/// The serializer's own.
pub fn serialize<K, V, S>(map: &Arc<BTreeMap<K, V>>, serializer: S) -> Result<S::Ok, S::Error>
where
    K: Serialize,
    V: Serialize,
    S: Serializer,
{
    serializer.collect_seq(map.iter())
}

/// For `#[serde(with = "pairs")]`.
///
/// # Errors
/// Where it is no list of pairs.
pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<Arc<BTreeMap<K, V>>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let pairs = Vec::<(K, V)>::deserialize(deserializer)?;
    Ok(Arc::new(pairs.into_iter().collect()))
}
