//! Makes a real directory of an image, one after the other in the same place.

use std::collections::HashMap;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::cut::Image;

/// A place for images. Objects have names of their own and are never changed by an opening, so those that the next
/// image has as well stay; everything else is made anew.
pub struct Place {
    root: PathBuf,
    objects: HashMap<PathBuf, u64>,
}

impl Place {
    /// In `root`, which is empty.
    pub fn at(root: &Path) -> Place {
        Place { root: root.to_owned(), objects: HashMap::new() }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes `image`.
    pub fn make(&mut self, image: &Image) {
        let kept = |path: &Path| path.components().any(|part| part.as_os_str() == "objects") && !is_temporary(path);
        let old = std::mem::take(&mut self.objects);
        self.clear(&|path| {
            let wanted = image.get(path).and_then(Option::as_ref).map(|content| content.identity);
            kept(path) && wanted.is_some() && wanted == old.get(path).copied()
        });
        for (path, content) in image {
            let there = self.root.join(path);
            let Some(content) = content else {
                if !there.is_dir() {
                    DirBuilder::new().mode(0o700).create(&there).unwrap();
                }
                continue;
            };
            if !there.exists() {
                fs::write(&there, content.bytes()).unwrap();
            }
            if kept(path) {
                self.objects.insert(path.clone(), content.identity);
            }
        }
    }

    /// Removes every file but those to keep, and every directory that is empty then.
    fn clear(&self, keep: &dyn Fn(&Path) -> bool) {
        let mut directories = vec![self.root.clone()];
        let mut at = 0;
        while at < directories.len() {
            for entry in fs::read_dir(&directories[at]).unwrap().map(Result::unwrap) {
                let path = entry.path();
                if entry.file_type().unwrap().is_dir() {
                    directories.push(path);
                } else if !keep(path.strip_prefix(&self.root).unwrap()) {
                    fs::remove_file(&path).unwrap();
                }
            }
            at += 1;
        }
        for directory in directories.iter().skip(1).rev() {
            // One that holds what is kept stays.
            let _ = fs::remove_dir(directory);
        }
    }
}

fn is_temporary(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tmp")
}
