//! One file in one scan: is it what it was? Decided without touching the disk: the caller hashes.
//!
//! A *version* is the identity of a content, made when the content was first seen. What `stat` says *now* is kept
//! beside it, so that it can move on while the content stays. Only versions are in the digest of a set: learning a
//! hash or finding a moved ctime changes nothing that is built from.
//!
//! ```text
//! what stat says now                     the file is
//! ------------------------------------   -------------------------------------------------------------------
//! as last seen, proven                   what it was
//! as last seen, racy                     hashed: as it was, or a new content under old times (a new version
//!                                        that holds its hash); proven once the times have aged
//! as last seen, weak, and on another     hashed: the same
//! mount than it was seen on
//! as the applied set saw it, proven,     what the applied set says
//! not weak
//! otherwise                              hashed, if there is a hash of a content of this size to compare with
//!                                        (of the applied set, of the last look) or if it is racy or weak:
//!                                          equal     that content's version, whatever moved (chmod, rename back
//!                                                    and forth, mtime set back, a copy of the same bytes)
//!                                          else      a new version; it holds the hash if the file is racy or weak
//! ```
//!
//! *Racy*: changed so shortly before the scan that a further change may leave no trace in its times. Such a file is
//! hashed at every scan until it has aged. That costs no more than reading for as long as the clock is coarse: two
//! seconds. The road not taken, leaving racy files alone until they have aged, would let an attempt build from
//! content that its version does not name.
//!
//! *Weak*: its times carry no information, see `evidence.rs`. So its version holds its content.
//!
//! One scan hashes no more than it may. A file whose content decides and cannot be read in this scan leaves the scan
//! unfinished: it has found nothing then. What is unknown is never unchanged, and never a change either.
//!
//! A hash that could not be had honestly, because the file changed or went while it was read, proves nothing: the file
//! stays racy, and what was never hashed is a new content as soon as it is. One that cannot be read at all says nothing
//! of its content: then the scan fails and names it.
//!
//! What this trusts: that every write moves ctime once the clock has moved on, and that a remote file system's clock
//! is not *behind* this machine's by more than the clock's granularity. Files from the future are held to be racy for
//! that span after they were first seen. A write through a mapping moves no time until the page is written back:
//! nothing but `refresh --verify` finds it.

use super::content::Unread;
use super::evidence::Told;
use super::{ContentHash, FileVersion, ObservedFile, Stat};
use crate::core::vocabulary::Timestamp;

/// What two earlier sets say of a path.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Earlier<'a> {
    /// The last observation.
    pub(super) known: Option<&'a ObservedFile>,
    /// What the last commit was built from.
    pub(super) applied: Option<&'a ObservedFile>,
}

/// What makes the hash a racy one: it holds for this scan alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    Racy,
    Aged,
}

/// Hashes the content of the file that was listed. `None` when it is not of what was listed.
pub(super) type Hash<'a> = dyn FnMut(Age) -> Result<Option<ContentHash>, Unread> + 'a;

/// What the file is that was listed, by a scan that began at `now` (wall time).
pub(super) fn judge(
    (listed, told): (Stat, Told),
    earlier: Earlier<'_>,
    now: Timestamp,
    hash: &mut Hash<'_>,
) -> Result<ObservedFile, Unread> {
    if let Some(known) = earlier.known.filter(|known| known.last_stat == listed) {
        return match known.racy_since {
            None if told.is_elsewhere => Ok(compare(known, earlier.applied, now, hash(Age::Aged)?)),
            None => Ok(*known),
            Some(_) => {
                let age = if known.ages_in(now).is_some() { Age::Racy } else { Age::Aged };
                Ok(compare(known, earlier.applied, now, hash(age)?))
            }
        };
    }
    let applied = earlier.applied.filter(|applied| applied.last_stat == listed && applied.racy_since.is_none());
    if let Some(applied) = applied.filter(|_| !told.is_weak) {
        return Ok(*applied);
    }
    let is_racy = listed.is_racy(now) && !told.has_aged;
    let decides = is_racy || told.is_weak;
    if !decides && !earlier.contents().any(|(_, version)| version.stat.size == listed.size) {
        return Ok(ObservedFile::of(FileVersion::of(listed)));
    }
    let content = hash(if is_racy { Age::Racy } else { Age::Aged })?;
    let racy_since = (is_racy || content.is_none()).then_some(now);
    let version = content
        .and_then(|content| earlier.version_of(content))
        .unwrap_or(FileVersion { stat: listed, content: content.filter(|_| decides) });
    Ok(ObservedFile { version, last_stat: listed, content, racy_since })
}

/// A file whose `stat` is what it was, with the content that it was found to have: one whose times prove nothing, or that
/// is doubted. A content that was never known is another one.
pub(super) fn compare(
    known: &ObservedFile,
    applied: Option<&ObservedFile>,
    now: Timestamp,
    found: Option<ContentHash>,
) -> ObservedFile {
    // It is another one by now: nothing is proven.
    let Some(found) = found else { return ObservedFile { racy_since: known.racy_since.or(Some(now)), ..*known } };
    let racy_since = known.racy_since.filter(|_| known.ages_in(now).is_some()).map(|since| since.min(now));
    if known.content == Some(found) {
        return ObservedFile { racy_since, ..*known };
    }
    let version = Earlier { known: None, applied }
        .version_of(found)
        .unwrap_or(FileVersion { stat: known.last_stat, content: Some(found) });
    ObservedFile { version, last_stat: known.last_stat, content: Some(found), racy_since }
}

