//! Power cuts on a real file system: a real process writes its log to ext4 on a drive that is a loop device, and at random
//! moments the drive is copied as it is found when the power goes. Each copy is mounted (ext4 replays its journal), opens,
//! verifies, holds everything acknowledged (Durable), adds up to the state that was told (SameFold), and goes on.
//!
//! `power.rs` has a model of file systems that is worse than any of them, and tries every moment. Here the file system, its
//! journal and the block layer are the kernel's own, and what was acknowledged is written down outside of it.
//!
//! **What an image is.** `loop_drive` stops the drive at once, from below, while the process and the file system above it
//! run on: also in the middle of an fsync or of a commit of the journal. (Stopping the process instead would let every
//! sync that it is in come to its end first; copying a drive that runs would mix blocks from before and after a flush,
//! which no drive holds; and freezing the log's own file system would write everything down.) While it is stopped
//! nothing becomes durable, so whatever was told when the copy is complete has to be in it. A quarter of the images
//! are what the drive was given, a quarter what of it had been flushed, as in a drive that loses its cache, and half of them
//! that with some sectors of the rest. `what_was_not_synced_does_not_survive` shows that they lose what they should.
//!
//! **What it cannot show.** Moments are chosen, not all tried, and losses are those of one journaling file system. Any sync
//! has the drive flush everything, and the kernel may do that earlier: of cuts with a barrier that does not sync a half
//! show a loss. A drive that says it has flushed and has not, or returns other bytes than it was given, is not among these.
//!
//! A life ends by itself, by `kill -9` (what the page cache has then reaches the drive), or with one of the power cuts, and
//! the next life goes on with what it left.
//!
//! It needs root and loop devices, so it has to be asked for:
//! `cargo test -p lastword --all-features --test faults loop_device:: -- --ignored`. `LOOP_IMAGES=n` sets the number of images (12),
//! `LOOP_SEED=n` repeats a run as far as the machine lets it. An image that is wrong is kept, and the command that opens it
//! again printed.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use lastword::core::vocabulary::Seq;
use test_support::disk::Dice;
use test_support::disk::check::{Found, Thoroughness, Told, check};
use test_support::disk::life::{Life, live};
use test_support::loop_drive::{Cache, Drive, Ext4, FILE_SYSTEMS, Home, copy, find, is_alone, mount};

const CHILD: &str = "LASTWORD_LOOP_CHILD";

/// Each life is this one, with declarations of its own. All that a log can do is in it, and not so often that one thing or
/// the other is always being synced: any sync has the drive flush everything.
const LIFE: Life = Life {
    first: 0,
    declarations: 80,
    fillers: 0,
    files: 40,
    segments: 200,
    changes_every: 30,
    forgets_every: 40,
    snapshot_every: 60,
    shuts_down: true,
};

/// A life tells about as many lines.
const LINES: u64 = 125;
/// So many lives on one file system.
const LIVES: u64 = 3;
/// Far more than a life takes.
const LONG: Duration = Duration::from_secs(120);

/// What the process does. It is this very test binary, and without its variable this test is nothing.
#[test]
fn child() {
    let Some(state) = env::var_os(CHILD) else { return };
    let shuts_down = number("LASTWORD_LOOP_SHUTS_DOWN") == Some(1);
    live(Path::new(&state), &Life { first: number("LASTWORD_LOOP_FIRST").unwrap(), shuts_down, ..LIFE });
}

fn number(variable: &str) -> Option<u64> {
    env::var(variable).ok().map(|text| text.parse().expect("a whole number"))
}

/// A process that lives. What it tells goes to a file in memory.
struct Living {
    process: Child,
    told: PathBuf,
    begun: Instant,
}

