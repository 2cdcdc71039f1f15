//! The table for people: `lastword metrics --table`, `tools/lastword/docs/metrics.md`.

use super::table::{Kind, SECTIONS};

/// What stands above the table.
const HEAD: &str = "\
# Metrics

Made by `lastword metrics --table`; a test holds it.

A run tells these in the text format of Prometheus, version 0.0.4: `lastword metrics STATE` asks the run and prints them. What is
counted up begins with zero when the run opens its log (`lastword_opened_timestamp_seconds`); `rate` and `increase` expect that.
Nothing is counted by being asked for. Names of collections are in two metrics only, 20 at most in each, so that a fleet of any
size makes a bounded number of series; all of them are in `lastword status --json`. A look is an observation of a source.

A dashboard is in `tools/packaging/grafana/lastword.json`, alert rules in `tools/packaging/prometheus/alerts.yml`.
";

/// The page, in Markdown.
pub(super) fn page() -> String {
    let mut lines = vec![HEAD.to_owned()];
    for (title, rows) in SECTIONS {
        lines.push(format!("## {title}\n\n| name | type | unit | labels | meaning |\n|---|---|---|---|---|"));
        for row in rows {
            let kind = match row.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            let labels: Vec<String> = row.labels.iter().map(|label| format!("`{label}`")).collect();
            let (name, unit, labels, help) = (row.name, row.unit, labels.join(", "), row.help);
            lines.push(format!("| `{name}` | {kind} | {unit} | {labels} | {help} |"));
        }
        lines.push(String::new());
    }
    lines.join("\n").trim_end().to_owned() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_that_of_the_table() {
        let written = include_str!("../../docs/metrics.md");
        assert!(written == page(), "make it anew: lastword metrics --table > tools/lastword/docs/metrics.md");
    }
}
