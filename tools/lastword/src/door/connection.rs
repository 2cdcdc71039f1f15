//! One connection: requests in, answers out, each within its bounds. It must not know what is answered.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request as Asked, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::timeout;

use super::desk::{Desk, Reply};
use super::events::{Form, Streamed};
use super::guard::Entrance;
use super::limits::{
    ANSWER_WITHIN, MOST_HEAD, MOST_HEADERS, MOST_REQUEST, READ_WITHIN, REFUSED_WITHIN, REQUEST_WITHIN,
};
use super::patient::Patient;
use super::places::{Held, Places, no_place};
use super::pool::Pool;
use super::refusal::Refusal;
use super::request::{Request, methods_of, route_of};
use super::routes::Place;
use crate::fail::{CANNOT_OPEN, USAGE};

/// What all connections of one way in have in common.
pub(super) struct Shared {
    pub(super) desk: Arc<Desk>,
    pub(super) pool: Arc<Pool>,
    pub(super) places: Places,
    pub(super) entrance: Entrance,
}

type Answered = Response<Either<Full<Bytes>, Streamed>>;

/// Answers the requests of one connection until there are none, or until everything ends.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    shared: Arc<Shared>,
    held: Held,
    mut ends: watch::Receiver<bool>,
) {
    let (is_served, held) = (held.is_served, Arc::new(held));
    let answer = |asked: Asked<Incoming>| {
        let is_command = asked.method() != Method::GET;
        let answering = tokio::spawn(respond(Arc::clone(&shared), Arc::clone(&held), asked));
        Answering { answering, is_command }
    };
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(if is_served { REQUEST_WITHIN } else { REFUSED_WITHIN })
        .max_headers(MOST_HEADERS)
        .max_buf_size(MOST_HEAD)
        .keep_alive(is_served);
    let io = TokioIo::new(Patient::new(stream, READ_WITHIN));
    let mut served = pin!(builder.serve_connection(io, service_fn(answer)));
    tokio::select! {
        // A client that hangs up in the middle of a request gets no answer.
        _ = &mut served => return,
        _ = ends.wait_for(|ends| *ends) => served.as_mut().graceful_shutdown(),
    }
    let _ = served.await;
}

/// A request that is being answered, by a task of its own: who hangs up behind a command does not take it back, whether he
/// hangs up before it is read or later; and who hangs up while he waits waits no longer.
struct Answering {
    answering: JoinHandle<Answered>,
    is_command: bool,
}

impl Future for Answering {
    type Output = Result<Answered, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.answering).poll(context)
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        if !self.is_command {
            self.answering.abort();
        }
    }
}

async fn respond(shared: Arc<Shared>, held: Arc<Held>, asked: Asked<Incoming>) -> Answered {
    let target = asked.uri().path_and_query().map_or_else(String::new, |target| target.as_str().to_owned());
    let form = form(asked.headers());
    match answer(&shared, &held, asked).await {
        Ok(Reply::Json(json)) => whole(StatusCode::OK, json),
        Ok(Reply::Text(media, text)) => headed(StatusCode::OK, media, Either::Left(Full::from(text))),
        Ok(Reply::Events(following)) => {
            let media = match form {
                Form::Lines => "application/x-ndjson",
                Form::ServerSent => "text/event-stream",
            };
            headed(StatusCode::OK, media, Either::Right(following.stream(form)))
        }
        Err(refusal) => refused(&refusal, &target),
    }
}

async fn answer(shared: &Arc<Shared>, held: &Held, asked: Asked<Incoming>) -> Result<Reply, Refusal> {
    if !held.is_served {
        return Err(no_place());
    }
    let (head, body) = asked.into_parts();
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let (route, _, _) = route_of(head.method.as_str(), target)?;
    shared.entrance.admit(route, &head.headers)?;
    let body = read(body).await?;
    let (route, request) = Request::of_route(head.method.as_str(), target, &body)?;
    let place = match &request {
        Request::Events(wanted) if !wanted.follow => Place::Command,
        _ => route.place,
    };
    shared.places.change(held, place)?;
    in_time(ANSWER_WITHIN, shared.desk.answer(&shared.pool, request)).await
}

async fn in_time<T>(within: Duration, answered: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = || {
        let problem = "the engine has not answered; what was asked is not withdrawn: it is carried out as soon as the engine goes on";
        Refusal::new("timed_out", CANNOT_OPEN, problem)
    };
    timeout(within, answered).await.unwrap_or_else(|_| Err(late()))
}

/// The body, of which no more is read than a request may have.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    let slow = || Refusal::new("too_slow", USAGE, format!("a request arrives within {} s", REQUEST_WITHIN.as_secs()));
    match timeout(REQUEST_WITHIN, Limited::new(body, MOST_REQUEST).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new("too_large", USAGE, format!("a body has at most {MOST_REQUEST} bytes")))
        }
        Ok(Err(_)) => Err(Refusal::new("invalid_input", USAGE, "the body ends before its end")),
        Err(_) => Err(slow()),
    }
}

fn form(headers: &HeaderMap) -> Form {
    let accepted = headers.get(ACCEPT).and_then(|accepted| accepted.to_str().ok()).unwrap_or_default();
    if accepted.contains("text/event-stream") { Form::ServerSent } else { Form::Lines }
}

fn whole(status: StatusCode, json: String) -> Answered {
    headed(status, "application/json", Either::Left(Full::from(json)))
}

fn headed(status: StatusCode, media: &'static str, body: Either<Full<Bytes>, Streamed>) -> Answered {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let nosniff = HeaderName::from_static("x-content-type-options");
    for (name, value) in [(CONTENT_TYPE, media), (CACHE_CONTROL, "no-store"), (nosniff, "nosniff")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn refused(refusal: &Refusal, target: &str) -> Answered {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(status, lastword::describe::plain_json(refusal.json().to_string()));
    let headers = response.headers_mut();
    match refusal.kind {
        "method_not_allowed" => {
            let methods = HeaderValue::from_str(&methods_of(target));
            methods.into_iter().for_each(|methods| drop(headers.insert(ALLOW, methods)));
        }
        "token_missing" => drop(headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        // What is left of the request is not read.
        "too_large" | "too_slow" => drop(headers.insert(CONNECTION, HeaderValue::from_static("close"))),
        _ => {}
    }
    response
}
