//! The library without a window. In: arguments. Out: files, text on standard output, an exit status. `main` calls it.

mod args;
mod extract;
mod layers;
mod matching;
mod pca;
mod terminal;

use std::process::ExitCode;

pub use args::{Arguments, Command, WindowArguments};

use crate::error::{Error, Result};

/// Exit status for a request that is wrong in itself.
const BAD_ARGUMENTS: u8 = 2;
/// Exit status for anything else that went wrong.
const FAILED: u8 = 1;

/// Runs a command.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Layers(arguments) => layers::layers(arguments),
        Command::Extract(arguments) => extract::extract(arguments),
        Command::Pca(arguments) => pca::pca(arguments),
        Command::Match(arguments) => matching::find(arguments),
        Command::Models(command) => layers::models(command),
    }
}

/// The exit status of a result; an error is told in one paragraph on standard error.
pub fn exit_code(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::note(&error.to_string());
            ExitCode::from(if matches!(error, Error::Usage(_)) {
                BAD_ARGUMENTS
            } else {
                FAILED
            })
        }
    }
}
