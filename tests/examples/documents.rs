//! A search index over a directory of text files: `cargo run --example documents --features sources`. A file changes, and
//! the index follows; the directory is emptied, and it does not.
//!
//! The kind has everything that a kind can have: an observer, a worker that builds on what has changed, and a destination
//! that publishes and discards by token. An index is built beside the live one, and becomes visible when it is published.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::destination::{CommitView, DeliveryError, DiscardRequest, Duties};
use lastword::errors::FieldError;
use lastword::sources::{Change, Directory};
use lastword::{
    Built, CollectionId, Context, Declaration, Event, Failure, Kind, Name, Observer, Reconciler, Source, Spec, Token,
    Watch, WatchItem, Worker,
};

/// How long anything here may take before the example gives up.
const LONG: Duration = Duration::from_secs(60);

/// The destination: a directory with one index for each attempt, and for each collection a file that names the live one.
/// An index has a line for each document: its name, and its words.
#[derive(Clone)]
struct Indexes(PathBuf);

type Index = BTreeMap<String, BTreeSet<String>>;

impl Indexes {
    fn path(&self, token: impl ToString) -> PathBuf {
        self.0.join(format!("index-{}", token.to_string()))
    }

    /// Named by the incarnation, which is never given out twice.
    fn live(&self, collection: CollectionId) -> PathBuf {
        self.0.join(format!("live-{collection}"))
    }

    fn read(&self, token: &str) -> io::Result<Index> {
        let line = |line: &str| {
            let mut words = line.split('\t').map(str::to_owned);
            (words.next().unwrap_or_default(), words.collect())
        };
        Ok(fs::read_to_string(self.path(token))?.lines().map(line).collect())
    }

    fn write(&self, token: Token, index: &Index) -> io::Result<()> {
        let line = |(name, words): (&String, &BTreeSet<String>)| {
            words.iter().fold(name.clone(), |line, word| line + "\t" + word) + "\n"
        };
        fs::write(self.path(token), index.iter().map(line).collect::<String>())
    }

    /// The greatest token under which a collection was published.
    fn published(&self, collection: CollectionId) -> io::Result<Option<Token>> {
        match fs::read_to_string(self.live(collection)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => text?.parse().map(Some).map_err(io::Error::other),
        }
    }

    /// The documents in which a word occurs, as readers see it.
    fn find(&self, collection: CollectionId, word: &str) -> io::Result<Vec<String>> {
        let index = self.read(&fs::read_to_string(self.live(collection))?)?;
        Ok(index.into_iter().filter(|(_, words)| words.contains(word)).map(|(name, _)| name).collect())
    }
}

struct Indexer {
    documents: Directory,
    indexes: Indexes,
}

impl Worker for Indexer {
    /// Builds on the last index: only what has changed is read.
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let changes = context.changes()?;
        let before = changes.base().and_then(|applied| applied.result.output.as_deref());
        let mut index = before.map_or(Ok(Index::new()), |token| self.indexes.read(token))?;
        for change in changes {
            context.check_stop()?;
            match change? {
                Change::Added(file) | Change::Changed(file) => {
                    // What is read is what was observed; a document that has moved on since makes the attempt begin anew.
                    let text = self.documents.read(context, &file.path)?;
                    let words = String::from_utf8_lossy(&text).split_whitespace().map(str::to_owned).collect();
                    index.insert(file.path.encode(), words);
                }
                Change::Removed(file) => drop(index.remove(&file.path.encode())),
            }
        }
        self.indexes.write(context.token(), &index)?;
        let (rows, output) = (Some(index.len() as u64), Some(context.token().to_string().into()));
        Ok(Built { rows, output, ..Built::default() })
    }

    fn check(&self, source: &Source, _: &Spec) -> Result<(), FieldError> {
        self.documents.check(source)
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&self.documents)
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: true }
    }

    /// Switches to the index of the commit, unless a newer one is live.
    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        if self.indexes.published(commit.collection)? < Some(commit.token) {
            let next = self.indexes.0.join(format!("next-{}", commit.token));
            fs::write(&next, commit.token.to_string())?;
            fs::rename(&next, self.indexes.live(commit.collection))?;
        }
        Ok(())
    }

    /// Removes the indexes of attempts that did not commit, and the one that was replaced.
    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        let output = |result: Option<&Built>| result.and_then(|built| built.output.as_deref()).map(str::to_owned);
        let stays = output(request.after);
        let tokens = request.tokens.iter().map(ToString::to_string).chain(output(request.before));
        let mut gone: Vec<PathBuf> =
            tokens.filter(|token| Some(token) != stays.as_ref()).map(|token| self.indexes.path(token)).collect();
        if request.dropped && stays.is_none() {
            gone.push(self.indexes.live(request.collection));
        }
        gone.iter().try_for_each(|path| remove(path)).map_err(DeliveryError::from)
    }
}

