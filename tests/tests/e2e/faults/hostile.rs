//! A target that is no database at all: it lets a worker log in, and answers a question without an end.

use tenant_sync_tests::stack::Stack;
use tenant_sync_tests::tenant::Tenant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What one answer may cost, with all that a worker needs besides; the server would send hundreds of gigabytes.
const MEMORY_KIB_MAX: u64 = 320 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_answer_after_the_login_costs_the_worker_little_and_others_nothing() {
    let stack = Stack::start().await;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let server = tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(serve(socket));
        }
    });
    let tenant = Tenant::create(&stack).await;
    tenant.users(1, 20).await;
    let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable");
    let hostile = tenant.target_at(&url).id("hostile").add().await;
    let good = tenant.target(stack.external(0)).id("good").add().await;
    let mut workers = stack.start_workers().await;
    workers.sync_worker.allow("the target failed");
    hostile.is("broken|protocolAbuse").await;
    good.caught_up().await;
    let peak = peak_memory_kib(workers.sync_worker.pid());
    assert!(peak < MEMORY_KIB_MAX, "the worker took {peak} KiB");
    server.abort();
}

/// Logs the client in, answers its first question, and never stops to answer the second. Ends when the client does.
async fn serve(mut socket: TcpStream) -> Option<()> {
    asked(&mut socket).await?;
    let logged_in = [message(b'R', &[0; 4]), message(b'Z', b"I")].concat();
    socket.write_all(&logged_in).await.ok()?;
    asked(&mut socket).await?;
    let number = [0, 1, 0, 0, 0, 4, 0, 0, 0, 7];
    let first =
        [begin(23), message(b'D', &number), message(b'C', b"SELECT 1\0"), message(b'Z', b"I")].concat();
    socket.write_all(&first).await.ok()?;
    asked(&mut socket).await?;
    socket.write_all(&begin(16)).await.ok()?;
    let mut row = vec![0, 1, 0, 0, 0x10, 0];
    row.resize(6 + 0x1000, b'x');
    let rows = message(b'D', &row).repeat(64);
    loop {
        socket.write_all(&rows).await.ok()?;
    }
}

/// The client has sent something; `None` = it has gone.
async fn asked(socket: &mut TcpStream) -> Option<()> {
    let bytes = socket.read(&mut [0; 4096]).await.ok()?;
    (bytes > 0).then_some(())
}

/// A statement is understood; one column of this type follows.
fn begin(oid: u8) -> Vec<u8> {
    let mut column = vec![0, 1, b'c', 0, 0, 0, 0, 0, 0, 0];
    column.extend([0, 0, 0, oid, 0, 4, 0xff, 0xff, 0xff, 0xff, 0, 1]);
    [message(b'1', &[]), message(b'2', &[]), message(b'T', &column)].concat()
}

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).expect("small").to_be_bytes();
    [&[tag], &length[..], body].concat()
}

/// The most memory that a process has had.
fn peak_memory_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
