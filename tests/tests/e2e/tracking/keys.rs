//! Keys and tenant columns of every shape.

use super::kit::Place;

#[tokio::test]
async fn natural_composite_and_odd_keys_read_back_as_they_were() {
    let place = Place::start().await;
    place
        .sql(
            "create type mood as enum ('fine', 'not so'); create domain short as text check (length(value) < 9);
             create type pair as (a int, b text);
             create table natural_key (code text primary key, org text);
             create table composite_key (org text, n int, at timestamptz, primary key (org, n, at));
             create table odd_key (org text, m mood, d short, f float8, a int[], r int4range, p pair, b bytea, i interval,
                                   primary key (m, d, f, a, r, p, b, i));
             create table unique_key (org text, \"the Key\" text not null unique, maybe int unique);
             create table identity_key (id int generated always as identity primary key, org text, n int, twice int generated always as (n * 2) stored);
             select track_table(t, 'org') from unnest(array['natural_key', 'composite_key', 'odd_key', 'unique_key', 'identity_key']::regclass[]) t;
             set timezone = 'Asia/Tokyo'; set datestyle = 'German'; set intervalstyle = 'sql_standard'; set bytea_output = 'escape'; set extra_float_digits = -3",
        )
        .await;
    let feed = place
        .records(
            "insert into natural_key values ('it''s \"1\"', 'acme'); insert into composite_key values ('acme', 1, '2024-01-01 09:00+09');
             insert into unique_key values ('acme', 'k', 1); insert into identity_key (org, n) values ('acme', 4);
             update identity_key set n = 5; delete from identity_key;
             insert into odd_key values ('acme', 'not so', 'x', 0.1::float8 + 0.2::float8, '{1,2}', '[1,5)', '(1,\"a b\")', '\\x00ff', '1 day 02:00')",
        )
        .await;
    assert_eq!(
        feed,
        [
            r#"changed acme public.composite_key {"n": 1, "at": "2024-01-01 00:00:00+00", "org": "acme"}"#,
            r#"changed acme public.identity_key {"id": 1}"#,
            r#"changed acme public.identity_key {"id": 1}"#,
            r#"changed acme public.natural_key {"code": "it's \"1\""}"#,
            r#"changed acme public.odd_key {"a": "{1,2}", "b": "\\x00ff", "d": "x", "f": "0.30000000000000004", "i": "1 day 02:00:00", "m": "not so", "p": "(1,\"a b\")", "r": "[1,5)"}"#,
            r#"changed acme public.unique_key {"the Key": "k"}"#,
            r#"gone acme public.identity_key {"id": 1}"#,
        ]
    );
    place.sql(r#"truncate odd_key"#).await;
    let back = r#"select count(*) from "DeletedRow" d where (d."primaryKey" ->> 'f')::float8 = 0.1::float8 + 0.2::float8
                  and (d."primaryKey" ->> 'a')::int[] = '{1,2}' and (d."primaryKey" ->> 'p')::pair = row(1, 'a b')::pair
                  and (d."primaryKey" ->> 'r')::int4range = '[1,5)' and (d."primaryKey" ->> 'i')::interval = '26 hours'"#;
    assert_eq!(place.value(back).await, "1");
}

#[tokio::test]
async fn tenant_columns_of_any_type_find_their_tenant() {
    let place = Place::start().await;
    let id = "6c7c6f6e-0000-4000-8000-000000000000";
    place
        .sql(&format!(
            r#"update "Tenancy" set "tenantKey" = '{id}' where "tenantKey" = '1';
               update "Tenancy" set "tenantKey" = '2024-05-01 00:00:00+00' where "tenantKey" = '2';
               create table by_uuid (id int primary key, t uuid); create table by_time (id int primary key, t timestamptz);
               create table by_char (id int primary key, t char(10) collate "C"); create domain d as varchar(9);
               create table by_domain (id int primary key, t d);
               select track_table(x, 't') from unnest(array['by_uuid', 'by_time', 'by_char', 'by_domain']::regclass[]) x;
               set timezone = 'Asia/Tokyo'"#
        ))
        .await;
    let feed = place
        .records(&format!(
            "insert into by_uuid values (1, '{id}'); insert into by_time values (1, '2024-05-01 09:00+09');
             insert into by_char values (1, 'acme'), (2, 'ACME'); insert into by_domain values (1, 'acme')"
        ))
        .await;
    assert_eq!(
        feed,
        [
            r#"changed 2024-05-01 00:00:00+00 public.by_time {"id": 1}"#.to_owned(),
            format!(r#"changed {id} public.by_uuid {{"id": 1}}"#),
            r#"changed acme public.by_char {"id": 1}"#.to_owned(),
            r#"changed acme public.by_domain {"id": 1}"#.to_owned(),
        ]
    );
    let read = "select tenant_value('4711', null::bigint), tenant_value('04711', null::bigint), tenant_value('x', null::bigint),
                       tenant_value('acme', null::d), tenant_value('2024-05-01 00:00:00+00', null::timestamptz) = '2024-05-01 09:00+09',
                       tenant_value('x', null::uuid)";
    assert_eq!(place.rows(read).await, ["4711|∅|∅|acme|t|∅"]);
}

#[tokio::test]
async fn the_primary_key_is_preferred_and_the_tenant_may_be_part_of_the_key() {
    let place = Place::start().await;
    place
        .sql(
            r#"create schema "App"; create table "App"."The Table" ("Org" int, b int not null unique, id int, primary key ("Org", id))"#,
        )
        .await;
    assert_eq!(place.value(r#"select track_table('"App"."The Table"', 'Org')"#).await, "App.The Table");
    assert_eq!(
        place
            .records(
                r#"insert into "App"."The Table" values (1, 2, 3); update "App"."The Table" set "Org" = 2"#
            )
            .await,
        [
            r#"changed 1 App.The Table {"id": 3, "Org": 1}"#,
            r#"changed 2 App.The Table {"id": 3, "Org": 2}"#,
            r#"gone 1 App.The Table {"id": 3, "Org": 1}"#
        ]
    );
    // A renamed table keeps its feed.
    place.sql(r#"alter table "App"."The Table" rename to renamed"#).await;
    assert_eq!(
        place.records(r#"truncate "App".renamed"#).await,
        [r#"gone 2 App.The Table {"id": 3, "Org": 2}"#]
    );
    let taken = place.refused(r#"create table "App"."The Table" (id int primary key); select track_table('"App"."The Table"', 'id')"#).await;
    assert!(taken.contains("renamed") && taken.contains("untrack that first"), "{taken}");
}
