//! The little HTTP that tests need: RabbitMQ's management API and the workers' health endpoint.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// 200, 404, …
    pub status: u16,
    /// The lines before the body.
    pub head: String,
    /// The body as text.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(':'));
        pairs.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

/// One request on a connection of its own. `headers` are complete lines, without their ends.
///
/// # Errors
/// No connection, no answer within 10 s, or not HTTP.
pub async fn request(
    address: &str,
    method: &str,
    path: &str,
    headers: &[String],
    body: &str,
) -> Result<Answer, String> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    let text = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), exchange)
        .await
        .map_err(|_| format!("{method} {path}: no answer from {address} in 10 s"))?
        .map_err(|error| format!("{method} {path} at {address}: {error}"))?;
    parse(&String::from_utf8_lossy(&answer))
        .ok_or_else(|| format!("{method} {path}: {address} does not speak HTTP"))
}

/// `GET` without headers.
///
/// # Errors
/// As [`request`].
pub async fn get(address: &str, path: &str) -> Result<Answer, String> {
    request(address, "GET", path, &[], "").await
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    let body = if chunked { unchunk(body)? } else { body.to_owned() };
    Some(Answer { status, head: head.to_owned(), body })
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.push_str(after.get(..size)?);
        rest = after.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_body_may_come_whole_or_in_chunks() {
        let whole = parse("HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nhi").expect("parses");
        assert_eq!((whole.status, whole.body.as_str()), (201, "hi"));
        let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(text).expect("parses").body, "abcde");
        assert!(parse("not http").is_none());
    }
}
