//! Declarations per second over ever more collections, held against the fewest: with the default settings, and without
//! snapshots, whose making takes a core from time to time.

use std::path::PathBuf;

use lastword::Reconciler;
use lastword::engine::Builder;

use crate::args::Suite;
use crate::bench::Bench;
use crate::contestants::lastword::Lastword;
use crate::failure::Result;
use crate::ratio::Better;
use crate::report::{Measure, Series, Target};
use crate::workload::Changes;

const FULL: [u64; 4] = [1_000, 100_000, 1_000_000, 5_000_000];
const QUICK: [u64; 3] = [1_000, 10_000, 50_000];

pub(crate) fn run(bench: &mut Bench) -> Result<()> {
    let sizes = bench.size(&QUICK[..], &FULL[..]);
    let paths: Vec<(u64, PathBuf)> =
        sizes.iter().map(|size| (*size, bench.place.path(&format!("scale-{size}")))).collect();
    for (size, path) in &paths {
        let lastword = Lastword::start(Reconciler::open(path).snapshot_every(0))?;
        lastword.fill(*size)?;
        lastword.close()?;
    }
    // The numbers of changes go on: what was declared once would be no change.
    let changes: Vec<Changes> = sizes.iter().map(|size| Changes::over(*size)).collect();
    measure(bench, "no snapshots", &paths, &changes, |builder| builder.snapshot_every(0))?;
    measure(bench, "default", &paths, &changes, |builder| builder)
}

fn measure(
    bench: &mut Bench,
    setting: &str,
    paths: &[(u64, PathBuf)],
    changes: &[Changes],
    set: impl Fn(Builder) -> Builder,
) -> Result<()> {
    let open = |(_, path): &(u64, PathBuf)| Lastword::start(set(Reconciler::open(path)));
    let all = paths.iter().map(open).collect::<Result<Vec<_>>>()?;
    let mut series: Vec<Series> =
        paths.iter().map(|(size, _)| Series::new(format!("{} collections", grouped(*size)))).collect();
    for _ in 0..bench.rounds() {
        for ((lastword, changes), series) in all.iter().zip(changes).zip(&mut series) {
            series.values.push(lastword.pipelined(changes, bench.turn())?.rate());
        }
    }
    let Some((fewest, more)) = series.split_first() else { return Ok(()) };
    for series in more {
        let case = format!("{}, {setting}", series.name);
        let measure = Measure { suite: Suite::Scale, case: &case, unit: "declares/s", better: Better::More };
        let target = Target { ratio: 0.7, text: ">= 0.7 of the fewest" };
        bench.report.row(measure, series, fewest, Some(target));
    }
    all.into_iter().try_for_each(Lastword::close)
}

/// 1000000 as 1,000,000.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped_from_the_right() {
        assert_eq!([7, 999, 1_000, 5_000_000].map(super::grouped), ["7", "999", "1,000", "5,000,000"]);
    }
}
