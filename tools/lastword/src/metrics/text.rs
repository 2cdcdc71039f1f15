//! From the table to the text. Escaping, and the form of lines, is the library's.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::prometheus_text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::seen::Seen;
use super::table::{Kind, Metric, Sample, Value, all};
use crate::fail::{DEFECT, Fail};

/// Every metric, with its help and type, and as many samples as it has.
pub(super) fn render(seen: &Seen<'_>) -> Result<String, Fail> {
    let read = all().map(|metric| (metric, (metric.read)(seen))).collect();
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Read(read)));
    let mut text = String::new();
    encode(&mut text, &registry).map_err(|_| Fail::new(DEFECT, "the metrics could not be written"))?;
    Ok(text)
}

/// What was read, in the order of the table.
#[derive(Debug)]
struct Read(Vec<(&'static Metric, Vec<Sample>)>);

impl Collector for Read {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(metric, samples)| write(&mut encoder, metric, samples))
    }
}

fn write(encoder: &mut DescriptorEncoder<'_>, metric: &Metric, samples: &[Sample]) -> fmt::Result {
    let kind = match metric.kind {
        Kind::Counter => MetricType::Counter,
        Kind::Gauge => MetricType::Gauge,
        Kind::Histogram => MetricType::Histogram,
    };
    // The library puts it there itself.
    let name = metric.name.strip_suffix("_total").filter(|_| metric.kind == Kind::Counter).unwrap_or(metric.name);
    let mut family = encoder.encode_descriptor(name, metric.help, None, kind)?;
    for Sample { labels, value } in samples {
        let labels: Vec<(&str, &str)> = metric.labels.iter().copied().zip(labels.iter().map(String::as_str)).collect();
        let mut sample = family.encode_family(&labels)?;
        match value {
            Value::Number(number) if metric.kind == Kind::Counter => {
                sample.encode_counter::<NoLabelSet, f64, f64>(number, None)?;
            }
            Value::Number(number) => sample.encode_gauge(number)?,
            Value::Histogram { sum, count, buckets } => {
                let within: u64 = buckets.iter().map(|(_, within)| within).sum();
                let beyond = (f64::INFINITY, count.saturating_sub(within));
                let buckets: Vec<(f64, u64)> = buckets.iter().copied().chain([beyond]).collect();
                sample.encode_histogram::<NoLabelSet>(*sum, *count, &buckets, None)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use lastword::engine::Stats;

    use super::super::seen::{Fleet, Named};
    use super::*;

    fn rendered(fleet: &Fleet) -> String {
        render(&Seen { stats: Stats::default(), opened: SystemTime::now(), fleet, log: None }).unwrap()
    }

    #[test]
    fn every_metric_has_its_help_and_type_also_where_there_is_no_sample() {
        let text = rendered(&Fleet::new());
        for metric in all() {
            let kind = format!("{:?}", metric.kind).to_lowercase();
            assert!(text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
            assert!(text.contains(&format!("# TYPE {} {kind}\n", metric.name)), "{}", metric.name);
        }
        // A number that is not known is no number.
        assert!(!text.contains("\nlastword_log_bytes "), "{text}");
        assert!(text.contains("\nlastword_events_total 0.0\n"), "{text}");
    }

    #[test]
    fn case_24_a_hostile_name_stays_within_its_quotes() {
        let hostile = "a\"} 1\nlastword_events_total 99\n# \\\u{1b}[2J\r";
        let named = Named { name: hostile.to_owned(), condition: "parked", lag: 7.5 };
        let mut fleet = Fleet::new();
        fleet.worst.push(named);
        let (text, without) = (rendered(&fleet), rendered(&Fleet::new()));
        assert_eq!(text.lines().count(), without.lines().count() + 1, "it is one line: {text}");
        let line = text.lines().find(|line| line.contains("[2J")).unwrap();
        let escaped = hostile.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        assert_eq!(
            line,
            format!("lastword_collection_lag_seconds{{collection=\"{escaped}\",condition=\"parked\"}} 7.5")
        );
    }
}
