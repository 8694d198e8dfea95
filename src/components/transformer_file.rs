//! A transformer among the tensors of a file: by names of its authors or of diffusers, behind a prefix, alone or with the other networks of
//! a model.

use crate::{
    error::{Error, Result},
    weights::{Rules, Store, config::MAX_LAYERS, refuse_left_over},
};

/// Prefixes of the names of its tensors: of a transformer alone, in files of a whole model.
const PREFIXES: [&str; 3] = ["", "model.diffusion_model.", "diffusion_model."];
/// Prefixes of the names of other networks in files of a whole model.
const OTHERS: [&str; 5] = [
    "first_stage_model.",
    "vae.",
    "text_encoders.",
    "cond_stage_model.",
    "conditioner.",
];

/// How its tensors are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Authors,
    Diffusers,
}

/// The tensors that show what a transformer is and by which names its tensors are called: all of one list are there.
pub(crate) struct Marks {
    /// What it is, in errors: "a Z-Image".
    pub(crate) what: &'static str,
    pub(crate) authors: &'static [&'static str],
    pub(crate) diffusers: &'static [&'static str],
    /// Of another network with these tensors: none of them is there.
    pub(crate) without: &'static [&'static str],
}

/// The transformer among the tensors of a file.
#[derive(Clone)]
pub(crate) struct TransformerFile {
    store: Store,
    prefix: &'static str,
    naming: Naming,
    what: &'static str,
}

impl TransformerFile {
    /// The transformer among the tensors, if there is one.
    pub(crate) fn find(store: &Store, marks: &Marks) -> Option<Self> {
        let has = |prefix: &str, name: &str| store.shape(&format!("{prefix}{name}")).is_some();
        let is_at = |prefix: &str, names: &[&str]| {
            names.iter().all(|name| has(prefix, name)) && !marks.without.iter().any(|name| has(prefix, name))
        };
        PREFIXES.into_iter().find_map(|prefix| {
            let naming = match () {
                () if is_at(prefix, marks.authors) => Naming::Authors,
                () if is_at(prefix, marks.diffusers) => Naming::Diffusers,
                () => return None,
            };
            Some(Self {
                store: store.clone(),
                prefix,
                naming,
                what: marks.what,
            })
        })
    }

    /// All tensors of the file, under their own names.
    pub(crate) fn whole(&self) -> &Store {
        &self.store
    }

    /// How its tensors are called.
    pub(crate) fn naming(&self) -> Naming {
        self.naming
    }

    /// The shape of one of its tensors.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.store.shape(&format!("{}{name}", self.prefix))
    }

    /// The first sides of a tensor that has to be there.
    ///
    /// # Errors
    ///
    /// Where it is not there, or has fewer.
    pub(crate) fn sides<const SIDES: usize>(&self, name: &str) -> Result<[usize; SIDES]> {
        let shape = self.shape(name).and_then(|shape| shape.get(..SIDES)?.try_into().ok());
        shape.ok_or_else(|| {
            Error::failed(format!(
                "{} lacks the tensor {}{name} of {}, or has it in another shape",
                self.store.label(),
                self.prefix,
                self.what
            ))
        })
    }

    /// The heads of tokens of a width, of as many channels each as the norm of this name has.
    ///
    /// # Errors
    ///
    /// Where it is not there, or the heads do not make the width.
    pub(crate) fn heads(&self, width: usize, norm: &str) -> Result<usize> {
        let [head] = self.sides(norm)?;
        match head > 0 && width.is_multiple_of(head) {
            true => Ok(width / head),
            false => Err(Error::failed(format!(
                "the tensor {}{norm} is for heads of {head} channels, which do not divide the width {width}",
                self.prefix
            ))),
        }
    }

    /// How many blocks there are whose tensor `tensor` is there, from the first on; one more than any network has stands for more.
    pub(crate) fn count(&self, blocks: &str, tensor: &str) -> usize {
        let has = |block: &usize| self.shape(&format!("{blocks}.{block}.{tensor}")).is_some();
        (0..=MAX_LAYERS).take_while(has).count()
    }

    /// The tensors under the names of `transformer/diffusion_pytorch_model.safetensors`, where `rules` are for those of its authors.
    ///
    /// # Errors
    ///
    /// Names tensors of the transformer that no rule names.
    pub(crate) fn renamed(&self, rules: impl FnOnce(&mut Rules)) -> Result<Store> {
        let mut all = Rules::new(self.prefix);
        match self.naming {
            Naming::Authors => rules(&mut all),
            Naming::Diffusers => all.all(),
        }
        let store = self.store.renamed(all.finish());
        let is_own = |name: &&str| {
            name.starts_with(self.prefix)
                && !(self.prefix.is_empty() && OTHERS.iter().any(|other| name.starts_with(other)))
        };
        let mut left: Vec<&str> = store.left_out().into_iter().filter(is_own).collect();
        left.sort_unstable();
        refuse_left_over(&self.store, &left)?;
        Ok(store)
    }
}
