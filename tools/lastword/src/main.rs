//! `lastword`: the program. See `lastword --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    lastword_cli::run()
}
