//! The protocol of the control socket without the socket.

#[path = "../../../../../tools/lastword/src/control/by.rs"]
mod by;
#[path = "../../../../../tools/lastword/src/control/gone.rs"]
mod gone;
#[path = "../../../../../tools/lastword/src/control/protocol.rs"]
mod protocol;
#[path = "../../../../../tools/lastword/src/control/steer.rs"]
mod steer;

use gone::Unmanaged;
use protocol::{Answer, Request};

/// As in the program: lines that are longer are not read.
pub(crate) const MOST_REQUEST: usize = 8 << 10;

/// Whether a line is a request; if so, that what is written of it is the same request.
pub(crate) fn check(line: &[u8]) -> bool {
    let Ok(request) = Request::parse(line) else { return false };
    assert_eq!(Request::parse(request.line().as_bytes()).unwrap(), request);
    assert!(request.line().len() < MOST_REQUEST);
    true
}

/// Whatever a server answers, a client comes to an end with it.
pub(crate) fn check_answer(line: &[u8]) {
    if let Some(Ok(answer)) = Answer::parse(line) {
        assert_eq!(Answer::parse(answer.to_string().as_bytes()).unwrap().unwrap(), answer);
    }
}