/// Removes a file. It may be asked for twice, so one that is gone is no error.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (documents, indexes) = (dir.path().join("documents"), Indexes(dir.path().join("indexes")));
    fs::create_dir(&documents)?;
    fs::create_dir(&indexes.0)?;
    fs::write(documents.join("fox.txt"), "the quick brown fox")?;
    fs::write(documents.join("dog.txt"), "the lazy dog")?;

    let kind = Kind::new("index")?;
    let indexer = Indexer { documents: Directory::local(), indexes: indexes.clone() };
    let builder = Reconciler::open(dir.path().join("state")).kind(kind.clone(), indexer);
    let reconciler = builder.observe_interval(Duration::from_millis(50)).start()?;
    let handle = reconciler.handle();
    let source = Source::new(documents.to_str().ok_or("the path is not UTF-8")?)?;
    let receipt = handle.declare(Declaration::new(Name::new("animals")?).kind(kind).source(source))?;
    let collection = receipt.collection.ok_or("it was declared")?;

    let mut watch = handle.watch(receipt.seq.unwrap_or_default());
    until(&mut watch, "publish", |event| matches!(event, Event::Published { .. }))?;
    assert_eq!(indexes.find(collection, "the")?, ["dog.txt", "fox.txt"]);
    assert_eq!(indexes.find(collection, "cat")?, [""; 0]);

    // The observer notices the change by itself. In its place a program may give a hint.
    let draft = dir.path().join("draft");
    fs::write(&draft, "a lazy cat")?;
    fs::rename(&draft, documents.join("dog.txt"))?;
    until(&mut watch, "commit", |event| matches!(event, Event::TaskCompleted { .. }))?;
    until(&mut watch, "publish", |event| matches!(event, Event::Published { .. }))?;
    assert_eq!(indexes.find(collection, "the")?, ["fox.txt"]);
    assert_eq!(indexes.find(collection, "cat")?, ["dog.txt"]);

    // What was replaced is removed after that.
    until(&mut watch, "discard", |event| matches!(event, Event::Discarded { .. }))?;
    assert_eq!(fs::read_dir(&indexes.0)?.count(), 2, "one index, and the file that names it");

    // An emptied directory is more often an unmounted disk than a wish: the index stays until a person confirms it.
    fs::rename(&documents, dir.path().join("unmounted"))?;
    fs::create_dir(&documents)?;
    until(&mut watch, "hold", |event| matches!(event, Event::CollectionHeld { .. }))?;
    assert_eq!(indexes.find(collection, "cat")?, ["dog.txt"]);
    reconciler.shutdown(LONG)?;
    Ok(())
}

/// Follows the events to the next one of a kind.
fn until(watch: &mut Watch, what: &str, is_it: impl Fn(&Event) -> bool) -> Result<(), Box<dyn Error>> {
    loop {
        if let WatchItem::Event(recorded) = watch.next_within(LONG)?
            && is_it(&recorded.event)
        {
            println!("event {}: {what}", recorded.seq);
            return Ok(());
        }
    }
}
