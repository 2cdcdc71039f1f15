//! A search index over a directory of text files: `cargo run --example documents`. A file changes, and the index follows.
//!
//! The kind has everything that a kind can have: an observer, a worker, and a destination that publishes and discards by
//! token. An index is built beside the live one, and becomes visible when it is published.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lastword::destination::{CommitView, DeliveryError, DiscardRequest, Duties};
use lastword::{
    Built, CollectionId, Context, Declaration, Event, Failure, Kind, Name, Observation, ObserveError, ObserveRequest,
    Observer, Reconciler, Source, SourceState, Version, Watch, WatchItem, Worker,
};

/// How long anything here may take before the example gives up.
const LONG: Duration = Duration::from_secs(60);

/// The documents of a source: file name to text.
type Documents = BTreeMap<String, String>;

fn read(source: &Source) -> io::Result<Documents> {
    let mut documents = Documents::new();
    for entry in fs::read_dir(source.as_str())? {
        let entry = entry?;
        documents.insert(entry.file_name().to_string_lossy().into_owned(), fs::read_to_string(entry.path())?);
    }
    Ok(documents)
}

/// What the documents are: their version is a hash of all names and texts, each behind its length.
fn state(documents: &Documents) -> io::Result<SourceState> {
    let mut hash = blake3::Hasher::new();
    for part in documents.iter().flat_map(|(name, text)| [name, text]) {
        hash.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    let version = Version::new(hash.finalize().as_bytes()).map_err(io::Error::other)?;
    Ok(SourceState { version, set: None })
}

/// Observes directories by reading them, which is right for some hundred small files.
struct Directories;

impl Observer for Directories {
    fn observe(&self, request: &ObserveRequest<'_>) -> Result<Observation, ObserveError> {
        let found = read(request.source).and_then(|documents| state(&documents));
        found.map(|state| Observation::new(state, None)).map_err(|error| ObserveError(error.to_string()))
    }
}

/// The destination: a directory with one index for each attempt, and for each collection a file that names the live one.
#[derive(Clone)]
struct Indexes(PathBuf);

impl Indexes {
    fn index(&self, token: impl ToString) -> PathBuf {
        self.0.join(format!("index-{}", token.to_string()))
    }

    /// Named by the incarnation and not by the name, which may hold anything, a path among others.
    fn live(&self, collection: CollectionId) -> PathBuf {
        self.0.join(format!("live-{collection}"))
    }

    /// The greatest token under which a collection was published: epoch and number.
    fn published(&self, collection: CollectionId) -> io::Result<Option<(u64, u64)>> {
        let text = match fs::read_to_string(self.live(collection)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text?,
        };
        let token = text.split_once('.').and_then(|(epoch, seq)| Some((epoch.parse().ok()?, seq.parse().ok()?)));
        token.map(Some).ok_or_else(|| io::Error::other("what is live is not a token"))
    }

    /// The documents in which a word occurs, as readers see it.
    fn find(&self, collection: CollectionId, word: &str) -> io::Result<Vec<String>> {
        let live = fs::read_to_string(self.live(collection))?;
        let index = fs::read_to_string(self.index(live))?;
        let line = index.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix('\t'));
        Ok(line.unwrap_or_default().split_terminator('\t').map(str::to_owned).collect())
    }
}

/// Builds an inverted index: a line for each word, with the documents in which it occurs.
struct Indexer(Indexes);

impl Worker for Indexer {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let documents = read(context.source())?;
        let found = state(&documents)?;
        if context.observed() != Some(&found) {
            // This is an observation too: the next attempt builds what was found.
            return Err(Failure::SourceMoved(Some(Box::new(Observation::new(found, None)))));
        }
        let mut index: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, text) in &documents {
            context.check_stop()?;
            for word in text.split_whitespace() {
                index.entry(word).or_default().insert(name);
            }
        }
        let line = |(word, names): (&&str, &BTreeSet<&str>)| {
            names.iter().fold((*word).to_owned(), |line, name| line + "\t" + name) + "\n"
        };
        fs::write(self.0.index(context.token()), index.iter().map(line).collect::<String>())?;
        Ok(Built {
            rows: Some(index.len() as u64),
            output: Some(context.token().to_string().into()),
            ..Built::default()
        })
    }

    fn observer(&self) -> Option<&dyn Observer> {
        Some(&Directories)
    }

    fn duties(&self) -> Duties {
        Duties { publish: true, discard: true }
    }

    /// Switches to the index of the commit, unless a newer one is live.
    fn publish(&self, commit: &CommitView<'_>) -> Result<(), DeliveryError> {
        let token = (commit.token.epoch.0, commit.token.seq.0);
        if self.0.published(commit.collection)? < Some(token) {
            let next = self.0.0.join(format!("next-{}", commit.token));
            fs::write(&next, commit.token.to_string())?;
            fs::rename(&next, self.0.live(commit.collection))?;
        }
        Ok(())
    }

    /// Removes the indexes of attempts that did not commit, and the one that was replaced.
    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        let output = |result: Option<&Built>| result.and_then(|built| built.output.as_deref()).map(str::to_owned);
        let stays = output(request.after);
        let tokens = request.tokens.iter().map(ToString::to_string).chain(output(request.before));
        let mut gone: Vec<PathBuf> =
            tokens.filter(|token| Some(token) != stays.as_ref()).map(|t| self.0.index(t)).collect();
        if request.dropped && stays.is_none() {
            gone.push(self.0.live(request.collection));
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
    let builder = Reconciler::open(dir.path().join("state")).kind(kind.clone(), Indexer(indexes.clone()));
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
