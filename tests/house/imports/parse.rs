//! What a Rust file says about other files, read off its text: the names that it defines, and those that it names.
//!
//! This is no parser of Rust. It knows comments, literals and brackets, and of the grammar only `use`, `mod`, the words
//! in front of a definition, and paths. What is called as a method is not seen: only its type had to be imported.

use std::collections::BTreeSet;

/// Names that are joined by `::`.
pub(super) type Names = Vec<String>;

/// A module: a file, or a part of one between the braces of `mod name { .. }`.
#[derive(Debug, Default)]
pub(super) struct Scope {
    /// What is defined here.
    pub(super) items: BTreeSet<String>,
    /// The macros among them.
    pub(super) macros: BTreeSet<String>,
    /// What a macro that is called here may define: every name that stands between its brackets.
    pub(super) perhaps: BTreeSet<String>,
    /// What is imported, also within functions.
    pub(super) uses: Vec<Use>,
    /// What is named outside of imports. Most of it is local, or of no module of ours.
    pub(super) mentions: BTreeSet<Names>,
    /// The macros that are called, which see those of the modules around this one.
    pub(super) calls: BTreeSet<String>,
    /// The modules that lie in files of their own.
    pub(super) files: Vec<String>,
    /// The modules that lie in this file.
    pub(super) inner: Vec<(String, Scope)>,
}

/// One name that is imported.
#[derive(Debug)]
pub(super) struct Use {
    /// What it is called here; `*` for everything that is there.
    pub(super) name: String,
    pub(super) path: Names,
    /// `pub`, with or without saying for whom.
    pub(super) is_public: bool,
}

/// Reads a file. What is compiled for tests only is left out.
pub(super) fn parse(text: &str) -> Scope {
    scope(&without_tests(&tokens(text)))
}

/// Names, `::`, and each other sign by itself; no space, no comments, no literals, no lifetimes.
fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = skipped(rest);
        let name = rest.find(|sign| !is_in_name(sign)).unwrap_or(rest.len());
        let length = match first {
            _ if skipped > 0 => skipped,
            _ if name > 0 => name,
            _ if rest.starts_with("::") => 2,
            _ => first.len_utf8(),
        };
        if skipped == 0 && !first.is_whitespace() {
            found.push(&rest[..length]);
        }
        rest = &rest[length..];
    }
    found
}

fn is_in_name(sign: char) -> bool {
    sign.is_alphanumeric() || sign == '_'
}

fn is_name(token: &str) -> bool {
    token.starts_with(|sign: char| sign.is_alphabetic() || sign == '_')
}

/// The length of the comment, literal or lifetime that `text` begins with; 0 if it begins with none.
fn skipped(text: &str) -> usize {
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return comment(text);
    }
    if let Some(quoted) = text.strip_prefix('\'') {
        let mut signs = quoted.chars();
        return match (signs.next(), signs.next()) {
            // The sign behind the backslash may be a quote.
            (Some('\\'), Some(sign)) => {
                quoted[1 + sign.len_utf8()..].find('\'').map_or(text.len(), |at| at + 3 + sign.len_utf8())
            }
            (Some(sign), Some('\'')) => sign.len_utf8() + 2,
            _ => 1 + quoted.find(|sign| !is_in_name(sign)).unwrap_or(quoted.len()),
        };
    }
    string(text).unwrap_or(0)
}

/// The length of a comment between `/*` and `*/`, in which there may be others.
fn comment(text: &str) -> usize {
    let mut depth = 0;
    for (at, pair) in text.as_bytes().windows(2).enumerate() {
        match pair {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return at + 2;
        }
    }
    text.len()
}

/// The length of a string, which may be raw, of bytes, or both.
fn string(text: &str) -> Option<usize> {
    let unprefixed = text.trim_start_matches(['b', 'c', 'r']);
    let is_raw = text[..text.len() - unprefixed.len()].contains('r');
    let body = unprefixed.trim_start_matches('#');
    let hashes = &unprefixed[..unprefixed.len() - body.len()];
    let begin = text.len() - body.len() + 1;
    if !body.starts_with('"') || (!is_raw && !hashes.is_empty()) {
        return None;
    }
    if is_raw {
        let end = format!("\"{hashes}");
        return Some(text[begin..].find(&end).map_or(text.len(), |at| begin + at + end.len()));
    }
    let mut is_escaped = false;
    for (at, sign) in text[begin..].char_indices() {
        match sign {
            '"' if !is_escaped => return Some(begin + at + 1),
            _ => is_escaped = sign == '\\' && !is_escaped,
        }
    }
    Some(text.len())
}

/// Leaves out whatever stands behind `#[cfg(test)]` or `#[cfg(all(test, ..))]`.
fn without_tests<'t>(tokens: &[&'t str]) -> Vec<&'t str> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let rest = &tokens[at..];
        if rest.starts_with(&["#", "[", "cfg", "(", "test", ")"])
            || rest.starts_with(&["#", "[", "cfg", "(", "all", "(", "test", ","])
        {
            at = behind_item(tokens, at);
        } else {
            kept.push(tokens[at]);
            at += 1;
        }
    }
    kept
}

