//! Reference cases of families, through the command line and through a network by itself.

use std::{collections::HashMap, path::Path};

use candle_core::{Device, Tensor};
use featscope::activation::{Catalogue, Probe, Selection, Stop, Tap, no_progress};

use super::{
    TestResult, case_file, case_json, compare, compare_all, data, expected, model, numbers,
    program::{Place, Ran, run},
};

pub type Tensors = HashMap<String, Tensor>;

/// A case, and how the program is asked to run it.
pub struct Case {
    pub name: String,
    /// What `--model` is given.
    pub model: String,
    /// The arguments that say which t runs.
    pub t: Vec<String>,
    /// Other arguments.
    pub more: Vec<String>,
}

impl Case {
    /// As `case.json` says: its model, with the network of another file where one is named, at the t that ran.
    pub fn new(name: &str) -> Self {
        let json = case_json(name);
        let path = |path: &serde_json::Value| {
            let path = path.as_str().expect("a path");
            data(path).display().to_string()
        };
        let options = &json["options"];
        let mut model = path(&json["model"]);
        if options["denoiser"].is_string() {
            model = format!("{model}+{}", path(&options["denoiser"]));
        }
        let mut more = Vec::new();
        if options["vae_file"].is_string() {
            more.extend(["--vae-file".to_owned(), path(&options["vae_file"])]);
        }
        let t = json["t_ran"].as_f64().map(|t| vec!["--t".to_owned(), t.to_string()]);
        Self {
            name: name.to_owned(),
            model,
            t: t.unwrap_or_default(),
            more,
        }
    }

    /// The same, asked for its nominal t.
    pub fn asked(self, option: &str) -> Self {
        let nominal = case_json(&self.name)["t"].to_string();
        Self {
            t: vec![option.to_owned(), nominal],
            ..self
        }
    }

