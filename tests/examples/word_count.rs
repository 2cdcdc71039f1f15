//! Counts the words of a file: `cargo run --example word_count`. The file changes, and its count follows.
//!
//! The kind has no observer: the program that changes the file says what it holds (`Handle::observe`). The counts are
//! files that are named by the token of their attempt, so no attempt can touch what another has made. The kind discards:
//! what can never be live again is removed by its token.

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lastword::destination::{DeliveryError, DiscardRequest, Duties};
use lastword::errors::FieldError;
use lastword::policy::{Coalesce, Policy};
use lastword::{
    Built, Context, Declaration, Failure, Kind, Name, Reconciler, Source, SourceState, Version, WaitOutcome, Worker,
};

/// How long anything here may take before the example gives up.
const LONG: Duration = Duration::from_secs(60);

/// Counts the words of a file, into a directory.
struct WordCount(PathBuf);

impl Worker for WordCount {
    fn run(&self, context: &Context) -> Result<Built, Failure> {
        let text = fs::read_to_string(context.source().as_str())?;
        if context.observed() != Some(&state(&text).map_err(|error| Failure::Permanent(error.to_string()))?) {
            return Err(Failure::moved("it has another content"));
        }
        let mut words = 0;
        for line in text.lines() {
            context.check_stop()?;
            words += line.split_whitespace().count() as u64;
        }
        fs::write(self.0.join(context.token().to_string()), words.to_string())?;
        Ok(Built { rows: Some(words), ..Built::default() })
    }

    fn duties(&self) -> Duties {
        Duties { discard: true, ..Duties::default() }
    }

    fn discard(&self, request: &DiscardRequest<'_>) -> Result<(), DeliveryError> {
        for token in request.tokens {
            match fs::remove_file(self.0.join(token.to_string())) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What a source with this text holds: its version is the hash of its content.
fn state(text: &str) -> Result<SourceState, FieldError> {
    Ok(SourceState { version: Version::new(blake3::hash(text.as_bytes()).as_bytes())?, set: None })
}

fn main() -> Result<(), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let (book, counts) = (dir.path().join("book.txt"), dir.path().join("counts"));
    fs::create_dir(&counts)?;
    let (kind, name) = (Kind::new("words")?, Name::new("book")?);
    let worker = WordCount(counts.clone());
    let reconciler = Reconciler::open(dir.path().join("state")).kind(kind.clone(), worker).start()?;
    let handle = reconciler.handle();
    let source = Source::new(book.to_str().ok_or("the path is not UTF-8")?)?;
    // The program knows when the file is whole, so there is nothing to wait for before what it says is wanted.
    let policy = Policy { coalesce: Coalesce::NONE, ..Policy::default() };
    handle.declare(Declaration::new(name.clone()).kind(kind).source(source).policy(policy))?;

    for (text, words) in [("the last word", "3"), ("whoever declares last\nhas the last word", "7")] {
        fs::write(&book, text)?;
        let receipt = handle.observe(name.clone(), state(text)?)?;
        let waited = handle.wait_applied(name.clone(), receipt.generation, LONG)?;
        assert!(matches!(waited, WaitOutcome::Applied { .. }), "{waited:?}");
        let applied = handle.status(name.clone())?.and_then(|status| status.view.applied).ok_or("it is applied")?;
        assert_eq!(fs::read_to_string(counts.join(applied.token.to_string()))?, words);
        println!("{words} words: generation {}, committed by event {}", applied.generation, applied.seq);
    }
    let begun = Instant::now();
    while handle.stats()?.counters.discarded < 1 {
        assert!(begun.elapsed() < LONG, "what was replaced is not discarded");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(fs::read_dir(&counts)?.count(), 1, "only what is live is left");
    reconciler.shutdown(LONG)?;
    Ok(())
}