/// Behind the definition that begins at `at` with its attributes.
fn behind_item(tokens: &[&str], mut at: usize) -> usize {
    while tokens.get(at) == Some(&"#") {
        at = behind_brackets(tokens, at + 1);
    }
    while at < tokens.len() {
        match tokens[at] {
            ";" => return at + 1,
            "{" => {
                at = behind_brackets(tokens, at);
                // `use a::{b};` ends with the semicolon.
                return if tokens.get(at) == Some(&";") { at + 1 } else { at };
            }
            "(" | "[" => at = behind_brackets(tokens, at),
            _ => at += 1,
        }
    }
    at
}

/// Behind the bracket that closes the one at `at`.
fn behind_brackets(tokens: &[&str], mut at: usize) -> usize {
    let mut depth = 0;
    while at < tokens.len() {
        match tokens[at] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Reads what stands in a file, or between the braces of a module.
fn scope(tokens: &[&str]) -> Scope {
    let mut scope = Scope::default();
    let mut depth = 0;
    let mut at = 0;
    let token = |at: usize| tokens.get(at).copied().unwrap_or_default();
    while at < tokens.len() {
        let before = at.checked_sub(1).map_or("", token);
        let is_outside = depth == 0;
        match (tokens[at], token(at + 1)) {
            ("(" | "[" | "{", _) => depth += 1,
            (")" | "]" | "}", _) => depth -= 1,
            ("mod", name) if is_outside && token(at + 2) == "{" => {
                let end = behind_brackets(tokens, at + 2);
                scope.inner.push((name.to_owned(), self::scope(&tokens[at + 3..end - 1])));
                at = end;
                continue;
            }
            ("mod", name) if is_outside => {
                scope.files.push(name.to_owned());
                at += 1;
            }
            // `impl Trait + use<'a>` imports nothing.
            ("use", next) if next != "<" => {
                let end = at + tokens[at..].iter().position(|token| *token == ";").unwrap_or(tokens.len() - at);
                branches(&tokens[at + 1..end], &[], matches!(before, "pub" | ")"), &mut scope.uses);
                at = end;
            }
            ("macro_rules", "!") if is_outside => {
                scope.items.insert(token(at + 2).to_owned());
                scope.macros.insert(token(at + 2).to_owned());
                scope.perhaps.extend(names(&tokens[at + 3..behind_brackets(tokens, at + 3)]));
                at += 2;
            }
            ("fn" | "struct" | "enum" | "union" | "trait" | "type" | "const" | "static", name)
                if is_outside && is_name(name) && !matches!(name, "fn" | "unsafe" | "extern") =>
            {
                scope.items.insert(name.to_owned());
                at += 1;
            }
            (name, "!") if is_name(name) && matches!(token(at + 2), "(" | "[" | "{") => {
                scope.calls.insert(name.to_owned());
                if is_outside {
                    scope.perhaps.extend(names(&tokens[at + 2..behind_brackets(tokens, at + 2)]));
                }
            }
            (name, _) if is_name(name) => {
                let mut path = vec![name.to_owned()];
                while token(at + 1) == "::" && is_name(token(at + 2)) {
                    at += 2;
                    path.push(tokens[at].to_owned());
                }
                // Behind a dot it is a field or a method; `::name` is another crate, or something that a type has.
                let is_other =
                    matches!(before, "." | "::" | "fn" | "let" | "mut") || (before == "$" && name != "crate");
                // Before a colon it is a field or a parameter.
                let is_declared = path.len() == 1 && token(at + 1) == ":";
                if !is_other && !is_declared {
                    scope.mentions.insert(path);
                }
            }
            _ => {}
        }
        at += 1;
    }
    scope
}

fn names(tokens: &[&str]) -> impl Iterator<Item = String> {
    tokens.iter().filter(|token| is_name(token)).map(|name| (*name).to_owned())
}

/// The names that the tree of a `use` imports, below `trunk`.
fn branches(tokens: &[&str], trunk: &[String], is_public: bool, found: &mut Vec<Use>) {
    let mut path = trunk.to_vec();
    let mut name = None;
    let mut at = 0;
    while at <= tokens.len() {
        match tokens.get(at).copied().unwrap_or(",") {
            "," => {
                let path = std::mem::replace(&mut path, trunk.to_vec());
                found.extend(name.take().map(|name| Use { name, path, is_public }));
            }
            "{" => {
                let end = behind_brackets(tokens, at);
                branches(&tokens[at + 1..end - 1], &path, is_public, found);
                name = None;
                at = end - 1;
            }
            "*" => name = Some("*".to_owned()),
            // The path of another crate.
            "::" if path.is_empty() => return,
            "::" => {}
            "as" => {
                name = tokens.get(at + 1).map(|token| (*token).to_owned());
                at += 1;
            }
            // `a::{self}` is `a`.
            "self" if !path.is_empty() => name = path.last().cloned(),
            token => {
                path.push(token.to_owned());
                name = Some(token.to_owned());
            }
        }
        at += 1;
    }
}
