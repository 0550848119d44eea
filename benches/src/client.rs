//! A small blocking HTTP/1.1 client: one kept-alive connection, one request at a time, bodies as bytes.
//!
//! It does no TLS, no redirects and no retries. Written for load: it copies a body once and takes next to no CPU from the server
//! it shares the machine with.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Largest answer that is read, bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("could not connect to {address}")]
    Connect {
        /// Who was called.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The connection broke; whether the request took effect is unknown.
    #[error("the connection to {address} broke during {method} {path}")]
    Broken {
        /// Who was called.
        address: SocketAddr,
        /// Method of the request.
        method: &'static str,
        /// Path of the request.
        path: String,
        /// How it broke.
        source: std::io::Error,
    },
    /// The server answered with an error.
    #[error("POST {path} was answered with {status}: {text}")]
    Refused {
        /// Path of the request.
        path: String,
        /// HTTP status.
        status: u16,
        /// Body of the answer.
        text: String,
    },
}

/// A server's answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// `Retry-After`, seconds.
    pub retry_after_s: Option<u64>,
    /// Body, decoded from chunks.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as text, for people.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The body as JSON; `null` if it is none.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// A connection to one server, opened at the first request and again after it broke.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    timeout: Duration,
    stream: Option<BufReader<TcpStream>>,
    last_used: Instant,
    head: Vec<u8>,
}

/// A connection that idled for longer is looked at before it is used again: servers close idle ones.
const IDLE: Duration = Duration::from_secs(1);

impl Connection {
    /// Calls nobody yet. `timeout` bounds each wait for the server, not the whole answer.
    #[must_use]
    pub fn new(address: SocketAddr, timeout: Duration) -> Self {
        Self { address, timeout, stream: None, last_used: Instant::now(), head: Vec::new() }
    }

    /// GET.
    ///
    /// # Errors
    /// No connection, or it broke.
    pub fn get(&mut self, path: &str) -> Result<Answer, Error> {
        self.send("GET", path, &[], &[])
    }

    /// POST of a JSON value.
    ///
    /// # Errors
    /// No connection, or it broke: the request may have taken effect.
    pub fn post_json(&mut self, path: &str, body: &impl serde::Serialize) -> Result<Answer, Error> {
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.send("POST", path, &[("content-type", "application/json")], &body)
    }

    /// Any request.
    ///
    /// # Errors
    /// No connection, or it broke: the request may have taken effect.
    pub fn send(
        &mut self,
        method: &'static str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Answer, Error> {
        let kept = self.stream.take().filter(|stream| self.last_used.elapsed() < IDLE || is_open(stream.get_ref()));
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.connect().map_err(|source| Error::Connect { address: self.address, source })?,
        };
        self.write_head(method, path, headers, body.len());
        match exchange(&mut stream, &self.head, body) {
            Ok((answer, keep)) => {
                self.stream = keep.then_some(stream);
                self.last_used = Instant::now();
                Ok(answer)
            }
            Err(source) => Err(Error::Broken { address: self.address, method, path: path.to_owned(), source }),
        }
    }

    fn connect(&self) -> std::io::Result<BufReader<TcpStream>> {
        let stream = TcpStream::connect_timeout(&self.address, self.timeout)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(self.timeout))?;
        stream.set_write_timeout(Some(self.timeout))?;
        Ok(BufReader::new(stream))
    }

    fn write_head(&mut self, method: &str, path: &str, headers: &[(&str, &str)], length: usize) {
        let address = self.address;
        self.head.clear();
        let mut line = |text: std::fmt::Arguments<'_>| self.head.extend_from_slice(text.to_string().as_bytes());
        line(format_args!("{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {length}\r\n"));
        for (name, value) in headers {
            line(format_args!("{name}: {value}\r\n"));
        }
        line(format_args!("\r\n"));
    }
}

/// False when the other side has closed, so that a request is not wasted on it.
fn is_open(stream: &TcpStream) -> bool {
    let looked = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
    let nothing_yet = looked.is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).is_ok() && nothing_yet
}

