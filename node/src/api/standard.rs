//! The standard services beside the control API: `grpc.health.v1.Health` and
//! `grpc.reflection.v1.ServerReflection`. Whoever may call the one may call the others.

use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use leasehold_proto::control::DESCRIPTORS;
use leasehold_proto::control::control_server::SERVICE_NAME;
use tokio::time::MissedTickBehavior;
use tonic_health::ServingStatus;
use tonic_health::pb::FILE_DESCRIPTOR_SET;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_reflection::server::Builder;
use tonic_reflection::server::v1::{ServerReflection, ServerReflectionServer};

/// How late it may be. Leadership is lost by silence, which no event tells of.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Of the control API: it serves while this node has a leader.
pub(crate) fn health(
    has_leader: impl Fn() -> bool + Send + Sync + 'static,
) -> HealthServer<impl Health> {
    let (reporter, server) = tonic_health::server::health_reporter();
    let look = async move || {
        let serves = has_leader();
        let status = if serves { ServingStatus::Serving } else { ServingStatus::NotServing };
        reporter.set_service_status(SERVICE_NAME, status).await;
    };
    // Before anyone can ask. Nobody else has its lock yet, so there is nothing to wait for.
    let looked = look().now_or_never();
    debug_assert!(looked.is_some(), "the first look waited");
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::spawn(async move {
        loop {
            looks.tick().await;
            look().await;
        }
    });
    server
}

/// Of what clients may call. What nodes say to each other is not theirs.
pub(super) fn reflection() -> anyhow::Result<ServerReflectionServer<impl ServerReflection>> {
    Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
        .build_v1()
        .context("describing the control API")
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tonic::Request;
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;

    const IN_TIME: Duration = Duration::from_secs(10);

    #[test]
    fn what_is_described_can_be_read() {
        assert!(reflection().is_ok());
    }

    #[tokio::test]
    async fn it_serves_while_there_is_a_leader() {
        let (sender, led) = watch::channel(false);
        let mut client = HealthClient::new(health(move || *led.borrow()));
        let request = Request::new(HealthCheckRequest { service: SERVICE_NAME.to_owned() });
        let mut watch = client.watch(request).await.expect("a stream").into_inner();
        let mut wait_for = async |wanted: &str| {
            let found = async {
                while watch
                    .message()
                    .await
                    .expect("no error")
                    .expect("no end")
                    .status()
                    .as_str_name()
                    != wanted
                {}
            };
            tokio::time::timeout(IN_TIME, found).await.expect(wanted);
        };
        wait_for("NOT_SERVING").await;
        sender.send_replace(true);
        wait_for("SERVING").await;
        sender.send_replace(false);
        wait_for("NOT_SERVING").await;
    }
}
