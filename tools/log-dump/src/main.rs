//! `log-dump`: the program. See `log-dump --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    log_dump::run()
}
