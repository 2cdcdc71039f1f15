//! A server that answers with bytes as they are given to it, and keeps what it was sent. It knows nothing of stores.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// What makes an answer of the head of a request.
type Voice = Box<dyn Fn(&str) -> Vec<u8> + Send>;

/// The server. It answers until the tests end.
#[derive(Clone)]
pub struct Parrot {
    /// `127.0.0.1:PORT`
    pub address: String,
    heard: Arc<Mutex<Vec<String>>>,
    voice: Arc<Mutex<Voice>>,
}

impl Parrot {
    pub fn start(voice: impl Fn(&str) -> Vec<u8> + Send + 'static) -> Parrot {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let voice: Voice = Box::new(voice);
        let parrot = Parrot { address, heard: Arc::default(), voice: Arc::new(Mutex::new(voice)) };
        let serving = parrot.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = serving.clone();
                // Who hangs up early does so on purpose.
                std::thread::spawn(move || serving.serve(stream).unwrap_or_default());
            }
        });
        parrot
    }

    /// Says something else from now on.
    pub fn say(&self, voice: impl Fn(&str) -> Vec<u8> + Send + 'static) {
        *self.voice.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(voice);
    }

    /// Heads of all requests since the last call.
    pub fn heard(&self) -> Vec<String> {
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One request of a connection, which is closed behind the answer.
    fn serve(&self, stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?);
        let mut head = String::new();
        while lines.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
        let length =
            head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        std::io::copy(&mut lines.take(length.unwrap_or(0)), &mut std::io::sink())?;
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).push(head.clone());
        let answer = (self.voice.lock().unwrap_or_else(PoisonError::into_inner))(&head);
        (&stream).write_all(&answer)
    }
}

/// An answer of HTTP with this status, these lines of its head, and this text.
pub fn answer(status: u16, head: &str, text: &str) -> Vec<u8> {
    let length = text.len();
    format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\nconnection: close\r\n{head}\r\n{text}").into_bytes()
}
