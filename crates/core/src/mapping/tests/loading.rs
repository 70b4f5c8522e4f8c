//! Which files make up an installation's mappings.

use std::fs;
use std::path::Path;

use super::GOOD;
use crate::config::Config;
use crate::mapping::{ddl, load};

fn config(dir: Option<&Path>, user_tables: bool) -> Config {
    let mut variables = vec![
        ("TENANT_SYNC_DATABASE__URL".to_owned(), "postgres://h/d".to_owned()),
        ("TENANT_SYNC_DATABASE__USER_TABLES".to_owned(), user_tables.to_string()),
    ];
    variables.extend(dir.map(|dir| ("TENANT_SYNC_MAPPINGS__DIR".to_owned(), dir.display().to_string())));
    Config::from_sources(None, variables).expect("config")
}

/// A folder that goes away with it.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("tenant-sync-mappings-{}", uuid::Uuid::new_v4()));
        fs::create_dir_all(&path).expect("folder");
        for (name, text) in files {
            fs::write(path.join(name), text).expect("file");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_shipped_mappings_are_the_contracts() {
    let shipped = load(&config(None, true)).expect("good");
    let names: Vec<_> = shipped.iter().map(|mapping| mapping.name.as_str()).collect();
    assert_eq!(names, ["contact_channels", "users"]);
    let columns = |at: usize| {
        let columns = shipped[at].columns.iter().map(|c| format!("{} {}", c.name, c.type_text));
        columns.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        columns(1),
        "id uuid, display_name text, profile_image_url text, primary_email text, primary_email_verified boolean, \
         signed_up_at timestamptz, client_metadata jsonb, client_read_only_metadata jsonb, server_metadata jsonb, \
         is_anonymous boolean"
    );
    assert_eq!(
        columns(0),
        "id uuid, user_id uuid, type text, value text, is_primary boolean, is_verified boolean, \
         used_for_auth boolean, created_at timestamptz"
    );
    assert!(ddl::create_indexes(&shipped[0], "x")[0].ends_with("\"contact_channels\" (\"user_id\")"));
    assert!(ddl::create_indexes(&shipped[1], "x")[0].ends_with("\"users\" USING hash (\"primary_email\")"));
    assert!(shipped.iter().flat_map(|m| &m.columns).all(|column| column.comment.is_some()));
    assert_eq!(shipped[1].touches()[0].changed, "ContactChannel");
    assert_eq!(shipped[1].event, "user");
    assert!(load(&config(None, false)).expect("none").is_empty());
}

#[test]
fn an_operators_files_are_added_in_order_of_their_names() {
    let other = GOOD.replace("\"people\"", "\"another\"");
    let folder = Folder::new(&[("b.toml", GOOD), ("a.toml", &other), ("notes.txt", "not ours")]);
    let names: Vec<_> =
        load(&config(Some(&folder.0), false)).expect("good").into_iter().map(|m| m.name).collect();
    assert_eq!(names, ["another", "people"]);
}

#[test]
fn all_files_are_reported_at_once() {
    let folder = Folder::new(&[
        ("a.toml", "name = 1"),
        ("b.toml", &GOOD.replace("uuid", "uu id;")),
        ("c.toml", &GOOD.replace("\"people\"", "\"users\"")),
        ("d.toml", GOOD),
    ]);
    let errors = load(&config(Some(&folder.0), true)).expect_err("bad").to_string();
    let file = |name: &str| folder.0.join(name).display().to_string();
    for wanted in [
        format!("{}:1: name must be a text", file("a.toml")),
        format!("{}:27: the type \"uu id;\"", file("b.toml")),
        format!("{}:1: the name \"users\" is taken by users.toml; choose another", file("c.toml")),
        format!("{}:8: the target table \"users\" is written by users.toml already", file("c.toml")),
    ] {
        assert!(errors.contains(&wanted), "{wanted}\nin\n{errors}");
    }
    assert!(!errors.contains("d.toml"), "{errors}");
}

#[test]
fn a_folder_that_is_named_must_exist() {
    let errors = load(&config(Some(Path::new("/nowhere/mappings")), true)).expect_err("missing").to_string();
    assert!(
        errors.starts_with("/nowhere/mappings: the folder that mappings.dir names cannot be read: "),
        "{errors}"
    );
}