impl Living {
    fn begin(state: &Path, told: PathBuf, first: u64, shuts_down: bool) -> Living {
        let (out, error) = (File::create(&told).unwrap(), File::create(told.with_extension("error")).unwrap());
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "loop_device::child", "--nocapture", "--test-threads=1"]);
        command.env(CHILD, state).env("LASTWORD_LOOP_FIRST", first.to_string());
        command.env("LASTWORD_LOOP_SHUTS_DOWN", u64::from(shuts_down).to_string());
        let process = command.stdin(Stdio::null()).stdout(out).stderr(error).spawn().unwrap();
        Living { process, told, begun: Instant::now() }
    }

    /// Waits until so much was told, or until it has ended. That is when a loss would show best; or the dice say how far
    /// it gets into what follows.
    fn wait_for(&mut self, lines: u64, dice: &mut Dice) {
        while told_in(&self.told).lines().count() < lines as usize && !self.has_ended() {
            thread::sleep(Duration::from_micros(200));
        }
        if dice.below(3) == 0 {
            thread::sleep(Duration::from_micros(dice.below(30_000)));
        }
    }

    fn has_ended(&mut self) -> bool {
        assert!(self.begun.elapsed() < LONG, "it hangs: {}", told_in(&self.told));
        self.process.try_wait().unwrap().is_some()
    }

    /// It was not to end otherwise.
    fn end_by_itself(mut self) -> String {
        while !self.has_ended() {
            thread::sleep(Duration::from_millis(1));
        }
        let (told, error) = (told_in(&self.told), told_in(&self.told.with_extension("error")));
        let end = take(&told).end;
        assert!(end.as_deref().is_some_and(|end| !end.starts_with("failed")), "it ended with {end:?}: {error}");
        told
    }

    fn kill(mut self) -> String {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        let told = told_in(&self.told);
        let end = take(&told).end;
        assert!(end.as_deref().is_none_or(|end| !end.starts_with("failed")), "{end:?}");
        told
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The whole lines of a file.
fn told_in(path: &Path) -> String {
    let mut text = fs::read_to_string(path).unwrap();
    text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
    text
}

fn take(text: &str) -> Told {
    let mut told = Told::default();
    told.take(text);
    told
}

/// How a life ends.
#[derive(Clone, Copy, Debug)]
enum End {
    ByItself { shuts_down: bool },
    Killed,
    PowerCut,
}

/// What was on the drive at one moment.
struct Image {
    path: PathBuf,
    ext4: Ext4,
    /// How the power was cut; it was not if the file system was unmounted.
    cut: Option<(u64, Cache)>,
    /// Everything that was told before.
    told: String,
}

impl Image {
    /// Mounts and opens it. `told` is what was told before and after, about the same log.
    fn judge(&self, told: &str, home: &Path) -> Result<Found, String> {
        let told = Told { acknowledged: take(&self.told).acknowledged, ..take(told) };
        let disk = mount(&self.path, self.ext4, home);
        let found = check(&disk.path().join("state"), &told, Thoroughness::GoesOn)?;
        found.hold_against(&told)?;
        Ok(found)
    }

    /// Puts it where it outlives this test. Returns how to open it again.
    fn keep(&self, told: &str) -> String {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("loop-{}", std::process::id()));
        fs::create_dir_all(&kept).unwrap();
        copy(&self.path, &kept.join("image"));
        fs::write(kept.join("ext4"), self.ext4.number().to_string()).unwrap();
        fs::write(kept.join("told"), &self.told).unwrap();
        fs::write(kept.join("told.in.the.end"), told).unwrap();
        let command = "cargo test -p lastword --all-features --test faults -- --ignored";
        format!("repeat: LOOP_IMAGE={} {command} whenever_the_power_goes", kept.display())
    }

    /// Takes it from there.
    fn kept(kept: &Path) -> (Image, String) {
        let text = |name: &str| fs::read_to_string(kept.join(name)).unwrap();
        let ext4 = FILE_SYSTEMS[text("ext4").parse::<usize>().unwrap()];
        let image = Image { path: kept.join("image"), ext4, cut: None, told: text("told") };
        (image, text("told.in.the.end"))
    }
}

/// How much there was.
#[derive(Debug, Default)]
struct Counts {
    images: u64,
    /// In which the log was there.
    begun: u64,
    /// With events in them that nobody had been told of yet.
    ahead: u64,
    acknowledged: u64,
    cuts: u64,
    kills: u64,
}

