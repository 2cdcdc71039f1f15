//! Text from outside, such as names of files and messages of workers, as a terminal may be given it.

use crate::core::vocabulary::misleads;

/// The text with escapes for what would drive a terminal, or change how the rest is shown.
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c.is_control() || misleads(c) {
            true => shown.extend(escaped(c)),
            false => shown.push(c),
        }
        shown
    })
}

/// `\n` and its kind as everybody writes them.
fn escaped(c: char) -> impl Iterator<Item = char> {
    let known = matches!(c, '\n' | '\r' | '\t');
    let plain = known.then(|| c.escape_default());
    let other = (!known).then(|| c.escape_unicode());
    plain.into_iter().flatten().chain(other.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_or_misleads_a_reader_is_escaped() {
        for (text, shown) in [
            ("größe", "größe"),
            ("a\u{1b}[2J", r"a\u{1b}[2J"),
            ("gpj.\u{202e}txt", r"gpj.\u{202e}txt"),
            ("a\nb", r"a\nb"),
        ] {
            assert_eq!(printable(text), shown);
        }
    }
}
