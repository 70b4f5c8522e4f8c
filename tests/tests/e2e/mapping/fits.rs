//! What fits is taken with all that the schema says of it, and what follows from it holds.

use std::collections::BTreeMap;

use tenant_sync_core::mapping::{
    Carry, CheckError, CheckedMapping, Dependency, check, ddl, dependencies, left_joins, parse, reads,
};
use uuid::Uuid;

use super::{Database, TEST, shipped, with_column};

#[tokio::test]
async fn shipped_mappings_fit_the_schema() {
    let database = Database::new().await;
    let checked = check(&shipped(), &database.client).await.expect("they fit");
    let users = checked.iter().find(|c| c.mapping.name == "users").expect("users");
    let names = |columns: &[tenant_sync_core::mapping::SourceColumn]| {
        columns.iter().map(|c| format!("{} {}", c.name, c.type_name)).collect::<Vec<_>>()
    };
    assert_eq!(names(&users.source_key), ["projectUserId uuid"]);
    assert_eq!(names(&users.source_primary_key), ["tenancyId uuid", "projectUserId uuid"]);
    assert_eq!((users.source_tenant.name.as_str(), users.source_tenant.type_oid), ("tenancyId", 2950));
    assert_eq!(users.columns.len(), users.mapping.columns.len());
    assert!(checked.iter().flat_map(|c| &c.columns).all(|column| column.carry == Carry::Binary));
    let types: Vec<_> = users.columns.iter().map(|c| c.type_name.as_str()).collect();
    assert_eq!(types[..2], ["uuid", "text"]);
    assert!(types.contains(&"timestamp with time zone"));
    let channels = checked.iter().find(|c| c.mapping.name == "contact_channels").expect("channels");
    assert_eq!(names(&channels.source_key), ["id uuid"]);
    database.drop().await;
}

#[tokio::test]
async fn the_schema_watches_what_shipped_mappings_read() {
    let database = Database::new().await;
    let rows = database
        .client
        .query("select changed, dependent, \"changedColumns\", \"dependentColumns\" from \"SequencedDependency\"", &[])
        .await
        .expect("dependencies");
    let dependency = |row: &tokio_postgres::Row| {
        let (theirs, ours): (Vec<String>, Vec<String>) = (row.get(2), row.get(3));
        let mut columns: Vec<_> = theirs.into_iter().zip(ours).collect();
        columns.sort();
        Dependency { changed: row.get(0), dependent: row.get(1), columns }
    };
    let registered: Vec<Dependency> = rows.iter().map(dependency).collect();
    assert_eq!(registered, dependencies(&shipped()));

    let rows = database
        .client
        .query("select relation, columns from \"SequencedRelation\"", &[])
        .await
        .expect("read");
    let watched: BTreeMap<String, Vec<String>> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (table, columns) in reads(&shipped()) {
        for column in columns {
            assert!(watched[&table].contains(&column), "a change of {table}.{column} would be missed");
        }
    }
    database.drop().await;
}

