//! Ratios of what two contestants measured in the same rounds, and how far they spread.

/// Which of two values is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// A rate.
    More,
    /// A time, or a size.
    Less,
}

/// The middle of several values and their ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// `None` of no values. The median of an even number of values is the mean of the two in the middle.
    pub(crate) fn of(values: &[f64]) -> Option<Spread> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (least, most) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let lower = (sorted.len() - 1) / 2;
        Some(Spread { median: f64::midpoint(sorted[lower], sorted[upper]), least, most })
    }
}

/// How many times better `ours` is than `theirs`, round by round. Rounds that only one of them had do not count.
pub(crate) fn ratios(better: Better, ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    let ratio = |(ours, theirs): (&f64, &f64)| match better {
        Better::More => ours / theirs,
        Better::Less => theirs / ours,
    };
    ours.iter().zip(theirs).map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_is_better_whatever_is_counted() {
        assert_eq!(ratios(Better::More, &[30.0, 5.0], &[10.0, 10.0]), [3.0, 0.5]);
        assert_eq!(ratios(Better::Less, &[30.0, 5.0], &[10.0, 10.0]), [1.0 / 3.0, 2.0]);
        assert_eq!(ratios(Better::More, &[1.0, 2.0, 3.0], &[1.0]), [1.0]);
    }

    #[test]
    fn the_spread_is_the_median_and_the_ends_in_whatever_order_the_values_came() {
        assert_eq!(Spread::of(&[9.0, 1.0, 2.0]), Some(Spread { median: 2.0, least: 1.0, most: 9.0 }));
        assert_eq!(Spread::of(&[4.0, 1.0, 2.0, 100.0]), Some(Spread { median: 3.0, least: 1.0, most: 100.0 }));
        assert_eq!(Spread::of(&[7.0]), Some(Spread { median: 7.0, least: 7.0, most: 7.0 }));
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn the_median_of_ratios_is_not_the_ratio_of_medians() {
        // One round in which the machine was busy, for both: the ratio of that round is as good as any.
        let (ours, theirs) = ([200.0, 20.0, 220.0], [100.0, 10.0, 50.0]);
        assert_eq!(Spread::of(&ratios(Better::More, &ours, &theirs)).map(|spread| spread.median), Some(2.0));
    }
}
