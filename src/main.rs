//! Arguments → window or command line.

use std::process::ExitCode;

use clap::Parser;
use featscope::cli::{self, Arguments};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    cli::exit_code(match &arguments.command {
        Some(command) => cli::run(command),
        None => featscope::app::open(&arguments.window),
    })
}
