//! The page as one text: its parts of `page/`, joined, with the data in it or the place to fetch it from.

use std::hash::{BuildHasher, Hasher, RandomState};

use super::gather::Piece;

const FRAME: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");

/// In the order in which they need each other.
const SCRIPTS: [&str; 11] = [
    include_str!("page/source.js"),
    include_str!("page/words.js"),
    include_str!("page/store.js"),
    include_str!("page/place.js"),
    include_str!("page/build.js"),
    include_str!("page/fleet.js"),
    include_str!("page/lanes.js"),
    include_str!("page/why.js"),
    include_str!("page/time.js"),
    include_str!("page/waiting.js"),
    include_str!("page/start.js"),
];

/// A page that has its data in it, and asks nobody for anything.
pub(super) fn recorded(piece: &Piece) -> String {
    // What stands in a log was there before the hash of the frame that holds it: nothing in it can know this word.
    let nonce = piece.head.get(..32).unwrap_or_default();
    // What is read later stands behind the script, which draws the first picture without it.
    let later = block("sentences", &piece.sentences) + &block("files", &piece.files);
    page(nonce, "'none'", &block("data", &piece.data), &later)
}

fn page(nonce: &str, connects: &str, data: &str, later: &str) -> String {
    let script = format!("(() => {{\n\"use strict\";\n{}\n}})();\n", SCRIPTS.join("\n"));
    let parts = [("@nonce@", nonce), ("@connects@", connects), ("@style@", STYLE), ("@script@", &script)];
    let fill = |text: &str| parts.iter().fold(text.to_owned(), |text, (mark, part)| text.replace(mark, part));
    // What stands in the data is not looked through for what stands for a part.
    let (head, rest) = FRAME.split_once("@data@").unwrap_or((FRAME, ""));
    let (middle, tail) = rest.split_once("@later@").unwrap_or((rest, ""));
    [fill(head).as_str(), data, fill(middle).as_str(), later, fill(tail).as_str()].concat()
}

/// A page that fetches its data from where it was served. It has none of a log in it, so that everybody may have it.
pub(super) fn live() -> String {
    let nonce = format!("{:016x}", RandomState::new().build_hasher().finish());
    page(&nonce, "'self'", "<template id=\"live\"></template>\n", "")
}

/// JSON in a page. Nothing in it ends the block or begins a comment: that takes a `<`.
fn block(id: &str, json: &str) -> String {
    let json = json.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("<script type=\"application/json\" id=\"{id}\">{json}</script>\n")
}
