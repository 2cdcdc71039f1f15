//! From objects to entries. What is read is checked against what its parent said of it, so a tree whose objects
//! are each whole but do not belong together is found out.

use std::fmt;

use super::layout::{Child, Object, borrow, decode, is_node};
use super::{Entry, Root, TreeError, build};
use crate::core::vocabulary::ObjectHash;
use crate::objects::{ObjectError, Objects, object_hash};

/// The entries of a tree in ascending order. Holds one object per level in memory. The iteration ends after the
/// first error.
pub fn read(objects: &dyn Objects, root: ObjectHash) -> Entries<'_> {
    Entries { objects, pending: vec![Pending::Root(root)], last_key: None }
}

/// Hands every entry of a tree to `each`, in ascending order, where it lies: nothing is allocated for one. What `read` checks
/// is checked.
///
/// # Errors
/// When an object cannot be read or does not fit its parent, and whatever `each` returns.
pub fn visit<E: From<TreeError>>(objects: &dyn Objects, root: ObjectHash, each: &mut Visit<'_, E>) -> Result<(), E> {
    let mut last_key = None;
    visit_below(objects, (root, None), &mut last_key, each)
}

/// What [`visit`] hands a key and its value to.
pub type Visit<'v, E> = dyn FnMut(&[u8], &[u8]) -> Result<(), E> + 'v;

/// Levels are as deep as this calls itself, and checked before.
fn visit_below<E: From<TreeError>>(
    objects: &dyn Objects,
    (hash, parent): (ObjectHash, Option<(&Child, u8)>),
    last_key: &mut Option<Vec<u8>>,
    each: &mut Visit<'_, E>,
) -> Result<(), E> {
    let bytes = objects.get(hash).map_err(TreeError::from)?;
    let object = borrow(hash, &bytes)?;
    if let Some((child, level)) = parent {
        check_child(&object, child, level)?;
    }
    match object {
        Object::Leaf(entries) => {
            entries.iter().try_for_each(|(key, value)| each(key, value))?;
            if let Some((key, _)) = entries.last() {
                *last_key = Some(key.to_vec());
            }
        }
        Object::Node { level, children } => {
            for child in &children {
                if last_key.as_ref().is_some_and(|last| *last >= child.first_key) {
                    return Err(out_of_order(child).into());
                }
                visit_below(objects, (child.hash, Some((child, level))), last_key, each)?;
            }
        }
    }
    Ok(())
}

fn out_of_order(child: &Child) -> TreeError {
    TreeError::Malformed { hash: child.hash, problem: "its keys are not behind those before it" }
}

/// How many entries a tree holds, from its topmost object alone.
///
/// # Errors
/// When that object cannot be read.
pub fn entry_count(objects: &dyn Objects, root: ObjectHash) -> Result<u64, TreeError> {
    fetch(objects, root)?.entries().ok_or(TreeError::Malformed { hash: root, problem: "it counts too many entries" })
}

/// The value of one key. Reads one object per level.
///
/// # Errors
/// When an object on the way cannot be read.
pub fn get(objects: &dyn Objects, root: ObjectHash, key: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
    let mut object = fetch(objects, root)?;
    loop {
        match object {
            Object::Leaf(mut entries) => {
                let found = entries.binary_search_by(|(held, _)| held.as_slice().cmp(key)).ok();
                return Ok(found.map(|at| entries.swap_remove(at).1));
            }
            Object::Node { level, children } => {
                let after = children.partition_point(|child| child.first_key.as_slice() <= key);
                let Some(child) = after.checked_sub(1).and_then(|at| children.get(at)) else { return Ok(None) };
                object = fetch_child(objects, child, level)?;
            }
        }
    }
}

