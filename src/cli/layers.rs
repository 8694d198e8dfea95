//! `featscope layers`.

use std::fmt::Write;

use clap::Args;
use serde_json::json;

use super::{
    run::NetworkArguments,
    terminal,
    values::{ExactSize, text_or_path},
};
use crate::{
    activation::{CatalogueEntry, Shape},
    error::Result,
    families::resolve,
    files::names,
    geometry::{Size, framing::WorkingSize},
    image::prepare::FramingPlan,
};

/// `featscope layers`.
#[derive(Debug, Args)]
pub struct LayersArguments {
    /// Model: a zoo key, a folder, a file, or OWNER/NAME in the hub's cache; MODEL+FILE takes the U-Net of another file or folder
    #[arg(value_name = "M", value_parser = text_or_path(), required_unless_present = "model")]
    pub named: Option<String>,
    /// The same as an option
    #[arg(long, short, value_name = "M", value_parser = text_or_path(), conflicts_with = "named")]
    pub model: Option<String>,
    /// Networks in the place of its own.
    #[command(flatten)]
    pub networks: NetworkArguments,
    /// Working size, W x H or one number for both; without it the size the model was made for
    #[arg(long, value_name = "WxH|S", allow_hyphen_values = true)]
    pub size: Option<ExactSize>,
    /// List also what is offered beside the list: selected by its name, never by "all"
    #[arg(long)]
    pub extra: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Lists a model's activations at a working size.
pub fn layers(arguments: &LayersArguments) -> Result<()> {
    let model = arguments
        .named
        .as_deref()
        .or(arguments.model.as_deref())
        .unwrap_or_default();
    let spec = resolve(&arguments.networks.on(model)?)?;
    let native = Size::new(spec.native_side, spec.native_side);
    let request = arguments
        .size
        .map_or(WorkingSize::ShortSide(spec.native_side), WorkingSize::from);
    let working = FramingPlan::new(native, &request, spec.size_rule())?.framing().working;
    let all = spec.plain_catalogue(working);
    let list: Vec<&CatalogueEntry> = all
        .entries()
        .iter()
        .filter(|entry| arguments.extra || !entry.facts.is_extra)
        .collect();
    if arguments.json {
        let entries: Vec<_> = list
            .iter()
            .enumerate()
            .map(|(order, entry)| {
                json!({
                    "order": order,
                    "id": entry.id,
                    "kind": match entry.shape { Shape::Features { .. } => "features", Shape::Attention { .. } => "attention" },
                    "shape": entry.shape.dims(),
                    "bytes": entry.shape.bytes(),
                    "position": (order + 1) as f64 / list.len() as f64,
                })
            })
            .collect();
        let all = json!({ "model": names::text_json(model), "working": working, "activations": entries });
        return terminal::print_json(&format!("{all:#}\n"));
    }
    let width = list.iter().map(|entry| entry.id.to_string().len()).max().unwrap_or(0);
    let mut text = String::new();
    for (order, entry) in list.iter().enumerate() {
        let shape = match entry.shape {
            Shape::Features { channels, grid } => format!("{channels} x {} x {}", grid.height, grid.width),
            Shape::Attention { heads, queries, keys } => format!("{heads} heads x {queries} x {keys}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "{order:4}  {:width$}  {shape:24} {:>14} B",
            entry.id.to_string(),
            entry.shape.bytes()
        );
    }
    terminal::print(&text)
}
