//! An adapter file and how it fits a model.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
};

use super::{
    kinds::{Recipe, Source},
    ldm_names::{ldm_name, ldm_upsampler},
    locate::{PEFT_STEM, locate},
    names::{FactorRole, Key, Part, flat, other_kind, parse},
    scale::{HEADER_KEY, PeftConfig, Settings},
};
use crate::{
    error::{Error, Result, clipped},
    files,
    nn::adaptable::LayerInfo,
    weights::Store,
};

/// Messages name at most so many tensors.
const MAX_NAMED: usize = 3;
/// No LoRA in use has a larger alpha.
const MAX_ALPHA: f64 = 1e6;
/// PEFT's settings beside its file, and how large they can be.
const CONFIG: &str = "adapter_config.json";
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// By how much two statements of one scale may differ: alpha may be in a short format.
const SAME_SCALE: f64 = 1e-2;
/// The key of a header under which kohya's scripts say what made the file, and what their own OFT says there.
const MADE_BY: &str = "ss_network_module";
const KOHYA_OFT: &str = "networks.oft";

/// An adapter file, of which nothing but names and shapes is read before it is put on a model.
pub struct LoraFile {
    /// As it was given.
    path: PathBuf,
    store: Store,
    settings: Option<Settings>,
    layers: BTreeMap<(Part, String), Tensors>,
}

/// The tensors of one layer, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tensors {
    pub(super) names: BTreeMap<FactorRole, String>,
    /// Whether PEFT wrote them.
    pub(super) peft: bool,
}

/// Which layers of a model an adapter changes, and how.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fit {
    /// How many layers.
    pub layers: usize,
    /// Kinds of adapter in it, such as "LoRA".
    pub kinds: Vec<&'static str>,
    /// Scale of the file's factors before the requested one; none where it has no factors.
    pub factors: Option<Factors>,
}

/// Scale of an adapter's factors before the requested one: alpha / rank.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// The smallest and the largest of all layers.
    pub range: [f64; 2],
    /// Where they were found, and the words of that place.
    pub source: String,
}

/// The factor of one layer, and where it was found.
pub(super) struct Factor {
    pub(super) number: f64,
    said: String,
}

impl LoraFile {
    /// Opens a file of tensors, a folder that holds one, or a repository in the hub's cache.
    ///
    /// # Errors
    ///
    /// Where there is no file, where its tensors are none of an adapter of a known kind, and where its settings
    /// contradict each other.
    pub fn open(path: &Path) -> Result<Self> {
        let file = locate(path)?;
        let store = Store::open(&file)?;
        let mut lora = Self {
            path: path.to_owned(),
            layers: BTreeMap::new(),
            settings: None,
            store,
        };
        let opened = lora.group().and_then(|peft| lora.read_settings(&file, peft));
        match opened {
            Ok(()) => Ok(lora),
            Err(error) => Err(lora.refused(error)),
        }
    }

    fn refused(&self, error: Error) -> Error {
        error.context(format!("the LoRA {} cannot be used", self.path.display()))
    }

