//! Arguments → window or command line.

use std::process::ExitCode;

use featscope::cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    // Silent unless RUST_LOG asks, such as RUST_LOG=featscope=debug.
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let arguments = match cli::parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    cli::exit_code(match &arguments.command {
        Some(command) => cli::run(command),
        None => featscope::app::open(&arguments.window),
    })
}
