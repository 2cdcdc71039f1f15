//! Words of a command as they are printed for somebody who types them.

use std::path::Path;

use super::printable;

/// A path as a shell takes it, and a program that reads options.
#[must_use]
pub fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    shell(&if text.starts_with('-') { format!("./{text}") } else { text })
}

/// A word as a shell takes it.
#[must_use]
pub fn shell(text: &str) -> String {
    let text = printable(text);
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+,:@%=".contains(&byte));
    if plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_one_word_to_a_shell_and_a_path_is_no_option() {
        for (path, expected) in
            [("a/b.toml", "a/b.toml"), ("-n", "./-n"), ("it's $x", r"'it'\''s $x'"), ("-a b", "'./-a b'")]
        {
            assert_eq!(quoted(Path::new(path)), expected);
        }
        assert_eq!(shell("-n"), "-n");
    }
}
