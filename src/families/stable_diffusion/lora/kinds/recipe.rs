//! Which kind the tensors of one layer make together.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{
    Made, Source, Strength, Target,
    decompose::Norms,
    factors::{Glora, Rows, Scaling},
    not_for,
    products::{Kronecker, LowRank, Matrix, Product, Table},
    rotations::{Rotation, Triangles},
    same_shape, unfit,
};
use crate::{
    error::{Error, Result},
    families::stable_diffusion::lora::{names::FactorRole, scale::PeftKind},
    nn::adaptable::{LayerInfo, LayerKind},
};

/// Change of a layer's weight. Texts are names of tensors.
#[derive(Debug)]
enum Weight<'a> {
    /// Nothing.
    Kept,
    /// LoRA, LoCon, with a Tucker core or without.
    LowRank(LowRank<'a>),
    /// LoRA of a table.
    Table(Table<'a>),
    /// LoHa: the product of two products, number by number.
    Hadamard([Product<'a>; 2]),
    /// LoKr: a Kronecker product.
    Kronecker(Kronecker<'a>),
    /// A whole difference.
    Difference(&'a str),
    /// Another weight.
    Replaced(&'a str),
    /// OFT or BOFT.
    Rotation(Rotation<'a>),
    /// OFT of PEFT.
    Triangles(Triangles<'a>),
    /// GLoRA.
    Glora(Glora<'a>),
    /// (IA)³.
    Scaling(Scaling<'a>),
}

/// Change of a layer's bias.
#[derive(Debug)]
enum Bias<'a> {
    Kept,
    /// Added, multiplied by the scale alone or with the factor of a LoRA too.
    Added {
        name: &'a str,
        with_factor: bool,
    },
    Replaced(&'a str),
}

/// Recipe of one layer's change, from its tensors.
#[derive(Debug)]
pub(in crate::families::stable_diffusion::lora) struct Recipe<'a> {
    weight: Weight<'a>,
    bias: Bias<'a>,
    /// One number, whatever it means for the kind.
    pub(in crate::families::stable_diffusion::lora) alpha: Option<&'a str>,
    norms: Option<Norms<'a>>,
}

/// The tensors of one layer, of which a recipe takes those it uses.
struct Tensors<'a>(BTreeMap<FactorRole, &'a str>);

impl<'a> Tensors<'a> {
    fn take(&mut self, role: FactorRole) -> Option<&'a str> {
        self.0.remove(&role)
    }

    fn has(&self, role: FactorRole) -> bool {
        self.0.contains_key(&role)
    }

    fn names(&self) -> Vec<&'a str> {
        self.0.values().copied().collect()
    }

    /// Two tensors that go together, if one of them is there.
    fn pair(&mut self, roles: [FactorRole; 2], kind: &str) -> Result<Option<[&'a str; 2]>> {
        let held = self.names();
        match roles.map(|role| self.take(role)) {
            [Some(first), Some(second)] => Ok(Some([first, second])),
            [None, None] => Ok(None),
            _ => Err(Error::failed(format!(
                "of the two factors of {kind} it has one alone ({})",
                held.join(", ")
            ))),
        }
    }
}

impl<'a> Recipe<'a> {
    /// Of the tensors of one layer, every one of which it uses; with too few or too many of them it is an error.
    pub(in crate::families::stable_diffusion::lora) fn new(tensors: &'a BTreeMap<FactorRole, String>) -> Result<Self> {
        let mut tensors = Tensors(tensors.iter().map(|(role, name)| (*role, name.as_str())).collect());
        let alpha = tensors.take(FactorRole::Alpha);
        let weight = weight_of(&mut tensors)?;
        let mut norms = Norms::take(tensors.take(FactorRole::DoraScale), tensors.take(FactorRole::Magnitude));
        if !matches!(weight, Weight::LowRank(_) | Weight::Hadamard(_) | Weight::Kronecker(_)) {
            // Of the norms of a DoRA without its factors nothing can be made: they are left over.
            if let Some(left) = norms.take() {
                return Err(Error::failed(format!(
                    "{} is the norms of a DoRA without its factors",
                    left.name()
                )));
            }
        }
        let added = tensors.take(FactorRole::BiasDifference);
        let up = tensors.take(FactorRole::UpBias);
        let bias = match (added, up, tensors.take(FactorRole::Bias)) {
            (None, None, None) => Bias::Kept,
            (Some(name), None, None) => Bias::Added {
                name,
                with_factor: false,
            },
            (None, Some(name), None) if matches!(weight, Weight::LowRank(_)) && norms.is_none() => Bias::Added {
                name,
                with_factor: true,
            },
            (None, None, Some(name)) => Bias::Replaced(name),
            found => {
                let names: Vec<&str> = [found.0, found.1, found.2].into_iter().flatten().collect();
                return Err(Error::failed(format!(
                    "{} cannot be used as the layer's other tensors are",
                    names.join(" and ")
                )));
            }
        };
        let takes_alpha = match &weight {
            Weight::Kept | Weight::Difference(_) | Weight::Replaced(_) | Weight::Scaling(_) | Weight::Triangles(_) => {
                false
            }
            Weight::Rotation(rotation) => !rotation.ready,
            _ => true,
        };
        if let Some(alpha) = alpha
            && !takes_alpha
        {
            return Err(Error::failed(format!(
                "it has {alpha} alone, without anything that it would scale"
            )));
        }
        if !tensors.0.is_empty() {
            return Err(Error::failed(format!(
                "{} belong to a kind of adapter that the layer's other tensors are not of",
                tensors.names().join(", ")
            )));
        }
        Ok(Self {
            weight,
            bias,
            alpha,
            norms,
        })
    }

    /// Name of the kind.
    pub(in crate::families::stable_diffusion::lora) fn kind(&self) -> &'static str {
        match (&self.weight, &self.norms) {
            (Weight::LowRank(_), Some(_)) => "DoRA",
            (Weight::LowRank(_) | Weight::Table(_), None) => "LoRA",
            (Weight::Hadamard(_), None) => "LoHa",
            (Weight::Hadamard(_), Some(_)) => "LoHa with DoRA",
            (Weight::Kronecker(_), None) => "LoKr",
            (Weight::Kronecker(_), Some(_)) => "LoKr with DoRA",
            (Weight::Rotation(_) | Weight::Triangles(_), _) => "OFT",
            (Weight::Glora(_), _) => "GLoRA",
            (Weight::Scaling(_), _) => "(IA)³",
            _ => "differences",
        }
    }

    /// Whether PEFT's settings of a kind may go with these tensors: differences and whole weights go with all.
    pub(in crate::families::stable_diffusion::lora) fn is_of(&self, kind: PeftKind) -> bool {
        match self.weight {
            Weight::Kept | Weight::Difference(_) | Weight::Replaced(_) => true,
            Weight::LowRank(_) | Weight::Table(_) => kind == PeftKind::Lora,
            Weight::Hadamard(_) => kind == PeftKind::Loha,
            Weight::Kronecker(_) => kind == PeftKind::Lokr,
            Weight::Triangles(_) => kind == PeftKind::Oft,
            Weight::Scaling(_) => kind == PeftKind::Ia3,
            Weight::Rotation(_) | Weight::Glora(_) => false,
        }
    }

    /// Whether it is of two factors, which may be a DoRA's and may have a bias.
    pub(in crate::families::stable_diffusion::lora) fn is_low_rank(&self) -> bool {
        matches!(self.weight, Weight::LowRank(_))
    }

    /// Whether alpha and rank are a scale.
    pub(in crate::families::stable_diffusion::lora) fn is_scaled(&self) -> bool {
        matches!(
            self.weight,
            Weight::LowRank(_) | Weight::Table(_) | Weight::Hadamard(_) | Weight::Kronecker(_) | Weight::Glora(_)
        )
    }

    /// Whether the layer is a DoRA, and whether its up factor has a bias, as PEFT's settings say it.
    pub(in crate::families::stable_diffusion::lora) fn is_dora(&self) -> bool {
        self.norms.is_some()
    }

    pub(in crate::families::stable_diffusion::lora) fn has_up_bias(&self) -> bool {
        matches!(self.bias, Bias::Added { with_factor: true, .. })
    }

    /// The rank that alpha is divided by, if there is one, once every shape fits the layer.
    pub(in crate::families::stable_diffusion::lora) fn check(
        &self,
        source: &Source<'_>,
        info: &LayerInfo,
    ) -> Result<Option<usize>> {
        match (&self.weight, info.kind) {
            (Weight::Kept | Weight::Difference(_) | Weight::Replaced(_), _)
            | (Weight::Table(_), LayerKind::Embedding) => {}
            (Weight::Table(_), _) | (_, LayerKind::Norm | LayerKind::Embedding) => {
                return Err(not_for(self.kind(), info));
            }
            _ => {}
        }
        let rank = match &self.weight {
            Weight::Kept => None,
            Weight::LowRank(low_rank) => Some(low_rank.check(source, info)?),
            Weight::Table(table) => Some(table.check(source, info)?),
            Weight::Hadamard([first, second]) => {
                let ranks = [first.check_whole(source, info)?, second.check_whole(source, info)?];
                if ranks[0] != ranks[1] {
                    return Err(Error::failed(format!(
                        "the two products for {} have the ranks {} and {}: one was expected",
                        info.name, ranks[0], ranks[1]
                    )));
                }
                Some(ranks[0])
            }
            Weight::Kronecker(kronecker) => kronecker.check(source, info)?,
            Weight::Difference(name) | Weight::Replaced(name) => {
                let shape = source.shape(name);
                if !same_shape(shape, &info.weight) {
                    return Err(unfit(&[(name, shape)], info, "of the same shape"));
                }
                None
            }
            Weight::Rotation(rotation) => {
                rotation.check(source, info)?;
                None
            }
            Weight::Triangles(triangles) => {
                triangles.check(source, info)?;
                None
            }
            Weight::Glora(glora) => Some(glora.check(source, info)?),
            Weight::Scaling(scaling) => {
                scaling.check(source, info)?;
                None
            }
        };
        if let Some(norms) = &self.norms {
            norms.check(source, info)?;
        }
        self.check_bias(source, info)?;
        Ok(rank)
    }

    fn check_bias(&self, source: &Source<'_>, info: &LayerInfo) -> Result<()> {
        let (name, needs_one) = match self.bias {
            Bias::Kept => return Ok(()),
            Bias::Added { name, with_factor } => (name, !with_factor),
            Bias::Replaced(name) => (name, true),
        };
        if needs_one && !info.bias {
            return Err(Error::failed(format!(
                "{name} is for a bias, and {} has none",
                info.name
            )));
        }
        if info.kind == LayerKind::Embedding {
            return Err(not_for("a bias", info));
        }
        let (shape, wanted) = (source.shape(name), &info.weight[..1]);
        match same_shape(shape, wanted) {
            true => Ok(()),
            false => Err(unfit(&[(name, shape)], info, &format!("{wanted:?}"))),
        }
    }

    /// Computes the change of the layer, once [`Self::check`] has passed.
    pub(in crate::families::stable_diffusion::lora) fn make(
        &self,
        source: &Source<'_>,
        target: &Target<'_>,
        strength: Strength,
    ) -> Result<Made> {
        let bias = self.make_bias(source, target, strength)?;
        let mut made = self.make_weight(source, target, strength)?;
        made.bias = match (made.bias, bias) {
            (Some(one), Some(other)) => Some((one + other)?),
            (one, other) => one.or(other),
        };
        Ok(made)
    }

    fn make_weight(&self, source: &Source<'_>, target: &Target<'_>, strength: Strength) -> Result<Made> {
        let info = target.info;
        let shaped = |tensor: Tensor| Ok::<_, Error>(tensor.reshape(info.weight.as_slice())?);
        if let (Weight::LowRank(low_rank), None) = (&self.weight, &self.norms) {
            return Ok(Made {
                branch: Some(low_rank.branch(source, info, strength.both())?),
                ..Made::default()
            });
        }
        let added = |difference: Tensor, by: f64| -> Result<Tensor> {
            let difference = shaped(difference)?;
            match &self.norms {
                None => Ok(((target.weight)()? + (difference * by)?)?),
                Some(norms) => norms.apply(source, (target.weight)()?, &difference, strength),
            }
        };
        let weight = match &self.weight {
            Weight::Kept => None,
            Weight::LowRank(low_rank) => Some(added(low_rank.whole(source, info)?, strength.both())?),
            Weight::Table(table) => Some(added(table.whole(source)?, strength.both())?),
            Weight::Hadamard([first, second]) => {
                let whole = (first.whole(source)? * second.whole(source)?)?;
                Some(added(whole, strength.both())?)
            }
            Weight::Kronecker(kronecker) => Some(added(kronecker.whole(source)?, strength.both())?),
            Weight::Difference(name) => Some(added(source.load(name)?, strength.scale)?),
            Weight::Replaced(name) => Some(shaped(source.load(name)?)?),
            Weight::Rotation(rotation) => {
                let constraint = self.alpha.map(|alpha| source.number(alpha)).transpose()?;
                Some(rotation.apply(source, &(target.weight)()?, constraint, strength.scale)?)
            }
            Weight::Triangles(triangles) => Some(triangles.apply(source, &(target.weight)()?, strength.scale)?),
            Weight::Glora(glora) => {
                let weight = (target.weight)()?;
                let difference = shaped(glora.difference(source, info, &weight)?)?;
                Some((weight + (difference * strength.both())?)?)
            }
            Weight::Scaling(scaling) => return scaling.make(source, target, strength.scale),
        };
        Ok(Made {
            weight,
            ..Made::default()
        })
    }

    fn make_bias(&self, source: &Source<'_>, target: &Target<'_>, strength: Strength) -> Result<Option<Tensor>> {
        let load = |name: &str| Ok::<_, Error>(source.load(name)?.flatten_all()?);
        Ok(match self.bias {
            Bias::Kept => None,
            Bias::Added { name, with_factor } => {
                let by = if with_factor { strength.both() } else { strength.scale };
                Some((load(name)? * by)?)
            }
            Bias::Replaced(name) => match (target.bias)()? {
                Some(own) => Some((load(name)? - own)?),
                None => None,
            },
        })
    }
}

fn weight_of<'a>(tensors: &mut Tensors<'a>) -> Result<Weight<'a>> {
    if let Some([down, up]) = tensors.pair([FactorRole::Down, FactorRole::Up], "a LoRA")? {
        let core = tensors.take(FactorRole::Mid);
        return Ok(Weight::LowRank(LowRank { down, up, core }));
    }
    if let Some([down, up]) = tensors.pair([FactorRole::TableDown, FactorRole::TableUp], "a LoRA")? {
        return Ok(Weight::Table(Table { down, up }));
    }
    let mut product = |roles: [FactorRole; 2], core: FactorRole, kind: &str| -> Result<Option<Product<'a>>> {
        let pair = tensors.pair(roles, kind)?;
        Ok(pair.map(|[left, right]| Product {
            left,
            right,
            core: tensors.take(core),
        }))
    };
    let first = product(
        [FactorRole::Hada1A, FactorRole::Hada1B],
        FactorRole::Hada1Core,
        "a LoHa",
    )?;
    let second = product(
        [FactorRole::Hada2A, FactorRole::Hada2B],
        FactorRole::Hada2Core,
        "a LoHa",
    )?;
    match (first, second) {
        (Some(first), Some(second)) => return Ok(Weight::Hadamard([first, second])),
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => {
            return Err(Error::failed(format!(
                "of the two products of a LoHa it has one alone ({}, {})",
                one.left, one.right
            )));
        }
    }
    let mut matrix =
        |whole: FactorRole, factors: [FactorRole; 2], core: Option<FactorRole>| -> Result<Option<Matrix<'a>>> {
            let pair = tensors.pair(factors, "a LoKr's matrix")?;
            let product = pair.map(|[left, right]| {
                Matrix::Product(Product {
                    left,
                    right,
                    core: core.and_then(|core| tensors.take(core)),
                })
            });
            match (tensors.take(whole), product) {
                (Some(name), None) => Ok(Some(Matrix::Whole(name))),
                (Some(name), Some(_)) => Err(Error::failed(format!("it has {name} and also the factors of it"))),
                (None, product) => Ok(product),
            }
        };
    let left = matrix(FactorRole::Kron1, [FactorRole::Kron1A, FactorRole::Kron1B], None)?;
    let right = matrix(
        FactorRole::Kron2,
        [FactorRole::Kron2A, FactorRole::Kron2B],
        Some(FactorRole::Kron2Core),
    )?;
    match (left, right) {
        (Some(left), Some(right)) => return Ok(Weight::Kronecker(Kronecker { left, right })),
        (None, None) => {}
        (Some(one), None) | (None, Some(one)) => {
            return Err(Error::failed(format!(
                "of the two matrices of a LoKr it has one alone ({one})"
            )));
        }
    }
    if let Some(blocks) = tensors.take(FactorRole::OftBlocks) {
        let rescale = tensors.take(FactorRole::Rescale);
        return Ok(Weight::Rotation(Rotation {
            blocks,
            rescale,
            ready: false,
        }));
    }
    if let Some(blocks) = tensors.take(FactorRole::OftRotations) {
        return Ok(Weight::Rotation(Rotation {
            blocks,
            rescale: None,
            ready: true,
        }));
    }
    if let Some(name) = tensors.take(FactorRole::OftTriangles) {
        return Ok(Weight::Triangles(Triangles { name }));
    }
    if tensors.has(FactorRole::GloraA1) || tensors.has(FactorRole::GloraB1) {
        let missing = || Error::failed("of the four factors of a GLoRA (a1, a2, b1, b2) one is missing".to_owned());
        let a = tensors
            .pair([FactorRole::GloraA1, FactorRole::GloraA2], "a GLoRA's A")?
            .ok_or_else(missing)?;
        let b = tensors
            .pair([FactorRole::GloraB1, FactorRole::GloraB2], "a GLoRA's B")?
            .ok_or_else(missing)?;
        return Ok(Weight::Glora(Glora { a, b }));
    }
    if let Some(name) = tensors.take(FactorRole::Ia3) {
        return Ok(Weight::Scaling(Scaling {
            name,
            rows: Rows::ByShape,
        }));
    }
    if let Some([name, on_input]) = tensors.pair([FactorRole::Factors, FactorRole::OnInput], "an (IA)³")? {
        return Ok(Weight::Scaling(Scaling {
            name,
            rows: Rows::Said { on_input },
        }));
    }
    match (tensors.take(FactorRole::Difference), tensors.take(FactorRole::Weight)) {
        (None, None) => Ok(Weight::Kept),
        (Some(name), None) => Ok(Weight::Difference(name)),
        (None, Some(name)) => Ok(Weight::Replaced(name)),
        (Some(one), Some(other)) => Err(Error::failed(format!("it has {one} and also {other}"))),
    }
}
