//! The one pass over a log: from its events to the data of a page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use glob::Pattern;
use lastword::core::vocabulary::{CollectionId, Event, Kind, Name, Recorded, Seq, Timestamp};
use lastword::core::{Condition, State};
use lastword::describe::Describer;
use lastword::objects::Objects;
use lastword::replay::{ReplayError, Until, begin, events, state_at};
use serde_json::{Value, json};

use super::attempts::Attempts;
use super::causes::Causes;
use super::columns::{Columns, Marks, Table, as_number, number};
use super::events::{Events, HIDDEN};
use super::files::Files;
use super::input::Input;
use super::rows::{Cells, Group, Tables, columns, gone};
use crate::console::grouped;
use crate::fail::Fail;
use crate::words::command;

/// What a page is to show.
pub(super) struct Asked<'a> {
    /// The last so many events.
    pub(super) events: u64,
    pub(super) to: Option<u64>,
    /// All if there are none.
    pub(super) patterns: &'a [Pattern],
}

/// The data of a page, as texts in JSON.
pub(super) struct Piece {
    /// What is needed for the first picture.
    pub(super) data: String,
    /// The sentences of the events.
    pub(super) sentences: String,
    /// The files of the observations.
    pub(super) files: String,
    /// The hash of the last frame that was read.
    pub(super) head: String,
    left_out: Option<String>,
    /// How many collections it shows.
    pub(super) collections: usize,
}

impl Piece {
    /// What a page of this size has no room for, and how to narrow it.
    pub(super) fn left_out(&self) -> Option<&str> {
        self.left_out.as_deref()
    }
}

/// What is known of a log beside its events.
pub(super) struct Log<'a> {
    /// What commands are typed with.
    pub(super) place: &'a Path,
    /// The first event that is there.
    pub(super) begins: Seq,
    pub(super) end: Seq,
    pub(super) end_at: Timestamp,
    /// The hash of the last frame; empty if it is not known.
    pub(super) head: String,
    /// What names files.
    pub(super) objects: Result<Box<dyn Objects>, String>,
    /// What the page has no room for.
    pub(super) left_out: Option<String>,
}

/// The page of a log that is read.
pub(super) fn gather(input: &Input, asked: &Asked<'_>) -> Result<Piece, Fail> {
    let reader = input.reader();
    let begins = reader.start().first();
    let last = asked.to.map_or(input.end().seq, |to| Seq(to.min(input.end().seq.0)));
    // Before the first event stands what the page begins with.
    let before = Seq(last.0.saturating_sub(asked.events).max(begins.0.saturating_sub(1)).min(last.0));
    let state = if before < begins { begin(reader)? } else { state_at(reader, Until::Seq(before))? };
    let log = Log {
        place: input.place.as_path(),
        begins,
        end: input.end().seq,
        end_at: input.time(),
        head: input.end().hash.to_string(),
        objects: input.objects(),
        left_out: left_out(state.last(), begins, last, asked.events),
    };
    let next = state.last().next();
    let mut recording = Recording::begin(state, log.place, asked.patterns);
    recording.go_on(events(reader, next).map(|event| Ok(event?)), last)?;
    Ok(recording.piece(log, None))
}

/// The one pass: from a state over the events that follow it, as far as they were followed. It may go on.
pub(super) struct Recording {
    before: Seq,
    state: State,
    describer: Describer,
    pass: Pass,
}

impl Recording {
    pub(super) fn begin(state: State, place: &Path, patterns: &[Pattern]) -> Recording {
        let mut pass = Pass::new(&state, place, patterns);
        pass.begin(&state);
        Recording { before: state.last(), describer: Describer::behind(&state), state, pass }
    }

    /// What it begins behind.
    pub(super) fn before(&self) -> Seq {
        self.before
    }

    /// The last event that was followed.
    pub(super) fn last(&self) -> Seq {
        self.state.last()
    }

