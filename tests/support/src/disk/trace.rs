//! Reads what strace wrote: one call per line, or one in two lines if another thread came between. A path that leads
//! through a descriptor (`/proc/self/fd/7/HEAD`) is told as what the descriptor was opened for.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// One system call.
#[derive(Debug)]
pub struct Call {
    /// The lines at which it was entered and left. Other calls with lines between ran at the same time.
    pub begin: usize,
    pub end: usize,
    pub thread: u32,
    pub name: String,
    pub arguments: Vec<String>,
    pub result: i64,
    /// What the descriptor that came back stands for, in hex.
    opened: Option<String>,
    /// strace made it fail.
    pub injected: bool,
}

/// The calls of processes that ran one after the other, each sorted by the moment from which they count: see
/// [`Call::moment`]. Their lines are numbered through.
pub fn read_all(traces: &[PathBuf]) -> Vec<Vec<Call>> {
    let mut lines = 0;
    traces.iter().map(|trace| read(trace, &mut lines)).collect()
}

/// What strace says of a thread that the end of its process took away from it.
const DETACHED: &str = " <detached ...>";

/// Whether the process ended within a call about something below `root`. Whether that came to pass nobody knows, so what
/// follows cannot be understood.
pub fn ends_within_a_call(trace: &Path, root: &Path) -> bool {
    let (text, root, through) = (std::fs::read_to_string(trace).unwrap(), hex(root), hex(Path::new(THROUGH)));
    let mut open: HashMap<&str, bool> = HashMap::new();
    for line in text.lines() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let is_open = rest.ends_with("<unfinished ...>") || rest.contains(DETACHED) || rest.ends_with("= ?");
        let is_ours = rest.contains(&root)
            || rest.contains(&through)
            || rest.contains("resumed>") && open.get(thread) == Some(&true);
        open.insert(thread, is_open && is_ours);
    }
    open.into_values().any(|open| open)
}

fn hex(path: &Path) -> String {
    path.to_str().unwrap().bytes().map(|byte| format!("\\x{byte:02x}")).collect()
}

fn read(trace: &Path, lines: &mut usize) -> Vec<Call> {
    let bytes = std::fs::read(trace).unwrap();
    // Hex, so ASCII; and what a process wrote into strace's own messages is none of ours.
    let text = String::from_utf8(bytes).unwrap();
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        *lines += 1;
        let at = *lines;
        let (thread, rest) = line.split_once(' ').unwrap_or_else(|| panic!("line {at}: {line:.200}"));
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") || rest.contains(DETACHED) {
            continue;
        }
        if let Some(head) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (at, head));
        } else if let Some(tail) = rest.strip_prefix("<... ") {
            let (_, tail) = tail.split_once(" resumed>").unwrap();
            let (begin, head) = unfinished.remove(thread).unwrap();
            // The end of a call may come with more arguments, or only with the result.
            calls.extend(parse(thread, &format!("{head}{tail}"), (begin, at)));
        } else {
            calls.extend(parse(thread, rest, (at, at)));
        }
    }
    // A thread that the end of the process interrupted: the call may have come to pass, which a cut right here covers.
    calls.sort_by_key(Call::moment);
    lead_to_what_was_opened(&mut calls);
    calls
}

/// How a path begins that leads through a descriptor.
const THROUGH: &str = "/proc/self/fd/";

fn lead_to_what_was_opened(calls: &mut [Call]) {
    let through = format!("\"{}", hex(Path::new(THROUGH)));
    let mut opened: HashMap<i64, String> = HashMap::new();
    for call in calls {
        for argument in &mut call.arguments {
            let Some(rest) = argument.strip_prefix(&through) else { continue };
            let number = rest.split("\\x2f").next().unwrap().trim_end_matches('"');
            let digits = String::from_utf8(unhex(number)).unwrap();
            if let Some(path) = digits.parse().ok().and_then(|number: i64| opened.get(&number)) {
                *argument = format!("\"{path}{}", &rest[number.len()..]);
            }
        }
        if let Some(path) = call.opened.take() {
            opened.insert(call.result, path);
        }
    }
}

fn parse(thread: &str, text: &str, (begin, end): (usize, usize)) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // The result is the last thing that looks like one: ") = 5</path>" or ")   = -1 EIO (...) (INJECTED)".
    let (arguments, result) = rest.rsplit_once(" = ").unwrap_or_else(|| panic!("line {end}: {text:.200}"));
    let arguments = arguments.trim_end().trim_end_matches(')');
    let number: String = result.chars().take_while(|c| c.is_ascii_digit() || *c == '-').collect();
    Some(Call {
        begin,
        end,
        thread: thread.parse().unwrap(),
        name: name.to_owned(),
        arguments: arguments.split(", ").map(str::to_owned).collect(),
        // "?": the process ended in it.
        result: number.parse().unwrap_or(-1),
        opened: result.split_once('<').and_then(|(_, path)| path.split_once('>')).map(|(path, _)| path.to_owned()),
        injected: result.contains("(INJECTED)"),
    })
}

