//! `featscope presets`.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::terminal;
use crate::{error::Result, extract::preset::PRESETS};

/// `featscope presets`.
#[derive(Debug, Args)]
pub struct PresetsArguments {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Lists published settings.
pub fn presets(arguments: &PresetsArguments) -> Result<()> {
    if arguments.json {
        return terminal::print_json(&format!("{:#}\n", json!(PRESETS)));
    }
    let mut text = String::new();
    for preset in PRESETS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:14}  {} ({})", preset.key, preset.title, preset.source);
        let _ = writeln!(text, "{:14}  {}", "", preset.describe());
        if !preset.prompt.is_empty() {
            let _ = writeln!(text, "{:14}  prompt \"{}\"", "", preset.prompt);
        }
    }
    terminal::print(&text)
}
