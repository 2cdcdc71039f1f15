//! `state`: every collection as the log knows it.

use lastword::core::CollectionView;
use lastword::describe::view_json;
use lastword::replay::{Until, state_at};

use crate::args::StateArgs;
use crate::fail::Failure;
use crate::input::Input;
use crate::output::{Output, printable};
use crate::point::{now_at, time_of};

pub(crate) fn run(args: &StateArgs, mut output: Output) -> Result<(), Failure> {
    let StateArgs { log, damage, at } = args;
    let until = at.unwrap_or(Until::End);
    let (input, state, end) = match damage.up_to_damage {
        true => {
            let (input, end) = Input::open_up_to_damage(&log.state, *damage)?;
            let state = state_at(input.reader(), until)?;
            (input, state, end)
        }
        false => {
            let (input, state) = Input::open_at(log, until)?;
            (input, state, Ok(()))
        }
    };
    let now = now_at(&state, until);
    let views: Vec<_> = state.by_name().filter_map(|(id, _)| CollectionView::of(&state, id, now)).collect();
    if log.json {
        views.iter().try_for_each(|view| output.line(&view_json(view, now)))?;
        let start = input.start();
        output.summary(state.last().0 - start.seq.0, start.first(), state.last().next(), input.head())?;
        output.finish()?;
        return end;
    }
    output.line(&format!("at event {}, {}", state.last(), time_of(state.last(), now)))?;
    let rows: Vec<[String; 9]> = views.iter().map(row).collect();
    let headings = ["collection", "kind", "generation", "wanted", "applied", "task", "rows", "lag", "condition"];
    table(&mut output, headings.map(str::to_owned), &rows)?;
    output.finish()?;
    end
}

fn row(view: &CollectionView) -> [String; 9] {
    use lastword::core::Lag;
    let short = |hex: Option<String>| hex.map_or_else(|| "-".to_owned(), |hex| hex.chars().take(12).collect());
    let rows = view.applied.as_ref().and_then(|applied| applied.result.rows);
    let lag = match view.lag {
        Lag::Zero => "0".to_owned(),
        Lag::Since(span) => format!("{:.1} s", span.as_secs_f64()),
        Lag::Unknown => "unknown".to_owned(),
    };
    [
        view.name.to_string(),
        view.kind.to_string(),
        view.generation.to_string(),
        short(view.wanted.map(|wanted| wanted.to_string())),
        short(view.applied.as_ref().map(|applied| applied.fingerprint.to_string())),
        view.task.map_or_else(|| "-".to_owned(), |task| task.to_string()),
        rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string()),
        lag,
        printable(&format!("{}: {}", view.condition.name(), view.condition)),
    ]
}

/// Columns as wide as their widest cell; the last one is not padded.
fn table<const N: usize>(output: &mut Output, headings: [String; N], rows: &[[String; N]]) -> Result<(), Failure> {
    let all = || std::iter::once(&headings).chain(rows);
    let widths: Vec<usize> = (0..N).map(|at| all().map(|row| row[at].chars().count()).max().unwrap_or(0)).collect();
    for row in all() {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        output.line(cells.join("  ").trim_end())?;
    }
    Ok(())
}
