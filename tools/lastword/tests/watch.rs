//! `lastword status --watch`: in a pipe, as lines of JSON, and on a real terminal.
#![allow(clippy::unwrap_used, reason = "a helper that cannot help fails its test")]

mod support;

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use serde_json::Value;
use support::{Place, Running, lastword, program, signal, text, until, wait};

const LONG: Duration = Duration::from_secs(30);

fn running() -> (Place, Running) {
    let place = Place::new("quiet = \"50ms\"\n");
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    (place, run)
}

/// Starts watching, with its output to be read line by line.
fn watching(place: &Place, more: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let state = place.state();
    let mut child = program().args(["status", text(&state)]).args(more).spawn().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    (child, output)
}

/// Ends it, whatever a test was about.
struct Ends(Option<Child>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The next line that holds this; what does not come fails the test.
fn next_with(output: &mut BufReader<ChildStdout>, what: &str) -> String {
    let begun = Instant::now();
    loop {
        let mut line = String::new();
        assert!(output.read_line(&mut line).unwrap() > 0, "it ended before {what:?}");
        if line.contains(what) {
            return line;
        }
        assert!(begun.elapsed() < LONG, "{what:?} does not come");
    }
}

#[test]
fn in_a_pipe_it_is_one_block_after_the_other_and_what_changes_is_seen() {
    let (place, run) = running();
    let (child, mut output) = watching(&place, &["--watch=200ms"]);
    let mut ends = Ends(Some(child));
    let mut first = String::new();
    output.read_line(&mut first).unwrap();
    assert!(first.starts_with("20") && first.ends_with("Z, every 200ms\n"), "{first}");
    for _ in 0..3 {
        next_with(&mut output, &format!("run: pid {}", run.pid()));
        assert!(!next_with(&mut output, "lineitem").contains('\u{1b}'), "nothing drives a pipe");
    }
    place.command(&["pause"]).expect_code(0);
    next_with(&mut output, "1 paused");
    // A run that ends is no reason to end, nor one that comes.
    let pid = run.pid();
    run.stop();
    next_with(&mut output, "run: none");
    let run = Running::start(&place);
    assert_ne!(run.pid(), pid);
    next_with(&mut output, &format!("run: pid {}", run.pid()));
    drop(output);
    wait(ends.0.take().unwrap(), LONG).expect_code(0);
    run.stop();
}

#[test]
fn it_ends_as_soon_as_nobody_reads_it_however_long_the_interval() {
    let (place, run) = running();
    for more in [&["--watch=1h"][..], &["--watch=1h", "--json"]] {
        let (child, mut output) = watching(&place, more);
        next_with(&mut output, "lineitem");
        drop(output);
        let ended = wait(child, LONG).expect_code(0);
        assert_eq!(ended.stderr, "");
    }
    run.stop();
}

#[test]
fn as_json_it_is_a_line_for_each_collection_again_and_again() {
    let (place, run) = running();
    let (child, mut output) = watching(&place, &["--json", "--watch=100ms", "--condition", "fresh,paused"]);
    let mut ends = Ends(Some(child));
    let times: Vec<String> = (0..3)
        .map(|_| {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            let row: Value = serde_json::from_str(&line).unwrap();
            assert_eq!(row["name"], "lineitem");
            row["time"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(times.is_sorted() && times[0] < times[2], "{times:?}");
    signal(ends.0.as_ref().unwrap(), "TERM");
    let ended = wait(ends.0.take().unwrap(), LONG);
    assert_eq!(ended.code, None, "a signal ends it");
    run.stop();
}

#[test]
fn a_watch_that_stands_still_holds_up_no_run() {
    let (place, run) = running();
    let (child, mut output) = watching(&place, &["--watch=100ms"]);
    let ends = Ends(Some(child));
    next_with(&mut output, "lineitem");
    signal(ends.0.as_ref().unwrap(), "STOP");
    place.write("b.parquet", 1, 1);
    place.command(&["wait"]).expect_code(0);
    assert_eq!(support::rows(&place.manifest()), place.count());
    run.stop();
}

#[test]
fn what_cannot_be_shown_at_first_is_an_error_and_an_interval_is_checked() {
    let place = Place::new("");
    lastword(&["status", text(&place.state()), "--watch"]).expect_code(3);
    lastword(&["status", text(&place.state()), "--watch=1ms"]).expect_code(2);
    lastword(&["status", text(&place.state()), "--watch", "--check"]).expect_code(2);
}

#[test]
fn rows_are_in_the_order_that_was_asked_for_with_their_ages() {
    let place = Place::new("quiet = \"50ms\"\n");
    let config = std::fs::read_to_string(place.config()).unwrap();
    place.configure(&format!("{config}[collections.absent]\nsource = \"none\"\nspec = {{ format = \"parquet\" }}\n"));
    place.look_often();
    place.write("a.parquet", 1, 0);
    let run = Running::start(&place);
    place.command(&["wait"]).expect_code(0);
    let shown = |order: &str| lastword(&["status", text(&place.state()), "--sort", order]).expect_code(0).stdout;
    until("one that cannot be observed", || shown("name").contains(" unobservable "));
    let names = |order: &str| -> Vec<String> {
        let shown = shown(order);
        let rows = shown.lines().skip(2).take(2);
        rows.map(|line| line.split_whitespace().next().unwrap().to_owned()).collect()
    };
    assert_eq!(names("name"), ["absent", "lineitem"]);
    assert_eq!(names("condition"), ["lineitem", "absent"], "fresh comes before unobservable");
    assert_eq!(names("lag"), ["absent", "lineitem"], "what is not known may be any");
    assert_eq!(names("age"), names("since"));
    let table = shown("name");
    let heads = table.lines().nth(1).unwrap();
    assert!(heads.contains("  COMMITTED  ") && heads.contains("  AGE  SINCE"), "{heads}");
    assert!(table.lines().nth(3).unwrap().contains("s ago  "), "{table}");
    run.stop();
}

/// What a terminal shows: as much of one as a picture needs.
#[derive(Default)]
struct Screen {
    lines: Vec<Vec<char>>,
    row: usize,
    column: usize,
    /// What drives a terminal in another way, which no picture needs.
    odd: Vec<String>,
}

impl Screen {
    fn take(&mut self, text: &str) {
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => self.column = 0,
                '\n' => self.row += 1,
                '\x1b' => {
                    let mut sequence = String::new();
                    for c in rest.by_ref() {
                        sequence.push(c);
                        if c.is_ascii_alphabetic() {
                            break;
                        }
                    }
                    self.drive(&sequence);
                }
                c => self.put(c),
            }
        }
    }

    fn drive(&mut self, sequence: &str) {
        let up = sequence.strip_prefix('[').and_then(|inner| inner.strip_suffix('A')?.parse::<usize>().ok());
        match (sequence, up) {
            (_, Some(up)) => self.row = self.row.checked_sub(up).expect("it goes no further up than it went down"),
            ("[K", _) => {
                let column = self.column;
                self.line().truncate(column);
            }
            ("[J", _) => self.lines.truncate(self.row),
            _ => self.odd.push(sequence.to_owned()),
        }
    }

    fn put(&mut self, c: char) {
        let column = self.column;
        let line = self.line();
        line.resize(line.len().max(column + 1), ' ');
        line[column] = c;
        self.column += 1;
    }

    /// The line with the cursor.
    fn line(&mut self) -> &mut Vec<char> {
        while self.lines.len() <= self.row {
            self.lines.push(Vec::new());
        }
        &mut self.lines[self.row]
    }

    fn shown(&self) -> Vec<String> {
        self.lines.iter().map(|line| line.iter().collect()).collect()
    }
}

/// Reads a terminal on a thread of its own, piece by piece.
fn pieces(mut terminal: File) -> Receiver<String> {
    let (sender, pieces) = channel();
    std::thread::spawn(move || {
        let mut bytes = [0; 64 << 10];
        // A terminal whose programs are gone answers with an error.
        while let Ok(count) = terminal.read(&mut bytes) {
            if count == 0 || sender.send(String::from_utf8_lossy(&bytes[..count]).into_owned()).is_err() {
                break;
            }
        }
    });
    pieces
}

#[test]
fn on_a_terminal_each_picture_is_drawn_over_the_one_before() {
    let (place, run) = running();
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let path = ptsname(&terminal, Vec::new()).unwrap();
    tcsetwinsize(&terminal, Winsize { ws_row: 6, ws_col: 60, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let program_side = File::options().read(true).write(true).open(path.to_str().unwrap()).unwrap();
    let child = program()
        .args(["status", text(&place.state()), "--watch=100ms"])
        .env("TERM", "xterm")
        .stdout(program_side)
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut ends = Ends(Some(child));
    let pieces = pieces(File::from(terminal));
    let mut screen = Screen::default();
    let mut until_shown = |what: &str, count: usize| {
        let begun = Instant::now();
        let mut seen = 0;
        while seen < count {
            assert!(begun.elapsed() < LONG, "{what:?} is not shown: {:?}", screen.shown());
            let piece = pieces.recv_timeout(LONG).expect("a picture");
            screen.take(&piece);
            seen += usize::from(screen.shown().iter().any(|line| line.contains(what)) && piece.ends_with("\x1b[J"));
        }
        assert_eq!(screen.odd, Vec::<String>::new(), "nothing else of the terminal is touched");
        screen.shown()
    };
    let shown = until_shown(" fresh ", 4);
    assert_eq!(shown.iter().filter(|line| line.starts_with("NAME")).count(), 1, "{shown:?}");
    assert_eq!(shown.iter().filter(|line| line.starts_with("lineitem")).count(), 1, "{shown:?}");
    assert_eq!(shown.last().unwrap(), "1 collection: 1 fresh", "{shown:?}");
    assert!(shown.len() <= 5 && shown.iter().all(|line| line.chars().count() <= 59), "it fits: {shown:?}");
    place.command(&["pause"]).expect_code(0);
    let shown = until_shown("1 fresh, of them 1 paused", 1);
    assert_eq!(shown.iter().filter(|line| line.contains("1 collection")).count(), 1, "{shown:?}");
    signal(ends.0.as_ref().unwrap(), "INT");
    let ended = ends.0.take().unwrap().wait_with_output().unwrap();
    assert_eq!(ended.status.code(), None, "a signal ends it");
    run.stop();
}
