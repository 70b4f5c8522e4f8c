//! `tenant-sync demo`, as `make demo` starts it.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use tenant_sync_tests::scratch::Scratch;
use tenant_sync_tests::{pids, programs};

use pids::Signal;

/// With the servers of the environment and a folder of its own.
fn demo(seconds: &str, scratch: &Scratch) -> Command {
    let mut command = Command::new(programs::path("tenant-sync"));
    pids::bare_environment(&mut command, scratch.path());
    let servers = std::env::vars().filter(|(name, _)| name.starts_with("TENANT_SYNC_TEST_"));
    command.arg("demo").env("DEMO_SECONDS", seconds).envs(servers).current_dir(scratch.path());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// One after the other: both have the same databases.
#[tokio::test(flavor = "multi_thread")]
async fn it_ends_by_itself_with_a_check_and_when_it_is_told_to() {
    let scratch = Scratch::new();
    let mut whole = demo("2", &scratch);
    let output = tokio::task::spawn_blocking(move || whole.output()).await.expect("joins").expect("starts");
    let text = said(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for part in [
        "3 tenancies with 10000 users",
        "4 targets",
        "psql 'postgres://",
        "Dashboard   http://127.0.0.1:",
        "every target equals its source",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(text.matches(" rows, equal").count(), 7, "seven tables are compared: {text}");

    let mut told = demo("600", &scratch);
    let mut told = told.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starts");
    let mut lines = BufReader::new(told.stdout.take().expect("a pipe")).lines();
    let status = tokio::task::spawn_blocking(move || {
        assert!(lines.any(|line| line.expect("a line").contains(" rows synced")), "it never ran");
        pids::send(Signal::Term, &[told.id()]);
        lines.for_each(drop);
        told.wait()
    });
    assert_eq!(status.await.expect("joins").expect("ends").code(), Some(0), "it was told to end");

    let wrong = demo("soon", &scratch).output().expect("starts");
    assert_eq!(wrong.status.code(), Some(2), "{}", said(&wrong));
}
