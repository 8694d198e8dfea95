//! A LoRA file and how it fits a model.

use std::{
    collections::{BTreeMap, HashMap},
    ffi::OsStr,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};

use super::names::{Key, Part, Role, flat, original_name, original_upsampler, other_kind, parse};
use crate::{
    error::{Error, Result},
    model::layers::{Adaptable, Branch},
    weights::Store,
};

/// Messages name at most so many tensors.
const MAX_NAMED: usize = 3;
/// Endings of PyTorch's own format.
const PICKLES: [&str; 4] = ["pt", "pth", "ckpt", "bin"];
/// No LoRA in use has a larger alpha.
const MAX_ALPHA: f64 = 1e6;

/// A layer of a network that a LoRA may fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// Its name: that of its weight without `.weight`.
    pub name: String,
    /// (out, in), or (out, in, kh, kw) for a convolution.
    pub shape: Vec<usize>,
}

/// A LoRA file, of which nothing but names and shapes is read before it is put on a model.
pub struct LoraFile {
    path: PathBuf,
    store: Store,
    pairs: BTreeMap<(Part, String), Pair>,
    /// Names that stand for nothing known.
    unknown: Vec<String>,
}

/// The tensors of one layer, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Pair {
    down: Option<String>,
    up: Option<String>,
    alpha: Option<String>,
}

impl Pair {
    fn names(&self) -> impl Iterator<Item = &String> {
        [&self.down, &self.up, &self.alpha].into_iter().flatten()
    }
}

/// Which layers of a model a LoRA changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fit {
    /// How many layers.
    pub layers: usize,
    /// Names of the tensors that fit no layer.
    pub unused: Vec<String>,
}

impl Fit {
    /// What is not used, for a message: how many tensors, and a few names; none if all are used.
    pub fn unused_in_words(&self) -> Option<String> {
        (!self.unused.is_empty()).then(|| {
            let dots = if self.unused.len() > MAX_NAMED { ", …" } else { "" };
            format!(
                "{} of its tensors fit no layer of the model and are not used ({}{dots})",
                self.unused.len(),
                named(&self.unused)
            )
        })
    }
}

fn named(names: &[String]) -> String {
    names
        .iter()
        .take(MAX_NAMED)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(", ")
}

impl LoraFile {
    /// Opens a safetensors file, or a PyTorch file of which nothing but tensors is read.
    pub fn open(path: &Path) -> Result<Self> {
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        let store = if PICKLES.contains(&extension.to_ascii_lowercase().as_str()) {
            Store::open_pickle(path)?
        } else {
            Store::open_safetensors(&[path.to_owned()])?
        };
        Self::from_store(path, store)
    }

    fn from_store(path: &Path, store: Store) -> Result<Self> {
        let mut names: Vec<&str> = store.names().collect();
        names.sort_unstable();
        let mut pairs: BTreeMap<(Part, String), Pair> = BTreeMap::new();
        let mut unknown = Vec::new();
        for name in names {
            if let Some(kind) = other_kind(name) {
                return Err(Error::failed(format!(
                    "{} cannot be used: its tensor {name} is of {kind}, and only LoRA and LoCon (two factors per layer) are \
                     supported",
                    path.display()
                )));
            }
            let Some(Key { part, layer, role }) = parse(name) else {
                unknown.push(name.to_owned());
                continue;
            };
            let pair = pairs.entry((part, layer)).or_default();
            let place = match role {
                Role::Down => &mut pair.down,
                Role::Up => &mut pair.up,
                Role::Alpha => &mut pair.alpha,
            };
            if let Some(other) = place.replace(name.to_owned()) {
                return Err(Error::failed(format!(
                    "{} has two tensors for the same part of one layer: {other} and {name}",
                    path.display()
                )));
            }
        }
        if pairs.is_empty() {
            return Err(Error::failed(format!(
                "{} is no LoRA: none of its {} tensors has a name of kohya's scripts, PEFT or diffusers (it has {})",
                path.display(),
                unknown.len(),
                named(&unknown)
            )));
        }
        Ok(Self {
            path: path.to_owned(),
            store,
            pairs,
            unknown,
        })
    }

    /// How the file fits a model with these layers; a file that fits nothing, or of which a tensor has another shape than
    /// its layer, is of another model and refused. `layers_per_block` are those of the U-Net's down levels.
    pub fn fit(&self, model: &[(Part, Vec<Layer>)], layers_per_block: &[usize]) -> Result<Fit> {
        let mut fit = Fit {
            layers: 0,
            unused: self.unknown.clone(),
        };
        let layers: HashMap<Part, HashMap<String, &Layer>> = model
            .iter()
            .map(|(part, layers)| (*part, by_flat_name(layers, *part, layers_per_block)))
            .collect();
        for ((part, name), pair) in &self.pairs {
            match layers.get(part).and_then(|layers| layers.get(name)) {
                Some(layer) => {
                    self.check(pair, &layer.name, &layer.shape)?;
                    fit.layers += 1;
                }
                None => fit.unused.extend(pair.names().cloned()),
            }
        }
        if fit.layers == 0 {
            return Err(Error::usage(format!(
                "the LoRA {} fits no layer of this model: it is for another one (it has {})",
                self.path.display(),
                named(&fit.unused)
            )));
        }
        Ok(fit)
    }

    /// Whether anything in the file is for this part of a model.
    pub fn has(&self, part: Part) -> bool {
        self.pairs.keys().any(|(of, _)| *of == part)
    }

