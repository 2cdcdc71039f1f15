//! From the names in the files of a crate to arrows: which file needs which, and for what.
//!
//! An arrow goes to the file that defines what is named, not to one that only passes it on: neither the import of a
//! module nor a `pub use` ties anybody.

use std::collections::{BTreeMap, BTreeSet};

use super::parse::{Names, Scope, parse};

/// For each pair of files, the first of which needs the second: the names it needs.
pub(super) type Arrows = BTreeMap<(String, String), BTreeSet<String>>;

/// What the files of a crate need of each other.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// What is needed in code.
    pub(super) arrows: Arrows,
    /// What a `pub use` passes on, whether its file needs it or not.
    pub(super) passed_on: Arrows,
    /// Paths within the crate that lead nowhere, which a compiler would refuse: then this program has not understood
    /// a file, and may have overlooked an arrow.
    pub(super) lost: Vec<String>,
}

/// Reads a package from the paths of its files, which lie below `root`, and their texts. Files that no `mod` leads to,
/// or only one in tests, do not count.
pub(super) fn needs(root: &str, files: &[(String, String)]) -> Needs {
    let files: BTreeMap<&str, &str> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let mut needs = Needs::default();
    // A package may be a library and a program, each a crate of its own.
    for main in ["lib.rs", "main.rs"].map(|name| format!("{root}/{name}")) {
        if let Some(text) = files.get(main.as_str()) {
            let mut map = Map::default();
            map.add(&files, &main, root, 0, parse(text));
            map.gather(&mut needs);
        }
    }
    needs
}

/// The modules of a crate, the first of which is its root.
#[derive(Default)]
struct Map {
    modules: Vec<Module>,
}

struct Module {
    file: String,
    /// The root is its own.
    parent: usize,
    children: BTreeMap<String, usize>,
    scope: Scope,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Module(usize),
    /// Anything else of this crate, and the module that defines it.
    Item(usize, String),
    /// A name of the language, of another crate, or of a function: nothing that is ours.
    Elsewhere,
}

/// `a` may be a module and a function at once: which of them is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sought {
    Module,
    Item,
}

impl Map {
    /// Adds a module and those within it, whose files lie in `folder`.
    fn add(
        &mut self,
        files: &BTreeMap<&str, &str>,
        file: &str,
        folder: &str,
        parent: usize,
        mut scope: Scope,
    ) -> usize {
        let inner = std::mem::take(&mut scope.inner);
        let outer = scope.files.clone();
        let number = self.modules.len();
        self.modules.push(Module { file: file.to_owned(), parent, children: BTreeMap::new(), scope });
        for (name, scope) in inner {
            let child = self.add(files, file, &format!("{folder}/{name}"), number, scope);
            self.modules[number].children.insert(name, child);
        }
        for name in outer {
            let folder = format!("{folder}/{name}");
            let paths = [format!("{folder}.rs"), format!("{folder}/mod.rs")];
            let path = paths.iter().find(|path| files.contains_key(path.as_str()));
            let path = path.unwrap_or_else(|| panic!("{file}: mod {name} has no file"));
            let child = self.add(files, path, &folder, number, parse(files[path.as_str()]));
            self.modules[number].children.insert(name, child);
        }
        number
    }

    /// Adds what the files of this crate need of each other.
    fn gather(&self, needs: &mut Needs) {
        for (number, module) in self.modules.iter().enumerate() {
            let called = module.scope.calls.iter().filter_map(|name| self.macro_of(number, name));
            for found in called {
                self.note(&mut needs.arrows, module, &found);
            }
            for path in &module.scope.mentions {
                self.follow(number, path, needs, |needs| &mut needs.arrows);
            }
            for import in &module.scope.uses {
                if import.is_public {
                    self.follow(number, &import.path, needs, |needs| &mut needs.passed_on);
                } else {
                    self.follow(number, &import.path, needs, |needs| &mut needs.arrows);
                }
            }
        }
    }

