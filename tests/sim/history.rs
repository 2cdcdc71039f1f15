//! What is kept of the log beside it, and how a process finds its way back: from scratch, from a snapshot and the tail,
//! from the base of a log whose beginning was deleted, from yesterday's backup.

use std::time::Duration;

use lastword::codec::state::{decode_state, encode_state};
use lastword::core::State;
use lastword::core::vocabulary::{EngineCommand, Event, Seq};
use lastword::log::{Frame, Log, LogError, Position, Start};
use lastword::replay::{self, ReplayError, Until};
use lastword::snapshot::{Limit, SNAPSHOT_HEADER_LENGTH, SnapshotHeader, fold_until};

use super::queue::{Happening, Told};
use super::sim::Sim;
use super::weather::Weather;

/// A base is cut into parts of this size here, so that small worlds have several.
const PART_BYTES: usize = 700;

/// Copies of the log and of what it adds up to.
#[derive(Default)]
pub(crate) struct Copies {
    /// Header and body of each, as a file would hold them.
    snapshots: Vec<([u8; SNAPSHOT_HEADER_LENGTH], Vec<u8>)>,
    backup: Option<Vec<Vec<u8>>>,
    /// A backup was put back, and no writer has opened it yet. Whoever puts one back has a clock that is right, and has it
    /// until then: by nothing else can an epoch be told from those of the log that is lost.
    pub(crate) is_restored: bool,
    base: Option<Base>,
}

/// A base on its way into the log.
struct Base {
    at: Position,
    parts: Vec<Box<[u8]>>,
    written: usize,
    first: Option<Seq>,
}

impl Copies {
    pub(crate) fn is_writing(&self) -> bool {
        self.base.is_some()
    }
}

impl Sim {
    /// Opens the log and finds the state that it adds up to, by every way that there is in a small world.
    pub(crate) fn open_log(&mut self, expected: Option<[u8; 32]>, acknowledged: Position) -> (Box<dyn Log>, State) {
        // What was begun before is begun anew.
        self.copies.base = None;
        let log = self.disk.open();
        self.assert_is_there(acknowledged);
        let scratch = replay::state_at(self.disk.reader(), Until::End).unwrap_or_else(|error| panic!("{error}"));
        if let Some(expected) = expected {
            assert_eq!(scratch.digest(), expected, "SameFold: replay and the live state differ");
        }
        assert_eq!(log.appended().seq, scratch.last(), "the log ends elsewhere than its events");
        scratch.check().unwrap_or_else(|violation| panic!("{violation}"));
        self.flip_a_bit();
        self.catch_up();
        let snapshot = self.dice.index(self.copies.snapshots.len() + 1);
        match self.by_snapshot(snapshot) {
            Some(restored) => {
                self.counts.add("opened from a snapshot");
                assert_same(&scratch, &restored);
                (log, restored)
            }
            None => {
                self.counts.add("opened from scratch");
                (log, scratch)
            }
        }
    }

    /// Durable: what was acknowledged is in the log, and so is, by its hash, everything before it.
    fn assert_is_there(&self, acknowledged: Position) {
        if acknowledged.seq == Seq::ZERO {
            return;
        }
        let found = self.disk.reader().frames(acknowledged.seq).next();
        let found = found.expect("Durable: an acknowledged frame is gone").unwrap();
        let found = Position::of(&found.as_frame());
        assert_eq!(found, acknowledged, "Durable: another frame lies where one was acknowledged");
    }

    /// The witness sees what became durable without anybody being told.
    fn catch_up(&mut self) {
        let from = self.witness.last().next();
        let events: Vec<_> = replay::events(self.disk.reader(), from).map(|event| event.unwrap()).collect();
        for event in events {
            self.trace(|| format!("    {} {:?} (found in the log)", event.seq, event.event));
            self.witness.see(&event);
            self.destination.follow(&event);
        }
    }