    /// The branch that a layer gets at this scale.
    fn branch(&self, pair: &Pair, layer: &str, shape: &[usize], scale: f64, to: &(DType, Device)) -> Result<Branch> {
        let (down_name, up_name, rank) = self.check(pair, layer, shape)?;
        let load = |name: &str| {
            let tensor = self.store.var_builder(DType::F32, &Device::Cpu).get_unchecked(name)?;
            Ok::<_, Error>(tensor)
        };
        let alpha = match &pair.alpha {
            Some(name) => {
                let alpha = load(name)?.flatten_all()?.to_vec1::<f32>()?;
                alpha.first().map_or(rank as f64, |alpha| f64::from(*alpha))
            }
            None => rank as f64,
        };
        if alpha.abs() > MAX_ALPHA {
            return Err(Error::failed(format!(
                "{}: the alpha of {layer} is {alpha}, more than any LoRA has",
                self.path.display()
            )));
        }
        // The same number of dimensions as the layer: 1x1 convolutions and linear layers stand for each other.
        let shaped = |tensor: Tensor, kernel: &[usize]| {
            let (rows, columns) = (tensor.dim(0)?, tensor.dim(1)?);
            Ok::<_, Error>(tensor.reshape([&[rows, columns], kernel].concat())?)
        };
        let (kernel, point): (&[usize], &[usize]) = match shape.len() {
            4 => (&shape[2..], &[1, 1]),
            _ => (&[], &[]),
        };
        let (dtype, device) = to;
        let scaled = (load(up_name)? * (scale * alpha / rank as f64))?;
        Ok(Branch {
            down: shaped(load(down_name)?, kernel)?.to_dtype(*dtype)?.to_device(device)?,
            up: shaped(scaled, point)?.to_dtype(*dtype)?.to_device(device)?,
        })
    }

    /// Names of the two factors of a layer and their rank, if their shapes fit the layer's weight.
    fn check<'p>(&self, pair: &'p Pair, layer: &str, shape: &[usize]) -> Result<(&'p str, &'p str, usize)> {
        let wrong =
            |problem: String| Error::failed(format!("the LoRA {} cannot be used: {problem}", self.path.display()));
        let (Some(down), Some(up)) = (&pair.down, &pair.up) else {
            let held: Vec<&String> = pair.names().collect();
            return Err(wrong(format!("of the two factors for {layer} it has {held:?} alone")));
        };
        let dims = |name: &str| self.store.shape(name).unwrap_or_default();
        let (down_shape, up_shape) = (dims(down), dims(up));
        let rank = down_shape.first().copied().unwrap_or(0);
        // A kernel of one position may be left out.
        let same_kernel = |a: &[usize], b: &[usize]| a == b || a.iter().chain(b).all(|side| *side == 1);
        let fits = |found: &[usize], rows: usize, columns: usize, kernel: &[usize]| match found {
            [of_rows, of_columns, rest @ ..] if matches!(rest.len(), 0 | 2) => {
                [*of_rows, *of_columns] == [rows, columns] && same_kernel(rest, kernel)
            }
            _ => false,
        };
        let kernel = shape.get(2..).unwrap_or_default();
        let [out, input] = [shape.first(), shape.get(1)].map(|side| side.copied().unwrap_or(0));
        if rank == 0 || !fits(down_shape, rank, input, kernel) || !fits(up_shape, out, rank, &[]) {
            return Err(wrong(format!(
                "its factors {down} {down_shape:?} and {up} {up_shape:?} do not fit the layer {layer}, whose weight is \
                 {shape:?}: they would have to be [rank, {input}, …] and [{out}, rank, …]; it is for another model"
            )));
        }
        if let Some(alpha) = &pair.alpha
            && dims(alpha).iter().product::<usize>() != 1
        {
            return Err(wrong(format!(
                "{alpha} is not one number but has the shape {:?}",
                dims(alpha)
            )));
        }
        Ok((down, up, rank))
    }
}

/// Layers by every name that LoRA files may have for them.
fn by_flat_name<'a>(layers: &'a [Layer], part: Part, layers_per_block: &[usize]) -> HashMap<String, &'a Layer> {
    let mut names = HashMap::with_capacity(2 * layers.len());
    for layer in layers {
        names.insert(flat(&layer.name, part), layer);
        if part == Part::Unet {
            let original = original_name(&layer.name, layers_per_block);
            let upsampler = original_upsampler(&layer.name, layers_per_block);
            for name in original.into_iter().chain(upsampler.into_iter().flatten()) {
                names.insert(flat(&name, part), layer);
            }
        }
    }
    names
}

/// The layers of a network.
pub fn layers_of(network: &mut dyn Adaptable) -> Vec<Layer> {
    let mut layers = Vec::new();
    network.each_layer(&mut |low_rank| {
        layers.push(Layer {
            name: low_rank.layer().to_owned(),
            shape: low_rank.weight_shape().to_vec(),
        });
    });
    layers
}

/// Puts LoRAs, each at its scale, on one part of a model in the place of those before. On an error the part is as it was.
pub fn set_branches(
    loras: &[(&LoraFile, f64)],
    part: Part,
    layers_per_block: &[usize],
    network: &mut dyn Adaptable,
    to: &(DType, Device),
) -> Result<()> {
    let layers = layers_of(network);
    let names = by_flat_name(&layers, part, layers_per_block);
    let mut branches: HashMap<&str, Vec<Branch>> = HashMap::new();
    for (lora, scale) in loras {
        // At 0 a LoRA changes nothing, to the last digit.
        if *scale == 0.0 {
            continue;
        }
        for ((_, name), pair) in lora.pairs.iter().filter(|((of, _), _)| *of == part) {
            if let Some(layer) = names.get(name) {
                let branch = lora.branch(pair, &layer.name, &layer.shape, *scale, to)?;
                branches.entry(&layer.name).or_default().push(branch);
            }
        }
    }
    network.each_layer(&mut |low_rank| {
        let found = branches.remove(low_rank.layer()).unwrap_or_default();
        low_rank.set(found);
    });
    Ok(())
}
