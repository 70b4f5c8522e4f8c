//! The operator's command line, as a process on real servers: what each command prints, how it ends, and that no
//! secret is ever on its output.

mod demo;
mod document;
mod programs;
mod removal;
mod status;
mod targets;
mod tenancies;
mod tools;

use std::time::Duration;

use serde_json::Value;
use tenant_sync_tests::cli::Output;
use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::wait::eventually;

const SOON: Duration = Duration::from_secs(30);

/// The JSON of a command that ended with this code.
fn json_of(output: &Output, code: i32) -> Value {
    assert_eq!(output.code, Some(code), "{output:?}");
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// A command failed with this code, said this on standard error, and nowhere one of `secrets`.
fn refused(output: &Output, code: i32, says: &[&str], secrets: &[&str]) {
    assert_eq!(output.code, Some(code), "{output:?}");
    for expected in says {
        assert!(output.stderr.contains(expected), "{expected:?} is not in {output:?}");
    }
    keeps_secret(output, secrets);
}

fn keeps_secret(output: &Output, secrets: &[&str]) {
    for secret in secrets {
        assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{secret}: {output:?}");
    }
}

/// The password of a connection string.
fn password_of(url: &str) -> &str {
    tenant_sync_tests::urls::credentials(url).1
}

/// Waits until `sync status` says that no mapping of any target lacks anything.
async fn caught_up(stack: &Stack) {
    eventually(SOON, "all targets to be caught up", async || {
        let status = stack.cli().json(&["sync", "status"]).await;
        let behind = |mapping: &Value| mapping["backlogRows"] != 0 || mapping["lagMillis"] != 0;
        let targets = status["targets"].as_array().cloned().unwrap_or_default();
        let done = targets.iter().all(|target| {
            target["state"] == "ok" && !target["mappings"].as_array().is_some_and(|m| m.iter().any(behind))
        });
        if done { Ok(()) } else { Err(status.to_string()) }
    })
    .await;
}
