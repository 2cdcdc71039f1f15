//! A pool of threads for calls of foreign code that may take long, or never return. Observing, building and delivering
//! each have one.
//!
//! ```text
//!            begin / reserve + send              returned
//!     idle ------------------------> at work ---------------> idle
//!                                      |                       (ended, if the pool is full)
//!                                      | give_up, abandon
//!                                      v             returned
//!                                   given up ----------------> ended
//! ```
//!
//! A thread whose call takes too long is *given up* and replaced, so that the pool keeps its size. Its call goes on:
//! nothing can stop it.
//!
//! **Isolation.** Each job has a *domain*: what is likely to hang together, a kind or a mount. A domain holds at most
//! twice as many threads as the pool has, those given up included. One that hangs has then used up its share, and
//! nothing more of it begins; the share of the others is untouched. Where the pool has *spare* threads, a domain that
//! has nothing at work gets a thread of its own if all others are busy: a domain that has not been given up yet, but is
//! slow, does not hold up another either.
//!
//! **Containment.** A domain is a guess: one job in it may hang, and the rest be well. A pool that *probes* lets one more
//! job of a domain begin, beyond its share and on a spare thread, whenever all that the domain has at work has taken for
//! longer than [`Sparing::Probing`] says. What is well comes back at once and frees its thread for the next; what hangs is held.
//! [`MOST_PROBES`] of them in one domain are enough to say that it is the domain that hangs.
//!
//! *Architecture invariant:* this knows threads, domains and times. What a job is, and what its end means, is its
//! owner's; nothing here reads a clock or reports anything by itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::core::vocabulary::Timestamp;
use crate::unwind;

/// The number of a thread, never given out twice by one crew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Member(u64);

impl Member {
    /// Counted from 1.
    pub(super) fn number(self) -> u64 {
        self.0
    }
}

/// Jobs of one domain are likely to hang together.
pub(super) type Domain = Arc<str>;

/// Spare threads at a time. So many domains that are slow at once do not hold up another.
const MOST_SPARE: usize = 64;

/// And so many of them for domains that have something at work: the rest is for those that have nothing.
const MOST_SPARE_TO_PROBE: usize = 16;

/// Jobs of one domain that may hang beyond its share, in a pool that probes: so many files of one mount do not hang, and
/// the others are well.
const MOST_PROBES: usize = 16;

/// Threads given up and not come back, over all domains: far more than a machine has mounts and destinations that hang,
/// far fewer than it has threads. Beyond them nothing is replaced.
const MOST_GIVEN_UP: usize = 1024;

/// Domains that are named where all threads are lost. More of them would hide what it says.
const MOST_NAMED: usize = 4;

/// What a thread does with a job. It has to report its end itself, and must not panic.
type Work<J> = Arc<dyn Fn(Member, J) + Send + Sync>;

pub(super) struct Crew<J> {
    /// Of the threads: `name` and their number.
    name: &'static str,
    size: usize,
    sparing: Sparing,
    work: Work<J>,
    next: u64,
    /// All threads but those given up.
    threads: BTreeMap<Member, Sender<J>>,
    idle: VecDeque<Member>,
    at_work: BTreeMap<Member, AtWork>,
    due: BTreeSet<(Timestamp, Member)>,
    given_up: BTreeMap<Member, Domain>,
    /// No thread could be started, and none has come back since.
    is_short: bool,
}

/// What a pool does for a domain while all of its threads are busy.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sparing {
    /// Nothing.
    None,
    /// A domain that has nothing at work gets a thread.
    Idle,
    /// So does one that had nothing come back for so long, also beyond its share.
    Probing(Duration),
}

struct AtWork {
    domain: Domain,
    since: Timestamp,
    until: Option<Timestamp>,
}

