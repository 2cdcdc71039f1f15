//! What helps where the operating system has a limit that was reached.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

use crate::held::{NO_INODES, lacks_inodes};
use crate::log::{LogError, OpenError};

/// What an error says, and which limit is to be raised if one was reached. The numbers of the operating system are found
/// wherever among its causes they are.
#[must_use]
pub fn advised(error: &(dyn Error + 'static)) -> String {
    what_to_raise(error).map_or_else(|| error.to_string(), |advice| format!("{error}: {advice}"))
}

fn what_to_raise(error: &(dyn Error + 'static)) -> Option<&'static str> {
    if full_place(error).is_some_and(|place| lacks_inodes(&place)) {
        return Some(NO_INODES);
    }
    let number = number_of(error)?;
    let is = |errno: Errno| errno.raw_os_error() == number;
    let advice = [
        (Errno::MFILE, "raise the limit of open files (ulimit -n)"),
        (Errno::NFILE, "raise the limit of open files of the system (sysctl fs.file-max)"),
        (Errno::FBIG, "raise the limit of the size of files (ulimit -f)"),
        (Errno::AGAIN, "raise the limit of processes and threads (ulimit -u)"),
    ];
    advice.iter().find(|(errno, _)| is(*errno)).map(|(_, advice)| *advice)
}

/// Where a disk is full, if that is what the error, or one below it, says of a log.
fn full_place(error: &(dyn Error + 'static)) -> Option<PathBuf> {
    let is_full = |source: &io::Error| source.kind() == io::ErrorKind::StorageFull;
    let opening = match error.downcast_ref::<OpenError>() {
        Some(OpenError::Full { path, .. }) => Some(path),
        Some(OpenError::Io { path, source, .. }) if is_full(source) => Some(path),
        _ => None,
    };
    let own = opening.or_else(|| match error.downcast_ref::<LogError>() {
        Some(LogError::Io { path, source, .. }) if is_full(source) => Some(path),
        _ => None,
    });
    own.cloned().or_else(|| full_place(error.source()?))
}

/// The operating system's number of the error below this one that has one.
fn number_of(error: &(dyn Error + 'static)) -> Option<i32> {
    let own = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
    own.or_else(|| number_of(error.source()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_that_was_reached_is_named_behind_the_error() {
        for (errno, limit) in
            [(Errno::MFILE, "(ulimit -n)"), (Errno::FBIG, "(ulimit -f)"), (Errno::AGAIN, "(ulimit -u)")]
        {
            let said = advised(&io::Error::from(errno));
            assert!(said.starts_with(&io::Error::from(errno).to_string()) && said.ends_with(limit), "{said}");
        }
        let other = io::Error::from(Errno::IO);
        assert_eq!(advised(&other), other.to_string());
    }
}