    /// Adds the arrow along which `path` leads out of a module, if it does.
    fn follow(&self, from: usize, path: &Names, needs: &mut Needs, into: fn(&mut Needs) -> &mut Arrows) {
        let module = &self.modules[from];
        match self.resolve(from, path, Sought::Item, &mut Vec::new()) {
            Some(found) => self.note(into(needs), module, &found),
            None => needs.lost.push(format!("{}: {}", module.file, path.join("::"))),
        }
    }

    fn note(&self, arrows: &mut Arrows, from: &Module, found: &Found) {
        let Found::Item(to, name) = found else { return };
        let to = &self.modules[*to].file;
        if *to != from.file {
            arrows.entry((from.file.clone(), to.clone())).or_default().insert(name.clone());
        }
    }

    /// What `path` leads to, seen from a module; `None` if it goes on within the crate and then leads nowhere.
    fn resolve(&self, from: usize, path: &[String], sought: Sought, trail: &mut Trail) -> Option<Found> {
        let mut at = from;
        for (place, name) in path.iter().enumerate() {
            let is_last = place + 1 == path.len();
            at = match name.as_str() {
                "crate" => 0,
                "self" => at,
                "super" => self.modules[at].parent,
                name => {
                    let sought = if is_last { sought } else { Sought::Module };
                    let other = if sought == Sought::Item { Sought::Module } else { Sought::Item };
                    let found = self.look_up(at, name, sought, trail).or_else(|| self.look_up(at, name, other, trail));
                    match found {
                        Some(Found::Module(child)) => child,
                        // What comes behind an item is its own: a variant, a function of a type.
                        Some(found) => return Some(found),
                        None if place == 0 => return Some(Found::Elsewhere),
                        None => return None,
                    }
                }
            };
        }
        Some(Found::Module(at))
    }

    /// What `name` stands for in a module. `trail` holds what is being looked for already: modules may import
    /// everything of each other.
    fn look_up(&self, at: usize, name: &str, sought: Sought, trail: &mut Trail) -> Option<Found> {
        let step = (at, name.to_owned(), sought);
        if trail.contains(&step) {
            return None;
        }
        let module = &self.modules[at];
        let item = || Some(Found::Item(at, name.to_owned()));
        match sought {
            Sought::Module if module.children.contains_key(name) => return Some(Found::Module(module.children[name])),
            Sought::Item if module.scope.items.contains(name) => return item(),
            _ => {}
        }
        trail.push(step);
        let imports = module.scope.uses.iter().filter(|import| import.name == name);
        let mut found = imports.filter_map(|import| match self.resolve(at, &import.path, sought, trail)? {
            // What is not ours and is passed on by a file of ours is as good as defined there.
            Found::Elsewhere if import.is_public => item(),
            found => Some(found),
        });
        let found = found.find(|found| matches!(found, Found::Module(_)) == (sought == Sought::Module));
        let found = found.or_else(|| self.through_globs(at, name, sought, trail));
        trail.pop();
        match found {
            None if sought == Sought::Item && module.scope.perhaps.contains(name) => item(),
            found => found,
        }
    }

    /// What `name` stands for in the modules from which everything is imported.
    fn through_globs(&self, at: usize, name: &str, sought: Sought, trail: &mut Trail) -> Option<Found> {
        let mut globs = self.modules[at].scope.uses.iter().filter(|import| import.name == "*");
        globs.find_map(|glob| match self.resolve(at, &glob.path, Sought::Module, trail) {
            Some(Found::Module(module)) => self.look_up(module, name, sought, trail),
            _ => None,
        })
    }

    /// The macro `name` of a module around this one, which is seen without an import.
    fn macro_of(&self, from: usize, name: &str) -> Option<Found> {
        let mut around = std::iter::successors(Some(from), |at| (*at != 0).then(|| self.modules[*at].parent));
        let home = around.find(|at| self.modules[*at].scope.macros.contains(name))?;
        Some(Found::Item(home, name.to_owned()))
    }
}

/// What is being looked for: where, by which name, and as what.
type Trail = Vec<(usize, String, Sought)>;
