//! `init` and `join`: they write the data directory and exit.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use leasehold_proto::peer::admission_client::AdmissionClient;
use leasehold_raft::identity::{Token, complete_join, found, prepare_join};
use leasehold_raft::lease::Timing;

use super::args::{Init, Join};
use super::client::cause;
use super::out;

const ANSWER_WITHIN: Duration = Duration::from_secs(15);

pub(super) fn init(data_dir: &Path, args: &Init) -> anyhow::Result<()> {
    let timing = serde_json::to_value(Timing::profile(args.profile))?;
    let founded = found(data_dir, &args.name, &args.listen, timing)?;
    out::data(&format!(
        "{} is node {} of the new cluster {}; next: leasehold run --data-dir {}",
        args.name,
        founded.node,
        founded.cluster,
        data_dir.display()
    ))
}

pub(super) fn join(data_dir: &Path, args: &Join) -> anyhow::Result<()> {
    let token: Token = args.token.parse().context("--token")?;
    let pending = prepare_join(data_dir, &args.name, &args.listen, token)?;
    let endpoint = pending.endpoint(&args.peer)?;
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5)).timeout(ANSWER_WITHIN);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let answer = runtime.block_on(async {
        let channel = endpoint.connect().await.map_err(|error| {
            anyhow!(
                "{} does not answer as a member of the token's cluster: {}",
                args.peer,
                cause(&error)
            )
        })?;
        let answer = AdmissionClient::new(channel).join(pending.request()).await;
        answer.map_err(|status| anyhow!("{} refused: {}", args.peer, status.message()))
    })?;
    let directory = complete_join(pending, answer.into_inner())?;
    let settings = directory.settings();
    out::data(&format!(
        "{} is node {}, a {}, of cluster {}; next: leasehold run --data-dir {}",
        settings.name,
        settings.node,
        settings.role,
        settings.cluster,
        data_dir.display()
    ))
}
