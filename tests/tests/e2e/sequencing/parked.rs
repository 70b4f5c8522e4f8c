//! A row that refuses its id stops nobody else.

use super::source::Source;

const REFUSES: &str = r#"
    create function refuse() returns trigger language plpgsql as $$
    begin
        if old."displayName" = 'stubborn' and new."sequenceId" is distinct from old."sequenceId" then
            raise exception 'not this one';
        end if;
        return new;
    end $$;
    create trigger "refuse" before update on "ProjectUser" for each row execute function refuse();"#;

#[tokio::test]
async fn a_row_that_refuses_is_parked_and_all_others_go_on() {
    let source = Source::new().await;
    let (tenancy, other) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    source.run(REFUSES).await;
    let stubborn = source.user(tenancy).await;
    source.run(r#"update "ProjectUser" set "displayName" = 'stubborn'"#).await;
    let (neighbour, stranger) = (source.user(tenancy).await, source.user(other).await);
    let pass = source.pass().await;
    assert_eq!((pass.rows, pass.parked, pass.asked), (2, 1, 2), "{pass:?}");
    assert!(source.user_id(neighbour).await.is_some() && source.user_id(stranger).await.is_some());
    assert_eq!(
        source.rows(r#"select "relation", "primaryKey" ->> 'projectUserId', "sqlState", "attempts" from "ParkedRow""#).await,
        [format!("ProjectUser|{stubborn}|P0001|1")]
    );

    // Those that come later pay nothing for it.
    let late = source.user(tenancy).await;
    let pass = source.pass().await;
    assert_eq!((pass.rows, pass.parked, source.user_id(late).await.is_some()), (1, 0, true));
    assert_eq!(source.user_id(stubborn).await, None);

    // It is tried again: in vain, and then with the trigger gone.
    source.run(r#"update "ParkedRow" set "retryAt" = now()"#).await;
    source.pass().await;
    assert_eq!(source.value(r#"select "attempts" from "ParkedRow""#).await, "2");
    source.run(r#"drop trigger "refuse" on "ProjectUser"; update "ParkedRow" set "retryAt" = now()"#).await;
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(stubborn).await.is_some());
}

/// A channel whose user refuses waits with it: with an id of its own it would be ahead of its user.
#[tokio::test]
async fn what_depends_on_a_parked_row_waits_with_it() {
    let source = Source::new().await;
    let tenancy = source.tenancy().await;
    let user = source.user(tenancy).await;
    source.settle().await;
    source.run(r#"update "ProjectUser" set "displayName" = 'stubborn'"#).await;
    source.settle().await;
    source.run(REFUSES).await;
    let channel = source.channel(tenancy, user).await;
    let free = source.user(tenancy).await;
    for _ in 0..3 {
        source.pass().await;
    }
    assert!(source.user_id(free).await.is_some());
    assert_eq!(source.channel_id(channel).await, None);
    source.run(r#"drop trigger "refuse" on "ProjectUser"; update "ParkedRow" set "retryAt" = now()"#).await;
    source.run(r#"update "SequencerBacklog" set "notBefore" = null"#).await;
    let before = source.user_id(user).await.expect("it has one");
    source.settle().await;
    assert!(source.channel_id(channel).await.is_some());
    assert!(source.user_id(user).await.is_some_and(|after| after > before));
}

/// A tenant whose rows cannot even be tried (here: its requests cannot be written) is left for later.
#[tokio::test]
async fn a_tenant_that_fails_as_a_whole_stops_nobody_else() {
    let source = Source::new().await;
    let (broken, healthy) = (source.tenancy_with_target().await, source.tenancy_with_target().await);
    source
        .run(&format!(
            r#"alter table "OutgoingRequest" add constraint "not this tenant" check ("tenancyId" <> '{broken}')"#
        ))
        .await;
    let (stuck, free) = (source.user(broken).await, source.user(healthy).await);
    assert_eq!(source.pass().await.rows, 1);
    assert!(source.user_id(free).await.is_some());
    assert_eq!(source.value(r#"select "failures", "lastError" from "SequencerBacklog""#).await, "1|23514");
    source
        .run(r#"alter table "OutgoingRequest" drop constraint "not this tenant"; update "SequencerBacklog" set "notBefore" = now()"#)
        .await;
    source.settle().await;
    assert!(source.user_id(stuck).await.is_some());
    assert_eq!(source.value(r#"select count(*) from "SequencerBacklog""#).await, "0");
}
