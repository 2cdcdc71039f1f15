//! Numbers that name things: sequence numbers, epochs, tasks, tokens, instants.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::FieldError;

/// Position of one event in the log. The first event has sequence number 1; 0 means "before everything".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The position before the first event.
    pub const ZERO: Seq = Seq(0);

    /// The position right after this one.
    #[must_use]
    pub fn next(self) -> Seq {
        self.plus(1)
    }

    /// The position `count` events later. Saturates: a log of 2^64 events does not exist.
    #[must_use]
    pub fn plus(self, count: u64) -> Seq {
        Seq(self.0.saturating_add(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One incarnation of a collection: the `Seq` of the event that declared it. A name that was dropped and
/// declared again has a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CollectionId(pub Seq);

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One task: the `Seq` of the event that created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub Seq);

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One writer term: from one opening of a log by a writer to the next. Never given out twice, not even after a restored backup, because it is at
/// least the Unix time in milliseconds at which the writer opened the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing token of one attempt. A later attempt has a greater token: a destination that remembers the
/// greatest token it has seen and refuses lower ones cannot be harmed by an attempt that was given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token {
    /// The epoch of the writer that started the attempt.
    pub epoch: Epoch,
    /// The `Seq` of the event that started the attempt.
    pub seq: Seq,
}

impl Token {
    /// Below every token that is given out.
    pub(crate) const LOWEST: Token = Token { epoch: Epoch(0), seq: Seq::ZERO };
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch, self.seq)
    }
}

/// Counts the changes of what is wanted from one incarnation of a collection; the first is 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An instant of the engine's clock: microseconds since the Unix epoch. It never goes back within one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The instant `span` later. Saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(micros(span)))
    }

    /// The time from `earlier` to this instant; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// RFC 3339 in UTC with microseconds, as every tool prints it.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Year 9999 is the last that RFC 3339 can write.
        const LAST: u64 = 253_402_300_799_999_999;
        let at = std::time::UNIX_EPOCH + Duration::from_micros(self.0.min(LAST));
        humantime::format_rfc3339_micros(at).fmt(f)
    }
}

/// Text that is read back is the one that was written: a second spelling of one number would be a second name for one
/// file.
fn read_number<N: FromStr + fmt::Display>(field: &str, text: &str) -> Result<N, FieldError> {
    let number = text.parse().ok().filter(|number: &N| number.to_string() == text);
    number.ok_or_else(|| FieldError::new(field, "must be a whole number, in digits alone"))
}

/// Numbers that are read back from the text by which they are shown.
macro_rules! read_back {
    ($($name:ident $field:literal $inner:ident),*) => {$(
        impl FromStr for $name {
            type Err = FieldError;

            /// Reads what `Display` wrote, and nothing else.
            fn from_str(text: &str) -> Result<$name, FieldError> {
                $inner($field, text).map($name)
            }
        }
    )*};
}

fn read_seq(field: &str, text: &str) -> Result<Seq, FieldError> {
    read_number(field, text).map(Seq)
}

read_back! {
    Seq "seq" read_number,
    CollectionId "collection" read_seq,
    TaskId "task" read_seq,
    Epoch "epoch" read_number,
    Generation "generation" read_number
}

impl FromStr for Token {
    type Err = FieldError;

    /// Reads what `Display` wrote, and nothing else: `epoch.seq`. For destinations that keep the token of what is live.
    fn from_str(text: &str) -> Result<Token, FieldError> {
        let (epoch, seq) = text.split_once('.').ok_or_else(|| FieldError::new("token", "must be `epoch.seq`"))?;
        Ok(Token { epoch: read_number("token", epoch).map(Epoch)?, seq: read_seq("token", seq)? })
    }
}

/// A duration in whole microseconds, the unit of everything that is logged. Saturates.
#[must_use]
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly 32 bytes of hexadecimal.
pub(crate) fn read_hex_32(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut bytes = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

/// Two 32-byte hashes are shown the same way and differ only in what they are a hash of.
macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// Reads 64 hexadecimal digits.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                read_hex_32(text).map(Self)
            }
        }

        impl FromStr for $name {
            type Err = FieldError;

            /// Reads 64 hexadecimal digits.
            fn from_str(text: &str) -> Result<Self, FieldError> {
                Self::from_hex(text).ok_or_else(|| FieldError::new($field, "must be 64 hexadecimal digits"))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

hash_type! {
    /// What a result was, or is to be, built from: BLAKE3 over source, canonical spec and version.
    Fingerprint, "fingerprint"
}

hash_type! {
    /// The name of an immutable object: BLAKE3 of its bytes.
    ObjectHash, "object"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: FromStr<Err = FieldError> + fmt::Display + PartialEq + fmt::Debug>(value: T, wrong: &[&str]) {
        assert_eq!(value.to_string().parse(), Ok(value));
        for text in wrong {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn defect_35_what_names_something_is_read_back_from_the_text_that_shows_it() {
        let numbers = ["", "+1", "01", "1 ", "-1", "one", "18446744073709551616"];
        check(Seq(7), &numbers);
        check(CollectionId(Seq(7)), &numbers);
        check(TaskId(Seq(u64::MAX)), &numbers);
        check(Epoch(0), &numbers);
        check(Generation(7), &numbers);
        let tokens = ["", "1", "1.", ".1", "1.2.3", "1.+2", "01.2", "1.2 ", "1,2"];
        check(Token { epoch: Epoch(1_800_000_000_000), seq: Seq(41) }, &tokens);
        check(Fingerprint([0xab; 32]), &["", "ab", "zz"]);
        check(ObjectHash([0; 32]), &["", "ab", "zz"]);
    }
}
