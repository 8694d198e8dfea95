//! The library without a window. In: arguments. Out: files, text on standard output, an exit status. `main` calls it.

mod adapters;
mod args;
mod choices;
mod doctor;
mod extract;
mod gpu;
mod layers;
mod manual;
mod matching;
mod models;
mod page;
mod pca;
mod pictures;
mod presets;
mod ranking;
mod recommend;
mod run;
#[cfg(feature = "window")]
mod shot;
#[cfg(unix)]
mod signals;
mod survey;
mod terminal;
mod told;
mod values;
mod worker;

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

pub use args::{Arguments, Command, WindowArguments};
use clap::{CommandFactory, Parser, error::ErrorKind};
use tracing_subscriber::EnvFilter;
use values::MemorySize;

use crate::{
    device,
    error::{Error, Result},
    words::did_you_mean,
};

/// Exit status for a request that is wrong in itself.
const BAD_ARGUMENTS: u8 = 2;
/// Exit status for anything else that went wrong.
const FAILED: u8 = 1;

/// Reads the program's arguments; help and what is wrong with them are told at once, with the exit status to end with.
///
/// # Errors
///
/// The exit status, where help was asked for, or the arguments are wrong.
pub fn parse() -> Result<Arguments, ExitCode> {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if words.get(1).is_some_and(|word| word == "-q" || word == "--quiet") {
        // Before a command it would be an option of the window.
        words.remove(1);
        terminal::be_quiet();
    }
    // The first word is looked at before all others, which say nothing where it is no command.
    if let Some(error) = words.get(1).and_then(|word| no_command(word)) {
        return Err(exit_code(Err(error)));
    }
    let arguments = Arguments::try_parse_from(words).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            // A closed output leaves nobody to tell.
            let _ = error.print();
            u8::try_from(error.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
        }
        _ => exit_code(Err(Error::usage(one_paragraph(&error)))),
    })?;
    let mut files = arguments.window.files.iter();
    if let Some(error) = files.find_map(|file| no_command(file.as_os_str())) {
        return Err(exit_code(Err(error)));
    }
    if arguments.quiet {
        terminal::be_quiet();
    }
    let asked = arguments
        .weights_memory()
        .map_or_else(MemorySize::from_environment, |bytes| Ok(Some(bytes)));
    device::set_weights_memory(asked.map_err(|error| exit_code(Err(error)))?);
    Ok(arguments)
}

/// What is said of a word that looks like a command, but is none, and no file either.
fn no_command(word: &OsStr) -> Option<Error> {
    let text = word.to_str()?;
    let is_word = text.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && text
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_');
    let command = Arguments::command();
    let known = || {
        command
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(|command| command.get_name())
    };
    let is_command = text == "help" || command.find_subcommand(text).is_some();
    if !is_word || is_command || Path::new(word).exists() {
        return None;
    }
    Some(Error::usage(format!(
        "\"{text}\" is neither a command nor a file{} (--help lists the commands)",
        did_you_mean(text, known())
    )))
}

/// What is wrong with the arguments and what may have been meant, without the usage lines.
fn one_paragraph(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let parts: Vec<String> = text
        .split("\n\n")
        .take_while(|part| !part.starts_with("Usage:") && !part.starts_with("For more information"))
        .map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|part| {
            let part = part.strip_prefix("error: ").unwrap_or(&part);
            part.strip_prefix("tip: ").unwrap_or(part).to_owned()
        })
        .collect();
    format!("{} (--help lists the arguments)", parts.join("; "))
}

/// The program: a window, or a command.
pub fn main() -> ExitCode {
    begin();
    let arguments = match parse() {
        Ok(arguments) => arguments,
        Err(status) => return status,
    };
    match &arguments.command {
        Some(command) => match gpu::elsewhere(command) {
            Ok(Some(status)) => status,
            Ok(None) => exit_code(run(command)),
            Err(error) => exit_code(Err(error)),
        },
        #[cfg(feature = "window")]
        None => exit_code(shot::open(&arguments.window)),
        #[cfg(not(feature = "window"))]
        None => exit_code(Err(Error::usage(
            "this executable has no window: name a command (--help lists them), or build it with the feature \"window\"",
        ))),
    }
}

/// The program without its window and what draws it: the worker for GPUs.
pub fn main_without_window() -> ExitCode {
    begin();
    match parse() {
        Ok(Arguments {
            command: Some(command), ..
        }) => exit_code(run(&command)),
        Ok(_) => exit_code(Err(Error::usage(
            "this executable has no window: start `featscope`, which uses it as its worker",
        ))),
        Err(status) => status,
    }
}

/// What comes before the arguments.
fn begin() {
    listen_to_rust_log();
    #[cfg(unix)]
    signals::clear_up_on_signals();
}

/// Silent unless RUST_LOG asks, such as RUST_LOG=featscope=debug.
fn listen_to_rust_log() {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::from_default_env())
        // What colours the log would also colour the terminal for who names a file.
        .with_ansi(false)
        .with_writer(|| terminal::Log)
        .init();
}

/// Runs a command.
///
/// # Errors
///
/// Whatever the command could not do, as it is shown to the user.
pub fn run(command: &Command) -> Result<()> {
    match command {
        Command::Layers(arguments) => layers::layers(arguments),
        Command::Extract(arguments) => extract::extract(arguments),
        Command::Page(arguments) => page::page(arguments),
        Command::Pca(arguments) => pca::pca(arguments),
        Command::Match(arguments) => matching::find(arguments),
        Command::Rank(arguments) => ranking::rank(arguments),
        Command::Survey(arguments) => survey::survey(arguments),
        Command::Recommend(arguments) => recommend::recommend(arguments),
        #[cfg(feature = "window")]
        Command::Shot(arguments) => shot::shot(arguments),
        #[cfg(feature = "window")]
        Command::Export(arguments) => shot::export(arguments),
        Command::Presets(arguments) => presets::presets(arguments),
        Command::Models(command) => models::models(command),
        Command::Doctor(arguments) => doctor::doctor(arguments),
        Command::Completions(arguments) => manual::completions(arguments),
        Command::Man(arguments) => manual::man(arguments),
        Command::Worker(arguments) => worker::worker(arguments),
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