    /// Damage is told, and never taken for a log.
    fn flip_a_bit(&mut self) {
        let frames = self.disk.reader().frames(Seq::ZERO).count();
        if frames == 0 || frames > 200 {
            return;
        }
        let (index, at) = (self.dice.index(frames), self.dice.roll());
        self.disk.flip(index, at);
        let found = replay::state_at(self.disk.reader(), Until::End);
        let is_told = matches!(found, Err(ReplayError::Log(LogError::Damaged { .. })));
        assert!(is_told, "a flipped bit in frame {index} was not found: {:?}", found.map(|state| state.last()));
        self.disk.flip(index, at);
    }

    /// The state by this snapshot and the frames behind it, if there is one that belongs to the log.
    fn by_snapshot(&self, index: usize) -> Option<State> {
        let (header, body) = self.copies.snapshots.get(index)?;
        let header = SnapshotHeader::decode(header).unwrap();
        let reader = self.disk.reader();
        if header.position.seq < reader.start().seq {
            return None;
        }
        let is_ours = match reader.frames(header.position.seq).next() {
            Some(frame) => frame.is_ok_and(|frame| Position::of(&frame.as_frame()) == header.position),
            None => false,
        };
        if !is_ours {
            return None;
        }
        assert_eq!(*blake3::hash(body).as_bytes(), header.body_hash);
        let mut state = decode_state(body).unwrap_or_else(|error| panic!("{error}"));
        header.check_digest(&state).unwrap_or_else(|error| panic!("SameFold: {error}"));
        for event in replay::events(reader, state.last().next()) {
            state.fold(&event.unwrap()).unwrap_or_else(|illegal| panic!("SameFold: behind a snapshot {illegal}"));
        }
        Some(state)
    }

    /// A second reader takes one, of what is durable.
    pub(crate) fn take_snapshot(&mut self) {
        let durable = self.reducer().durable();
        let earlier = durable.0.saturating_sub(self.dice.below(30));
        let limit = Limit { seq: Seq(earlier), time: None };
        let folded = fold_until(self.disk.reader(), None, limit, &|| false).unwrap_or_else(|error| panic!("{error}"));
        let mut body = Vec::new();
        encode_state(&folded.state, &mut body).unwrap();
        let header = SnapshotHeader::of(&folded.state, &body, folded.position);
        self.copies.snapshots.push((header.encode(), body));
        if self.copies.snapshots.len() > 3 {
            self.copies.snapshots.remove(0);
        }
        self.counts.add("snapshots");
        if self.weather.backups && self.dice.chance(500) {
            self.copies.backup = Some(self.disk.backup());
        }
    }

    /// Begins to let a prefix of the log go.
    pub(crate) fn compact(&mut self) {
        let reader = self.disk.reader();
        let (start, durable) = (reader.start(), self.reducer().durable());
        let limit = Limit { seq: Seq(durable.0 * 2 / 3), time: None };
        if self.copies.base.is_some() || limit.seq <= start.seq {
            return;
        }
        let folded = fold_until(reader, None, limit, &|| false).unwrap_or_else(|error| panic!("{error}"));
        if folded.position.seq <= start.seq {
            return;
        }
        let mut body = Vec::new();
        encode_state(&folded.state, &mut body).unwrap();
        let size = if body.len() > 100 * PART_BYTES { body.len() / 4 } else { PART_BYTES };
        let parts = body.chunks(size).map(Box::from).collect();
        self.copies.base = Some(Base { at: folded.position, parts, written: 0, first: None });
    }

