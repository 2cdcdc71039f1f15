//! How many of what.

/// A count with its noun, in the singular for one: `1 attempt`, `2 attempts`, `0 attempts`. Only for nouns that take an s.
#[must_use]
pub fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_singular() {
        let all: Vec<String> = [0, 1, 2, 11].map(|count| counted(count, "attempt")).into();
        assert_eq!(all, ["0 attempts", "1 attempt", "2 attempts", "11 attempts"]);
    }
}