/// Visits the name of every object of a tree, parents first. `visit` answers whether to go on below that object:
/// `false` for one that was visited before, so that trees that share most of their objects are walked once.
/// Leaves are named and not read, unless the root is one.
///
/// # Errors
/// When a node cannot be read.
pub fn reachable(
    objects: &dyn Objects,
    root: ObjectHash,
    visit: &mut dyn FnMut(ObjectHash) -> bool,
) -> Result<(), TreeError> {
    if !visit(root) {
        return Ok(());
    }
    let mut pending = vec![fetch(objects, root)?];
    while let Some(object) = pending.pop() {
        let Object::Node { level, children } = object else { continue };
        for child in &children {
            if visit(child.hash) && level > 1 {
                pending.push(fetch_child(objects, child, level)?);
            }
        }
    }
    Ok(())
}

/// What the object with these bytes has directly below it. Nothing if it is no node.
pub(crate) fn children(hash: ObjectHash, bytes: &[u8]) -> Vec<ObjectHash> {
    // A leaf may be long, and has none.
    match is_node(bytes).then(|| decode(hash, bytes)) {
        Some(Ok(Object::Node { children, .. })) => children.into_iter().map(|child| child.hash).collect(),
        _ => Vec::new(),
    }
}

/// Reads the objects of a tree, children before parents, and hands each to `take` with its bytes. `enter` is asked
/// for every name, parents first, and answers whether to go there: `false` for an object that was taken before, so
/// that trees that share most of their objects are walked once. Holds one object per level in memory.
///
/// # Errors
/// When an object cannot be read or does not fit its parent, and whatever `take` returns.
pub fn walk<E: From<TreeError>>(
    objects: &dyn Objects,
    root: ObjectHash,
    enter: &mut dyn FnMut(ObjectHash) -> bool,
    take: &mut Take<'_, E>,
) -> Result<(), E> {
    let mut path = Vec::new();
    if enter(root) {
        path.push(Step::read(objects, root, None)?);
    }
    while let Some(step) = path.last_mut() {
        match step.children.next() {
            Some(child) if enter(child.hash) => {
                let below = Step::read(objects, child.hash, Some((&child, step.level)))?;
                path.push(below);
            }
            Some(_) => {}
            None => {
                take(step.hash, &step.bytes)?;
                path.pop();
            }
        }
    }
    Ok(())
}

/// What [`walk`] hands an object to: its name and its bytes.
pub type Take<'t, E> = dyn FnMut(ObjectHash, &[u8]) -> Result<(), E> + 't;

/// An object on the way down from the root, and those of its children that were not visited yet.
struct Step {
    hash: ObjectHash,
    bytes: Vec<u8>,
    level: u8,
    children: std::vec::IntoIter<Child>,
}

impl Step {
    fn read(objects: &dyn Objects, hash: ObjectHash, parent: Option<(&Child, u8)>) -> Result<Step, TreeError> {
        let bytes = objects.get(hash).map_err(TreeError::from)?;
        let object = decode(hash, &bytes)?;
        if let Some((child, level)) = parent {
            check_child(&object, child, level)?;
        }
        let level = object.level();
        let children = match object {
            Object::Leaf(_) => Vec::new(),
            Object::Node { children, .. } => children,
        };
        Ok(Step { hash, bytes, level, children: children.into_iter() })
    }
}

/// Reads a whole tree and checks that it is the one that its entries give: every object present and undamaged,
/// order and counts right, every boundary where the rule puts it.
///
/// # Errors
/// The first defect.
pub fn verify(objects: &dyn Objects, root: ObjectHash) -> Result<Root, TreeError> {
    let mut failed = None;
    let entries = read(objects, root).map_while(|entry| entry.map_err(|error| failed = Some(error)).ok());
    let rebuilt = build(&NamesOnly, entries);
    if let Some(error) = failed {
        return Err(error);
    }
    match rebuilt? {
        rebuilt if rebuilt.hash == root => Ok(rebuilt),
        _ => Err(TreeError::Malformed { hash: root, problem: "its entries give another tree" }),
    }
}