/// Sends a request and reads the answer; the flag says whether the connection stays open.
fn exchange(stream: &mut BufReader<TcpStream>, head: &[u8], body: &[u8]) -> std::io::Result<(Answer, bool)> {
    let socket = stream.get_mut();
    if body.len() < 16_384 {
        // One packet, one system call.
        socket.write_all(&[head, body].concat())?;
    } else {
        socket.write_all(head)?;
        socket.write_all(body)?;
    }
    let mut line = String::new();
    read_line(stream, &mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or_else(|| malformed(&line))?;
    let mut answer = Answer { status, retry_after_s: None, body: Vec::new() };
    let (mut length, mut chunked, mut keep) = (None, false, true);
    loop {
        read_line(stream, &mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<u64>().map_err(|_| malformed(&line))?),
            "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
            "connection" => keep = !value.eq_ignore_ascii_case("close"),
            "retry-after" => answer.retry_after_s = value.parse().ok(),
            _ => {}
        }
    }
    if chunked {
        while read_chunk(stream, &mut line, &mut answer.body)? {}
    } else if let Some(length) = length {
        read_exactly(stream, length, &mut answer.body)?;
    } else if status != 204 {
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer.body)?;
        keep = false;
    }
    Ok((answer, keep))
}

/// One line without its end; empty at the end of the head.
fn read_line(stream: &mut BufReader<TcpStream>, line: &mut String) -> std::io::Result<()> {
    line.clear();
    if stream.read_line(line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    line.truncate(line.trim_end().len());
    Ok(())
}

/// One chunk; false after the last, with the trailers read.
fn read_chunk(stream: &mut BufReader<TcpStream>, line: &mut String, body: &mut Vec<u8>) -> std::io::Result<bool> {
    read_line(stream, line)?;
    let digits = line.split(';').next().unwrap_or_default();
    let length = u64::from_str_radix(digits, 16).map_err(|_| malformed(line))?;
    if length == 0 {
        while !line.is_empty() {
            read_line(stream, line)?;
        }
        return Ok(false);
    }
    read_exactly(stream, length, body)?;
    read_line(stream, line)?;
    Ok(true)
}

fn read_exactly(stream: &mut BufReader<TcpStream>, length: u64, body: &mut Vec<u8>) -> std::io::Result<()> {
    if length > ANSWER_BYTES_MAX {
        return Err(malformed("an answer of more than 1 GiB"));
    }
    let read = stream.take(length).read_to_end(body)?;
    if u64::try_from(read) == Ok(length) { Ok(()) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) }
}

fn malformed(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that gives the same bytes for each of `count` requests on one connection; its thread returns what it was sent.
    fn serve(answer: &'static str, count: usize) -> (SocketAddr, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let thread = std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut seen = String::new();
            for _ in 0..count {
                let mut reader = BufReader::new(&mut socket);
                let (mut line, mut length) = (String::new(), 0);
                while line != "\r\n" {
                    line.clear();
                    reader.read_line(&mut line).unwrap();
                    seen.push_str(&line);
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.trim().parse().unwrap();
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                seen.push_str(std::str::from_utf8(&body).unwrap());
                socket.write_all(answer.as_bytes()).unwrap();
            }
            seen
        });
        (address, thread)
    }

    fn connection(address: SocketAddr) -> Connection {
        Connection::new(address, Duration::from_secs(10))
    }

    #[test]
    fn two_requests_share_a_connection() {
        let (address, server) = serve("HTTP/1.1 429 Too Many\r\nContent-Length: 2\r\nRetry-After: 3\r\n\r\nno", 2);
        let mut client = connection(address);
        for _ in 0..2 {
            let answer = client.send("POST", "/a", &[("x-y", "z")], b"body").unwrap();
            assert_eq!((answer.status, answer.retry_after_s, &*answer.text()), (429, Some(3), "no"));
        }
        assert!(server.join().unwrap().starts_with("POST /a HTTP/1.1\r\nhost: 127.0.0.1"));
    }

    #[test]
    fn chunks_are_put_together() {
        let answer =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{\"a\r\n4;x\r\n\":1}\r\n0\r\nTrailer: x\r\n\r\n";
        let (address, _server) = serve(answer, 2);
        let mut client = connection(address);
        assert_eq!(client.get("/").unwrap().json(), serde_json::json!({"a": 1}));
        assert_eq!(client.get("/").unwrap().status, 200);
    }

    #[test]
    fn an_idle_connection_that_was_closed_is_replaced_unnoticed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        assert!(is_open(&stream));
        drop(peer);
        let end = Instant::now() + Duration::from_secs(10);
        while is_open(&stream) {
            assert!(Instant::now() < end);
        }
    }

    #[test]
    fn a_broken_connection_is_told_and_opened_anew() {
        let (address, server) = serve("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", 1);
        let mut client = connection(address);
        let error = client.get("/b").unwrap_err();
        assert_eq!(error.to_string(), format!("the connection to {address} broke during GET /b"));
        server.join().unwrap();
        assert!(matches!(client.get("/b"), Err(Error::Connect { .. })));
    }
}
