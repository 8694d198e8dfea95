//! `featscope completions`, `featscope man`: what the arguments are, for shells and for `man`.

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{args::Arguments, terminal};
use crate::{
    error::{Error, Result},
    words::did_you_mean,
};

/// The program as it is typed.
const PROGRAM: &str = "featscope";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// `featscope completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// `featscope man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// The page of this command, instead of the program's
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Prints a script that lets a shell complete the arguments.
pub fn completions(arguments: &CompletionsArguments) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut shown(), PROGRAM, &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}

/// Prints a page in the format of `man`.
pub fn man(arguments: &ManArguments) -> Result<()> {
    let mut program = shown();
    program.build();
    let page = match &arguments.command {
        None => program,
        Some(name) => page_of(&program, name)?,
    };
    let mut text = Vec::new();
    Man::new(page)
        .render(&mut text)
        .map_err(|error| Error::failed(format!("the page cannot be made: {error}")))?;
    terminal::print(&String::from_utf8_lossy(&text))
}

/// The program without what it starts itself.
fn shown() -> Command {
    let all = Arguments::command();
    let commands: Vec<Command> = all
        .get_subcommands()
        .filter(|command| !command.is_hide_set())
        .cloned()
        .collect();
    let program = Command::new(PROGRAM).version(VERSION).subcommands(commands);
    let program = match all.get_about() {
        Some(about) => program.about(about.clone()),
        None => program,
    };
    program.args(all.get_arguments().cloned())
}

/// The page of a command, which is named with the program before it.
fn page_of(program: &Command, name: &str) -> Result<Command> {
    let found = program.find_subcommand(name).ok_or_else(|| {
        let hint = did_you_mean(name, program.get_subcommands().map(Command::get_name));
        Error::usage(format!("there is no command \"{name}\"{hint}"))
    })?;
    Ok(found.clone().version(VERSION))
}