impl<J: Send + 'static> Crew<J> {
    /// A crew of `size` threads.
    pub(super) fn start(
        name: &'static str,
        size: usize,
        sparing: Sparing,
        work: impl Fn(Member, J) + Send + Sync + 'static,
    ) -> io::Result<Crew<J>> {
        let mut crew = Crew {
            name,
            size,
            sparing,
            work: Arc::new(work),
            next: 1,
            threads: BTreeMap::new(),
            idle: VecDeque::new(),
            at_work: BTreeMap::new(),
            due: BTreeSet::new(),
            given_up: BTreeMap::new(),
            is_short: false,
        };
        for _ in 0..size {
            crew.hire()?;
        }
        Ok(crew)
    }

    /// The thread that has been idle longest.
    pub(super) fn first_idle(&self) -> Option<Member> {
        self.idle.front().copied()
    }

    /// When a job of this domain could begin, as far as is known now: it has come if one could at once.
    pub(super) fn room_at(&self, domain: &str) -> Option<Timestamp> {
        let held = self.holds(domain);
        let at_once = held < self.share() && (!self.idle.is_empty() || self.may_have_spare(domain));
        if at_once { Some(Timestamp(0)) } else { self.probes_at(domain, held) }
    }

    /// Whether a job of this domain could begin now.
    pub(super) fn has_room(&self, domain: &str, now: Timestamp) -> bool {
        self.room_at(domain).is_some_and(|at| at <= now)
    }

    /// Whether the domain holds fewer threads than its share.
    pub(super) fn has_share(&self, domain: &str) -> bool {
        self.holds(domain) < self.share()
    }

    /// What jobs that were given up hold, if nothing of this domain begins before one of them comes back: all of its share, or
    /// every thread that the crew may have.
    pub(super) fn held_by_lost(&self, domain: &str) -> Option<String> {
        if self.lost_to(domain) >= self.share() {
            return Some(format!("all {} threads that {domain} may have", self.share()));
        }
        self.threads.is_empty().then(|| match self.given_up.len() {
            lost if lost < MOST_GIVEN_UP => "their threads, and no other could be started".to_owned(),
            lost => format!("{lost} threads, and beyond so many none is replaced: {}", self.losers()),
        })
    }

    /// The domains that have lost threads, those first that have lost the most.
    fn losers(&self) -> String {
        let mut lost = BTreeMap::<&str, usize>::new();
        self.given_up.values().for_each(|domain| *lost.entry(domain).or_default() += 1);
        let mut lost: Vec<_> = lost.into_iter().collect();
        lost.sort_by_key(|(_, lost)| Reverse(*lost));
        let more = lost.len().saturating_sub(MOST_NAMED);
        let named = lost.into_iter().take(MOST_NAMED).map(|(domain, lost)| format!("{lost} of {domain}"));
        named.chain((more > 0).then(|| format!("and those of {more} more"))).collect::<Vec<_>>().join(", ")
    }

    /// Begins a job at `now`; it is given up after `timeout`. The job comes back if its domain has no room, or no thread
    /// could be started: then there is no room for a while.
    pub(super) fn begin(&mut self, domain: &Domain, now: Timestamp, timeout: Duration, job: J) -> Result<Member, J> {
        if !self.has_room(domain, now) {
            return Err(job);
        }
        if self.idle.is_empty() {
            self.try_hire();
        }
        let Some(member) = self.first_idle() else { return Err(job) };
        self.reserve(member, domain, now, Some(now.after(timeout)));
        self.send(member, job);
        Ok(member)
    }

    /// Takes an idle thread for a job that comes later.
    pub(super) fn reserve(&mut self, member: Member, domain: &Domain, now: Timestamp, until: Option<Timestamp>) {
        self.idle.retain(|idle| *idle != member);
        self.at_work.insert(member, AtWork { domain: Arc::clone(domain), since: now, until });
        self.due.extend(until.map(|until| (until, member)));
    }

    /// Hands a job to the thread that was reserved for it.
    pub(super) fn send(&mut self, member: Member, job: J) {
        if let Some(thread) = self.threads.get(&member) {
            // The thread waits for exactly this; it ends only when its sender is dropped.
            let _ = thread.send(job);
        }
    }

    /// A thread has come back; says whether it was in time. It is idle again, or ends if it was given up.
    pub(super) fn returned(&mut self, member: Member) -> bool {
        self.is_short = false;
        let Some(AtWork { until, .. }) = self.at_work.remove(&member) else {
            // If the crew could not be filled up when this one was given up, it can be now.
            self.given_up.remove(&member);
            self.refill();
            return false;
        };
        self.due.retain(|(_, at_work)| until.is_none() || *at_work != member);
        if self.threads.len() > self.size {
            // Without its sender it ends.
            self.threads.remove(&member);
        } else {
            self.idle.push_back(member);
        }
        true
    }

    /// A thread that is at work for too long is given up and replaced.
    pub(super) fn give_up(&mut self, now: Timestamp) -> Option<Member> {
        let member = self.overdue(now)?;
        self.abandon(member);
        Some(member)
    }

    /// A thread that is at work for too long.
    pub(super) fn overdue(&self, now: Timestamp) -> Option<Member> {
        self.due.first().copied().filter(|(until, _)| *until <= now).map(|(_, member)| member)
    }

    /// Waits longer for a thread that is at work.
    pub(super) fn wait_until(&mut self, member: Member, until: Timestamp) {
        let Some(at_work) = self.at_work.get_mut(&member) else { return };
        at_work.until = Some(until);
        self.due.retain(|(_, at_work)| *at_work != member);
        self.due.insert((until, member));
    }

    /// Gives up a thread and replaces it.
    pub(super) fn abandon(&mut self, member: Member) {
        let Some(AtWork { domain, until, .. }) = self.at_work.remove(&member) else { return };
        self.due.retain(|(_, at_work)| until.is_none() || *at_work != member);
        self.given_up.insert(member, domain);
        // Without its sender it ends as soon as it comes back.
        self.threads.remove(&member);
        self.refill();
    }

    /// When the next thread is given up.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(until, _)| *until)
    }

    /// Threads at work that were not given up.
    pub(super) fn busy(&self) -> usize {
        self.at_work.len()
    }

    pub(super) fn idle(&self) -> usize {
        self.idle.len()
    }

    pub(super) fn given_up(&self) -> usize {
        self.given_up.len()
    }

    /// Whether a thread that was wanted could not be started, and none has come back since.
    pub(super) fn is_short(&self) -> bool {
        self.is_short
    }

    /// So many threads a domain may hold, those given up included.
    fn share(&self) -> usize {
        2 * self.size
    }

    fn lost_to(&self, domain: &str) -> usize {
        self.given_up.values().filter(|lost_to| ***lost_to == *domain).count()
    }

    /// Threads of the domain, those given up included.
    fn holds(&self, domain: &str) -> usize {
        self.at_work_for(domain).count() + self.lost_to(domain)
    }

    fn at_work_for<'c>(&'c self, domain: &'c str) -> impl Iterator<Item = &'c AtWork> {
        self.at_work.values().filter(move |at_work| *at_work.domain == *domain)
    }

    fn may_have_spare(&self, domain: &str) -> bool {
        let is_wanted = !matches!(self.sparing, Sparing::None) && self.at_work_for(domain).next().is_none();
        is_wanted && self.may_hire(MOST_SPARE)
    }

    /// When all that the domain has at work counts as slow, so that one job more may begin.
    fn probes_at(&self, domain: &str, held: usize) -> Option<Timestamp> {
        let Sparing::Probing(slow) = self.sparing else { return None };
        let has_thread = !self.idle.is_empty() || self.may_hire(MOST_SPARE_TO_PROBE);
        let last = self.at_work_for(domain).map(|at_work| at_work.since).max();
        (has_thread && held < self.share() + MOST_PROBES).then(|| last.map_or(Timestamp(0), |last| last.after(slow)))
    }

    fn may_hire(&self, spare: usize) -> bool {
        !self.is_short && self.threads.len() < self.size + spare && self.given_up.len() < MOST_GIVEN_UP
    }

    fn refill(&mut self) {
        while self.threads.len() < self.size && self.given_up.len() < MOST_GIVEN_UP {
            if !self.try_hire() {
                return;
            }
        }
    }

    fn try_hire(&mut self) -> bool {
        let hired = self.hire();
        if let Err(error) = &hired {
            self.is_short = true;
            unwind::tell(|| {
                tracing::error!(target: "lastword::pool", %error, "no thread could be started");
            });
        }
        hired.is_ok()
    }

    fn hire(&mut self) -> io::Result<()> {
        let member = Member(self.next);
        // One job at a time: the owner of the crew knows which threads are idle.
        let (sender, jobs) = bounded(1);
        let work = Arc::clone(&self.work);
        let name = format!("lastword-{}{}", self.name, member.0);
        thread::Builder::new().name(name).spawn(move || serve(member, &jobs, &*work))?;
        self.next += 1;
        self.threads.insert(member, sender);
        self.idle.push_back(member);
        Ok(())
    }
}