    /// Puts every tensor to its layer, and says whether PEFT named any of them.
    fn group(&mut self) -> Result<bool> {
        let mut names: Vec<&str> = self.store.names().collect();
        names.sort_unstable();
        let mut unknown: Vec<String> = Vec::new();
        let mut adapters = BTreeSet::new();
        let mut layers: BTreeMap<(Part, String), Tensors> = BTreeMap::new();
        for name in &names {
            if let Some(kind) = other_kind(name) {
                return Err(Error::failed(format!(
                    "its tensor {} is of {kind}, which is not computed",
                    clipped(name)
                )));
            }
            let Some(Key {
                part,
                layer,
                role,
                peft,
                adapter,
            }) = parse(name)
            else {
                unknown.push((*name).to_owned());
                continue;
            };
            adapters.extend(adapter);
            let tensors = layers.entry((part, layer)).or_default();
            tensors.peft |= peft;
            if let Some(other) = tensors.names.insert(role, (*name).to_owned()) {
                if adapters.len() > 1 {
                    return Err(several_adapters(&adapters));
                }
                return Err(Error::failed(format!(
                    "it has two tensors for the same part of one layer: {} and {}",
                    clipped(&other),
                    clipped(name)
                )));
            }
        }
        if adapters.len() > 1 {
            return Err(several_adapters(&adapters));
        }
        // A weight alone is one of a network, not of an adapter.
        layers.retain(|_, tensors| {
            let whole =
                tensors.names.contains_key(&FactorRole::Factors) && !tensors.names.contains_key(&FactorRole::OnInput);
            if whole {
                unknown.extend(tensors.names.values().cloned());
            }
            !whole
        });
        if layers.is_empty() {
            return Err(Error::failed(format!(
                "it is no LoRA: none of its {} tensors has a name of kohya's scripts, LyCORIS, PEFT, ComfyUI or diffusers ({})",
                unknown.len(),
                listed(&unknown)
            )));
        }
        if !unknown.is_empty() {
            return Err(Error::failed(format!(
                "{} of its {} tensors have names of no adapter that is known ({})",
                unknown.len(),
                names.len(),
                listed(&unknown)
            )));
        }
        self.layers = layers;
        Ok(self.layers.values().any(|tensors| tensors.peft))
    }

    /// Reads what PEFT says of the file: in its header, or beside it.
    fn read_settings(&mut self, file: &Path, peft: bool) -> Result<()> {
        if let Some(json) = self.store.metadata(HEADER_KEY) {
            let name = file.file_name().unwrap_or_default().display().to_string();
            self.settings = Some(Settings::of_header(json, &name)?);
            return Ok(());
        }
        let config = file.with_file_name(CONFIG);
        let of_peft = peft || file.file_stem().is_some_and(|stem| stem == PEFT_STEM);
        if of_peft && config.exists() {
            let json = files::read_text(&config, MAX_CONFIG_BYTES, "PEFT's settings of an adapter")?;
            self.settings = Some(Settings::of_file(&json, CONFIG.to_owned())?);
        }
        Ok(())
    }

    /// Whether anything in the file is for this part of a model.
    pub fn has(&self, part: Part) -> bool {
        self.layers.keys().any(|(of, _)| *of == part)
    }

    /// How the file fits a model with these layers; a file of which any tensor fits no layer, or has another shape than its
    /// layer, is of another model and refused. `layers_per_block` are those of the U-Net's down levels.
    ///
    /// # Errors
    ///
    /// Where a tensor fits no layer, or has another shape than its layer.
    pub fn fit(&self, model: &[(Part, Vec<LayerInfo>)], layers_per_block: &[usize]) -> Result<Fit> {
        self.fit_all(model, layers_per_block)
            .map_err(|error| self.refused(error))
    }

    fn fit_all(&self, model: &[(Part, Vec<LayerInfo>)], layers_per_block: &[usize]) -> Result<Fit> {
        let layers: HashMap<Part, HashMap<String, &LayerInfo>> = model
            .iter()
            .map(|(part, layers)| (*part, by_flat_name(layers, *part, layers_per_block)))
            .collect();
        self.check_all_used(&layers)?;
        let mut changed = BTreeSet::new();
        let mut kinds = BTreeSet::new();
        let mut factors: Option<Factors> = None;
        for ((part, name), tensors) in &self.layers {
            let Some(info) = layers.get(part).and_then(|layers| layers.get(name)) else {
                continue;
            };
            if !changed.insert((*part, info.name.as_str())) {
                return Err(Error::failed(format!(
                    "it has tensors for the layer {} under two names",
                    info.name
                )));
            }
            let (recipe, factor) = self.recipe(*part, info, tensors)?;
            kinds.insert(recipe.kind());
            if let Some(Factor { number, said }) = factor {
                let Factors { range, source } = factors.get_or_insert_with(|| Factors {
                    range: [number; 2],
                    source: said.clone(),
                });
                if *range != [number; 2] || *source != said {
                    *range = [range[0].min(number), range[1].max(number)];
                    *source = self.source_of_several(source, &said);
                }
            }
        }
        Ok(Fit {
            layers: changed.len(),
            kinds: kinds.into_iter().collect(),
            factors,
        })
    }

