//! The protocol of the control socket without the socket.

use lastword_cli::control::{Answer, MOST_REQUEST, Request};

/// Whether a line is a request; if so, that what is written of it is the same request.
pub fn check(line: &[u8]) -> bool {
    let Ok(request) = Request::parse(line) else { return false };
    assert_eq!(Request::parse(request.line().as_bytes()).unwrap(), request);
    assert!(request.line().len() < MOST_REQUEST);
    true
}

/// Whatever a server answers, a client comes to an end with it.
pub fn check_answer(line: &[u8]) {
    if let Some(Ok(answer)) = Answer::parse(line) {
        assert_eq!(Answer::parse(answer.to_string().as_bytes()).unwrap().unwrap(), answer);
    }
}
