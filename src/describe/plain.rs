//! JSON that drives no terminal.

/// The same JSON with the control characters escaped that JSON itself lets through: DEL, and those of Latin 1, among
/// them U+009B, which begins a command like ESC `[` does. They can only stand in texts, and `\u009b` means the same there.
#[must_use]
pub fn plain_json(json: String) -> String {
    if !json.contains(char::is_control) {
        return json;
    }
    let escape = |c: char| if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    json.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::plain_json;

    #[test]
    fn case_24_what_json_lets_through_is_escaped_and_means_the_same() {
        let value = serde_json::json!({"a": "\u{1b}[2J\n\u{7f}\u{9b}31m grün \u{1f600}", "b": [1.5, null]});
        let (json, plain) = (value.to_string(), plain_json(value.to_string()));
        assert!(json.contains(char::is_control) && !plain.contains(char::is_control), "{plain}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&plain).unwrap(), value);
        assert_eq!(plain_json("{}".to_owned()), "{}");
    }
}