    /// Follows what comes next, up to and with `last`.
    pub(super) fn go_on(
        &mut self,
        events: impl Iterator<Item = Result<Recorded, Fail>>,
        last: Seq,
    ) -> Result<(), Fail> {
        for event in events {
            let event = event?;
            if event.seq > last {
                break;
            }
            self.state.fold(&event).map_err(ReplayError::Illegal)?;
            let described = self.describer.describe(&event);
            let describe = |of, because, events: &mut Events, texts: &mut Table| {
                events.add(&described, of, because, texts);
            };
            self.pass.follow(&self.state, &event, describe);
            if event.seq == last {
                break;
            }
        }
        Ok(())
    }

    /// Where it is now, for [`Recording::piece`].
    pub(super) fn marks(&self) -> Marks {
        self.pass.marks()
    }

    /// All of it; of a page that has all before an event, what has come since, with where it was then.
    pub(super) fn piece(&self, log: Log<'_>, since: Option<(Seq, &Marks)>) -> Piece {
        let Recording { before, state, pass, .. } = self;
        let (files, problem) = pass.files.json(since.map_or(Seq(0), |(from, _)| from), log.objects);
        let told = json!({
            "place": log.place.display().to_string(),
            "begins": log.begins.0,
            "before": before.0,
            "before_at": number(pass.before_at.0),
            "last": state.last().0,
            "last_at": number(state.at().0),
            "end": log.end.0,
            "end_at": number(log.end_at.0),
            "head": log.head,
            "left_out": log.left_out,
            "files_problem": problem,
            "patterns": pass.patterns.iter().map(Pattern::as_str).collect::<Vec<_>>(),
            "software": format!("lastword {}", env!("CARGO_PKG_VERSION")),
        });
        let (data, sentences) = pass.json(&told, since);
        let collections = pass.names.len();
        Piece { data, sentences, files, head: log.head, left_out: log.left_out, collections }
    }
}

fn left_out(before: Seq, first: Seq, last: Seq, asked: u64) -> Option<String> {
    let count = (before.0 + 1).saturating_sub(first.0);
    if count == 0 || last.0 <= before.0 {
        return None;
    }
    Some(format!(
        "this shows the last {} events, {} to {last}; the {} before are summed up in the state it begins with: --events N \
         takes more, --to EVENT goes further back, --collection PATTERN leaves out the rest",
        grouped(asked),
        before.next(),
        grouped(count)
    ))
}

/// What grows as the events go by.
struct Pass {
    place: PathBuf,
    patterns: Vec<Pattern>,
    before_at: Timestamp,
    tables: Tables,
    rows: Columns<26>,
    /// The collections by the order in which they came up.
    places: BTreeMap<CollectionId, i64>,
    names: Vec<Value>,
    last: BTreeMap<CollectionId, Cells>,
    events: Events,
    attempts: Attempts,
    causes: Causes,
    files: Files,
    groups: Groups,
    limits: Columns<3>,
}

/// Collections that a limit keeps together, and those of them that wait.
#[derive(Default)]
struct Groups {
    places: BTreeMap<(Kind, Option<Name>), Group>,
    members: BTreeMap<Group, BTreeSet<CollectionId>>,
    of: BTreeMap<CollectionId, Group>,
    said: BTreeMap<Group, i64>,
}

impl Groups {
    fn place(&mut self, state: &State, id: CollectionId) -> Group {
        let Some(collection) = state.collection(id) else { return -1 };
        let prefix = state.limits().prefix_of(&collection.name).cloned();
        let next = as_number(self.places.len());
        *self.places.entry((collection.kind.clone(), prefix)).or_insert(next)
    }

    fn set(&mut self, id: CollectionId, group: Option<Group>) {
        if let Some(before) = self.of.remove(&id)
            && let Some(members) = self.members.get_mut(&before)
        {
            members.remove(&id);
        }
        if let Some(group) = group {
            self.of.insert(id, group);
            self.members.entry(group).or_default().insert(id);
        }
    }
}

impl Pass {
    fn new(state: &State, place: &Path, patterns: &[Pattern]) -> Pass {
        Pass {
            place: place.to_owned(),
            patterns: patterns.to_vec(),
            before_at: state.at(),
            tables: Tables::default(),
            rows: columns(),
            places: BTreeMap::new(),
            names: Vec::new(),
            last: BTreeMap::new(),
            events: Events::new(),
            attempts: Attempts::default(),
            causes: Causes::default(),
            files: Files::default(),
            groups: Groups::default(),
            limits: Columns::new(["seq", "group", "said"]),
        }
    }