impl Call {
    /// The line from which it counts. What it writes may be there when it has returned; a descriptor is free once it is
    /// entered; what is told to the outside, by a write to a pipe, is out when it is entered.
    pub fn moment(&self) -> usize {
        let at_once = self.name == "close" || self.name == "write" && !self.arguments[0].contains("<\\x2f");
        if at_once { self.begin } else { self.end }
    }

    pub fn failed(&self) -> bool {
        self.result < 0
    }

    /// Whether it is about something below `root`.
    pub fn concerns(&self, root: &Path) -> bool {
        let root = hex(root);
        self.arguments.iter().any(|argument| argument.contains(&root))
    }

    /// The descriptor, and its path as strace saw it. Nothing for what is no file.
    pub fn descriptor(&self, index: usize) -> (i64, Option<PathBuf>) {
        descriptor(&self.arguments[index])
    }

    /// What an `open` gave back.
    pub fn number(&self, index: usize) -> u64 {
        self.arguments[index].parse().unwrap_or_else(|_| panic!("{self:?}"))
    }

    pub fn bytes(&self, index: usize) -> Vec<u8> {
        let text = &self.arguments[index];
        assert!(!text.ends_with("..."), "strace cut the data short: {}", self.name);
        unhex(text.trim_matches('"'))
    }

    /// A path, taken relative to the directory in the argument before it if there is one.
    pub fn path(&self, index: usize) -> PathBuf {
        let path = to_path(&self.bytes(index));
        if path.is_absolute() || index == 0 {
            return path;
        }
        match self.descriptor(index - 1) {
            (_, Some(directory)) => directory.join(path),
            _ => path,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        let short = |argument: &String| match unhex_path(argument) {
            Some(path) if path.len() < 200 => path,
            _ if argument.len() > 40 => format!("{} bytes", argument.len() / 4),
            _ => argument.clone(),
        };
        let arguments: Vec<String> = self.arguments.iter().map(short).collect();
        let injected = if self.injected { " (injected)" } else { "" };
        format!("{}({}) = {}{injected}", self.name, arguments.join(", "), self.result)
    }
}

fn descriptor(text: &str) -> (i64, Option<PathBuf>) {
    let (number, rest) = text.split_once('<').unwrap_or((text, ""));
    let path = rest.split_once('>').map(|(path, _)| to_path(&unhex(path))).filter(|path| path.is_absolute());
    (number.parse().unwrap_or(-100), path)
}

fn unhex_path(argument: &str) -> Option<String> {
    let text = match argument.split_once('<') {
        Some((number, path)) => return Some(format!("{number}<{}", lossy(path.trim_end_matches('>')))),
        None => argument.strip_prefix('"')?.strip_suffix('"')?,
    };
    text.starts_with("\\x2f").then(|| lossy(text))
}

fn lossy(hex: &str) -> String {
    String::from_utf8_lossy(&unhex(hex)).into_owned()
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::str::from_utf8(bytes).unwrap())
}

/// `\x41\x42` to `AB`.
fn unhex(text: &str) -> Vec<u8> {
    let digit = |byte: u8| if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 };
    text.as_bytes().chunks_exact(4).map(|hex| digit(hex[2]) << 4 | digit(hex[3])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_through_a_descriptor_is_that_of_what_was_opened_last_under_its_number() {
        let path = |text: &str| hex(Path::new(text));
        let through = |rest: &str| path(&format!("/proc/self/fd/{rest}"));
        let text = format!(
            "1 openat(AT_FDCWD<{cwd}>, \"{a}\", O_RDONLY) = 7<{a}>\n\
             1 rename(\"{new}\", \"{head}\") = 0\n\
             1 openat(AT_FDCWD<{cwd}>, \"{b}\", O_RDONLY) = 7<{b}>\n\
             1 openat(AT_FDCWD<{cwd}>, \"{top}\", O_RDONLY) = 8<{b}>\n\
             1 mkdir(\"{unknown}\", 0700) = 0\n",
            cwd = path("/"),
            a = path("/disk/a"),
            b = path("/disk/b"),
            new = through("7/HEAD.new"),
            head = through("7/HEAD"),
            top = through("7"),
            unknown = through("77/x"),
        );
        let dir = tempfile::tempdir().unwrap();
        let trace = dir.path().join("trace");
        std::fs::write(&trace, text).unwrap();
        let calls = read_all(&[trace]).remove(0);
        let told: Vec<PathBuf> = [(1, 0), (1, 1), (3, 1), (4, 0)].map(|(call, at)| calls[call].path(at)).into();
        let expected = ["/disk/a/HEAD.new", "/disk/a/HEAD", "/disk/b", "/proc/self/fd/77/x"].map(PathBuf::from);
        assert_eq!(told, expected);
        assert!(calls[1].concerns(Path::new("/disk")));
    }
}