/// See [`read`].
pub struct Entries<'a> {
    objects: &'a dyn Objects,
    pending: Vec<Pending>,
    last_key: Option<Vec<u8>>,
}

/// What is left to be read is left out: it may be long.
impl fmt::Debug for Entries<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("last_key", &self.last_key).finish_non_exhaustive()
    }
}

/// What is still to be read, the next one last.
enum Pending {
    Root(ObjectHash),
    Children { level: u8, rest: std::vec::IntoIter<Child> },
    Entries(std::vec::IntoIter<Entry>),
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, TreeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.step().transpose();
        if matches!(next, Some(Err(_))) {
            self.pending.clear();
        }
        next
    }
}

impl Entries<'_> {
    fn step(&mut self) -> Result<Option<Entry>, TreeError> {
        while let Some(pending) = self.pending.last_mut() {
            let below = match pending {
                Pending::Root(hash) => {
                    let object = fetch(self.objects, *hash)?;
                    self.pending.clear();
                    Some(object)
                }
                Pending::Children { level, rest } => match rest.next() {
                    Some(child) => {
                        let level = *level;
                        Some(self.below(&child, level)?)
                    }
                    None => None,
                },
                Pending::Entries(rest) => match rest.next() {
                    Some((key, value)) => {
                        self.last_key = Some(key.clone());
                        return Ok(Some((key, value)));
                    }
                    None => None,
                },
            };
            match below {
                Some(Object::Leaf(entries)) => self.pending.push(Pending::Entries(entries.into_iter())),
                Some(Object::Node { level, children }) => {
                    self.pending.push(Pending::Children { level, rest: children.into_iter() });
                }
                None => {
                    self.pending.pop();
                }
            }
        }
        Ok(None)
    }

    /// Order within an object was checked as it was decoded; here, that it begins behind the one before.
    fn below(&self, child: &Child, level: u8) -> Result<Object, TreeError> {
        if self.last_key.as_ref().is_some_and(|last| *last >= child.first_key) {
            return Err(out_of_order(child));
        }
        fetch_child(self.objects, child, level)
    }
}

pub(super) fn fetch(objects: &dyn Objects, hash: ObjectHash) -> Result<Object, TreeError> {
    decode(hash, &objects.get(hash)?)
}

/// Reads a child of a node of `level` and checks it against what the node says of it.
pub(super) fn fetch_child(objects: &dyn Objects, child: &Child, level: u8) -> Result<Object, TreeError> {
    let object = fetch(objects, child.hash)?;
    check_child(&object, child, level)?;
    Ok(object)
}

fn check_child<B: AsRef<[u8]>>(object: &Object<B>, child: &Child, level: u8) -> Result<(), TreeError> {
    let malformed = |problem| Err(TreeError::Malformed { hash: child.hash, problem });
    if object.level().checked_add(1) != Some(level) {
        return malformed("its level is not one below its parent's");
    }
    if object.entries() != Some(child.entries) {
        return malformed("it does not hold as many entries as its parent says");
    }
    if object.first_key() != Some(child.first_key.as_slice()) {
        return malformed("it does not begin with the key that its parent says");
    }
    Ok(())
}

/// Keeps nothing and only names what it is given: a tree is verified by building it again into this.
struct NamesOnly;

impl Objects for NamesOnly {
    fn put(&self, objects: &[Vec<u8>]) -> Result<Vec<ObjectHash>, ObjectError> {
        Ok(objects.iter().map(|bytes| object_hash(bytes)).collect())
    }

    fn get(&self, hash: ObjectHash) -> Result<Vec<u8>, ObjectError> {
        Err(ObjectError::Missing(hash))
    }

    fn list(&self) -> Result<Vec<ObjectHash>, ObjectError> {
        Ok(Vec::new())
    }

    fn remove(&self, _hash: ObjectHash) -> Result<(), ObjectError> {
        Ok(())
    }
}
