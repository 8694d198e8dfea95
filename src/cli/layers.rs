//! `featscope layers`, `featscope presets`.

use std::fmt::Write;

use serde_json::json;

use super::{
    args::{LayersArguments, PresetsArguments},
    terminal,
};
use crate::{
    activation::Shape,
    error::Result,
    extract::preset::PRESETS,
    families::resolve,
    files::names,
    geometry::{
        Size,
        framing::{FramingPlan, WorkingSize},
    },
};

/// Lists a model's activations at a working size.
pub fn layers(arguments: &LayersArguments) -> Result<()> {
    let spec = resolve(&arguments.networks.on(&arguments.model)?)?;
    let native = Size::new(spec.native_side, spec.native_side);
    let request = arguments
        .size
        .map_or(WorkingSize::ShortSide(spec.native_side), WorkingSize::from);
    let working = FramingPlan::new(native, &request, spec.size_rule())?.framing().working;
    let list = spec.plain_catalogue(working);
    if arguments.json {
        let entries: Vec<_> = list
            .entries()
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
        let all = json!({ "model": names::text_json(&arguments.model), "working": working, "activations": entries });
        return terminal::print_json(&format!("{all:#}\n"));
    }
    let width = list
        .entries()
        .iter()
        .map(|entry| entry.id.to_string().len())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for (order, entry) in list.entries().iter().enumerate() {
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

/// Lists published settings.
pub fn presets(arguments: &PresetsArguments) -> Result<()> {
    if arguments.json {
        return terminal::print_json(&format!("{:#}\n", json!(PRESETS)));
    }
    let mut text = String::new();
    for preset in PRESETS {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:14}  {} ({})", preset.key, preset.title, preset.source);
        let _ = writeln!(text, "{:14}  {}", "", preset.in_words());
        if !preset.prompt.is_empty() {
            let _ = writeln!(text, "{:14}  prompt \"{}\"", "", preset.prompt);
        }
    }
    terminal::print(&text)
}
