//! Arguments → window or command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    featscope::cli::main()
}
