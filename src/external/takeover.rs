//! What attempts without a commit have built, so that a later attempt need not build it again.
//!
//! Every attempt notes each segment as soon as it is finished: whether it is committed is decided later, and elsewhere.
//! The next attempt is told under which tokens outputs lie that are neither live nor discarded, and reads the notes of
//! those. A note is a claim, not a fact: a segment is taken over only if it is of that very token, was built from the
//! same key and the same fragments, and is still there. What is not taken over is built again, and discarded.

use std::collections::HashMap;

use super::manifest::{read_segment, segment_entry};
use super::wire::{Reader, Writer};
use super::{Fragment, NewSegment, Segment, SegmentBuilder, check};
use crate::core::vocabulary::Token;
use crate::unwind;

const VERSION: u8 = 1;

/// What is noted of a segment: its entry in a manifest, behind a version.
#[must_use]
pub fn note_of(segment: &Segment) -> Vec<u8> {
    let (key, value) = segment_entry(segment);
    let mut note = Writer::default();
    note.u8(VERSION);
    note.bytes(&key);
    note.bytes(&value);
    note.0
}

/// The segments that the attempt of this token has noted. What cannot be read, is no possible segment, or claims to be
/// of another attempt is left out.
#[must_use]
pub fn noted(token: Token, notes: &[Vec<u8>]) -> Vec<Segment> {
    let segments = notes.iter().filter_map(|note| {
        let segment = read(note).and_then(|segment| match segment.id.token == token {
            true => Ok(segment),
            false => Err("it is of another attempt".to_owned()),
        });
        let unread = |problem: &String| {
            unwind::tell(|| {
                tracing::warn!(target: "lastword::external", %token, problem,
                    "a note is not one of a segment: what it was of is built again");
            });
        };
        segment.inspect_err(unread).ok()
    });
    segments.collect()
}

fn read(note: &[u8]) -> Result<Segment, String> {
    let mut bytes = Reader(note);
    if bytes.u8()? != VERSION {
        return Err("its version is not 1".to_owned());
    }
    let entry = (bytes.bytes()?.to_owned(), bytes.bytes()?.to_owned());
    bytes.end()?;
    let segment = read_segment(&entry)?;
    check(std::slice::from_ref(&segment))?;
    Ok(segment)
}

/// Splits what is to be built into what is there already and the rest. A leftover is taken over if it was built from
/// the same key and the same fragments, and is still there.
pub(super) fn take_over(
    new: Vec<NewSegment>,
    leftovers: &[Segment],
    builder: &dyn SegmentBuilder,
) -> (Vec<Segment>, Vec<NewSegment>) {
    let mut by_fragments: HashMap<&[Fragment], Vec<&Segment>> = HashMap::new();
    // The latest attempt's first.
    leftovers.iter().rev().for_each(|leftover| by_fragments.entry(&leftover.fragments).or_default().push(leftover));
    let (mut taken, mut rest) = (Vec::new(), Vec::new());
    for segment in new {
        // No two new segments share a fragment, so none is taken twice.
        let same = by_fragments.get(&*segment.fragments).into_iter().flatten().find(|leftover| {
            leftover.key == segment.key
                && verify(leftover, builder).inspect_err(|problem| missing(leftover, problem)).is_ok()
        });
        match same {
            Some(leftover) => taken.push((*leftover).clone()),
            None => rest.push(segment),
        }
    }
    (taken, rest)
}

/// Whether a leftover is still there. One that its builder panics over would keep its collection from ever being built: it
/// counts as not built.
fn verify(leftover: &Segment, builder: &dyn SegmentBuilder) -> Result<(), String> {
    let panicked = |text| Err(format!("its builder panicked while it verified the segment: {text}"));
    unwind::catch(|| builder.verify(leftover)).unwrap_or_else(panicked)
}

fn missing(leftover: &Segment, problem: &str) {
    unwind::tell(|| {
        tracing::warn!(target: "lastword::external", segment = %leftover.id, problem,
            "a segment that could be taken over is not what it was: it is built again");
    });
}