/// A file system through several lives.
struct Round {
    home: Home,
    ext4: Ext4,
    dice: Dice,
    /// What the next life begins with, and what was told of it.
    image: PathBuf,
    told: String,
}

impl Round {
    fn begin(seed: u64, round: u64) -> Round {
        let home = Home::make();
        let mut dice = Dice(seed.wrapping_mul(1_000_000) + round);
        let ext4 = FILE_SYSTEMS[dice.below(FILE_SYSTEMS.len() as u64) as usize];
        let image = home.path().join("empty.img");
        ext4.make(&image);
        Round { home, ext4, dice, image, told: String::new() }
    }

    /// One life, with three images; the last is what it leaves.
    fn live(&mut self, life: u64, counts: &mut Counts) -> Result<(), String> {
        let end = match self.dice.below(6) {
            0 => End::ByItself { shuts_down: self.dice.coin() },
            1..=2 => End::Killed,
            _ => End::PowerCut,
        };
        let mut moments = [0; 3].map(|_| self.dice.below(LINES));
        moments.sort_unstable();
        let home = self.home.path().join(life.to_string());
        let drive = Drive::with(&self.image, self.ext4, &home);
        let shuts_down = !matches!(end, End::ByItself { shuts_down: false });
        let first = life * LIFE.declarations;
        let mut living = Living::begin(&drive.disk().join("state"), home.join("told"), first, shuts_down);
        let mut images = vec![self.cut(&drive, &mut living, moments[0]), self.cut(&drive, &mut living, moments[1])];
        let told = match end {
            End::ByItself { .. } => living.end_by_itself(),
            End::Killed => {
                living.wait_for(moments[2], &mut self.dice);
                living.kill()
            }
            End::PowerCut => {
                images.push(self.cut(&drive, &mut living, moments[2]));
                living.kill()
            }
        };
        let (path, told) = (home.join("left.img"), self.told.clone() + &told);
        drive.stop(&path);
        match end {
            // What becomes of that drive from then on nobody sees.
            End::PowerCut => {}
            _ => images.push(Image { path, ext4: self.ext4, cut: None, told: told.clone() }),
        }
        for image in &images {
            if let Some((_, cache)) = image.cut {
                find(cache, &image.path, &home);
            }
            let found = catch_unwind(AssertUnwindSafe(|| image.judge(&told, &home)));
            let found = found.unwrap_or_else(|_| Err("it panicked".to_owned()));
            let found = found.map_err(|wrong| match image.cut {
                Some((lines, cache)) => format!("power cut after {lines} lines, {cache:?}: {wrong}"),
                None => format!("unmounted: {wrong}"),
            });
            let found = found.map_err(|wrong| format!("life {life} ({end:?}), {wrong}\n  {}", image.keep(&told)))?;
            let acknowledged = take(&image.told).acknowledged;
            counts.images += 1;
            counts.begun += u64::from(acknowledged > Seq::ZERO);
            counts.ahead += u64::from(found.last > acknowledged);
            counts.acknowledged += acknowledged.0;
        }
        counts.kills += u64::from(matches!(end, End::Killed));
        counts.cuts += images.iter().filter(|image| image.cut.is_some()).count() as u64;
        let last = images.pop().unwrap();
        (self.image, self.told) = (last.path, last.told);
        Ok(())
    }

    /// Cuts the power some time after `lines` were told.
    fn cut(&mut self, drive: &Drive, living: &mut Living, lines: u64) -> Image {
        let cache = match self.dice.below(4) {
            0 => Cache::Kept,
            1 => Cache::Lost,
            _ => Cache::Partly(self.dice.roll()),
        };
        let told = living.told.clone();
        let path = told.with_extension(format!("{lines}.{}.img", self.dice.roll()));
        let notes = path.with_extension("told");
        drive.cut(cache, &path, &told, &notes, || living.wait_for(lines, &mut self.dice));
        Image { path, ext4: self.ext4, cut: Some((lines, cache)), told: self.told.clone() + &told_in(&notes) }
    }
}