    /// Sources of factors of layers that differ.
    fn source_of_several(&self, one: &str, other: &str) -> String {
        match &self.settings {
            Some(settings) => format!("alpha and rank of each layer by {}", settings.source),
            None if one == other => one.to_owned(),
            None => "alpha and rank of each layer in the file".to_owned(),
        }
    }

    fn check_all_used(&self, layers: &HashMap<Part, HashMap<String, &LayerInfo>>) -> Result<()> {
        let mut unused: BTreeMap<Part, Vec<&str>> = BTreeMap::new();
        for ((part, name), tensors) in &self.layers {
            let is_there = layers.get(part).is_some_and(|layers| layers.contains_key(name));
            if !is_there {
                let names = tensors.names.values().map(String::as_str);
                unused.entry(*part).or_default().extend(names);
            }
        }
        let count: usize = unused.values().map(Vec::len).sum();
        let Some((part, names)) = unused.into_iter().next() else {
            return Ok(());
        };
        let all: usize = self.layers.values().map(|tensors| tensors.names.len()).sum();
        let of_part = match layers.contains_key(&part) {
            true => "fit no layer of this model".to_owned(),
            false => format!("are for {part}, which this model does not have"),
        };
        let whole = if count == all {
            "it is for another one"
        } else {
            "it is for another one, or only in part for this"
        };
        Err(Error::usage(format!(
            "{count} of its {all} tensors {of_part} ({}): {whole}",
            listed(&names)
        )))
    }

