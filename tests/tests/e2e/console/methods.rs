//! How users sign in, in their list: folded, and as of the question all the same.

use serde_json::{Value, json};

use super::tenant::Tenant;

/// What the list says of each user's methods, by name.
async fn shown(tenant: &Tenant) -> Vec<(String, Value)> {
    let page = tenant.json("users?limit=1000&order_by=signed_up_at&include_anonymous=true").await;
    assert_eq!(page["activityComplete"], true);
    let users = page["users"].as_array().expect("users").iter();
    let mut shown: Vec<_> = users
        .map(|user| {
            (user["displayName"].as_str().unwrap_or_default().to_owned(), user["signInMethods"].clone())
        })
        .collect();
    shown.sort_by(|(a, _), (b, _)| a.cmp(b));
    shown
}

fn oauth(provider: &str) -> Value {
    json!({"type": "oauth", "provider": provider})
}

fn plain(kind: &str) -> Value {
    json!({"type": kind, "provider": null})
}

/// Methods of the users `ada` and `bob`.
async fn both(tenant: &Tenant) -> [Value; 2] {
    let [(ada, of_ada), (bob, of_bob)] = shown(tenant).await.try_into().expect("two users");
    assert_eq!((ada.as_str(), bob.as_str()), ("ada", "bob"));
    [of_ada, of_bob]
}

async fn two_users() -> Tenant {
    let tenant = Tenant::start().await;
    tenant
        .sql(r#"insert into "ProjectUser" ("tenancyId", "displayName") values ($T, 'ada'), ($T, 'bob')"#)
        .await;
    tenant
}

const ID_OF: &str = r#"(select "projectUserId" from "ProjectUser" where "displayName" = "#;

#[tokio::test]
async fn every_kind_of_change_is_in_the_next_list() {
    let tenant = two_users().await;
    assert_eq!(both(&tenant).await, [json!([]), json!([])]);
    tenant
        .sql(&format!(
            r#"insert into "AuthMethod" ("tenancyId", "projectUserId", "type", "provider")
               values ($T, {ID_OF} 'ada'), 'password', null), ($T, {ID_OF} 'ada'), 'oauth', 'github'),
                      ($T, null, 'otp', null)"#
        ))
        .await;
    assert_eq!(both(&tenant).await, [json!([oauth("github"), plain("password")]), json!([])]);
    tenant.sql(r#"update "AuthMethod" set "provider" = 'say "hi", \' where "type" = 'oauth'"#).await;
    assert_eq!(both(&tenant).await, [json!([oauth(r#"say "hi", \"#), plain("password")]), json!([])]);
    // From one to another, and from nobody to somebody.
    tenant
        .sql(&format!(
            r#"update "AuthMethod" set "projectUserId" = {ID_OF} 'bob') where "type" in ('password', 'otp')"#
        ))
        .await;
    assert_eq!(
        both(&tenant).await,
        [json!([oauth(r#"say "hi", \"#)]), json!([plain("otp"), plain("password")])]
    );
    tenant.sql(r#"update "AuthMethod" set "projectUserId" = null where "type" = 'otp'"#).await;
    assert_eq!(both(&tenant).await, [json!([oauth(r#"say "hi", \"#)]), json!([plain("password")])]);
    tenant.sql(r#"delete from "AuthMethod" where "type" = 'password'"#).await;
    assert_eq!(both(&tenant).await, [json!([oauth(r#"say "hi", \"#)]), json!([])]);
    tenant.sql(r#"truncate "AuthMethod""#).await;
    assert_eq!(both(&tenant).await, [json!([]), json!([])]);
}

/// A row that was folded before methods were has none: the list looks them up, and the walk fills them in.
#[tokio::test]
async fn what_was_never_folded_is_looked_up() {
    let tenant = two_users().await;
    tenant
        .sql(&format!(
            r#"insert into "AuthMethod" ("tenancyId", "projectUserId", "type", "provider")
               select $T, {ID_OF} 'ada'), 'oauth', lpad(n::text, 3, '0') from generate_series(1, 30) n"#
        ))
        .await;
    let first_twenty: Vec<_> = (1..=20).map(|n| oauth(&format!("{n:03}"))).collect();
    let expected = [json!(first_twenty), json!([])];
    assert_eq!(both(&tenant).await, expected);
    let missing = r#"select count(*) from "UserActivity" where "signInMethods" is null"#;
    assert_eq!(tenant.rows(missing).await, ["0"]);
    tenant.sql(r#"update "UserActivity" set "signInMethods" = null"#).await;
    let [of_ada, of_bob] = both(&tenant).await;
    assert_eq!(of_ada.as_array().map(Vec::len), Some(20), "any twenty of them");
    assert_eq!(of_bob, json!([]));
    tenant.rows("select purge_activity(1000)").await;
    assert_eq!(tenant.rows(missing).await, ["0"]);
    assert_eq!(both(&tenant).await, expected);
}
