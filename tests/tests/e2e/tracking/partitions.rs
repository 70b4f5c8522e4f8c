//! Partitioned tables, whichever of their tables a write names.

use super::kit::Place;

async fn partitioned() -> Place {
    let place = Place::start().await;
    place
        .sql(
            "create table p (id int, org text, at int, v int, primary key (id, at)) partition by range (at);
             create table p1 partition of p for values from (0) to (10);
             create table p2 (v int, at int not null, id int not null, org text) partition by hash (id);
             create table p2a partition of p2 for values with (modulus 1, remainder 0);
             alter table p attach partition p2 for values from (10) to (20);
             select track_table('p', 'org')",
        )
        .await;
    place
}

#[tokio::test]
async fn writes_by_the_root_and_by_partitions_are_recorded_once() {
    let place = partitioned().await;
    let feed = place
        .records("insert into p values (1, '1', 1), (2, '1', 11); insert into p1 values (3, '1', 3); insert into p2a (id, org, at) values (4, '1', 14)")
        .await;
    assert_eq!(
        feed,
        [
            r#"changed 1 public.p {"at": 1, "id": 1}"#,
            r#"changed 1 public.p {"at": 11, "id": 2}"#,
            r#"changed 1 public.p {"at": 14, "id": 4}"#,
            r#"changed 1 public.p {"at": 3, "id": 3}"#
        ]
    );
    assert_eq!(
        place.records("update p set v = 1 where id = 1; update p2 set v = 1 where id = 2; update p2a set v = 2 where id = 4; update p set v = v").await,
        [
            r#"changed 1 public.p {"at": 1, "id": 1}"#,
            r#"changed 1 public.p {"at": 11, "id": 2}"#,
            r#"changed 1 public.p {"at": 14, "id": 4}"#
        ]
    );
    // A row that moves to another partition.
    assert_eq!(
        place.records("update p set at = 12 where id = 1").await,
        [r#"changed 1 public.p {"at": 12, "id": 1}"#, r#"gone 1 public.p {"at": 1, "id": 1}"#]
    );
    assert_eq!(
        place.records("delete from p where id = 1; delete from p1").await,
        [r#"gone 1 public.p {"at": 12, "id": 1}"#, r#"gone 1 public.p {"at": 3, "id": 3}"#]
    );
    assert_eq!(
        place.records("insert into p values (5, '1', 5)").await,
        [r#"changed 1 public.p {"at": 5, "id": 5}"#]
    );
    assert_eq!(
        place.records("truncate p2").await,
        [r#"gone 1 public.p {"at": 11, "id": 2}"#, r#"gone 1 public.p {"at": 14, "id": 4}"#]
    );
    assert_eq!(place.records("truncate p").await, [r#"gone 1 public.p {"at": 5, "id": 5}"#]);
}

#[tokio::test]
async fn later_partitions_are_seen_and_noticed() {
    let place = partitioned().await;
    place.sql("create table p3 partition of p for values from (20) to (30)").await;
    assert_eq!(place.rows("select tracked_partitions_changed()").await, ["public.p"]);
    // By name, before anybody looked. Through the root it may be recorded twice, which is once too much and harmless.
    assert_eq!(
        place.records("insert into p3 values (1, '1', 21)").await,
        [r#"changed 1 public.p {"at": 21, "id": 1}"#]
    );
    assert_eq!(
        place.records("update p3 set id = 2; update p3 set v = v; update p3 set v = 1").await,
        [
            r#"changed 1 public.p {"at": 21, "id": 2}"#,
            r#"changed 1 public.p {"at": 21, "id": 2}"#,
            r#"gone 1 public.p {"at": 21, "id": 1}"#
        ]
    );
    assert_eq!(place.records("delete from p3").await, [r#"gone 1 public.p {"at": 21, "id": 2}"#]);
    assert_eq!(place.value("select note_tracked_partitions('public.p')").await, "t");
    assert_eq!(place.value("select note_tracked_partitions('public.p')").await, "f");
    assert_eq!(place.rows("select tracked_partitions_changed()").await, [""; 0]);
    assert_eq!(
        place.records("insert into p values (1, '1', 21); truncate p3").await,
        [r#"changed 1 public.p {"at": 21, "id": 1}"#, r#"gone 1 public.p {"at": 21, "id": 1}"#]
    );
    place.sql("alter table p detach partition p3").await;
    assert_eq!(place.rows("select tracked_partitions_changed()").await, ["public.p"]);
    place.sql("drop table p1").await;
    assert_eq!(place.value("select note_tracked_partitions('public.p')").await, "t");
    place.sql("select untrack_table('p')").await;
    assert_eq!(place.value("select count(*) from pg_trigger where tgname like '~tenant%'").await, "0");
}