    /// The recipe for a layer, of which all shapes fit, and the factor of its change where it has one.
    pub(super) fn recipe<'a>(
        &'a self,
        part: Part,
        info: &LayerInfo,
        tensors: &'a Tensors,
    ) -> Result<(Recipe<'a>, Option<Factor>)> {
        let of_layer = |error: Error| error.context(&info.name);
        let config = self.settings.as_ref().and_then(|settings| settings.of(part));
        let recipe = Recipe::new(&tensors.names).map_err(of_layer)?;
        if let Some(config) = config {
            self.agrees(config, &recipe).map_err(of_layer)?;
        }
        let rank = recipe.check(&self.source(part), info)?;
        let factor = self.factor(part, info, &recipe, rank, config).map_err(of_layer)?;
        Ok((recipe, factor))
    }

    /// The tensors of a part, with their settings.
    pub(super) fn source(&self, part: Part) -> Source<'_> {
        let config = self.settings.as_ref().and_then(|settings| settings.of(part));
        Source {
            store: &self.store,
            oft: config.and_then(PeftConfig::oft),
        }
    }

    /// Refuses tensors of another kind than the settings are for.
    fn agrees(&self, config: &PeftConfig, recipe: &Recipe<'_>) -> Result<()> {
        let source = self.settings.as_ref().map_or("", |settings| &settings.source);
        if !recipe.is_of(config.kind()) {
            return Err(Error::failed(format!(
                "{source} is for PEFT's {:?}, but the tensors are of {}",
                config.kind(),
                recipe.kind()
            )));
        }
        for (setting, said, found) in [
            ("use_dora", config.dora(), recipe.is_dora()),
            ("lora_bias", config.up_bias(), recipe.has_up_bias()),
        ] {
            if recipe.is_low_rank() && said.is_some_and(|said| said != found) {
                return Err(Error::failed(format!(
                    "{source} says {setting} {}, and the tensors of the layer say otherwise",
                    !found
                )));
            }
        }
        Ok(())
    }

    /// By what the layer's factors are multiplied.
    fn factor(
        &self,
        part: Part,
        info: &LayerInfo,
        recipe: &Recipe<'_>,
        rank: Option<usize>,
        config: Option<&PeftConfig>,
    ) -> Result<Option<Factor>> {
        let alpha = self.alpha(part, recipe)?;
        if !recipe.is_scaled() {
            return Ok(None);
        }
        let of_file = match (alpha, rank) {
            (Some(alpha), Some(rank)) => Some(Factor {
                number: alpha / rank as f64,
                said: format!("alpha {alpha} / rank {rank} in the file"),
            }),
            // Two whole matrices have no rank: LyCORIS does not scale them.
            _ => None,
        };
        let Some((config, settings)) = config.zip(self.settings.as_ref()) else {
            return Ok(of_file.or(Some(Factor {
                number: 1.0,
                said: match alpha {
                    Some(_) => "two whole matrices have no rank, and alpha does not count".to_owned(),
                    None => "the file has no alpha".to_owned(),
                },
            })));
        };
        let said = config.scale(&name_for_peft(part, &info.name))?;
        if let Some(rank) = rank
            && said.rank != rank as f64
        {
            return Err(Error::failed(format!(
                "{} says rank {}, but the factors have rank {rank}",
                settings.source, said.rank
            )));
        }
        let of_settings = Factor {
            number: said.factor(),
            said: format!("{} by {}", said.describe(), settings.source),
        };
        match of_file {
            Some(Factor { number, said }) if (number - of_settings.number).abs() > SAME_SCALE * number.abs() => {
                Err(Error::failed(format!(
                    "two scales are said, and they are not the same: {said}, and {}",
                    of_settings.said
                )))
            }
            _ => Ok(Some(of_settings)),
        }
    }

    /// The layer's alpha, if it has one: a scale, or of rotations a constraint.
    fn alpha(&self, part: Part, recipe: &Recipe<'_>) -> Result<Option<f64>> {
        let Some(name) = recipe.alpha else {
            return Ok(None);
        };
        let alpha = self.source(part).number(name)?;
        if alpha.abs() > MAX_ALPHA {
            return Err(Error::failed(format!("{name} is {alpha}, more than any LoRA has")));
        }
        let of_kohya = self.store.metadata(MADE_BY) == Some(KOHYA_OFT);
        if alpha == 0.0 && (recipe.is_scaled() || of_kohya) {
            return Err(Error::failed(format!(
                "{name} is 0: some programs take it as a scale of 1, others as none, and which made the file is not said"
            )));
        }
        Ok(Some(alpha))
    }

    pub(super) fn layers_of(&self, part: Part) -> impl Iterator<Item = (&str, &Tensors)> {
        let of_part = self.layers.iter().filter(move |((of, _), _)| *of == part);
        of_part.map(|((_, name), tensors)| (name.as_str(), tensors))
    }

    pub(super) fn in_context(&self, error: Error) -> Error {
        self.refused(error)
    }
}

/// A layer's name as PEFT's patterns mean it: those of text encoders always with what transformers puts before them.
fn name_for_peft(part: Part, layer: &str) -> String {
    const TEXT_MODEL: &str = "text_model.";
    match part {
        Part::Text(_) if !layer.starts_with(TEXT_MODEL) && layer.contains('.') => format!("{TEXT_MODEL}{layer}"),
        _ => layer.to_owned(),
    }
}

/// Layers by every name that adapter files may have for them.
pub(super) fn by_flat_name<'a>(
    layers: &'a [LayerInfo],
    part: Part,
    layers_per_block: &[usize],
) -> HashMap<String, &'a LayerInfo> {
    let mut names = HashMap::with_capacity(2 * layers.len());
    for layer in layers {
        names.insert(flat(&layer.name, part), layer);
        if part == Part::Unet {
            let original = ldm_name(&layer.name, layers_per_block);
            let upsampler = ldm_upsampler(&layer.name, layers_per_block);
            for name in original.into_iter().chain(upsampler.into_iter().flatten()) {
                names.insert(flat(&name, part), layer);
            }
        }
    }
    names
}

fn several_adapters(names: &BTreeSet<String>) -> Error {
    Error::failed(format!(
        "it holds several adapters ({}): give each in a file of its own",
        listed(names)
    ))
}

/// A few names for a message, and how many there are besides.
fn listed<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    let mut names = names.into_iter();
    let shown: Vec<String> = names
        .by_ref()
        .take(MAX_NAMED)
        .map(|name| clipped(name.as_ref()))
        .collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
