//! Servers that are none, and addresses that are not dialled.

use std::net::TcpListener as StdTcpListener;
use std::time::{Duration, Instant};

use tenant_sync_core::config::{Network, TlsFloor};
use tenant_sync_core::target::class::ErrorClass;
use tenant_sync_core::target::dial::{DialError, Dialer, Step};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{STEP, connect, dialer, network, refused};

#[tokio::test]
async fn a_private_address_is_not_even_dialled() {
    let listener = StdTcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let guarded =
        Dialer::new(&Network { allow_private: false, ..network(TlsFloor::Disable) }, Duration::from_secs(5))
            .unwrap();
    for host in ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]"] {
        let error = refused(&guarded, &format!("postgres://u:p@{host}:{port}/d"), None).await;
        assert_eq!(error.class(), ErrorClass::AddressRefused, "{host}: {error}");
    }
    // What the customer reads does not tell what a name resolved to.
    let error = refused(&guarded, &format!("postgres://u:p@localhost:{port}/d"), None).await;
    assert!(!error.fault().to_string().contains("127."), "{error}");
    assert!(listener.accept().is_err(), "nobody connected");

    let cidrs = vec!["127.0.0.0/8".parse().unwrap()];
    let allowed = Network { allow_private: false, allow_cidrs: cidrs, ..network(TlsFloor::Require) };
    let allowed = Dialer::new(&allowed, Duration::from_millis(200)).unwrap();
    let error = refused(&allowed, &format!("postgres://u:p@127.0.0.1:{port}/d"), None).await;
    assert_ne!(error.class(), ErrorClass::AddressRefused, "{error}");
    assert!(listener.accept().is_ok(), "the operator allowed it");
}

#[tokio::test]
async fn a_server_that_never_answers_costs_one_step() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            held.push(socket);
        }
    });
    for (floor, expected) in [(TlsFloor::VerifyFull, Step::Tls), (TlsFloor::Disable, Step::Login)] {
        let impatient = Dialer::new(&network(floor), Duration::from_millis(200)).unwrap();
        let started = Instant::now();
        let error =
            refused(&impatient, &format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable"), None).await;
        assert!(matches!(error, DialError::Timeout { step, .. } if step == expected), "{error}");
        assert_eq!(error.class(), ErrorClass::Unreachable);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    silent.abort();
}

/// Accepts one connection, reads its first packet, then sends `first` and `flood` for ever. Returns how
/// many bytes it could send.
async fn flooding(listener: TcpListener, first: Vec<u8>, flood: Vec<u8>) -> usize {
    let (mut socket, _) = listener.accept().await.unwrap();
    read_packet(&mut socket).await;
    let mut sent = first.len();
    if socket.write_all(&first).await.is_err() {
        return sent;
    }
    while socket.write_all(&flood).await.is_ok() {
        sent += flood.len();
    }
    sent
}

async fn read_packet(socket: &mut TcpStream) {
    let length = socket.read_u32().await.unwrap();
    let mut body = vec![0; usize::try_from(length).unwrap() - 4];
    socket.read_exact(&mut body).await.unwrap();
}

#[tokio::test]
async fn what_a_hostile_server_sends_is_bounded() {
    let endless_error = [b"E".as_slice(), &0x7fff_ffff_u32.to_be_bytes()].concat();
    let notice = [b"N".as_slice(), &1000_u32.to_be_bytes(), &[b'x'; 996]].concat();
    let logged_in = vec![b'R', 0, 0, 0, 8, 0, 0, 0, 0];
    let junk = vec![b'x'; 1 << 16];
    for (first, flood) in [(endless_error, junk), (Vec::new(), notice.clone()), (logged_in, notice)] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url =
            format!("postgres://u:p@127.0.0.1:{}/d?sslmode=disable", listener.local_addr().unwrap().port());
        let server = tokio::spawn(flooding(listener, first, flood));
        let error = refused(&dialer(TlsFloor::Disable), &url, None).await;
        assert_eq!(error.class(), ErrorClass::ProtocolAbuse, "{error}");
        // More than our bound only by what fits into the sockets' buffers.
        let sent = server.await.unwrap();
        assert!(sent < 32 << 20, "the server could send {sent} bytes");
    }
}

#[tokio::test]
async fn another_protocol_is_recognised() {
    for floor in [TlsFloor::Require, TlsFloor::Disable] {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url =
            format!("postgres://u:p@127.0.0.1:{}/d?sslmode=disable", listener.local_addr().unwrap().port());
        let server = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            // Holds the connection until the client ends it.
            let _ = socket.read_to_end(&mut Vec::new()).await;
        });
        let error = refused(&dialer(floor), &url, None).await;
        assert_eq!(error.class(), ErrorClass::ProtocolAbuse, "{error}");
        server.await.unwrap();
    }
}

#[tokio::test]
async fn a_session_that_waits_for_an_answer_ends_with_its_handle() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (asked, was_asked) = tokio::sync::oneshot::channel();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read_packet(&mut socket).await;
        socket.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I").await.unwrap();
        socket.read_u8().await.unwrap();
        asked.send(()).unwrap();
        // Never answers; ends when the client hangs up.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    });
    let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable");
    let session = connect(&dialer(TlsFloor::Disable), &url, None).await.unwrap();
    tokio::select! {
        answer = session.client().batch_execute("select 1") => panic!("{answer:?}"),
        asked = was_asked => asked.unwrap(),
    }
    drop(session);
    tokio::time::timeout(STEP, server).await.expect("the connection ends").unwrap();
}