    /// The same with more arguments.
    pub fn with(mut self, more: &[&str]) -> Self {
        self.more.extend(more.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Runs the program with the case's noise; its output is in `place`.
    pub fn run(&self, activations: &str, place: &Place) -> Ran {
        let json = case_json(&self.name);
        let noise = case_file(&self.name, "expected.safetensors").display().to_string();
        let size = format!("{}x{}", json["width"], json["height"]);
        let out = place.text("out.safetensors");
        let mut arguments = vec!["extract", "--model", &self.model, "--size", &size, "--noise", &noise];
        arguments.extend(["--activations", activations, "--intermediates", "--out", &out]);
        if let Some(prompt) = json["prompt"].as_str() {
            arguments.extend(["--prompt", prompt]);
        }
        let images = json["images"].as_array().expect("pictures");
        let images: Vec<String> = images
            .iter()
            .map(|image| {
                case_file(&self.name, image.as_str().expect("a file"))
                    .display()
                    .to_string()
            })
            .collect();
        arguments.push("--image");
        arguments.extend(images.iter().map(String::as_str));
        arguments.extend(self.t.iter().chain(&self.more).map(String::as_str));
        run(&arguments)
    }

    /// What the program gives.
    pub fn extract(&self, activations: &str) -> Tensors {
        let place = Place::new();
        self.run(activations, &place).good();
        load(&place.path("out.safetensors"))
    }

    /// The program gives every activation, every map, the extras, and every inner tensor of the case.
    pub fn passes(&self) -> TestResult {
        let reference = expected(&self.name);
        let found = self.extract("all-maps");
        let features = compare_all(&reference, "feat.", &found)?;
        assert!(features > 0, "{} has activations", self.name);
        let inner: Tensors = of_prefix(&reference, "mid.");
        assert!(inner.contains_key("mid.unet_out"));
        compare_all(&inner, "", &found)?;
        let extra: Vec<&str> = reference
            .keys()
            .filter_map(|name| name.strip_prefix("extra."))
            .collect();
        if !extra.is_empty() {
            let found = self.extract(&extra.join(","));
            assert_eq!(compare_all(&reference, "extra.", &found)?, extra.len());
        }
        Ok(())
    }
}

fn of_prefix(tensors: &Tensors, prefix: &str) -> Tensors {
    let own = tensors.iter().filter(|(name, _)| name.starts_with(prefix));
    own.map(|(name, tensor)| (name.clone(), tensor.clone())).collect()
}

pub fn load(path: &Path) -> Tensors {
    candle_core::safetensors::load(path, &Device::Cpu).expect("an output can be read")
}

/// What a pass met, and its output unless it ended before.
pub struct Pass {
    pub taps: Tensors,
    pub output: Option<Tensor>,
}

/// Every activation of a list, extras too.
pub fn everything(list: &Catalogue) -> Selection {
    (0..list.len() as u32).map(Tap).collect()
}

/// The activations of `list` that `selection` selects and `forward` meets: in order, each with the shape listed.
pub fn pass(
    list: &Catalogue,
    selection: &Selection,
    to_the_end: bool,
    forward: impl FnOnce(&mut Probe<'_>) -> Result<Tensor, Stop>,
) -> featscope::Result<Pass> {
    let mut taps = HashMap::new();
    let mut last = None;
    let mut record = |tap: Tap, tensor: &Tensor| {
        let entry = list.entry(tap).expect("only taps of the catalogue are met");
        assert_eq!(&tensor.dims()[1..], entry.shape.dims(), "{}", entry.id);
        assert!(last < Some(tap), "{} is met out of order", entry.id);
        last = Some(tap);
        taps.insert(entry.id.to_string(), tensor.clone());
        Ok(())
    };
    let mut watch = no_progress;
    let mut probe = Probe::new(selection, list.len(), &mut record, &mut watch);
    if to_the_end {
        probe = probe.to_the_end();
    }
    let output = match forward(&mut probe) {
        Ok(output) => Some(output),
        Err(Stop::Done) => None,
        Err(Stop::Error(error)) => return Err(error),
    };
    Ok(Pass { taps, output })
}

/// The worst error of what a pass met, in standard deviations of each tensor.
pub fn worst_error(reference: &Tensors, found: &Tensors) -> Result<f64, String> {
    let mut worst = 0.0_f64;
    for (name, wanted) in reference {
        let Some(id) = name.strip_prefix("feat.").or(name.strip_prefix("extra.")) else {
            continue;
        };
        let found = found.get(id).ok_or_else(|| format!("{id} was not met"))?;
        worst = worst.max(compare(name, wanted, found)?);
    }
    Ok(worst)
}

/// A list equals a published one: ids in order, with their shapes at every side that the table has. `list` makes that of a side.
pub fn equals_published(name: &str, list: impl Fn(usize) -> Catalogue) -> TestResult {
    let table = std::fs::read_to_string(data(&format!("ids/{name}.shapes.tsv")))?;
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split('\t').collect()).collect();
    let (header, rows) = rows.split_first().ok_or("an empty table")?;
    for (column, title) in header.iter().enumerate().skip(2) {
        let side: usize = title.trim_start_matches("shape@").parse()?;
        let list = list(side);
        let listed = list.entries().iter().filter(|entry| !entry.facts.is_extra);
        let found: Vec<(String, String)> = listed
            .map(|entry| {
                (
                    entry.id.to_string(),
                    entry.shape.dims().map(|side| side.to_string()).join(","),
                )
            })
            .collect();
        let wanted = rows.iter().map(|row| (row[0].to_owned(), row[column].to_owned()));
        assert_eq!(found, wanted.collect::<Vec<_>>(), "{name} at {side}");
    }
    let published: Vec<String> = serde_json::from_str(&std::fs::read_to_string(data(&format!("ids/{name}.json")))?)?;
    let ids: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(ids, published, "{name}");
    Ok(())
}

/// The folder of a case's model.
pub fn model_of(case: &str) -> std::path::PathBuf {
    let json = case_json(case);
    let name = json["model"].as_str().expect("a model");
    model(name.trim_start_matches("models/"))
}

/// The cosine of two tensors as vectors.
pub fn cosine(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (numbers(a), numbers(b));
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}