/// The life of a thread.
fn serve<J>(member: Member, jobs: &Receiver<J>, work: &dyn Fn(Member, J)) {
    jobs.iter().for_each(|job| work(member, job));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Jobs end when they are told to, by a message on the channel that each of them is.
    struct Shift {
        crew: Crew<Receiver<()>>,
        ended: Receiver<Member>,
        hold: Vec<(Member, Sender<()>)>,
    }

    impl Shift {
        fn new(size: usize, sparing: Sparing) -> Shift {
            let (report, ended) = bounded(100);
            let work = move |member, job: Receiver<()>| {
                let _ = job.recv();
                let _ = report.send(member);
            };
            Shift { crew: Crew::start("test", size, sparing, work).unwrap(), ended, hold: Vec::new() }
        }

        fn begin(&mut self, domain: &str, until: u64) -> Option<Member> {
            self.begin_at(0, domain, until)
        }

        fn begin_at(&mut self, now: u64, domain: &str, until: u64) -> Option<Member> {
            let (end, job) = bounded(1);
            let timeout = Duration::from_micros(until - now);
            let member = self.crew.begin(&domain.into(), Timestamp(now), timeout, job).ok()?;
            self.hold.push((member, end));
            Some(member)
        }

        fn end(&mut self, member: Member) -> bool {
            self.hold.retain(|(held, _)| *held != member);
            assert_eq!(self.ended.recv_timeout(Duration::from_secs(60)), Ok(member));
            self.crew.returned(member)
        }
    }

    #[test]
    fn a_domain_that_hangs_uses_up_its_own_share_and_leaves_the_others_theirs() {
        let mut shift = Shift::new(2, Sparing::None);
        for round in 0..2 {
            assert!(shift.begin("dead", 10 + round).is_some() && shift.begin("dead", 10 + round).is_some());
            assert!(!shift.crew.has_room("well", Timestamp(0)), "every thread is at work");
            let given_up = [(); 2].map(|()| shift.crew.give_up(Timestamp(20)).unwrap());
            assert_ne!(given_up[0], given_up[1]);
        }
        assert_eq!((shift.crew.given_up(), shift.crew.busy(), shift.crew.idle()), (4, 0, 2));
        assert!(shift.crew.held_by_lost("dead").is_some() && shift.begin("dead", 30).is_none());
        let well = [shift.begin("well", 30).unwrap(), shift.begin("other", 30).unwrap()];
        assert!(well.into_iter().all(|member| shift.end(member)));

        // One that comes back makes room for its own domain.
        let late = shift.hold[0].0;
        assert!(!shift.end(late), "it was given up");
        assert!(shift.begin("dead", 40).is_some());
    }

    #[test]
    fn a_domain_with_nothing_at_work_gets_a_spare_thread() {
        let mut shift = Shift::new(1, Sparing::Idle);
        shift.begin("slow", 10).unwrap();
        assert!(shift.begin("slow", 10).is_none());
        let spare = shift.begin("well", 10).unwrap();
        assert!(shift.begin("well", 10).is_none(), "one of its own, not more");
        assert!(shift.end(spare));
        assert_eq!((shift.crew.idle(), shift.crew.busy()), (0, 1), "a spare thread goes when the crew is full");
        assert!(shift.begin("well", 10).is_some());
    }

    #[test]
    fn defect_16_a_crew_that_has_lost_all_of_its_threads_says_so_to_every_domain() {
        let mut shift = Shift::new(128, Sparing::None);
        let mut lost = 0;
        while let Some(member) = shift.begin(&format!("d{}", lost / 64), 10) {
            assert_eq!(shift.crew.held_by_lost("well"), None, "{lost}");
            shift.crew.abandon(member);
            lost += 1;
        }
        assert_eq!(lost, MOST_GIVEN_UP + 127, "beyond the most, none is replaced");
        let held = shift.crew.held_by_lost("well").unwrap();
        let named = "threads, and beyond so many none is replaced: 64 of d0, 64 of d1, 64 of d10, 64 of d11, and those of 14 more";
        assert!(held.contains(named), "{held}");
        let first = shift.hold[0].0;
        assert!(!shift.end(first));
        assert!(shift.crew.held_by_lost("well").is_some(), "the total is still reached");
        while shift.crew.given_up() >= MOST_GIVEN_UP {
            let next = shift.hold[0].0;
            assert!(!shift.end(next));
        }
        assert_eq!(shift.crew.held_by_lost("well"), None);
        assert!(shift.begin("well", 10).is_some());
    }

    #[test]
    fn spare_threads_are_bounded() {
        let mut shift = Shift::new(1, Sparing::Idle);
        let begun = (0..100).filter(|n| shift.begin(&format!("d{n}"), 10).is_some()).count();
        assert_eq!(begun, 1 + MOST_SPARE);
    }

    #[test]
    fn what_hangs_in_a_domain_does_not_hold_up_what_is_well_in_it_until_it_is_the_domain_that_hangs() {
        const SLOW: u64 = 100;
        let mut shift = Shift::new(1, Sparing::Probing(Duration::from_micros(SLOW)));
        let (mut now, mut held) = (0, 0);
        while let Some(well) = shift.begin_at(now, "mount", 1_000_000) {
            assert!(shift.end(well), "one that is well comes back at once, and the next begins");
            shift.begin_at(now, "mount", 1_000_000).unwrap();
            held += 1;
            // Not at once: it may come back.
            assert!(shift.begin_at(now + SLOW - 1, "mount", 1_000_000).is_none());
            if held % 2 == 0 {
                shift.crew.abandon(shift.hold.last().unwrap().0);
            }
            now += SLOW;
        }
        assert_eq!(held, 2 + MOST_PROBES, "its share, and what may hang beyond it");
        assert!(shift.begin_at(now, "other", 1_000_000).is_some());
    }

    #[test]
    fn a_thread_is_given_up_when_its_time_has_come_and_not_before() {
        let mut shift = Shift::new(2, Sparing::None);
        let (late, soon) = (shift.begin("a", 20).unwrap(), shift.begin("a", 10).unwrap());
        assert_eq!(shift.crew.next_due(), Some(Timestamp(10)));
        assert_eq!(shift.crew.give_up(Timestamp(9)), None);
        assert_eq!(shift.crew.give_up(Timestamp(10)), Some(soon));
        assert_eq!(shift.crew.next_due(), Some(Timestamp(20)));
        assert!(shift.end(late));
        assert_eq!((shift.crew.next_due(), shift.crew.given_up()), (None, 1));
    }
}
