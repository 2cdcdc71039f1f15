//! A server in this process that speaks as much of S3 as a source needs. It holds many objects, says what was asked of it,
//! and misbehaves as it is told.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::pages;

/// A request, as tests tell them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A page, that begins behind this key if it says so.
    List {
        start_after: Option<String>,
    },
    /// Of this key, with the tag that it has to have.
    Get {
        key: String,
        if_match: Option<String>,
    },
    Head {
        key: String,
    },
    Put {
        key: String,
    },
    Delete {
        key: String,
    },
}

/// What is done instead of answering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This status, and nothing is done.
    Status(u16),
    /// What was asked is done, and the connection is closed without an answer.
    LoseAnswer,
    /// The answer stops in its middle.
    Truncate,
    /// Nothing comes, ever.
    Hang,
    /// This text, with status 200.
    Say(&'static str),
}

/// How the server differs from others of its kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// It lists backwards, and begins where it likes.
    pub is_unordered: bool,
    /// Its tags are weak.
    pub has_weak_tags: bool,
    /// It takes no notice of If-Match when it is read from.
    pub ignores_conditions: bool,
    /// Of each key, one write is done whose condition does not hold.
    pub lets_two_win: bool,
    /// Its tags tell of the size alone.
    pub tags_sizes: bool,
    /// It gives what was there before it was overwritten, with the tag of that.
    pub is_stale: bool,
    /// It sends what is there now, with the tag that was asked for.
    pub lies: bool,
    /// The last key of each page that is not the last one is missing.
    pub loses_keys: bool,
    /// A plus is a space in its listings.
    pub mangles_names: bool,
    /// How its pages go on.
    pub going_on: GoingOn,
    /// It lists what was not asked for.
    pub lists_beside: bool,
    /// It sends other bytes than those of the range.
    pub shifts_ranges: bool,
    /// How far its clock is ahead.
    pub ahead: Duration,
}

/// How a server tells where a listing goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GoingOn {
    /// At the end of each page that is not the last one.
    #[default]
    Told,
    /// It does not, though it says that there is more.
    Untold,
    /// The first page comes again and again, with one and the same token.
    SameToken,
    /// The first page comes again and again, with a token of its own each time.
    SamePage,
    /// Two tokens take turns, and no page has a key.
    InTurns,
    /// No page has a key, and each tells of another.
    Empty,
    /// The last page has an empty token.
    EmptyToken,
}

pub(crate) type Objects = BTreeMap<String, Object>;

#[derive(Clone)]
pub(crate) struct Object {
    pub(crate) content: Bytes,
    before: Option<Bytes>,
    pub(crate) modified: SystemTime,
    /// As Google numbers writes.
    generation: u64,
}

impl Object {
    fn new(content: Bytes) -> Object {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let generation = NEXT.fetch_add(1, Ordering::Relaxed);
        Object { content, before: None, modified: SystemTime::now(), generation }
    }
}

type Hook = Box<dyn FnMut(&Asked) -> Option<Fault> + Send>;

#[derive(Default)]
struct Inner {
    buckets: Mutex<BTreeMap<String, Objects>>,
    asked: Mutex<Vec<Asked>>,
    manners: Mutex<Manners>,
    /// Who may ask, if not everybody.
    admitted: Mutex<Option<String>>,
    hook: Mutex<Option<Hook>>,
    blind: Mutex<BTreeSet<String>>,
}

/// The server. It ends when it is dropped.
pub struct Stage {
    inner: Arc<Inner>,
    /// `http://127.0.0.1:PORT`
    pub endpoint: String,
    runtime: Arc<Runtime>,
}

impl Clone for Stage {
    fn clone(&self) -> Stage {
        Stage { inner: Arc::clone(&self.inner), endpoint: self.endpoint.clone(), runtime: Arc::clone(&self.runtime) }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    pub fn start() -> Stage {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner::default());
        let serving = Arc::clone(&inner);
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let inner = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request| answer(Arc::clone(&inner), request));
                // A connection that is closed in the middle of an answer is an error, and meant to be.
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Stage { inner, endpoint, runtime: Arc::new(runtime) }
    }

    pub fn new_bucket(&self, name: &str) -> String {
        lock(&self.inner.buckets).insert(name.to_owned(), Objects::new());
        name.to_owned()
    }

    pub fn remove_bucket(&self, name: &str) {
        lock(&self.inner.buckets).remove(name);
    }

    /// Puts an object without a request.
    pub fn put(&self, bucket: &str, key: &str, content: &[u8]) {
        let object = Object::new(Bytes::copy_from_slice(content));
        lock(&self.inner.buckets).get_mut(bucket).unwrap().insert(key.to_owned(), object);
    }

    /// Removes an object without a request.
    pub fn remove(&self, bucket: &str, key: &str) {
        lock(&self.inner.buckets).get_mut(bucket).unwrap().remove(key);
    }

    pub fn behave(&self, manners: Manners) {
        *lock(&self.inner.manners) = manners;
    }

    /// Refuses everybody but who signs with this key.
    pub fn admit(&self, access_key_id: &str) {
        *lock(&self.inner.admitted) = Some(access_key_id.to_owned());
    }

    /// Called before each request is answered, on the server's thread.
    pub fn before_each(&self, hook: impl FnMut(&Asked) -> Option<Fault> + Send + 'static) {
        *lock(&self.inner.hook) = Some(Box::new(hook));
    }

    /// The keys of a bucket.
    pub fn keys(&self, bucket: &str) -> Vec<String> {
        lock(&self.inner.buckets).get(bucket).map(|objects| objects.keys().cloned().collect()).unwrap_or_default()
    }

    /// What was asked since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut *lock(&self.inner.asked))
    }
}

