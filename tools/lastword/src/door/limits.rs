//! What the door takes, at the most, and how long it waits. Each of them stands in `src/settings.md` with its reason.

use std::time::Duration;

/// The most bytes of the body of a request: a name, an actor and a cause, each fully escaped, with room to spare.
pub const MOST_REQUEST: usize = 8 << 10;

/// The most bytes of the line and the headers of a request: a name of 255 bytes is three times as long in a path, and a
/// browser sends a few kilobytes of its own.
pub(super) const MOST_HEAD: usize = 16 << 10;

/// The most headers of a request; browsers send twenty.
pub(super) const MOST_HEADERS: usize = 64;

/// How long a connection may take to send its next request, and its body. Programs send them at once.
pub(super) const REQUEST_WITHIN: Duration = Duration::from_secs(10);

/// How long a client may take to read the next bytes of an answer. Who does not read is gone.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(10);

/// How long an answer may take to be there: longer than a command waits for it, which then says more of what became of it.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(65);

/// Connections that are served at the same time: more than a few people rarely ask at once.
pub(super) const MOST_CONNECTIONS: usize = 64;

/// Connections that wait, beside those: each asks its collection twenty times a second.
pub(super) const MOST_WAITING: usize = 64;

/// Connections that follow events, beside those: each reads the log ten times a second.
pub(super) const MOST_FOLLOWING: usize = 16;

/// Connections that are told that there is no place; what is more is closed without a word.
pub(super) const MOST_REFUSED: usize = 64;

/// How long one that is told so may take to ask.
pub(super) const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// Calls of the engine and reads of files at the same time that belong to commands.
pub(super) const MOST_COMMANDS: usize = 8;

/// The same of those that only read.
pub(super) const MOST_READS: usize = 8;

/// Questions for which the log is read at the same time: each reads a copy of it, and who finds no place reads it himself.
pub(super) const MOST_LOOKS: usize = 2;

/// The longest answer of those: some ten thousand events. Who asks for more reads the log himself.
pub(super) const MOST_LOOKED: usize = 16 << 20;

/// Collections in one page: some milliseconds of the reducer's time, and, with the longest specs, half of what an answer may
/// have.
pub(crate) const MOST_ROWS: usize = 500;

/// Events in one page.
pub(super) const MOST_EVENTS: usize = 1_000;

/// The longest time that a `wait` is held before it is answered with what there is.
pub(super) const MOST_WAIT: Duration = Duration::from_secs(60);

/// How long connections may take to come to their end when a run ends.
pub(super) const END_WITHIN: Duration = Duration::from_secs(2);

/// The shortest token: 16 characters, which nobody guesses if they are random.
pub(super) const SHORTEST_TOKEN: usize = 16;

/// The longest.
pub(super) const LONGEST_TOKEN: usize = 4 << 10;
