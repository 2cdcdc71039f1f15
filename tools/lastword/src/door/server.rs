//! The door itself: a thread that takes connections from the socket, and one on which all of them are served. It must not
//! know what is asked.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::geteuid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::connection::{Shared, converse};
use super::desk::Desk;
use super::guard::{Entrance, Token, check_address};
use super::limits::END_WITHIN;
use super::places::Places;
use super::pool::{MOST_THREADS, Pool};
use crate::control::{Socket, SocketPlace};
use crate::fail::{CANNOT_OPEN, Fail};

/// Without descriptors accepting fails at once, again and again.
const REST: Duration = Duration::from_millis(100);

/// Connections that the thread at the socket may be ahead of the other.
const AHEAD: usize = 16;

/// What `--http` has opened.
pub(crate) struct Http {
    listener: TcpListener,
    token: Option<Token>,
}

impl Http {
    /// Listens, so that an address that cannot be had is known before anything else is done.
    pub(crate) fn listen(address: SocketAddr, token: Option<Token>) -> Result<Http, Fail> {
        check_address(address, token.as_ref())?;
        let refused = |error: io::Error| Fail::new(CANNOT_OPEN, format!("--http: {address}: {error}"));
        let listener = TcpListener::bind(address).map_err(refused)?;
        listener.set_nonblocking(true).map_err(refused)?;
        Ok(Http { listener, token })
    }

    /// Where, as a person types it.
    pub(crate) fn address(&self) -> Option<String> {
        let address = self.listener.local_addr().ok()?;
        Some(format!("http://{address}/, {}", if self.token.is_some() { "with its token" } else { "read-only" }))
    }
}

/// The door and its threads. Dropping it closes every connection and takes the socket away.
pub(crate) struct Door {
    desk: Arc<Desk>,
    /// The thread at the socket: what wakes it, and where the socket is.
    socket: Option<(UnixStream, SocketPlace)>,
    ends: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
}

impl Door {
    /// Begins to answer. Only for who holds the lock of the log.
    pub(crate) fn start(socket: Option<Socket>, http: Option<Http>, desk: Arc<Desk>) -> io::Result<Door> {
        // What blocks goes to the pool; everything else is short.
        let runtime =
            Builder::new_current_thread().enable_io().enable_time().max_blocking_threads(MOST_THREADS).build()?;
        let (ends, ended) = watch::channel(false);
        let pool = Arc::new(Pool::new());
        let shared = |entrance| {
            let (desk, pool) = (Arc::clone(&desk), Arc::clone(&pool));
            Arc::new(Shared { desk, pool, places: Places::new(), entrance })
        };
        let (streams, arriving) = mpsc::channel(AHEAD);
        let by_socket = shared(Entrance::Socket);
        let by_tcp = http.map(|Http { listener, token }| (listener, shared(Entrance::Tcp { token })));
        let mut door = Door { desk: Arc::clone(&desk), socket: None, ends, threads: Vec::new() };
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        door.threads.push(named("lastword-door").spawn(move || serve(runtime, (arriving, by_socket), by_tcp, ended))?);
        if let Some(socket) = socket {
            door.socket = Some(socket.end()?);
            let accept = move || accept(socket, &desk, &streams);
            door.threads.push(named("lastword-control").spawn(accept)?);
        }
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.desk.stop();
        let is_woken = self.socket.take().is_none_or(|(waker, place)| {
            // By its own end and not by a connection: the path may lead to the socket of another by now.
            let is_woken = waker.shutdown(Shutdown::Both).is_ok();
            place.remove();
            is_woken
        });
        self.ends.send_replace(true);
        if is_woken {
            // A panic in one of them has harmed nothing else.
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

fn accept(mut socket: Socket, desk: &Desk, streams: &mpsc::Sender<UnixStream>) {
    loop {
        match socket.accept() {
            Ok(None) => return,
            _ if desk.is_stopping() => return,
            Ok(Some(stream)) => {
                if streams.blocking_send(stream).is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(target: "lastword::control", %error, "a connection was not served");
                thread::sleep(REST);
            }
        }
    }
}

type Arriving = (mpsc::Receiver<UnixStream>, Arc<Shared>);

fn serve(runtime: Runtime, arriving: Arriving, tcp: Option<(TcpListener, Arc<Shared>)>, ends: watch::Receiver<bool>) {
    runtime.block_on(async {
        let mut served = JoinSet::new();
        take(&mut served, arriving, tcp, ends).await;
        // Who is being answered hears the end of it; who does not read it holds up nothing.
        let _ = timeout(END_WITHIN, async { while served.join_next().await.is_some() {} }).await;
    });
    // A call that hangs does not hold up the end.
    runtime.shutdown_background();
}

/// Takes connections until the end.
async fn take(
    served: &mut JoinSet<()>,
    (mut streams, by_socket): Arriving,
    tcp: Option<(TcpListener, Arc<Shared>)>,
    mut ends: watch::Receiver<bool>,
) {
    let tcp = tcp.and_then(|(listener, shared)| {
        let listener = tokio::net::TcpListener::from_std(listener);
        listener.inspect_err(unserved).ok().map(|listener| (listener, shared))
    });
    let (mut is_open, connection) = (true, ends.clone());
    loop {
        tokio::select! {
            _ = ends.wait_for(|ends| *ends) => return,
            stream = streams.recv(), if is_open => match stream {
                None => is_open = false,
                Some(stream) => match own(stream) {
                    Ok(stream) => begin(served, stream, &by_socket, &connection),
                    Err(error) => unserved(&error),
                },
            },
            accepted = next(tcp.as_ref()) => match accepted {
                Ok((stream, shared)) => begin(served, stream, shared, &connection),
                Err(error) => {
                    unserved(&error);
                    sleep(REST).await;
                }
            },
            _ = served.join_next(), if !served.is_empty() => {}
        }
    }
}

fn unserved(error: &io::Error) {
    tracing::warn!(target: "lastword::control", %error, "a connection was not served");
}

/// The next connection over TCP; never, without it.
async fn next(
    tcp: Option<&(tokio::net::TcpListener, Arc<Shared>)>,
) -> io::Result<(tokio::net::TcpStream, &Arc<Shared>)> {
    match tcp {
        Some((listener, shared)) => Ok((listener.accept().await?.0, shared)),
        None => std::future::pending().await,
    }
}

/// A connection of the owner of this process, or of root: what the mode of the socket says already.
fn own(stream: UnixStream) -> io::Result<tokio::net::UnixStream> {
    stream.set_nonblocking(true)?;
    let stream = tokio::net::UnixStream::from_std(stream)?;
    let user = stream.peer_cred()?.uid();
    if user != geteuid().as_raw() && user != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("user {user} is not the owner of this run"),
        ));
    }
    Ok(stream)
}

/// Serves one, if there is room to say anything to it.
fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    served: &mut JoinSet<()>,
    stream: S,
    shared: &Arc<Shared>,
    ends: &watch::Receiver<bool>,
) {
    if let Some(held) = shared.places.take() {
        served.spawn(converse(stream, Arc::clone(shared), held, ends.clone()));
    }
}
