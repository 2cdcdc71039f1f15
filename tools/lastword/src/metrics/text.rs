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
