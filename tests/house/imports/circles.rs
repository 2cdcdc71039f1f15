//! Files that need each other, directly or by way of others.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::arrows::Arrows;

/// The groups of files each of which needs all the others, without the files that are a group by themselves.
pub(super) fn circles(arrows: &Arrows) -> Vec<BTreeSet<&str>> {
    let mut search = Search::default();
    for (from, to) in arrows.keys() {
        search.needs.entry(from).or_default().push(to);
    }
    let files: Vec<&str> = search.needs.keys().copied().collect();
    for file in files {
        if !search.seen.contains_key(file) {
            search.visit(file);
        }
    }
    search.circles
}

/// A circle with what ties it, for people.
pub(super) fn tell(circle: &BTreeSet<&str>, arrows: &Arrows) -> String {
    let mut text = format!("{} files need each other:\n", circle.len());
    for ((from, to), names) in arrows {
        if circle.contains(from.as_str()) && circle.contains(to.as_str()) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let _ = writeln!(text, "  {from} -> {to}: {}", names.join(", "));
        }
    }
    text
}

/// Tarjan's search for strongly connected components.
#[derive(Default)]
struct Search<'a> {
    needs: BTreeMap<&'a str, Vec<&'a str>>,
    /// When a file was seen first, by count.
    seen: BTreeMap<&'a str, usize>,
    /// The files whose circle is not complete yet, in the order in which they were seen.
    open: Vec<&'a str>,
    circles: Vec<BTreeSet<&'a str>>,
}

impl<'a> Search<'a> {
    /// Goes wherever `file` leads to. The earliest open file that it can get back to, by its count.
    fn visit(&mut self, file: &'a str) -> usize {
        let count = self.seen.len();
        self.seen.insert(file, count);
        self.open.push(file);
        let mut earliest = count;
        for needed in self.needs.get(file).cloned().unwrap_or_default() {
            match self.seen.get(needed) {
                None => earliest = earliest.min(self.visit(needed)),
                Some(count) if self.open.contains(&needed) => earliest = earliest.min(*count),
                Some(_) => {}
            }
        }
        if earliest == count {
            // Nothing leads back behind it: what was opened since is its circle.
            let begin = self.open.iter().position(|open| *open == file).unwrap();
            let circle: BTreeSet<&str> = self.open.drain(begin..).collect();
            if circle.len() > 1 {
                self.circles.push(circle);
            }
        }
        earliest
    }
}
