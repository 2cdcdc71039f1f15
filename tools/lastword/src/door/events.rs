//! Events as they are shown: a page of those that there are, or a stream of those that come.
//!
//! An event names what earlier ones have said, so that a reader begins where the names are known: at the start of the run,
//! behind a page that was read before, or at the first event of the log. What it passes over costs time and no memory.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame};
use lastword::Handle;
use lastword::core::vocabulary::{Name, Recorded, Seq};
use lastword::describe::Describer;
use lastword::engine::{Watch, WatchError, WatchItem};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::desk::{Desk, Reply};
use super::pool::Pool;
use super::refusal::Refusal;
use super::request::Wanted;
use crate::fail::{CANNOT_OPEN, Fail};

/// How often it is looked whether there are more, while there are none: a tenth of a second, which a person does not notice.
const TURN: Duration = Duration::from_millis(100);

/// So many events are passed over or read in one go, before others have their turn.
const CHUNK: usize = 1_000;

/// So many places where the names are known are remembered, beside the start of the run.
const MOST_PLACES: usize = 8;

/// Pieces of a stream that may wait for its reader.
const AHEAD: usize = 2;

/// A stream says something at least so often, so that both sides notice when the other one is gone.
const STILL_THERE: Duration = Duration::from_secs(15);

/// Where names are known.
pub(super) struct Past {
    handle: Handle,
    /// The start of the run first, then the ends of the last pages.
    known: Mutex<Vec<(Seq, Describer)>>,
}

impl Past {
    pub(super) fn new(handle: Handle, start: (Seq, Describer)) -> Past {
        Past { handle, known: Mutex::new(vec![start]) }
    }

    /// A reader that shows nothing before `from`; it has to pass over what lies between.
    fn reader(&self, from: Seq, begins: Seq) -> Reader {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = known.iter().filter(|(seq, _)| *seq <= from && *seq >= begins).max_by_key(|(seq, _)| *seq);
        let (next, describer) = nearest.cloned().unwrap_or((begins, Describer::new()));
        Reader { watch: self.handle.watch(next), describer, next, from }
    }

    fn remember(&self, reader: &Reader) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.iter().any(|(seq, _)| *seq == reader.next) {
            return;
        }
        if known.len() > MOST_PLACES {
            known.remove(1);
        }
        known.push((reader.next, reader.describer.clone()));
    }
}

/// Reads on, event by event.
struct Reader {
    watch: Watch,
    describer: Describer,
    /// What comes next.
    next: Seq,
    /// Nothing before this is shown.
    from: Seq,
}

/// What was read in one go.
struct Read {
    /// The sequence number and the JSON of each that is asked for.
    events: Vec<(Seq, String)>,
    /// There was nothing more.
    is_end: bool,
    /// How many were shown or left out as asked, those passed over before `from` not counted.
    looked_at: usize,
}