impl Earlier<'_> {
    /// The contents whose hash is known, the applied one first: going back to it costs nothing.
    fn contents(&self) -> impl Iterator<Item = (ContentHash, FileVersion)> {
        [self.applied, self.known].into_iter().flatten().filter_map(|file| Some((file.content?, file.version)))
    }

    fn version_of(&self, content: ContentHash) -> Option<FileVersion> {
        self.contents().find(|(known, _)| *known == content).map(|(_, version)| version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::external::Instant;

    const OLD: Timestamp = Timestamp(1_000_000_000);

    fn stat(ctime: i64) -> Stat {
        let at = |seconds| Instant { seconds, nanoseconds: 0 };
        Stat { size: 8, mtime: at(10), ctime: at(ctime), inode: 1, ..Stat::default() }
    }

    /// Judges, with the content that a read would find.
    fn check(
        listed: Stat,
        known: &ObservedFile,
        applied: Option<&ObservedFile>,
        now: Timestamp,
        content: u8,
    ) -> ObservedFile {
        let earlier = Earlier { known: Some(known), applied };
        judge((listed, Told::default()), earlier, now, &mut |_| Ok(Some([content; 32]))).unwrap()
    }

    fn unread(listed: Stat, earlier: Earlier<'_>) -> ObservedFile {
        judge((listed, Told::default()), earlier, OLD, &mut |_| panic!("it was read")).unwrap()
    }

    #[test]
    fn a_file_that_looks_as_it_did_is_not_read() {
        let known = ObservedFile::of(FileVersion::of(stat(20)));
        assert_eq!(unread(stat(20), Earlier { known: Some(&known), applied: None }), known);
        // Nor is a new one, a changed one without a hash to compare with, or one of another size.
        assert_eq!(unread(stat(20), Earlier::default()), known);
        let changed = ObservedFile::of(FileVersion::of(stat(21)));
        assert_eq!(unread(stat(21), Earlier { known: Some(&known), applied: None }), changed);
        let hashed = ObservedFile { content: Some([1; 32]), ..known };
        let longer = Stat { size: 9, ..stat(21) };
        let earlier = Earlier { known: Some(&hashed), applied: Some(&hashed) };
        assert_eq!(unread(longer, earlier), ObservedFile::of(FileVersion::of(longer)));
        // Nor one that is back to what the applied set has.
        let other = ObservedFile::of(FileVersion::of(stat(30)));
        assert_eq!(unread(stat(20), Earlier { known: Some(&other), applied: Some(&known) }), known);
    }

    #[test]
    fn case_18_if_times_or_inode_moved_the_content_decides() {
        let known = ObservedFile { content: Some([1; 32]), ..ObservedFile::of(FileVersion::of(stat(20))) };
        let replaced = Stat { inode: 2, ..stat(30) };
        let same = check(replaced, &known, None, OLD, 1);
        assert_eq!(same, ObservedFile { last_stat: replaced, ..known });
        // The next scan compares with what was found last.
        assert_eq!(unread(replaced, Earlier { known: Some(&same), applied: None }), same);
        let other = check(replaced, &known, None, OLD, 2);
        assert_eq!(other.version, FileVersion::of(replaced));
        assert_eq!(other.content, Some([2; 32]), "it is remembered");
        // Back to the applied content, as a copy: the applied version.
        let copied = Stat { inode: 3, ..stat(40) };
        assert_eq!(check(copied, &other, Some(&known), OLD, 1).version, known.version);
        assert_eq!(check(copied, &other, None, OLD, 1).version, FileVersion::of(copied));
    }

    #[test]
    fn case_18_a_racy_file_is_hashed_until_it_has_aged() {
        let young = Timestamp(20_500_000);
        let new = judge((stat(20), Told::default()), Earlier::default(), young, &mut |_| Ok(Some([1; 32]))).unwrap();
        assert_eq!(new.version, FileVersion { stat: stat(20), content: Some([1; 32]) });
        assert_eq!(new.racy_since, Some(young));
        assert_eq!(check(stat(20), &new, None, Timestamp(21_000_000), 1), new);
        assert_eq!(check(stat(20), &new, None, OLD, 1), ObservedFile { racy_since: None, ..new });
        // Rewritten under the same times: another version, at once and after they have aged.
        let again = check(stat(20), &new, None, Timestamp(21_000_000), 2);
        assert_eq!(again.version, FileVersion { stat: stat(20), content: Some([2; 32]) });
        assert_eq!(again.racy_since, Some(young));
        let late = check(stat(20), &new, None, OLD, 2);
        assert_eq!((late.version, late.racy_since), (again.version, None));
        // And back again, under the same times.
        assert_eq!(check(stat(20), &again, Some(&new), OLD, 1).version, new.version);
    }

    #[test]
    fn a_hash_that_is_not_honest_proves_nothing() {
        let young = Timestamp(20_500_000);
        let refuse = &mut |_| Ok(None);
        let new = judge((stat(20), Told::default()), Earlier::default(), young, refuse).unwrap();
        assert_eq!((new.version.content, new.content, new.racy_since), (None, None, Some(young)));
        let earlier = Earlier { known: Some(&new), applied: None };
        assert_eq!(judge((stat(20), Told::default()), earlier, OLD, refuse).unwrap(), new, "still racy");
        // What it was is not known: what it is now is new.
        assert_eq!(check(stat(20), &new, None, OLD, 1).version.content, Some([1; 32]));
        // An aged file that changes while it is read is racy as well.
        let known = ObservedFile { content: Some([1; 32]), ..ObservedFile::of(FileVersion::of(stat(20))) };
        let earlier = Earlier { known: Some(&known), applied: None };
        assert_eq!(judge((stat(30), Told::default()), earlier, OLD, refuse).unwrap().racy_since, Some(OLD));
        let stopped = judge((stat(30), Told::default()), earlier, OLD, &mut |_| Err(Unread::Interrupted));
        assert!(matches!(stopped, Err(Unread::Interrupted)));
    }
}
