//! Which file may need which: at most two files need each other, and no module needs one that does not lie below it.
//!
//! What is known of a file is what it names, see `parse`: an import, or a path in its code. Comments and tests do not
//! count, and neither does a method that is called on a value whose type is not named.

mod arrows;
mod circles;
mod layers;
mod parse;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::rules::sources;
use arrows::{Arrows, Needs, needs};

/// More files than this that need each other cannot be read one at a time. Two are a module and a part of it that was
/// put into a file of its own.
const MOST_FILES_IN_A_CIRCLE: usize = 2;

/// What is told of every circle that is too large.
fn too_large(arrows: &Arrows) -> Vec<String> {
    let circles = circles::circles(arrows).into_iter().filter(|circle| circle.len() > MOST_FILES_IN_A_CIRCLE);
    circles.map(|circle| circles::tell(&circle, arrows)).collect()
}

/// What the files below `folder` need of each other.
fn read(folder: &str) -> Needs {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let local = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
    let files: Vec<_> = sources(folder).into_iter().map(|(path, text)| (local(&path), text)).collect();
    let needs = needs(folder, &files);
    assert!(needs.lost.is_empty(), "these paths were not understood: {:#?}", needs.lost);
    assert!(!needs.arrows.is_empty(), "{folder}");
    needs
}

