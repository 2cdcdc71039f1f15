//! What helps where the operating system has a limit that was reached.

use std::error::Error;
use std::io;

use rustix::io::Errno;

/// What an error says, and which limit is to be raised if one was reached. The numbers of the operating system are found
/// wherever among its causes they are.
#[must_use]
pub fn advised(error: &(dyn Error + 'static)) -> String {
    what_to_raise(error).map_or_else(|| error.to_string(), |advice| format!("{error}: {advice}"))
}

fn what_to_raise(error: &(dyn Error + 'static)) -> Option<&'static str> {
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