#[test]
#[ignore = "needs root and loop devices"]
fn whenever_the_power_goes_a_real_file_system_has_everything_acknowledged() {
    if !is_alone("loop_device::whenever_the_power_goes_a_real_file_system_has_everything_acknowledged") {
        return;
    }
    if let Some(kept) = env::var_os("LOOP_IMAGE") {
        let (home, (image, told)) = (Home::make(), Image::kept(Path::new(&kept)));
        println!("{:?}", image.judge(&told, home.path()).unwrap());
        return;
    }
    let (since, mut counts) = (Instant::now(), Counts::default());
    let (seed, images) = (number("LOOP_SEED").unwrap_or(1), number("LOOP_IMAGES").unwrap_or(12));
    let mut round = Round::begin(seed, 0);
    let mut lives = 0;
    while counts.images < images {
        if lives > 0 && lives % LIVES == 0 {
            round = Round::begin(seed, lives / LIVES);
        }
        if let Err(wrong) = round.live(lives % LIVES, &mut counts) {
            panic!("LOOP_SEED={seed}, round {}, {:?}, {wrong}", lives / LIVES, round.ext4);
        }
        lives += 1;
    }
    let Counts { images, cuts, kills, begun, ahead, acknowledged } = counts;
    println!(
        "{images} images of {lives} lives in {:?}: {cuts} power cuts, {kills} kills; {begun} with a log,",
        since.elapsed()
    );
    println!("{ahead} with more than was told, and {acknowledged} acknowledged events in all");
    assert!(begun * 3 > images && acknowledged > 20 * images, "there is little to it");
}

/// The proof that something can be lost: what was only written, and with the cache what was not flushed.
#[test]
#[ignore = "needs root and loop devices"]
fn what_was_not_synced_does_not_survive() {
    if !is_alone("loop_device::what_was_not_synced_does_not_survive") {
        return;
    }
    for ext4 in FILE_SYSTEMS {
        // Somebody else may have this machine sync everything meanwhile.
        assert!((0..3).any(|_| loses_what_it_should(ext4)), "{ext4:?}");
    }
}

fn loses_what_it_should(ext4: Ext4) -> bool {
    let home = Home::make();
    let (empty, told) = (home.path().join("empty.img"), home.path().join("told"));
    ext4.make(&empty);
    fs::write(&told, "").unwrap();
    let drive = Drive::with(&empty, ext4, &home.path().join("drive"));
    let synced = File::create(drive.disk().join("synced")).unwrap();
    synced.write_all_at(&[1; 8192], 0).unwrap();
    synced.sync_all().unwrap();
    File::open(drive.disk()).unwrap().sync_all().unwrap();
    // Straight to the drive, which is not told to flush.
    let mut direct = Command::new("dd");
    direct.args(["if=/dev/zero", "bs=4096", "count=1", "conv=notrunc", "oflag=direct", "status=none"]);
    direct.arg(format!("of={}", drive.disk().join("synced").display()));
    assert!(direct.status().unwrap().success());
    // And to the page cache of the file system.
    File::create(drive.disk().join("written")).unwrap().write_all(&[3; 8192]).unwrap();
    synced.write_all_at(&[2; 4096], 4096).unwrap();
    // How many of the eight sectors that were given to the drive are there, and nothing else that was not synced.
    let survives = |cache| {
        let image = home.path().join("image");
        drive.cut(cache, &image, &told, &home.path().join("notes"), || ());
        find(cache, &image, home.path());
        let found = mount(&image, ext4, home.path());
        let content = fs::read(found.path().join("synced")).unwrap();
        let sectors = content[..4096].chunks(512).filter(|sector| **sector == [0; 512]).count();
        println!("{cache:?}: {sectors} of 8 sectors");
        (content[4096..] == [1; 4096] && !found.path().join("written").exists()).then_some(sectors)
    };
    // A drive that is stopped without its medium writes to that first, so this comes last.
    survives(Cache::Lost) == Some(0)
        && (0..4).any(|seed| matches!(survives(Cache::Partly(seed)), Some(1..8)))
        && survives(Cache::Kept) == Some(8)
}
