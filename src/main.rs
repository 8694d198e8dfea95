//! Arguments → window or command line.

use std::process::ExitCode;

use featscope::cli;

fn main() -> ExitCode {
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    cli::exit_code(match &arguments.command {
        Some(command) => cli::run(command),
        None => featscope::app::open(&arguments.window),
    })
}