    /// What the page begins with.
    fn begin(&mut self, state: &State) {
        let all: Vec<(CollectionId, Name, Kind)> =
            state.collections().map(|(id, of)| (id, of.name.clone(), of.kind.clone())).collect();
        for (id, name, kind) in &all {
            self.take(*id, name, kind);
        }
        for (id, _, _) in &all {
            self.row(state, *id, state.last(), state.at());
        }
        self.limited(state, state.last());
        self.files.begin(state);
        let places = &self.places;
        self.attempts.begin(state, &mut self.tables.texts, |id| places.get(&id).copied());
    }

    /// A collection that comes up.
    fn take(&mut self, id: CollectionId, name: &Name, kind: &Kind) {
        if !self.patterns.is_empty() && !self.patterns.iter().any(|pattern| pattern.matches(name.as_str())) {
            return;
        }
        self.places.insert(id, as_number(self.names.len()));
        // Every command names the place and the collection alike.
        let typed = command("x", &self.place, name.as_str());
        let target = typed.strip_prefix("lastword x ").unwrap_or(&typed);
        self.names.push(json!([id.0.0, name.as_str(), kind.as_str(), target]));
    }

    fn follow(
        &mut self,
        state: &State,
        recorded: &Recorded,
        describe: impl FnOnce(i64, Option<u64>, &mut Events, &mut Table),
    ) {
        if let Event::CollectionDeclared { name, kind, .. } = &recorded.event {
            self.take(CollectionId(recorded.seq), name, kind);
        }
        let because = self.causes.follow(recorded);
        let id = recorded.event.collection(recorded.seq);
        let of = id.and_then(|id| self.places.get(&id).copied());
        // Those of no collection are shown with any.
        let shown = if id.is_some() { of.unwrap_or(HIDDEN) } else { -1 };
        describe(shown, because, &mut self.events, &mut self.tables.texts);
        if let Some(of) = of {
            self.attempts.follow(recorded, of, &mut self.tables.texts);
            self.files.follow(recorded);
        }
        if let Some(id) = id {
            self.row(state, id, recorded.seq, recorded.at);
        }
        if matches!(recorded.event, Event::LimitsChanged { .. }) {
            // Other prefixes may have limits.
            for id in self.groups.of.keys().copied().collect::<Vec<_>>() {
                self.row(state, id, recorded.seq, recorded.at);
            }
        }
        self.limited(state, recorded.seq);
    }

    /// Adds the row of a collection if it is another than before.
    fn row(&mut self, state: &State, id: CollectionId, seq: Seq, at: Timestamp) {
        let Some(of) = self.places.get(&id).copied() else { return };
        let group = self.groups.place(state, id);
        let (cells, follows) = match self.tables.cells(state, id, at, group) {
            Some(found) => found,
            None if self.last.contains_key(&id) => (gone(), false),
            None => return,
        };
        self.groups.set(id, follows.then_some(group));
        self.last.insert(id, cells);
        let mut row = [None; 26];
        for (place, cell) in row.iter_mut().zip([Some(number(seq.0)), Some(of)].into_iter().chain(cells)) {
            *place = cell;
        }
        self.rows.push(row);
    }

    /// Adds what limits say of those that wait, where it is another than before.
    fn limited(&mut self, state: &State, seq: Seq) {
        let Groups { members, said, .. } = &mut self.groups;
        for (group, members) in members {
            let Some(member) = members.first() else { continue };
            let now = state
                .limit_reached(*member)
                .map_or(-1, |(scope, most)| self.tables.limit(&Condition::Limit { scope, most }));
            if said.insert(*group, now).unwrap_or(-1) != now {
                self.limits.push([Some(number(seq.0)), Some(*group), Some(now)]);
            }
        }
    }