impl Reader {
    /// At most `most` events, however many are passed over.
    fn read(&mut self, most: usize, collection: Option<&Name>) -> Result<Read, Fail> {
        let (mut read, mut passed) = (Read { events: Vec::new(), is_end: false, looked_at: 0 }, 0);
        while read.looked_at < most && passed < CHUNK {
            match self.watch.next_within(Duration::ZERO) {
                Ok(WatchItem::Event(event)) => match self.show(&event, collection) {
                    None => passed += 1,
                    Some(shown) => {
                        read.looked_at += 1;
                        read.events.extend(shown.map(|json| (event.seq, json)));
                    }
                },
                Ok(WatchItem::Lagged { .. }) => {}
                Err(WatchError::TimedOut | WatchError::Closed) => {
                    read.is_end = true;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(read)
    }

    /// Nothing of an event before `from`; of others the JSON, if it is asked for.
    fn show(&mut self, event: &Recorded, collection: Option<&Name>) -> Option<Option<String>> {
        self.next = event.seq.next();
        let described = self.describer.describe(event);
        if event.seq < self.from {
            return None;
        }
        let is_asked = collection.is_none() || described.name() == collection;
        Some(is_asked.then(|| described.json()))
    }
}

/// Events that are read for one client.
pub(super) struct Following {
    desk: Arc<Desk>,
    pool: Arc<Pool>,
    reader: Box<Reader>,
    wanted: Wanted,
}

/// How events are put into a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON object in each line.
    Lines,
    /// Server-sent events: `id` is what to go on behind.
    ServerSent,
}

impl Following {
    pub(super) async fn new(desk: &Arc<Desk>, pool: &Arc<Pool>, wanted: Wanted) -> Result<Following, Refusal> {
        let stats = desk.handle.request().stats().await.map_err(Fail::from)?;
        let oldest = stats.begins.max(Seq(1));
        let from = wanted.from.unwrap_or(if wanted.follow { stats.durable.next() } else { oldest });
        if from < oldest {
            let problem = format!("from: the log begins with event {oldest}; what was before is forgotten (retain)");
            return Err(Refusal {
                field: Some("from".to_owned()),
                ..Refusal::new("prefix_gone", CANNOT_OPEN, problem)
            });
        }
        let reader = Box::new(desk.past.reader(from, oldest));
        Ok(Following { desk: Arc::clone(desk), pool: Arc::clone(pool), reader, wanted })
    }

    /// The answer: a page, or this.
    pub(super) async fn page_or_stream(mut self) -> Result<Reply, Refusal> {
        if self.wanted.follow {
            return Ok(Reply::Events(self));
        }
        let (mut events, mut left) = (Vec::new(), self.wanted.most);
        loop {
            let read = self.read(left).await?;
            left -= read.looked_at.min(left);
            events.extend(read.events.into_iter().map(|(_, json)| json));
            if read.is_end || left == 0 {
                break;
            }
        }
        self.desk.past.remember(&self.reader);
        let next = self.reader.next.max(self.reader.from).0;
        Ok(Reply::Json(format!("{{\"v\":1,\"events\":[{}],\"next\":{next}}}", events.join(","))))
    }

    async fn read(&mut self, most: usize) -> Result<Read, Refusal> {
        let behind = Reader {
            watch: self.desk.handle.watch(self.reader.next),
            describer: Describer::new(),
            next: self.reader.next,
            from: self.reader.from,
        };
        let mut reader = std::mem::replace(&mut self.reader, Box::new(behind));
        let collection = self.wanted.collection.clone();
        let read = self.pool.read(move || {
            let read = reader.read(most, collection.as_ref());
            (reader, read)
        });
        let (reader, read) = read.await?;
        self.reader = reader;
        Ok(read?)
    }

    /// The body of a stream. It is read only as fast as its client reads, and whoever is too far behind reads from the log.
    pub(super) fn stream(mut self, form: Form) -> Streamed {
        let (pieces, streamed) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let mut silent = Duration::ZERO;
            while !self.desk.is_stopping() {
                let piece = match self.read(CHUNK).await {
                    Ok(read) if read.events.is_empty() => {
                        if read.is_end {
                            sleep(TURN).await;
                            silent += TURN;
                        }
                        if silent < STILL_THERE && !pieces.is_closed() {
                            continue;
                        }
                        form.nothing().to_owned()
                    }
                    Ok(read) => read.events.iter().map(|(seq, json)| form.event(*seq, json)).collect(),
                    Err(refusal) => {
                        let _ = pieces.send(Bytes::from(form.failed(&refusal))).await;
                        return;
                    }
                };
                silent = Duration::ZERO;
                if pieces.send(Bytes::from(piece)).await.is_err() {
                    return;
                }
            }
        });
        Streamed(streamed)
    }
}

impl Form {
    fn event(self, seq: Seq, json: &str) -> String {
        match self {
            Form::Lines => format!("{json}\n"),
            Form::ServerSent => format!("id: {seq}\ndata: {json}\n\n"),
        }
    }

    /// What stands for nothing, and keeps the stream alive.
    fn nothing(self) -> &'static str {
        match self {
            Form::Lines => "\n",
            Form::ServerSent => ":\n\n",
        }
    }

    fn failed(self, refusal: &Refusal) -> String {
        match self {
            Form::Lines => format!("{}\n", refusal.json()),
            Form::ServerSent => format!("event: error\ndata: {}\n\n", refusal.json()),
        }
    }
}

/// The pieces of a stream as the body of an answer.
pub(super) struct Streamed(mpsc::Receiver<Bytes>);

impl Body for Streamed {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|piece| Some(Ok(Frame::data(piece?))))
    }
}
