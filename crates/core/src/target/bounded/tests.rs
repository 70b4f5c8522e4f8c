use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_postgres::NoTls;

use super::*;

const SMALL: Limits = Limits { message_bytes: 1000, startup_bytes: 400, answer_bytes: 3000, parameters: 4 };

fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn login() -> Vec<u8> {
    let mut bytes = message(b'R', &[0; 4]);
    bytes.extend(message(b'S', b"server_version\x0015.4\0"));
    bytes.extend(message(b'K', &[0, 0, 4, 210, 9, 9, 9, 9]));
    bytes.extend(message(b'Z', b"I"));
    bytes
}

/// Feeds all bytes in pieces of `step`.
fn fed(bytes: &[u8], step: usize, limits: Limits) -> (Result<(), ProtocolAbuse>, Observed) {
    let observed = Observed::default();
    let mut meter = Meter::new(limits);
    let result = bytes.chunks(step).try_for_each(|piece| meter.feed(piece, &observed));
    (result, observed)
}

#[test]
fn an_honest_login_passes_however_it_is_cut() {
    let mut bytes = message(b'R', &[0, 0, 0, 10, b'S', 0, 0]);
    bytes.extend(login());
    for step in 1..bytes.len() {
        let (result, observed) = fed(&bytes, step, SMALL);
        assert_eq!(result, Ok(()));
        assert_eq!(observed.backend_pid(), 1234);
        assert_eq!(observed.login_method(), 10);
        assert_eq!(observed.bytes_read(), bytes.len() as u64);
    }
}

#[test]
fn a_large_message_fails_at_its_header() {
    for tag in [b'D', b'E', b'N', b'T', b'S', b'?'] {
        let mut bytes = login();
        bytes.push(tag);
        bytes.extend(1001_u32.to_be_bytes());
        assert_eq!(fed(&bytes, 3, SMALL).0, Err(ProtocolAbuse::Message { max: 1000 }));
    }
    let negative = [login(), vec![b'D', 0xff, 0xff, 0xff, 0xff]].concat();
    assert_eq!(fed(&negative, 64, SMALL).0, Err(ProtocolAbuse::Message { max: 1000 }));
    let short = [login(), vec![b'D', 0, 0, 0, 3]].concat();
    assert_eq!(fed(&short, 64, SMALL).0, Err(ProtocolAbuse::NotTheProtocol));
}

#[test]
fn a_login_that_never_ends_fails() {
    let notices = message(b'N', b"SNOTICE\0\0").repeat(100);
    assert_eq!(fed(&notices, 50, SMALL).0, Err(ProtocolAbuse::Startup { max: 400 }));
}

#[test]
fn an_answer_that_never_ends_fails_and_many_answers_pass() {
    let flood = [login(), message(b'N', &[b'x'; 500]).repeat(10)].concat();
    assert_eq!(fed(&flood, 50, SMALL).0, Err(ProtocolAbuse::Answer { max: 3000 }));
    let rows = [login(), message(b'D', &[0; 90]).repeat(40)].concat();
    assert_eq!(fed(&rows, 7, SMALL).0, Err(ProtocolAbuse::Answer { max: 3000 }));
    let answer = [message(b'D', &[0; 900]), message(b'Z', b"I")].concat();
    let honest = [login(), answer.repeat(100)].concat();
    assert_eq!(fed(&honest, 11, SMALL).0, Ok(()));
}

#[test]
fn settings_may_change_for_ever_but_not_be_invented() {
    let mut honest = login();
    for _ in 0..50 {
        honest.extend(message(b'S', b"TimeZone\0UTC\0"));
        honest.extend(message(b'Z', b"I"));
    }
    assert_eq!(fed(&honest, 9, SMALL).0, Ok(()));
    let mut invented = login();
    for index in 0..50 {
        invented.extend(message(b'S', format!("name{index}\0x\0").as_bytes()));
        invented.extend(message(b'Z', b"I"));
    }
    assert_eq!(fed(&invented, 9, SMALL).0, Err(ProtocolAbuse::Parameters { max: 4 }));
    let nameless = [login(), message(b'S', &[b'x'; 200])].concat();
    assert_eq!(fed(&nameless, 9, SMALL).0, Err(ProtocolAbuse::NotTheProtocol));
}

