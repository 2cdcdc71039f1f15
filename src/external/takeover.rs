//! What attempts without a commit have built, so that a later attempt need not build it again.
//!
//! Every attempt leaves here what it has finished: whether it is committed is decided later, and elsewhere. The next
//! attempt says under which tokens outputs lie that are neither live nor discarded; only those may be taken over, and
//! the rest is dropped. All of this is volatile: after a crash it is built again, and the old outputs are discarded.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{NewSegment, Segment, SegmentBuilder};
use crate::core::vocabulary::{CollectionId, Token};

/// Most fragments of all segments that are kept, about 40 MB of them. What is dropped is built again.
const MOST_FRAGMENTS: usize = 200_000;

/// Segments that attempts have built, by incarnation of their collection; the oldest attempt first. Which of them were
/// committed is not known here, so each is kept until an attempt says under which tokens it may still take over.
#[derive(Default)]
pub(super) struct Leftovers {
    kept: Mutex<VecDeque<Leftover>>,
}

/// What one attempt has built.
struct Leftover {
    collection: CollectionId,
    token: Token,
    segments: Vec<Segment>,
}

impl Leftovers {
    /// Keeps what an attempt has finished.
    pub(super) fn keep(&self, collection: CollectionId, token: Token, segments: Vec<Segment>) {
        if segments.is_empty() {
            return;
        }
        let mut kept = self.kept();
        kept.push_back(Leftover { collection, token, segments });
        let mut fragments: usize = kept.iter().map(Leftover::fragments).sum();
        while fragments > MOST_FRAGMENTS {
            let Some(oldest) = kept.pop_front() else { return };
            fragments -= oldest.fragments();
        }
    }

    /// What may be taken over: what was made under `tokens`. Everything else of this collection is dropped.
    pub(super) fn of(&self, collection: CollectionId, tokens: &[Token]) -> Vec<Segment> {
        let mut kept = self.kept();
        kept.retain(|leftover| leftover.collection != collection || tokens.contains(&leftover.token));
        let own = kept.iter().filter(|leftover| leftover.collection == collection);
        own.flat_map(|leftover| leftover.segments.iter().cloned()).collect()
    }

    /// Drops what was made under `tokens`, which is discarded.
    pub(super) fn drop_discarded(&self, tokens: &[Token]) {
        self.kept().retain(|leftover| !tokens.contains(&leftover.token));
    }

    fn kept(&self) -> MutexGuard<'_, VecDeque<Leftover>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Leftover {
    fn fragments(&self) -> usize {
        self.segments.iter().map(|segment| segment.fragments.len()).sum()
    }
}

/// Splits what is to be built into what is there already and the rest. A leftover is taken over if it was built from
/// the same key and the same fragments, and is still there.
pub(super) fn take_over(
    new: Vec<NewSegment>,
    leftovers: &[Segment],
    builder: &dyn SegmentBuilder,
) -> (Vec<Segment>, Vec<NewSegment>) {
    let (mut taken, mut rest) = (Vec::new(), Vec::new());
    for segment in new {
        // The latest attempt's first. No two new segments share a fragment, so none is taken twice.
        let same = leftovers.iter().rev().find(|leftover| {
            leftover.key == segment.key
                && leftover.fragments == segment.fragments
                && builder.verify(leftover).inspect_err(|problem| missing(leftover, problem)).is_ok()
        });
        match same {
            Some(leftover) => taken.push(leftover.clone()),
            None => rest.push(segment),
        }
    }
    (taken, rest)
}