pub(crate) type Answer = Response<Full<Bytes>>;

async fn answer(inner: Arc<Inner>, request: Request<Incoming>) -> Result<Answer, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = percent_decode_str(parts.uri.path()).decode_utf8_lossy().into_owned();
    let query = query_of(parts.uri.query().unwrap_or_default());
    let (bucket, key) =
        path.trim_start_matches('/').split_once('/').map_or((path.trim_matches('/'), ""), |found| found);
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let asked = match (&parts.method, key) {
        (&Method::GET, "") => Asked::List { start_after: query.get("start-after").cloned() },
        (&Method::GET, key) => Asked::Get { key: key.to_owned(), if_match: header("if-match") },
        (&Method::HEAD, key) => Asked::Head { key: key.to_owned() },
        (&Method::DELETE, key) => Asked::Delete { key: key.to_owned() },
        (_, key) => Asked::Put { key: key.to_owned() },
    };
    lock(&inner.asked).push(asked.clone());
    if let Some(admitted) = &*lock(&inner.admitted)
        && header("authorization").is_none_or(|signed| !signed.contains(&format!("Credential={admitted}/")))
    {
        return Ok(error(403, "InvalidAccessKeyId"));
    }
    let fault = lock(&inner.hook).as_mut().and_then(|hook| hook(&asked));
    if let Some(Fault::Status(status)) = fault {
        let text = format!("<Error><Code>Told</Code><Message>secret-{status}</Message></Error>");
        return Ok(said(StatusCode::from_u16(status).unwrap(), text));
    }
    if let Some(Fault::Say(text)) = fault {
        return Ok(said(StatusCode::OK, text.to_owned()));
    }
    let done = inner.act(&asked, bucket, &query, &parts.headers, body);
    match fault {
        Some(Fault::LoseAnswer) => Err(std::io::Error::other("told to lose the answer")),
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Truncate) => Ok(truncated(done)),
        Some(Fault::Status(_) | Fault::Say(_)) | None => Ok(done),
    }
}

/// Says how long the answer is, and sends half of it.
fn truncated(answer: Answer) -> Answer {
    let (mut parts, body) = answer.into_parts();
    let Ok(body) = futures_free_collect(body);
    parts.headers.insert("content-length", HeaderValue::from(body.len()));
    Response::from_parts(parts, Full::new(body.slice(..body.len() / 2)))
}

/// A full body is there at once.
fn futures_free_collect(body: Full<Bytes>) -> Result<Bytes, Infallible> {
    let mut body = std::pin::pin!(body);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match hyper::body::Body::poll_frame(body.as_mut(), &mut context) {
        std::task::Poll::Ready(Some(Ok(frame))) => Ok(frame.into_data().unwrap_or_default()),
        _ => Ok(Bytes::new()),
    }
}

pub(crate) fn said(status: StatusCode, text: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(text)));
    *answer.status_mut() = status;
    answer
}

fn error(status: u16, code: &str) -> Answer {
    said(StatusCode::from_u16(status).unwrap(), format!("<Error><Code>{code}</Code></Error>"))
}

fn query_of(query: &str) -> BTreeMap<String, String> {
    let decoded = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(k, v)| (decoded(k), decoded(v)))
        .collect()
}

impl Object {
    pub(crate) fn tag(&self, manners: Manners) -> String {
        let mut hasher = DefaultHasher::new();
        match manners.tags_sizes {
            true => self.content.len().hash(&mut hasher),
            false => self.content.hash(&mut hasher),
        }
        let weak = if manners.has_weak_tags { "W/" } else { "" };
        format!("{weak}\"{:016x}\"", if manners.has_weak_tags { 0 } else { hasher.finish() })
    }
}