    /// In the order of `json`.
    fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        marks.add(self.names.len());
        self.tables.all().iter().for_each(|(_, table)| table.mark(&mut marks));
        self.rows.mark(&mut marks);
        self.limits.mark(&mut marks);
        self.events.mark(&mut marks);
        marks
    }

    /// The data, and the sentences.
    fn json(&self, log: &Value, since: Option<(Seq, &Marks)>) -> (String, String) {
        let whole = Marks::default();
        let mut lengths = since.map_or(&whole, |(_, marks)| marks).lengths();
        let lengths = &mut lengths;
        let names = self.names.get(lengths.next().unwrap_or(0)..).unwrap_or_default();
        let mut parts = vec![("log", log.to_string()), ("collections", json!(names).to_string())];
        parts.extend(self.tables.all().map(|(name, table)| (name, table.json(lengths))));
        parts.push(("rows", self.rows.json(lengths)));
        parts.push(("limits", self.limits.json(lengths)));
        parts.push(("events", self.events.json(lengths)));
        parts.push(("types", self.events.types.json(lengths)));
        parts.push(("by", self.events.by.json(lengths)));
        parts.push(("attempts", self.attempts.json(since.map(|(from, _)| from))));
        let parts: Vec<String> = parts.iter().map(|(name, json)| format!("\"{name}\":{json}")).collect();
        (format!("{{\"v\":1,{}}}", parts.join(",")), self.events.sentences(lengths))
    }
}

#[cfg(test)]
mod tests {
    use lastword::evlog::EvlogFile;
    use lastword::log::LogReader;

    use super::*;

    /// What a page makes of what it is told.
    fn extend(held: &mut Value, more: Value) {
        let Value::Object(parts) = more else { panic!("{more}") };
        for (name, part) in parts {
            let held = &mut held[&name];
            match part {
                Value::Array(found) if name == "attempts" => {
                    for found in found {
                        let place = found[0].as_u64().unwrap() as usize;
                        let all = held.as_array_mut().unwrap();
                        all.resize(all.len().max(place + 1), Value::Null);
                        all[place] = found[1].clone();
                    }
                }
                Value::Array(items) => held.as_array_mut().unwrap().extend(items),
                Value::Object(columns) if name != "log" => {
                    for (column, items) in columns {
                        held[&column].as_array_mut().unwrap().extend(items.as_array().unwrap().clone());
                    }
                }
                other => *held = other,
            }
        }
    }

    #[test]
    fn what_is_told_in_pieces_is_the_whole() {
        let stream = EvlogFile::open(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/report/seed-71.evlog")).unwrap();
        let (end, end_at) = (stream.totals().end.seq, stream.totals().time);
        let log = || Log {
            place: Path::new("state"),
            begins: Seq(1),
            end,
            end_at,
            head: String::new(),
            objects: Err("none".to_owned()),
            left_out: None,
        };
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for step in [1, 7, 100] {
            // In the middle of attempts, so that what ends later began before.
            let before = Seq(end.0 / 3);
            let begin = || {
                let state = state_at(&stream, Until::Seq(before)).unwrap();
                Recording::begin(state, Path::new("state"), &[])
            };
            let follow = |recording: &mut Recording, to: Seq| {
                let next = recording.last().next();
                recording.go_on(events(&stream as &dyn LogReader, next).map(|event| Ok(event.unwrap())), to).unwrap();
            };
            let mut recording = begin();
            let first = recording.piece(log(), None);
            let (mut data, mut sentences) = (json(&first.data), json(&first.sentences));
            while recording.last() < end {
                let (next, marks) = (recording.last().next(), recording.marks());
                follow(&mut recording, Seq((next.0 + step - 1).min(end.0)));
                let piece = recording.piece(log(), Some((next, &marks)));
                extend(&mut data, json(&piece.data));
                sentences.as_array_mut().unwrap().extend(json(&piece.sentences).as_array().unwrap().clone());
            }
            let mut recording = begin();
            follow(&mut recording, end);
            let whole = recording.piece(log(), None);
            assert_eq!(sentences, json(&whole.sentences), "in steps of {step}");
            for (name, part) in json(&whole.data).as_object().unwrap() {
                assert_eq!(data[name], *part, "{name}, in steps of {step}");
            }
        }
    }
}