#[test]
fn no_more_than_two_files_need_each_other() {
    let tools = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tools")).unwrap();
    // What is packaged has no sources.
    let tools = tools.map(Result::unwrap).filter(|tool| tool.path().join("src").is_dir());
    let tools = tools.map(|tool| format!("tools/{}/src", tool.file_name().to_str().unwrap()));
    let mut folders: Vec<String> = tools.chain(["src".to_owned()]).collect();
    folders.sort();
    let found: Vec<String> = folders.iter().flat_map(|folder| too_large(&read(folder).arrows)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn modules_need_only_what_lies_below_them() {
    let Needs { arrows, passed_on, .. } = read("src");
    let found = [layers::not_down(&arrows), layers::not_down(&passed_on)].concat();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// What the files of a library need of each other that is made up.
fn made_up(files: &[(&str, &str)]) -> Needs {
    let files: Vec<_> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    needs("src", &files)
}

/// Its arrows, as text.
fn told(arrows: &Arrows) -> Vec<String> {
    let told = |names: &BTreeSet<String>| names.iter().cloned().collect::<Vec<_>>().join(" ");
    arrows.iter().map(|((from, to), names)| format!("{from} -> {to}: {}", told(names))).collect()
}

#[test]
fn a_circle_of_three_files_is_found_and_one_of_two_is_let_be() {
    let mut files = [
        ("src/lib.rs", "mod a;\nmod b;\nmod c;\nmod pair;"),
        ("src/a.rs", "use crate::b::B;\npub struct A(B);"),
        ("src/b.rs", "pub struct B;\nfn f() { crate::c::g::<u8>() }"),
        ("src/c.rs", "use super::{a::A as Other};\npub fn g<T>() {}\nfn h(_: Other) {}"),
        ("src/pair/mod.rs", "mod part;\npub struct Whole(part::Part);"),
        ("src/pair/part.rs", "pub struct Part(Box<super::Whole>);"),
    ];
    let expected = "3 files need each other:
  src/a.rs -> src/b.rs: B
  src/b.rs -> src/c.rs: g
  src/c.rs -> src/a.rs: A
";
    assert_eq!(too_large(&made_up(&files).arrows), [expected]);
    files[2].1 = "pub struct B;";
    let arrows = made_up(&files).arrows;
    assert_eq!(too_large(&arrows), [""; 0]);
    assert_eq!(circles::circles(&arrows), [["src/pair/mod.rs", "src/pair/part.rs"].into()]);
}

#[test]
fn an_arrow_that_does_not_go_down_is_found() {
    let needs = made_up(&[
        ("src/lib.rs", "mod core;\nmod codec;\nmod log;\nmod engine;\nmod attic;\npub use engine::Engine;"),
        ("src/core/mod.rs", "mod part;\npub use part::Seq;\npub use crate::engine::Engine;"),
        ("src/core/part.rs", "pub struct Seq(super::Engine);"),
        ("src/codec.rs", "pub fn decode(_: crate::core::Seq) {}"),
        ("src/log.rs", "use crate::codec;\nfn f() { codec::decode(crate::core::Seq) }"),
        ("src/engine.rs", "use crate::core::Seq;\npub struct Engine(Seq, crate::attic::Lumber);"),
        ("src/attic.rs", "pub struct Lumber;"),
    ]);
    assert_eq!(
        layers::not_down(&needs.arrows),
        [
            "src/core/part.rs -> src/engine.rs: Engine (upwards)",
            "src/engine.rs -> src/attic.rs: Lumber (attic has no layer)",
            "src/log.rs -> src/codec.rs: decode (a neighbour)",
        ]
    );
    assert_eq!(layers::not_down(&needs.passed_on), ["src/core/mod.rs -> src/engine.rs: Engine (upwards)"]);
}

#[test]
fn what_is_passed_on_leads_to_where_it_is_defined() {
    let needs = made_up(&[
        ("src/lib.rs", "pub mod shop;\nmod guest;"),
        // `Paper` is needed here too, `Ink` and `Pen` are only passed on; `Shared` is not ours.
        (
            "src/shop/mod.rs",
            "mod ink;\nmod paper;\npub use ink::*;\npub use paper::Paper;\npub(crate) use std::sync::Arc as Shared;
             pub struct Till(Paper);",
        ),
        ("src/shop/ink.rs", "use super::Till;\npub struct Ink;\nmake! { Pen }"),
        ("src/shop/paper.rs", "pub enum Paper { A4 }"),
        (
            "src/guest.rs",
            "use crate::shop::{self, Paper::*};\nuse shop::Shared;
             fn f() -> shop::Ink { shop::Pen::new(A4).dip(Paper::A4) }",
        ),
    ]);
    assert_eq!(
        told(&needs.arrows),
        [
            "src/guest.rs -> src/shop/ink.rs: Ink Pen",
            "src/guest.rs -> src/shop/mod.rs: Shared",
            "src/guest.rs -> src/shop/paper.rs: Paper",
            "src/shop/ink.rs -> src/shop/mod.rs: Till",
            "src/shop/mod.rs -> src/shop/paper.rs: Paper",
        ]
    );
    assert_eq!(needs.lost, [""; 0]);
}

#[test]
fn what_is_no_code_ties_nothing() {
    let needs = made_up(&[
        ("src/lib.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod trial;"),
        (
            "src/a.rs",
            r####"
            //! See [`crate::b::B`].
            /* crate::b::B /* crate::b::B */ crate::b::B */
            #[cfg(test)]
            use crate::b::{B, f};
            const TEXTS: (&str, &[u8], char, &str) = ("\"crate::b::B", b"crate::b::B", '"', r#"" crate::b::B "#);
            fn write<'a>(to: &'a mut String) -> &'a str { write!(to, "{}", to.b.f(b::trim)); to }
            #[cfg(not(test))]
            fn g() {}
            #[cfg(test)]
            mod tests {
                use crate::b::*;
                fn t() -> B { crate::b::f("}") }
            }
            "####,
        ),
        ("src/b.rs", "pub struct B;\npub fn f() {}\npub fn trim() { crate::a::write() }"),
        ("src/trial.rs", "use crate::a::write;\nuse crate::b::B;"),
    ]);
    assert_eq!(told(&needs.arrows), ["src/b.rs -> src/a.rs: write"]);
    assert_eq!(needs.lost, [""; 0]);
}

#[test]
fn a_path_that_leads_nowhere_is_told() {
    let needs =
        made_up(&[("src/lib.rs", "mod a;"), ("src/a.rs", "use std::fmt;\nuse super::nowhere::N;\nuse crate::M;")]);
    assert_eq!(needs.lost, ["src/a.rs: super::nowhere::N", "src/a.rs: crate::M"]);
}