impl Inner {
    fn act(
        &self,
        asked: &Asked,
        bucket: &str,
        query: &BTreeMap<String, String>,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Answer {
        let manners = *lock(&self.manners);
        let mut buckets = lock(&self.buckets);
        let Some(objects) = buckets.get_mut(bucket) else { return error(404, "NoSuchBucket") };
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        match asked {
            Asked::List { .. } => pages::list(objects, query, manners),
            Asked::Get { key, .. } | Asked::Head { key } => {
                let Some(object) = objects.get(key) else { return error(404, "NoSuchKey") };
                let stale = object.before.clone().filter(|_| manners.is_stale);
                let object = &Object { content: stale.unwrap_or(object.content.clone()), ..object.clone() };
                let mut tag = object.tag(manners);
                match header("if-match") {
                    Some(wanted) if manners.lies => tag = wanted.to_owned(),
                    Some(wanted) if wanted != tag && !manners.ignores_conditions => {
                        return error(412, "PreconditionFailed");
                    }
                    _ => {}
                }
                let object = &Object { modified: object.modified + manners.ahead, ..object.clone() };
                let mut answer = content(object, &tag, header("range"), matches!(asked, Asked::Head { .. }));
                if manners.shifts_ranges && answer.status() == StatusCode::PARTIAL_CONTENT {
                    let bytes = futures_free_collect(std::mem::take(answer.body_mut())).unwrap_or_default();
                    *answer.body_mut() = Full::new(bytes.iter().map(|byte| byte.wrapping_add(1)).collect());
                }
                answer
            }
            Asked::Put { key } => {
                let held = objects.get(key).map(|object| object.tag(manners));
                let generation = objects.get(key).map_or(0, |object| object.generation).to_string();
                let is_refused = (header("if-none-match") == Some("*") && held.is_some())
                    || header("if-match").is_some_and(|wanted| held.as_deref() != Some(wanted))
                    || header("x-goog-if-generation-match").is_some_and(|wanted| generation != wanted);
                let is_blind = is_refused && manners.lets_two_win && lock(&self.blind).insert(key.clone());
                if is_refused && !is_blind {
                    return error(412, "PreconditionFailed");
                }
                let content = match header("x-amz-copy-source") {
                    Some(from) => {
                        let from = percent_decode_str(from.trim_start_matches('/')).decode_utf8_lossy().into_owned();
                        let from = from.split_once('/').map_or("", |(_, key)| key).to_owned();
                        match objects.get(&from) {
                            Some(object) => object.content.clone(),
                            None => return error(404, "NoSuchKey"),
                        }
                    }
                    None => body,
                };
                let before = objects.get(key).map(|object| object.content.clone());
                let object = Object { before, ..Object::new(content) };
                let generation = HeaderValue::from(object.generation);
                let tag = object.tag(manners);
                objects.insert(key.clone(), object);
                let text = format!("<CopyObjectResult><ETag>{}</ETag></CopyObjectResult>", tag.replace('"', "&quot;"));
                let mut answer = said(StatusCode::OK, text);
                answer.headers_mut().insert("etag", HeaderValue::from_str(&tag).unwrap());
                answer.headers_mut().insert("x-goog-generation", generation);
                answer
            }
            Asked::Delete { key } => {
                objects.remove(key);
                said(StatusCode::NO_CONTENT, String::new())
            }
        }
    }
}

fn content(object: &Object, tag: &str, range: Option<&str>, is_head: bool) -> Answer {
    let length = object.content.len();
    let asked = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let bounds = asked.map(|(start, end)| match start.parse::<usize>() {
        Ok(start) => (start, end.parse::<usize>().map_or(length, |end| (end + 1).min(length))),
        Err(_) => (length.saturating_sub(end.parse().unwrap_or(0)), length),
    });
    let (start, end) = bounds.unwrap_or((0, length));
    if start > end || (start == length && length > 0 && bounds.is_some()) {
        return error(416, "InvalidRange");
    }
    let body = if is_head { Bytes::new() } else { object.content.slice(start..end) };
    let mut answer = Response::new(Full::new(body));
    if bounds.is_some() {
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {start}-{}/{length}", end.saturating_sub(1));
        answer.headers_mut().insert("content-range", HeaderValue::from_str(&range).unwrap());
    }
    let headers = answer.headers_mut();
    headers.insert("content-length", HeaderValue::from(end - start));
    headers.insert("etag", HeaderValue::from_str(tag).unwrap());
    headers.insert("last-modified", HeaderValue::from_str(&http_date(object.modified)).unwrap());
    answer
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

pub(crate) fn iso_date(time: SystemTime) -> String {
    let (date, of_day) = civil(seconds(time));
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.000Z",
        date.0,
        date.1,
        date.2,
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

fn http_date(time: SystemTime) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let ((year, month, day), of_day) = civil(seconds(time));
    let weekday = DAYS[(seconds(time) / 86_400 % 7) as usize];
    let month = MONTHS[month as usize - 1];
    format!("{weekday}, {day:02} {month} {year} {:02}:{:02}:{:02} GMT", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

/// Year, month and day, and the seconds of the day, of seconds since the epoch (the algorithm `civil_from_days` of Howard
/// Hinnant's "chrono-Compatible Low-Level Date Algorithms").
fn civil(seconds: u64) -> ((u64, u64, u64), u64) {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    ((year, month, of_year - (153 * shifted + 2) / 5 + 1), seconds % 86_400)
}
