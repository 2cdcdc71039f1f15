//! Objects of a server in this process, which takes its part of the time of all contestants. The bare listing is what
//! `object_store` does by itself, page after page, with the same signatures, and keeps nothing.

use std::time::Instant;

use futures_util::TryStreamExt;
use object_store::ObjectStore;
use object_store::aws::AmazonS3Builder;
use test_buckets::bucket::{self, SECRET};
use test_buckets::stage::Stage;

use crate::args::Suite;
use crate::bench::Bench;
use crate::failure::Result;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::suites::plan::millis;
use crate::suites::reach::documents::Documents;
use crate::suites::scale::grouped;

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let count: u64 = bench.size(5_000, 100_000);
    let stage = Stage::start();
    let bucket = bucket::staged(&stage);
    let name = bucket.named().name().to_owned();
    let key = |n: u64| format!("lake/part={:03}/{n:08}.md", n % 200);
    for n in 0..count {
        stage.put(&name, &key(n), &n.to_le_bytes());
    }
    let bare = AmazonS3Builder::new()
        .with_endpoint(&stage.endpoint)
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name(&name)
        .with_access_key_id(SECRET)
        .with_secret_access_key(SECRET)
        .build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let buckets = bucket.buckets();
    let mut documents = Documents::of(bucket.source("lake/"), bench.place.path("reach-objects"))?;
    documents.build(&buckets)?;

    let (mut looked, mut listed) = (Series::new("lastword"), Series::new("bare listing"));
    let (mut changed, mut alone) = (Series::new("lastword"), Series::new("the look"));
    for round in 0..bench.rounds() {
        let began = Instant::now();
        documents.look(&buckets)?;
        let took = millis(began);
        looked.values.push(took);
        alone.values.push(took);
        let began = Instant::now();
        let prefix = object_store::path::Path::from("lake");
        let found = runtime.block_on(bare.list(Some(&prefix)).try_fold(0_u64, |n, _| async move { Ok(n + 1) }))?;
        listed.values.push(millis(began));
        if found != count {
            return Err(format!("the bare listing found {found} objects of {count}").into());
        }
        stage.put(&name, &key((round as u64 * 37 + 11) % count), format!("changed {round}").as_bytes());
        let began = Instant::now();
        let new = documents.build(&buckets)?;
        changed.values.push(millis(began));
        if new != 1 {
            return Err(format!("one object has changed, and {new} segments are new").into());
        }
    }
    let case = format!("look at {} objects", grouped(count));
    let measure = Measure { suite: Suite::Reach, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 2.0, text: "<= 2 x a bare listing" };
    bench.report.row(measure, &looked, &listed, Some(target));
    let case = format!("1 of {} objects, to its commit", grouped(count));
    let measure = Measure { suite: Suite::Reach, case: &case, unit: "ms", better: Better::Less };
    let target = Target { ratio: 1.0 / 1.3, text: "<= 1.3 x the look" };
    bench.report.row(measure, &changed, &alone, Some(target));
    Ok(())
}
