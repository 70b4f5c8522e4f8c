//! Messages that nobody asked for.

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::{SOON, Tenant};
use tenant_sync_tests::wait::eventually;
use uuid::Uuid;

const JOB_TYPE: &str = "tenant_sync.v1.TenantSyncJob";

#[tokio::test]
async fn a_job_of_an_unknown_tenancy_is_dropped_and_an_unreadable_message_buried() {
    let stack = Stack::start().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("cannot read a message");
    let tenant = Tenant::create(&stack).await;
    let target = tenant.target(stack.external(0)).add().await;
    tenant.user("before").await;
    target.caught_up().await;
    stack.settled().await;

    // A job as the poller writes it, of a tenancy that nobody knows; and one of ours that nobody asked for.
    publish(&stack, &job(Uuid::new_v4(), Uuid::new_v4()), JOB_TYPE).await;
    publish(&stack, &job(Uuid::new_v4(), tenant.id()), JOB_TYPE).await;
    workers.sync_worker.shows("tenant_sync_jobs_total{outcome=\"stale\"}", |dropped| dropped == 2.0).await;

    // Not a job at all; and a job of a type that we do not know.
    publish(&stack, b"\xff\xffnot a job", JOB_TYPE).await;
    publish(&stack, &job(Uuid::new_v4(), tenant.id()), "tenant_sync.v9.Other").await;
    eventually(SOON, "the messages to be buried", async || {
        match stack.vhost().ready_messages("tenant-sync.dead").await {
            Some(2) => Ok(()),
            other => Err(format!("{other:?} dead messages")),
        }
    })
    .await;
    assert_eq!(
        stack.vhost().take_message("tenant-sync.dead").await.as_deref(),
        Some(b"\xff\xffnot a job".as_slice())
    );

    // And the road is as good as before.
    tenant.user("after").await;
    target.caught_up().await;
    stack.settled().await;
    for queue in ["tenant-sync.live", "tenant-sync.bulk"] {
        assert_eq!(stack.vhost().ready_messages(queue).await, Some(0));
    }
}

async fn publish(stack: &Stack, body: &[u8], kind: &str) {
    let connection = stack.vhost().connect().await;
    let channel = connection.create_channel().await.expect("a channel");
    let properties = BasicProperties::default().with_type(kind.into());
    let published = channel.basic_publish(
        "tenant-sync".into(),
        "live".into(),
        BasicPublishOptions::default(),
        body,
        properties,
    );
    published.await.expect("publishes");
    connection.close(200, "done".into()).await.expect("closes");
}

/// `TenantSyncJob` written by hand, as a program in another language would.
fn job(request: Uuid, tenancy: Uuid) -> Vec<u8> {
    let mut body = Vec::new();
    let mut text = |field: u8, value: &str| {
        body.push(field << 3 | 2);
        body.push(u8::try_from(value.len()).expect("short"));
        body.extend_from_slice(value.as_bytes());
    };
    text(1, &request.to_string());
    text(3, &tenancy.to_string());
    text(4, "main");
    body.extend_from_slice(&[2 << 3, 1]);
    body
}