#[cfg(all(test, feature = "external"))]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::clock::{Clock, EngineTime, SystemClock};
    use crate::core::vocabulary::{
        AttemptRef, CollectionId, Content, Epoch, Generation, Inputs, Kind, Name, Seq, Source, SourceState, Spec,
        TaskId, Timestamp,
    };
    use crate::external::{
        BuildError, External, FileVersion, Manifest, NoBuilder, SegmentId, SegmentJob, SegmentKey, SourcePath,
    };
    use crate::notes::Notes;
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
        notes: Arc<Notes>,
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
            Lake { external, objects, notes: Arc::new(Notes::in_memory(1 << 20)), inputs, attempts: 0 }
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
                committed: None,
                rebuild: false,
                leftovers: leftovers.into(),
                deadline: None,
            };
            let objects: Arc<dyn Objects> = Arc::<MemoryObjects>::clone(&self.objects);
            self.notes.begin(collection, token);
            let context = Context::new(
                assignment,
                Arc::default(),
                objects,
                Arc::clone(&self.notes),
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
    }

    fn a_segment(token: Token) -> Segment {
        let path = SourcePath(b"a".to_vec());
        let fragments = vec![Fragment { path, version: FileVersion::default(), start: 0, end: 5 }];
        let id = SegmentId { token, n: 7 };
        Segment { id, key: SegmentKey([3; 32]), rows: 5, output: Some(b"where it is".to_vec()), fragments }
    }

    #[test]
    fn defect_33_a_note_is_believed_only_of_its_own_attempt() {
        let segment = a_segment(token(1));
        let notes = vec![note_of(&segment), b"no segment".to_vec(), Vec::new(), note_of(&segment)];
        assert_eq!(noted(token(1), &notes), [segment.clone(), segment.clone()]);
        assert_eq!(noted(token(2), &notes), [], "the outputs of another attempt may be gone in a moment");
    }

    #[test]
    fn defect_33_a_note_that_is_cut_short_old_or_of_no_possible_segment_is_none() {
        let segment = a_segment(token(1));
        let note = note_of(&segment);
        for end in 0..note.len() {
            assert_eq!(noted(token(1), &[note[..end].to_vec()]), [], "{end} bytes");
        }
        let other_version = [&[2], &note[1..]].concat();
        let more = [&note[..], &[0]].concat();
        let rows = note_of(&Segment { rows: 6, ..segment.clone() });
        let empty = note_of(&Segment { rows: 0, fragments: Vec::new(), ..segment });
        assert_eq!(noted(token(1), &[other_version, more, rows, empty]), []);
    }

    #[test]
    fn defect_49_a_leftover_of_another_key_is_not_taken_over() {
        let leftover = a_segment(token(1));
        let (key, rows, fragments) = (leftover.key, leftover.rows, leftover.fragments.clone());
        let wanted = NewSegment { key, rows, fragments };
        let other = NewSegment { key: SegmentKey([4; 32]), ..wanted.clone() };
        let leftovers = [leftover.clone()];
        assert_eq!(take_over(vec![other.clone()], &leftovers, &NoBuilder), (vec![], vec![other]));
        assert_eq!(take_over(vec![wanted], &leftovers, &NoBuilder), (vec![leftover], vec![]));
    }

    /// Cannot even look at what it has built.
    struct PanicsOver(u32);

    impl SegmentBuilder for PanicsOver {
        fn build(&self, _: &SegmentJob<'_>) -> Result<Option<Vec<u8>>, BuildError> {
            Ok(None)
        }

        fn verify(&self, segment: &Segment) -> Result<(), String> {
            assert!(segment.id.n != self.0, "no such table");
            Ok(())
        }
    }

    #[test]
    fn a_leftover_that_its_builder_panics_over_counts_as_not_built() {
        let leftover = a_segment(token(1));
        let (key, rows, fragments) = (leftover.key, leftover.rows, leftover.fragments.clone());
        let (wanted, leftovers) = (NewSegment { key, rows, fragments }, [leftover.clone()]);
        assert_eq!(take_over(vec![wanted.clone()], &leftovers, &PanicsOver(7)), (vec![], vec![wanted.clone()]));
        assert_eq!(take_over(vec![wanted], &leftovers, &PanicsOver(8)), (vec![leftover], vec![]));
    }
}