#[tokio::test]
async fn a_targets_tables_are_as_the_mapping_says_and_all_have_comments() {
    let database = Database::new().await;
    let client = &database.client;
    let schema = "tenant\"sync";
    client.batch_execute("create schema \"tenant\"\"sync\"").await.expect("schema");
    let checked = check(&shipped(), client).await.expect("they fit");
    for CheckedMapping { mapping, columns, .. } in &checked {
        let statements = [ddl::create_table(mapping, schema), ddl::create_indexes(mapping, schema)].concat();
        for statement in statements {
            client.batch_execute(&statement).await.expect(&statement);
        }
        // Twice is harmless for indexes.
        client.batch_execute(&ddl::create_indexes(mapping, schema).join(";")).await.expect("again");
        let rows = client
            .query(
                "select attname::text, format_type(atttypid, atttypmod), attnotnull from pg_attribute \
                  where attrelid = $1::text::regclass and attnum > 0 order by attnum",
                &[&ddl::qualified(mapping, schema)],
            )
            .await
            .expect("columns");
        let found: Vec<(String, String, bool)> =
            rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect();
        let wanted = mapping
            .columns
            .iter()
            .zip(columns)
            .map(|(m, c)| (m.name.clone(), c.type_name.clone(), !m.nullable));
        assert_eq!(found, wanted.collect::<Vec<_>>());
    }
    let added = parse("m.toml", &with_column("numeric(10,2)", "1.5::numeric(10,2)")).expect("good");
    client
        .batch_execute(&ddl::create_table(&parse("m.toml", TEST).expect("good"), schema).join(";"))
        .await
        .expect("old");
    let column = added.column("value").expect("there");
    client.batch_execute(&ddl::add_column(&added, schema, column).join(";")).await.expect("added");

    let silent = client
        .query(
            "select c.oid::regclass::text || coalesce('.' || a.attname, '') \
               from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and c.relkind = 'r' \
              where c.relnamespace = '\"tenant\"\"sync\"'::regnamespace \
                and (obj_description(c.oid, 'pg_class') is null or a.attname is not null and col_description(c.oid, a.attnum) is null) \
             union all select conname::text from pg_constraint \
              where connamespace = '\"tenant\"\"sync\"'::regnamespace and obj_description(oid, 'pg_constraint') is null",
            &[],
        )
        .await
        .expect("asked");
    let silent: Vec<String> = silent.iter().map(|row| row.get(0)).collect();
    assert_eq!(silent, Vec::<String>::new());
    database.drop().await;
}

#[tokio::test]
async fn a_join_never_reaches_another_tenants_row() {
    let database = Database::new().await;
    let client = &database.client;
    let user = Uuid::new_v4();
    client
        .batch_execute("insert into \"Project\" (id, \"displayName\") values ('p', 'P')")
        .await
        .expect("a project");
    let mut tenants = Vec::new();
    for branch in ["a", "b"] {
        let sql = "insert into \"Tenancy\" (id, \"projectId\", \"branchId\") values (gen_random_uuid(), 'p', $1) returning id";
        let tenant: Uuid = client.query_one(sql, &[&branch]).await.expect("a tenancy").get(0);
        let sql = "insert into \"ProjectUser\" (\"tenancyId\", \"projectUserId\") values ($1, $2)";
        client.execute(sql, &[&tenant, &user]).await.expect("a user");
        tenants.push(tenant);
    }
    let sql = "insert into \"ContactChannel\" (\"tenancyId\", \"projectUserId\", value, \"isPrimary\") values ($1, $2, 'b@example.com', true)";
    client.execute(sql, &[&tenants[1], &user]).await.expect("a channel");

    // Whatever the author's condition says.
    let mapping = parse("m.toml", &TEST.replace("where = \"", "where = \"true or ")).expect("good");
    let sql = format!(
        "select s.\"tenancyId\", email.value from \"ProjectUser\" s{} order by email.value nulls first",
        left_joins(&mapping, "public")
    );
    let rows = client.query(&sql, &[]).await.expect("joined");
    let found: Vec<(Uuid, Option<String>)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert_eq!(found, [(tenants[0], None), (tenants[1], Some("b@example.com".to_owned()))]);
    database.drop().await;
}

#[tokio::test]
async fn all_mappings_are_reported_at_once_and_a_lost_database_is_not_their_fault() {
    let database = Database::new().await;
    let one = parse("one.toml", &TEST.replace("ProjectUser\"\n", "Gone\"\n")).expect("good");
    let other =
        parse("two.toml", &with_column("integer", "s.\"displayName\"").replace("\"test\"", "\"test2\""))
            .expect("good");
    let errors = check(&[one, other.clone()], &database.client).await.expect_err("bad").to_string();
    assert!(
        errors.contains("one.toml:3: there is no table \"Gone\"") && errors.contains("two.toml:28: "),
        "{errors}"
    );

    let lost = database.client.query("select pg_terminate_backend(pg_backend_pid())", &[]).await;
    assert!(lost.is_err());
    let error = check(&[other], &database.client).await.expect_err("lost");
    assert!(matches!(error, CheckError::Database(_)), "{error}");
    database.drop().await;
}
