//! The values of arguments: times, events, names, hashes, types and patterns.

use std::time::{SystemTime, UNIX_EPOCH};

use glob::Pattern;
use lastword::codec;
use lastword::core::vocabulary::{Name, Seq, Timestamp};
use lastword::log::FrameHash;
use lastword::replay::Until;

/// RFC 3339 with any offset, or seconds since the Unix epoch with up to six decimals.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_seconds(text).or_else(|| parse_rfc3339(text)).or_else(|| parse_ago(text)).ok_or_else(|| {
        "expected a time in RFC 3339, such as 2026-11-23T10:00:00Z, seconds since 1970-01-01, or how long ago, such as 2h"
            .to_owned()
    })
}

fn parse_seconds(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros = format!("{fraction:0<6}").parse::<u64>().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros).map(Timestamp)
}

/// So long before now.
fn parse_ago(text: &str) -> Option<Timestamp> {
    let ago = humantime::parse_duration(text).ok()?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    // The log cannot be older than that.
    Some(Timestamp(0).after(now.saturating_sub(ago)))
}

pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    let since_epoch = |utc: &str| {
        let at = humantime::parse_rfc3339(utc).ok()?;
        at.duration_since(UNIX_EPOCH).ok().map(|since| Timestamp(0).after(since).0)
    };
    if text.ends_with('Z') {
        return since_epoch(text).map(Timestamp);
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let (sign, offset) = offset.split_at_checked(1)?;
    let (hours, minutes) = offset.split_once(':')?;
    let minutes = hours.parse::<u64>().ok()?.checked_mul(60)?.checked_add(minutes.parse().ok()?)?;
    let (local, shift) = (since_epoch(&format!("{local}Z"))?, minutes.checked_mul(60_000_000)?);
    match sign {
        "+" => local.checked_sub(shift).map(Timestamp),
        "-" => local.checked_add(shift).map(Timestamp),
        _ => None,
    }
}

pub(crate) fn parse_until(text: &str) -> Result<Until, String> {
    match text.parse() {
        Ok(seq) => Ok(Until::Seq(Seq(seq))),
        Err(_) => parse_rfc3339(text).or_else(|| parse_ago(text)).map(Until::Time).ok_or_else(|| {
            "expected the number of an event, a time in RFC 3339, or how long ago, such as 2h".to_owned()
        }),
    }
}

pub(super) fn parse_name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.problem)
}

/// As hashes are printed.
pub(super) fn parse_hash(text: &str) -> Result<FrameHash, String> {
    let pairs = text.as_bytes().chunks(2).map(|pair| {
        let digits = std::str::from_utf8(pair).ok().filter(|_| pair.iter().all(u8::is_ascii_hexdigit))?;
        u8::from_str_radix(digits, 16).ok()
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    let hash = bytes.filter(|_| text.len() == 64).and_then(|bytes| bytes.try_into().ok());
    hash.map(FrameHash).ok_or_else(|| "must be 64 hexadecimal digits".to_owned())
}

pub(super) fn parse_type(text: &str) -> Result<u16, String> {
    type_names().find(|(_, name)| *name == text).map(|(number, _)| number).ok_or_else(|| {
        let names: Vec<_> = type_names().map(|(_, name)| name).collect();
        format!("allowed are {}", names.join(", "))
    })
}

fn type_names() -> impl Iterator<Item = (u16, &'static str)> {
    codec::REGISTRY.iter().map(|(number, _, name)| (*number, *name))
}

pub(super) fn parse_glob(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_allowed_form() {
        let expected = Ok(Timestamp(1_700_000_000_250_000));
        for text in [
            "1700000000.25",
            "2023-11-14T22:13:20.25Z",
            "2023-11-14T22:13:20.250000Z",
            "2023-11-14T23:43:20.25+01:30",
            "2023-11-14T17:13:20.25-05:00",
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        for text in ["", "yesterday", "-5", "1.", ".5", "1.0000001", "2023-11-14", "2023-11-14T22:13:20"] {
            assert!(parse_time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn defect_48_a_time_may_be_how_long_ago_it_was() {
        let now = || Timestamp(0).after(SystemTime::now().duration_since(UNIX_EPOCH).unwrap());
        let (before, found, after) = (now(), parse_time("2h").unwrap(), now());
        let hours = std::time::Duration::from_secs(7200);
        assert!(found.after(hours) >= before && found.after(hours) <= after);
        let Ok(Until::Time(at)) = parse_until("1d 30m") else { panic!("a time") };
        assert!(at < found);
        assert_eq!(parse_time("999999y").unwrap_or(Timestamp(0)), Timestamp(0), "before everything");
        assert!(parse_time("2 parsecs").is_err());
    }
}
