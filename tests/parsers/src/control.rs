//! What is said on the control socket, without the socket and without HTTP: a first line with the method and the target of
//! a request, and behind it its body.

use lastword_cli::door::{Answer, MOST_REQUEST, Message, Request};

/// Whether this is a request; if so, that what is written of it is the same request.
pub fn check(input: &[u8]) -> bool {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (line, body) = input.split_at(end);
    let body = body.get(1..).unwrap_or_default();
    let Some((method, target)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(' ')) else {
        return false;
    };
    let Ok(request) = Request::parse(method, target, body) else { return false };
    let Message { method, target, body } = request.message();
    assert_eq!(Request::parse(method, &target, body.as_bytes()).unwrap(), request);
    assert!(body.len() < MOST_REQUEST && target.is_ascii());
    true
}

/// Whatever a server answers, a client comes to an end with it.
pub fn check_answer(line: &[u8]) {
    if let Some(Ok(answer)) = Answer::parse(line) {
        assert_eq!(Answer::parse(answer.to_string().as_bytes()).unwrap().unwrap(), answer);
    }
}