fn missing(leftover: &Segment, problem: &str) {
    tracing::warn!(target: "lastword::external", segment = %leftover.id, problem,
        "a segment that could be taken over is not what it was: it is built again");
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::{Clock, EngineTime, SystemClock};
    use crate::core::vocabulary::{
        AttemptRef, Content, Epoch, Generation, Inputs, Kind, Name, Seq, Source, SourceState, Spec, TaskId, Timestamp,
    };
    use crate::external::{BuildError, External, Manifest, SegmentJob};
    use crate::objects::{MemoryObjects, Objects};
    use crate::worker::{Assignment, Context, Failure, ObserveRequest, ObserveSignals, Worker};
    use test_support::parquet_files::write;

    /// Builds all segments of the first `attempts` attempts but the last one, on which those attempts fail.
    struct FailsAtLastSegment {
        attempts: u64,
        built: Arc<AtomicU64>,
    }

    impl SegmentBuilder for FailsAtLastSegment {
        fn build(&self, job: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
            if job.id.token.seq.0 <= self.attempts && job.id.n == 2 {
                return Err(BuildError::Transient("stumbled".to_owned()));
            }
            self.built.fetch_add(1, Ordering::Relaxed);
            Ok(Some(job.id.to_string().into_bytes()))
        }

        fn discards(&self) -> bool {
            true
        }
    }

    struct Lake {
        external: External,
        objects: Arc<MemoryObjects>,
        inputs: Arc<Inputs>,
        attempts: u64,
    }

    fn token(n: u64) -> Token {
        Token { epoch: Epoch(1), seq: Seq(n) }
    }

    impl Lake {
        fn new(dir: &Path, external: External) -> Lake {
            (0..3).for_each(|n| write(&dir.join(format!("{n}.parquet")), &[10], 0));
            let source = Source::new(dir.to_str().unwrap()).unwrap();
            let spec = Spec::parse(r#"{"format":"parquet","target_rows":10}"#).unwrap();
            let objects = Arc::new(MemoryObjects::new());
            let wall = SystemClock::new().wall();
            let name = &Name::new("lake").unwrap();
            let request = ObserveRequest {
                name,
                source: &source,
                spec: &spec,
                known: None,
                applied: None,
                objects: &*objects,
                wall,
                verify: false,
                signals: &ObserveSignals::default(),
            };
            let SourceState { version, set } = external.observer().unwrap().observe(&request).unwrap().state;
            let inputs =
                Arc::new(Inputs { source, spec, content: Content::Observed(SourceState { version, set }.into()) });
            Lake { external, objects, inputs, attempts: 0 }
        }

        fn attempt(&mut self, collection: u64, leftovers: &[Token]) -> Result<Vec<String>, Failure> {
            self.attempts += 1;
            let collection = CollectionId(Seq(collection));
            let (task, token) = (TaskId(Seq(1)), token(self.attempts));
            let assignment = Assignment {
                attempt: AttemptRef { collection, task, attempt: 1, token },
                name: Name::new("lake").unwrap(),
                kind: Kind::new("external").unwrap(),
                fingerprint: self.inputs.fingerprint().unwrap(),
                inputs: Arc::clone(&self.inputs),
                generation: Generation(1),
                applied: None,
                leftovers: leftovers.into(),
                deadline: None,
            };
            let objects: Arc<dyn Objects> = Arc::<MemoryObjects>::clone(&self.objects);
            let context = Context::new(
                assignment,
                Arc::default(),
                objects,
                EngineTime::begin(Arc::new(SystemClock::new()), Timestamp(0)),
            );
            let built = self.external.run(&context)?;
            let manifest = Manifest::read(&*self.objects, built.manifest.unwrap()).unwrap();
            Ok(manifest.segments.iter().map(|segment| segment.id.to_string()).collect())
        }
    }

    #[test]
    fn only_what_lies_under_leftover_tokens_of_the_same_incarnation_is_taken_over() {
        let (dir, built) = (tempfile::tempdir().unwrap(), Arc::<AtomicU64>::default());
        let external = External::with_builder(FailsAtLastSegment { attempts: 2, built: Arc::clone(&built) });
        let mut lake = Lake::new(dir.path(), external);
        assert_eq!(lake.attempt(1, &[]), Err(Failure::Transient("stumbled".to_owned())));
        // Another incarnation has nothing of it, whatever its tokens are.
        assert!(lake.attempt(2, &[token(1)]).is_err());
        assert_eq!(built.swap(0, Ordering::Relaxed), 4);
        // The third attempt finishes what the first has begun; that its result is stale is not for it to know.
        assert_eq!(lake.attempt(1, &[token(1)]).unwrap(), ["1.1-0", "1.1-1", "1.3-0"]);
        assert_eq!(lake.attempt(1, &[token(1), token(3)]).unwrap(), ["1.1-0", "1.1-1", "1.3-0"]);
        assert_eq!(built.swap(0, Ordering::Relaxed), 1);
        // The first one's was discarded.
        assert_eq!(lake.attempt(1, &[token(3)]).unwrap(), ["1.3-0", "1.5-0", "1.5-1"]);
        lake.external.discard(&*lake.objects, &[token(3)], None, None).unwrap();
        assert_eq!(lake.attempt(1, &[token(3)]).unwrap(), ["1.6-0", "1.6-1", "1.6-2"]);
    }

    #[test]
    fn leftovers_are_bounded() {
        let leftovers = Leftovers::default();
        let fragment = crate::external::Fragment {
            path: crate::external::SourcePath(b"a".to_vec()),
            version: crate::external::FileVersion::default(),
            start: 0,
            end: 1,
        };
        let id = |n| crate::external::SegmentId { token: token(n), n: 0 };
        let key = crate::external::SegmentKey([0; 32]);
        let fragments = vec![fragment; MOST_FRAGMENTS / 2];
        for n in 1..=3 {
            let segment = Segment { id: id(n), key, rows: 1, output: None, fragments: fragments.clone() };
            leftovers.keep(CollectionId(Seq(n)), token(n), vec![segment]);
        }
        let counts = [1, 2, 3].map(|n| leftovers.of(CollectionId(Seq(n)), &[token(n)]).len());
        assert_eq!(counts, [0, 1, 1]);
    }
}