    /// One part of a base for this batch or, once they are all durable, the prefix goes.
    pub(crate) fn write_base(&mut self) {
        let Some(mut base) = self.copies.base.take() else { return };
        if let (Some(first), true) = (base.first, base.written == base.parts.len()) {
            let start = Start { seq: base.at.seq, hash: base.at.hash, checkpoint: first };
            self.writer().truncate_prefix(start).unwrap().unwrap_or_else(|error| panic!("{error}"));
            self.counts.add("prefixes deleted");
            let found = replay::state_at(self.disk.reader(), Until::Seq(Seq(start.seq.0 - 1)));
            let is_told = matches!(found, Err(ReplayError::Log(LogError::PrefixGone { .. })));
            assert!(is_told, "what was deleted is not told as such: {:?}", found.map(|state| state.last()));
            return;
        }
        let part = u32::try_from(base.written).unwrap();
        let (at, hash, parts) = (base.at.seq, base.at.hash.0, u32::try_from(base.parts.len()).unwrap());
        let bytes = base.parts[base.written].clone();
        let seq = self.writer().append(Event::CheckpointPart { at, hash, part, parts, bytes }).unwrap();
        base.first.get_or_insert(seq);
        base.written += 1;
        self.copies.base = Some(base);
    }

    /// Yesterday's log is put in the place of today's, by somebody whose clock is right.
    pub(crate) fn restore_backup(&mut self) {
        let Some(backup) = self.copies.backup.take() else { return };
        let begins_whole = Frame::parse(&backup[0]).is_ok_and(|frame| frame.first() == Seq(1));
        if !begins_whole {
            return;
        }
        self.counts.add("backups restored");
        self.trace(|| "a backup is put in the place of the log".to_owned());
        self.disk.restore(&backup);
        self.copies.is_restored = true;
        // What was seen is said with the event at which the look began, and that is one of the log that is lost. Looks are
        // threads of a process, and no process of that log is left.
        let is_of_a_look = |happening: &Happening| matches!(happening, Happening::Says(said) if matches!(**said, Told::Engine(EngineCommand::Observe(_))));
        self.queue.retain(|_, happening| !is_of_a_look(happening));
        self.clock.set_right();
        self.copies.snapshots.clear();
        self.witness.forget_all();
        self.destination.forget_all();
        let events: Vec<_> = replay::events(self.disk.reader(), Seq::ZERO).map(|event| event.unwrap()).collect();
        for event in &events {
            self.witness.see_again(event);
            self.destination.follow(event);
        }
        let last = self.disk.backup().pop().unwrap();
        self.acknowledge(Position::of(&Frame::parse(&last).unwrap()));
    }

    /// SameFold, between two frames: the log adds up to the live state.
    pub(crate) fn assert_replays(&self) {
        let replayed = replay::state_at(self.disk.reader(), Until::End).unwrap_or_else(|error| panic!("{error}"));
        assert_same(&replayed, self.state());
    }

    /// When copies are made.
    pub(crate) fn plan_copies(&mut self, storm: Duration) {
        let millis = u64::try_from(storm.as_millis()).unwrap();
        let is_small = self.weather.collections <= Weather::SMALL;
        for _ in 0..if is_small { 4 } else { 2 } {
            let (one, other) = (self.dice.millis(0, millis * 2), self.dice.millis(0, millis * 2));
            if self.weather.snapshots || self.weather.backups {
                self.after(one, Happening::Snapshot);
            }
            if self.weather.bases {
                self.after(other, Happening::Compact);
            }
        }
    }
}

/// The same in every respect, and in the order of what is due.
fn assert_same(one: &State, other: &State) {
    assert_eq!(one.digest(), other.digest(), "SameFold: two ways to one state differ");
    assert_eq!(one, other, "SameFold: two ways to one state differ");
    let deadlines = [one, other].map(State::next_deadline);
    assert_eq!(deadlines[0], deadlines[1], "SameFold: the indices differ");
    let kinds = ["plain", "dest", "files", "far"].map(|kind| lastword::core::vocabulary::Kind::new(kind).unwrap());
    let ready = [one, other].map(|state| state.next_ready(&kinds, state.at()));
    assert_eq!(ready[0], ready[1], "SameFold: the indices differ");
    let owing = [one, other].map(|state| state.outboxes_due(state.at()).collect::<Vec<_>>());
    assert_eq!(owing[0], owing[1], "SameFold: the indices differ");
}