proptest! {
    #[test]
    fn any_bytes_are_followed_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), step in 1_usize..20) {
        let _ = fed(&bytes, step, SMALL);
    }

    #[test]
    fn the_cut_between_reads_changes_nothing(
        sizes in prop::collection::vec((0_usize..1100, prop::sample::select(b"DENSZKRTC".to_vec())), 0..12),
        step in 1_usize..50,
    ) {
        let bodies = sizes.iter().flat_map(|(size, tag)| message(*tag, &vec![0; *size]));
        let bytes: Vec<u8> = login().into_iter().chain(bodies).collect();
        prop_assert_eq!(fed(&bytes, step, SMALL).0, fed(&bytes, bytes.len(), SMALL).0);
    }
}

/// A server that sends `first` at login and then, after a request came, `answer` and `flood` for ever.
/// With an empty `answer` it waits for no request. Returns how much it could send.
async fn hostile(mut socket: DuplexStream, first: Vec<u8>, answer: Vec<u8>, flood: Vec<u8>) -> u64 {
    let mut length = [0; 4];
    socket.read_exact(&mut length).await.unwrap();
    let mut startup = vec![0; usize::try_from(u32::from_be_bytes(length)).unwrap() - 4];
    socket.read_exact(&mut startup).await.unwrap();
    socket.write_all(&first).await.unwrap();
    if !answer.is_empty() {
        socket.read_u8().await.unwrap();
    }
    let mut sent = (first.len() + answer.len()) as u64;
    if socket.write_all(&answer).await.is_ok() {
        while socket.write_all(&flood).await.is_ok() {
            sent += flood.len() as u64;
        }
    }
    sent
}

async fn attacked(first: Vec<u8>, answer: Vec<u8>, flood: Vec<u8>) -> (Option<ProtocolAbuse>, u64) {
    let (client, server) = duplex(4096);
    let server = tokio::spawn(hostile(server, first, answer, flood));
    let stream = BoundedStream::new(client, SMALL);
    let observed = stream.observed();
    let mut config = tokio_postgres::Config::new();
    config.user("u").ssl_mode(tokio_postgres::config::SslMode::Disable);
    if let Ok((client, connection)) = config.connect_raw(stream, NoTls).await {
        let driver = tokio::spawn(connection);
        let _ = client.simple_query("select 1").await;
        let _ = driver.await.unwrap();
    }
    (observed.abuse(), server.await.unwrap())
}

#[tokio::test]
async fn a_hostile_server_is_cut_off_at_every_stage() {
    let endless_error = [vec![b'E'], 0x7fff_ffff_u32.to_be_bytes().to_vec()].concat();
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0");
    let setting = message(b'S', b"TimeZone\0UTC\0");
    let row = message(b'D', &[0, 1, 0, 0, 0, 1, b'1']);
    let columns = message(b'T', b"\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    let ok = message(b'R', &[0; 4]);
    let junk = vec![b'x'; 1000];
    let none = Vec::new;
    let cases = [
        (endless_error.clone(), none(), junk.clone(), ProtocolAbuse::Message { max: 1000 }),
        (none(), none(), notice.clone(), ProtocolAbuse::Startup { max: 400 }),
        (ok, none(), setting.clone(), ProtocolAbuse::Startup { max: 400 }),
        (login(), endless_error, junk, ProtocolAbuse::Message { max: 1000 }),
        (login(), none(), notice.clone(), ProtocolAbuse::Answer { max: 3000 }),
        (login(), notice.clone(), notice, ProtocolAbuse::Answer { max: 3000 }),
        (login(), setting.clone(), setting, ProtocolAbuse::Answer { max: 3000 }),
        (login(), columns, row, ProtocolAbuse::Answer { max: 3000 }),
    ];
    for (first, answer, flood, expected) in cases {
        let (abuse, sent) = attacked(first, answer, flood).await;
        assert_eq!(abuse, Some(expected));
        assert!(sent < 16 * 1024, "{expected:?}: the server could send {sent} bytes");
    }
}
