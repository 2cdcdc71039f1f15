//! The bytes of a configuration file, and where its paths start. It must not know what they say.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use humantime::format_duration;
use lastword::describe::advised;

use crate::console::{note, quoted};
use crate::fail::{CANNOT_OPEN, Fail, USAGE};

/// Far more than hundreds of thousands of collections take, and little enough to be held: a file may lead to a device that
/// has no end.
const MOST_BYTES: u64 = 64 << 20;

/// How long what writes into a pipe may take: a program that asks others for secrets takes seconds.
const GIVEN_WITHIN: Duration = Duration::from_secs(30);

/// When it is said that nothing comes out of it.
const TOLD_AFTER: Duration = Duration::from_secs(3);

/// What is in the file, and the directory at which its relative paths start.
pub(super) fn text_of(file: &Path) -> Result<(Vec<u8>, PathBuf), Fail> {
    let unreadable =
        |error: io::Error| Fail::new(USAGE, format!("{}: cannot be read: {}", file.display(), advised(&error)));
    if file.is_dir() {
        let problem = "is a directory; give the configuration, a file such as lastword.toml";
        return Err(Fail::new(USAGE, format!("{}: {problem}", file.display())));
    }
    let text = match file.is_file() {
        true => bytes_of(file),
        false => given_by(file)?,
    };
    let text = text.map_err(unreadable)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(Fail::new(USAGE, format!("{}: has more than {} MiB", file.display(), MOST_BYTES >> 20)));
    }
    Ok((text, directory_of(file).map_err(unreadable)?))
}

fn bytes_of(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What comes out of a pipe, which may never come: nobody has to be on its other side.
fn given_by(pipe: &Path) -> Result<io::Result<Vec<u8>>, Fail> {
    let (answer, answered) = sync_channel(1);
    let read = pipe.to_owned();
    let reading = move || drop(answer.send(bytes_of(&read)));
    let started = thread::Builder::new().name("lastword-pipe".to_owned()).spawn(reading);
    started.map_err(|error| Fail::io(pipe.display(), &error))?;
    answered.recv_timeout(TOLD_AFTER).or_else(|_| {
        let most = format_duration(GIVEN_WITHIN);
        note(&format!(
            "{}: is no file, and nothing has come out of it yet; it is waited for, for {most} at most",
            quoted(pipe)
        ));
        let silent = || format!("{}: is no file, and nothing has come out of it for {most}", quoted(pipe));
        answered.recv_timeout(GIVEN_WITHIN.saturating_sub(TOLD_AFTER)).map_err(|_| Fail::new(CANNOT_OPEN, silent()))
    })
}

/// The directory a file lies in, without links: the same file, reached on two ways, has to mean the same sources. The
/// file itself may be a link; its paths start where the link lies.
fn directory_of(file: &Path) -> io::Result<PathBuf> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(parent)
}
