//! HTTP without a library, so that what is sent is known to the byte.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// A conversation.
pub struct Client<S = UnixStream> {
    stream: BufReader<S>,
}

/// What was answered.
#[derive(Debug)]
pub struct Answered {
    pub status: u16,
    /// As they were sent, in lower case.
    pub head: String,
    pub body: String,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What an error says: its kind, its code and its text.
    pub fn error(&self) -> (String, u64, String) {
        let error = &self.json()["error"];
        let text = |key: &str| error[key].as_str().unwrap().to_owned();
        (text("kind"), error["code"].as_u64().unwrap(), text("message"))
    }
}

impl Client {
    /// Nothing that is read takes longer than 60 s.
    pub fn connect(socket: &Path) -> io::Result<Client> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    pub fn stream(&self) -> &UnixStream {
        self.stream.get_ref()
    }
}

impl Client<TcpStream> {
    pub fn tcp(address: &str) -> Client<TcpStream> {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Client { stream: BufReader::new(stream) }
    }
}

impl<S: Read + Write> Client<S> {
    pub fn get(&mut self, target: &str) -> io::Result<Answered> {
        self.send(format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n").as_bytes())?;
        self.answer()
    }

    pub fn post(&mut self, target: &str, body: &str) -> io::Result<Answered> {
        let length = body.len();
        self.send(
            format!("POST {target} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{body}").as_bytes(),
        )?;
        self.answer()
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// The next answer; an error if there is none.
    pub fn answer(&mut self) -> io::Result<Answered> {
        let head = self.head()?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8(body).map_err(io::Error::other)?;
        Ok(Answered { status: status.unwrap_or(0), head, body })
    }

    /// Everything before the body.
    pub fn head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head.to_lowercase())
    }

    /// The next line of a stream that is sent in chunks.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            // Between them stand their lengths, and empty lines.
            if line.starts_with(['{', 'd']) && line.len() > 8 {
                return Ok(line);
            }
        }
    }
}
