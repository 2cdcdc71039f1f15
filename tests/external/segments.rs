//! Packing fragments, and what becomes of segments when a source changes a little.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

use lastword::core::vocabulary::{Epoch, Fingerprint, Seq, Token};
use lastword::external::{
    ExternalSpec, FileVersion, Fragment, Layout, Manifest, Plan, Segment, SegmentId, SourcePath, Stat, balance, check,
    manifest_json, plan,
};
use lastword::objects::MemoryObjects;
use proptest::prelude::*;
use proptest::sample::Index;

fn fragment(path: &str, version: u64, start: u64, rows: u64) -> Fragment {
    let version = FileVersion::of(Stat { size: 4_096, inode: version, ..Stat::default() });
    Fragment { path: SourcePath(path.into()), version, start, end: start + rows }
}

fn rows(fragments: &[Fragment]) -> u64 {
    fragments.iter().map(Fragment::rows).sum()
}

fn spec(text: &str) -> ExternalSpec {
    ExternalSpec::parse(text).unwrap()
}

fn spec_of(target: u64) -> ExternalSpec {
    spec(&format!(r#"{{"format":"parquet","target_rows":{target}}}"#))
}

/// The segments after a plan was carried out by the attempt number `attempt`.
fn built(plan: &Plan, attempt: u64) -> Vec<Segment> {
    let token = Token { epoch: Epoch(1_700_000_000_000), seq: Seq(attempt) };
    let new = plan.new.iter().zip(0..).map(|(new, n)| Segment {
        id: SegmentId { token, n },
        key: new.key,
        rows: new.rows,
        output: Some(format!("seg-{attempt}-{n}").into_bytes()),
        fragments: new.fragments.clone(),
    });
    let mut segments: Vec<_> = plan.kept.iter().cloned().chain(new).collect();
    segments.sort_by_key(|segment| segment.id);
    segments
}

/// A collection that is brought from one set of fragments to the next, with what must always hold checked.
struct Collection {
    layout: Option<Layout>,
    segments: Vec<Segment>,
    attempts: u64,
}

impl Collection {
    fn new() -> Collection {
        Collection { layout: None, segments: Vec::new(), attempts: 0 }
    }

    fn apply(&mut self, spec: &ExternalSpec, fragments: Vec<Fragment>) -> Plan {
        let before: BTreeSet<_> = self.segments.iter().map(|segment| segment.id).collect();
        let plan = plan(self.layout, self.segments.clone(), spec, fragments.clone());
        let after: BTreeSet<_> = plan.kept.iter().chain(&plan.dropped).map(|segment| segment.id).collect();
        assert_eq!(before, after, "every old segment is kept or dropped");
        self.attempts += 1;
        self.segments = built(&plan, self.attempts);
        self.layout = Some(Layout::of(spec));
        check(&self.segments).unwrap();
        let mut held: Vec<_> = self.segments.iter().flat_map(|segment| segment.fragments.clone()).collect();
        held.sort();
        let mut wanted = fragments;
        wanted.sort();
        assert_eq!(held, wanted, "every fragment is in one segment");
        plan
    }
}

#[test]
fn case_28_two_segments_of_about_a_million() {
    let sizes = [300_000, 400_000, 500_000, 600_000, 200_000];
    let fragments = sizes.iter().enumerate().map(|(n, rows)| fragment(&format!("f{n}"), 1, 0, *rows)).collect();
    let bins: Vec<_> = balance(fragments, 1_000_000).iter().map(|bin| rows(bin)).collect();
    let average = sizes.iter().sum::<u64>() / 5;
    assert_eq!(bins, [1_100_000, 900_000]);
    assert!(bins[0] - bins[1] < 2 * average);
}

#[test]
fn case_26_ties_are_broken_by_name() {
    let fragments = ["d", "b", "a", "c"].map(|path| fragment(path, 1, 0, 10)).to_vec();
    let paths: Vec<Vec<_>> =
        balance(fragments, 20).iter().map(|bin| bin.iter().map(|f| f.path.to_string()).collect()).collect();
    assert_eq!(paths, [["a", "c"], ["b", "d"]]);
}

#[test]
fn case_23_odd_sizes_are_packed_without_a_panic() {
    assert_eq!(balance(Vec::new(), 1_000), Vec::<Vec<Fragment>>::new());
    assert_eq!(balance(vec![fragment("none", 1, 0, 0)], 1_000), Vec::<Vec<Fragment>>::new());
    assert_eq!(balance(vec![fragment("a", 1, 0, 5)], 0).len(), 1);
    assert_eq!(balance(vec![fragment("a", 1, 0, 5)], u64::MAX).len(), 1);
    // A row group larger than the target is a segment of its own, and does not starve or split the others.
    let mut fragments = vec![fragment("large", 1, 0, 5_000_000)];
    fragments.extend((0..10).map(|n| fragment("small", 1, n * 100_000, 100_000)));
    let bins: Vec<_> = balance(fragments, 1_000_000).iter().map(|bin| (bin.len(), rows(bin))).collect();
    assert_eq!(bins, [(1, 5_000_000), (10, 1_000_000)]);
    // Sums beyond 64 bits.
    let huge = (0..4).map(|n| fragment(&format!("f{n}"), 1, 0, u64::MAX / 2)).collect();
    assert_eq!(balance(huge, u64::MAX).len(), 2);
}

#[test]
fn a_million_fragments_are_packed_in_seconds() {
    let fragments = (0..1_000_000).map(|n| fragment(&format!("part-{:04}", n / 1_000), 1, n, 1 + n * 7_919 % 100_000));
    let fragments: Vec<_> = fragments.collect();
    let begun = Instant::now();
    let bins = balance(fragments, 1_000_000);
    println!("{} bins in {:?}", bins.len(), begun.elapsed());
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
    assert_eq!(bins.iter().map(Vec::len).sum::<usize>(), 1_000_000);
}

/// A thousand files of a few row groups each, at about ten fragments a segment.
fn thousand_files() -> BTreeMap<usize, Vec<Fragment>> {
    (0..1_000)
        .map(|n| {
            let groups = 1 + n % 4;
            let group = |at: usize| fragment(&format!("part-{n:04}"), 1, at as u64 * 90, 90 + (n as u64 * 31) % 20);
            (n, (0..groups).map(|at| Fragment { end: at as u64 * 90 + 90, ..group(at) }).collect())
        })
        .collect()
}

fn all(files: &BTreeMap<usize, Vec<Fragment>>) -> Vec<Fragment> {
    files.values().flatten().cloned().collect()
}

#[test]
fn case_27_one_file_of_a_thousand_rebuilds_only_the_segments_that_held_it() {
    let (spec, mut files, mut collection) = (spec_of(1_000), thousand_files(), Collection::new());
    let first = collection.apply(&spec, all(&files));
    assert!(first.new.len() > 200);
    for changed in [0, 3, 500, 999] {
        let holders: BTreeSet<_> = collection
            .segments
            .iter()
            .filter(|segment| segment.fragments.iter().any(|fragment| files[&changed].contains(fragment)))
            .map(|segment| segment.id)
            .collect();
        files.get_mut(&changed).unwrap().iter_mut().for_each(|fragment| fragment.version.stat.inode += 1);
        let plan = collection.apply(&spec, all(&files));
        let dropped: BTreeSet<_> = plan.dropped.iter().map(|segment| segment.id).collect();
        assert_eq!(dropped, holders, "file {changed}");
        assert_eq!(plan.kept.len(), collection.segments.len() - plan.new.len());
        let share = plan.new.iter().map(|segment| segment.rows).sum::<u64>() as f64 / plan.rows() as f64;
        println!("file {changed}: {} segments rebuilt, {:.2}% of the rows", plan.new.len(), share * 100.0);
        assert!(plan.new.len() <= holders.len() + 1 && share < 0.03);
    }
}

#[test]
fn nothing_changed_means_nothing_is_built() {
    let (spec, files, mut collection) = (spec_of(1_000), thousand_files(), Collection::new());
    let first = collection.apply(&spec, all(&files));
    let again = collection.apply(&spec, all(&files));
    assert_eq!((again.kept.len(), again.new.len(), again.dropped.len()), (first.new.len(), 0, 0));
}

#[test]
fn case_29_another_layout_is_planned_anew_and_another_recipe_rebuilds_all() {
    let files = all(&thousand_files());
    let base = spec_of(1_000);
    for (text, kept) in [
        (r#"{"format":"parquet","target_rows":1000,"columns":["id"]}"#, false),
        (r#"{"format":"parquet","target_rows":1000,"params":{"m":16}}"#, false),
        (r#"{"format":"parquet","target_rows":1000,"recipe":"v2"}"#, false),
        (r#"{"target_rows":1000,"format":"parquet"}"#, true),
    ] {
        let mut collection = Collection::new();
        let first = collection.apply(&base, files.clone());
        let plan = collection.apply(&spec(text), files.clone());
        assert_eq!((plan.new.is_empty(), plan.dropped.is_empty()), (kept, kept), "{text}");
        assert_eq!(plan.new.len() + plan.kept.len(), first.new.len());
    }
    let mut collection = Collection::new();
    let first = collection.apply(&base, files.clone());
    let plan = collection.apply(&spec_of(2_000), files.clone());
    assert!(plan.new.len().abs_diff(first.new.len() / 2) <= 1, "{} of {}", plan.new.len(), first.new.len());
    assert_eq!(plan.kept.len(), 0);
    // A layout that changes nothing keeps what comes out the same: one row group for each segment either way.
    let large: Vec<_> = (0..10).map(|n| fragment("large", 1, n * 5_000, 5_000)).collect();
    let mut collection = Collection::new();
    collection.apply(&spec_of(1_000), large.clone());
    let plan = collection.apply(&spec_of(3_000), large);
    assert_eq!((plan.kept.len(), plan.new.len(), plan.dropped.len()), (10, 0, 0));
}

#[test]
fn a_thousand_small_additions_leave_few_segments() {
    let (spec, mut collection, mut fragments) = (spec_of(1_000), Collection::new(), Vec::new());
    let (mut most, mut rebuilt) = (0, 0);
    for n in 0..1_000 {
        fragments.push(fragment(&format!("part-{n:04}"), 1, 0, 10));
        let plan = collection.apply(&spec, fragments.clone());
        most = most.max(collection.segments.len());
        rebuilt += plan.new.iter().map(|segment| segment.rows).sum::<u64>();
    }
    let total = rows(&fragments);
    println!("{total} rows added, {rebuilt} rows built, at most {most} segments");
    assert!(most <= 30, "{most} segments for {total} rows");
    assert!(rebuilt <= 10 * total, "{rebuilt} rows were built for {total}");
}

#[test]
fn the_tenth_small_addition_gathers_the_nine_before() {
    let (spec, mut collection) = (spec_of(1_000), Collection::new());
    // Not small: what has half of the target stays as it is.
    let mut fragments = vec![fragment("large", 1, 0, 990), fragment("half", 1, 0, 500)];
    collection.apply(&spec, fragments[..1].to_vec());
    collection.apply(&spec, fragments.clone());
    assert_eq!(collection.segments.len(), 2);
    for n in 0..9 {
        fragments.push(fragment(&format!("small-{n}"), 1, 0, 10));
        let plan = collection.apply(&spec, fragments.clone());
        assert_eq!((plan.kept.len(), plan.new.len(), plan.dropped.len()), (n + 2, 1, 0));
    }
    // A file that changed is no addition, however many small segments lie about.
    fragments[0] = fragment("large", 2, 0, 990);
    let plan = collection.apply(&spec, fragments.clone());
    assert_eq!((plan.kept.len(), plan.new.len(), plan.dropped.len()), (10, 1, 1));
    fragments.push(fragment("small-9", 1, 0, 10));
    let plan = collection.apply(&spec, fragments.clone());
    assert_eq!((plan.kept.len(), plan.new.len(), plan.dropped.len()), (2, 1, 9));
    assert_eq!(plan.new[0].rows, 100);
}

#[test]
fn case_22_a_source_without_files_has_no_segments() {
    let (spec, mut collection) = (spec_of(1_000), Collection::new());
    let first = collection.apply(&spec, all(&thousand_files()));
    let plan = collection.apply(&spec, Vec::new());
    assert_eq!((plan.kept.len(), plan.new.len(), plan.dropped.len()), (0, 0, first.new.len()));
    let objects = MemoryObjects::new();
    let manifest = Manifest { layout: Layout::of(&spec), segments: collection.segments };
    let root = manifest.write(&objects).unwrap();
    assert_eq!(Manifest::read(&objects, root.hash).unwrap(), manifest);
}

#[test]
fn case_17_same_path_same_rows_new_content_is_another_fragment() {
    let (spec, mut collection) = (spec_of(1_000), Collection::new());
    collection.apply(&spec, vec![fragment("a", 1, 0, 100)]);
    let key = collection.segments[0].key;
    let plan = collection.apply(&spec, vec![fragment("a", 2, 0, 100)]);
    assert_eq!((plan.new.len(), plan.dropped.len()), (1, 1));
    assert_ne!(plan.new[0].key, key);
}

#[test]
fn case_16_what_may_not_be_in_a_manifest_is_found() {
    let mut collection = Collection::new();
    collection.apply(&spec_of(100), vec![fragment("a", 1, 0, 60), fragment("a", 1, 60, 60), fragment("b", 1, 0, 50)]);
    let good = collection.segments;
    assert_eq!(good.len(), 2);
    let with = |change: &dyn Fn(&mut Vec<Segment>)| {
        let mut segments = good.clone();
        change(&mut segments);
        check(&segments).unwrap_err()
    };
    assert!(with(&|s| s[0].fragments.clear()).ends_with("has no fragment"));
    assert!(with(&|s| s[0].rows += 1).contains("rows, its fragments have"));
    assert!(with(&|s| s[1].id = s[0].id).starts_with("two segments have the id 1700000000000.1-0"));
    assert!(
        with(&|s| (s[1].fragments, s[1].rows) = (s[0].fragments.clone(), s[0].rows)).ends_with("is in two fragments")
    );
    assert!(with(&|s| s[0].fragments[0].version.stat.inode = 9).ends_with("is there in two versions"));
    assert!(with(&|s| s[0].output = Some(vec![0; 4_097])).ends_with("is longer than 4096 bytes"));
    let mut longest = good.clone();
    longest[0].output = Some(vec![0; 4_096]);
    assert_eq!(check(&longest), Ok(()));
}

#[test]
fn case_15_a_manifest_of_a_hundred_thousand_segments_changes_in_a_few_objects() {
    let layout = Layout { target_rows: 10 };
    let spec = spec_of(10);
    let mut collection = Collection::new();
    collection.apply(&spec, (0..100_000).map(|n| fragment(&format!("part-{:03}", n / 1_000), 1, n * 10, 10)).collect());
    let mut manifest = Manifest { layout, segments: collection.segments };
    assert_eq!(manifest.segments.len(), 100_000);
    let objects = MemoryObjects::new();
    let first = manifest.write(&objects).unwrap();
    assert_eq!(Manifest::read(&objects, first.hash).unwrap(), manifest);
    let held = objects.len();
    manifest.segments[70_000].output = Some(b"elsewhere".to_vec());
    let second = manifest.write(&objects).unwrap();
    assert!(objects.len() - held <= 5, "{} objects were written", objects.len() - held);
    assert_eq!(Manifest::read(&objects, second.hash).unwrap(), manifest);
}

#[test]
fn case_15_a_segment_of_a_hundred_thousand_fragments() {
    let fragments: Vec<_> = (0..100_000).map(|n| fragment(&format!("part-{:05}", n / 10), 1, n * 10, 10)).collect();
    let mut collection = Collection::new();
    collection.apply(&spec_of(10_000_000), fragments);
    let manifest = Manifest { layout: collection.layout.unwrap(), segments: collection.segments };
    assert_eq!((manifest.segments.len(), manifest.rows()), (1, 1_000_000));
    let objects = MemoryObjects::new();
    let root = manifest.write(&objects).unwrap();
    assert_eq!(Manifest::read(&objects, root.hash).unwrap(), manifest);
}

#[test]
fn the_json_of_a_manifest_is_a_contract() {
    let mut collection = Collection::new();
    let mut odd = fragment("x", 7, 0, 30);
    odd.path = SourcePath(b"50% \xff".to_vec());
    collection.apply(&spec_of(1_000), vec![odd.clone()]);
    collection.segments[0].output = Some(b"s3%\xfe".to_vec());
    let key = collection.segments[0].key.to_string();
    let expected = serde_json::json!({
        "collection": "lineitem",
        "applied": "07".repeat(32),
        "segments": [{
            "id": "1700000000000.1-0", "key": key, "rows": 30, "output": "s3%25%FE",
            "fragments": [{"path": "50%25 %FF", "version": odd.version.name(), "start": 0, "end": 30}],
        }],
    });
    assert_eq!(manifest_json("lineitem", Some(Fingerprint([7; 32])), &collection.segments), expected);
    assert_eq!(odd.version.name().len(), 16);
    collection.segments[0].output = None;
    assert!(manifest_json("x", None, &collection.segments)["segments"][0]["output"].is_null());
    let empty = manifest_json("lineitem", None, &[]).to_string();
    let empty: serde_json::Value = serde_json::from_str(&empty).unwrap();
    assert_eq!(empty, serde_json::json!({"collection": "lineitem", "applied": null, "segments": []}));
}

fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    proptest::collection::vec((0..40_u8, 1..5_u8, proptest::collection::vec(1..1_500_u64, 1..5)), 0..40).prop_map(
        |files| {
            let files: BTreeMap<u8, _> =
                files.into_iter().map(|(name, version, groups)| (name, (version, groups))).collect();
            let mut fragments = Vec::new();
            for (name, (version, groups)) in files {
                let mut start = 0;
                for rows in groups {
                    fragments.push(fragment(&format!("f{name}"), version.into(), start, rows));
                    start += rows;
                }
            }
            fragments
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn case_26_any_order_gives_the_same_segments(
        fragments in fragments(),
        swaps in proptest::collection::vec((any::<Index>(), any::<Index>()), 0..100),
        target in 1_u64..3_000,
    ) {
        let mut shuffled = fragments.clone();
        if !shuffled.is_empty() {
            swaps.iter().for_each(|(a, b)| shuffled.swap(a.index(fragments.len()), b.index(fragments.len())));
        }
        let bins = balance(fragments.clone(), target);
        prop_assert_eq!(&bins, &balance(shuffled, target));

        let mut held: Vec<_> = bins.iter().flatten().cloned().collect();
        held.sort();
        let mut wanted = fragments;
        wanted.sort();
        prop_assert_eq!(held, wanted);
        prop_assert!(bins.iter().all(|bin| !bin.is_empty() && bin.is_sorted()));
        prop_assert!(bins.is_sorted_by(|a, b| a[0] < b[0]));
        // Bins that share differ by no more than the largest fragment in them, and none is twice the target.
        let shared: Vec<_> = bins.iter().filter(|bin| bin.iter().all(|f| f.rows() < target)).collect();
        let (least, most) = (shared.iter().map(|bin| rows(bin)).min(), shared.iter().map(|bin| rows(bin)).max());
        let largest = shared.iter().flat_map(|bin| bin.iter()).map(Fragment::rows).max();
        if let (Some(least), Some(most), Some(largest)) = (least, most, largest) {
            prop_assert!(most - least <= largest);
            prop_assert!(most < 2 * target);
        }
        prop_assert!(bins.iter().all(|bin| bin.len() == 1 || bin.iter().all(|f| f.rows() < target)));
    }

    #[test]
    fn case_16_invariants_hold_through_any_changes(
        steps in proptest::collection::vec((fragments(), prop_oneof![Just(500_u64), Just(1_000)]), 1..6),
    ) {
        let mut collection = Collection::new();
        let mut given: HashSet<SegmentId> = HashSet::new();
        for (fragments, target) in steps {
            let before = collection.segments.clone();
            let plan = collection.apply(&spec_of(target), fragments.clone());
            for kept in &plan.kept {
                prop_assert!(before.contains(kept), "a kept segment is unchanged");
            }
            for segment in collection.segments.iter().filter(|segment| !before.iter().any(|old| old.id == segment.id)) {
                prop_assert!(given.insert(segment.id), "no id is given out twice");
            }
            // The same again changes nothing.
            let again = collection.apply(&spec_of(target), fragments);
            prop_assert!(again.new.is_empty() && again.dropped.is_empty());
        }
    }
}
