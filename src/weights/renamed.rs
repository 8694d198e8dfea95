//! The tensors of a file under other names, so that one network is built from several layouts of files.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use candle_core::{Result, Tensor, bail};
use safetensors::Dtype;

use super::Store;

/// Every tensor whose name begins with `from` is found under the name in which `to` stands instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rename {
    /// Beginning of the names in the file.
    pub from: String,
    /// Name in the network.
    pub to: String,
    /// Part of the tensor that the network gets.
    pub take: Take,
}

impl Rename {
    /// The whole tensor under another name.
    pub fn new(from: impl Into<String>, to: impl Into<String>) -> Self {
        Self {
            from: from.into(),
            to: to.into(),
            take: Take::Whole,
        }
    }

    /// The same for a part of the tensor.
    pub(crate) fn taking(self, take: Take) -> Self {
        Self { take, ..self }
    }
}

/// Part of a tensor in the file that a network gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// All of it.
    Whole,
    /// The weights of a 1x1 convolution, (out, in, 1, 1), as those of a linear layer, (out, in).
    Linear,
    /// One of the three thirds of the rows.
    Third(usize),
    /// So many rows, from one on.
    Rows(usize, usize),
    /// The second half of the rows, then the first.
    SwappedHalves,
    /// The transposed matrix.
    Transposed,
}

const THIRDS: usize = 3;

impl Take {
    /// The shape of what is taken of a tensor of shape `from`; none where the tensor has no such part.
    fn shape(self, from: &[usize]) -> Option<Vec<usize>> {
        match (self, from) {
            (Self::Linear, [rows, columns, 1, 1]) => Some(vec![*rows, *columns]),
            (Self::Whole | Self::Linear, any) => Some(any.to_vec()),
            (Self::Third(_), [rows, rest @ ..]) if rows.is_multiple_of(THIRDS) => {
                Some([&[*rows / THIRDS], rest].concat())
            }
            (Self::Rows(first, count), [rows, rest @ ..])
                if first.checked_add(count).is_some_and(|end| end <= *rows) =>
            {
                Some([&[count], rest].concat())
            }
            (Self::SwappedHalves, [rows, ..]) if rows.is_multiple_of(2) => Some(from.to_vec()),
            (Self::Transposed, [rows, columns]) => Some(vec![*columns, *rows]),
            _ => None,
        }
    }

    /// The rows, where nothing but rows is taken.
    fn rows(self, from: &[usize]) -> Option<Range<usize>> {
        let count = *self.shape(from)?.first()?;
        match self {
            Self::Third(index) => Some(index * count..(index + 1) * count),
            Self::Rows(first, count) => Some(first..first + count),
            _ => None,
        }
    }

    fn of(self, tensor: &Tensor) -> Result<Tensor> {
        let Some(shape) = self.shape(tensor.dims()) else {
            bail!("a tensor of shape {:?} has no part {self:?}", tensor.dims())
        };
        match self {
            Self::Whole | Self::Linear => tensor.reshape(shape),
            Self::Third(_) | Self::Rows(..) => match self.rows(tensor.dims()) {
                Some(rows) => tensor.narrow(0, rows.start, rows.len())?.contiguous(),
                None => bail!("a tensor of shape {:?} has no rows {self:?}", tensor.dims()),
            },
            Self::SwappedHalves => {
                let half = shape[0] / 2;
                Tensor::cat(&[tensor.narrow(0, half, half)?, tensor.narrow(0, 0, half)?], 0)
            }
            Self::Transposed => tensor.t()?.contiguous(),
        }
    }
}

/// A store whose tensors have other names.
pub(super) struct RenamedStore {
    inner: Store,
    rules: Vec<Rename>,
    /// By the new name: the name in the file, and what is taken.
    pieces: HashMap<String, (String, Take)>,
}

impl RenamedStore {
    /// The renamed tensors, and their shapes.
    pub(super) fn new(inner: Store, rules: Vec<Rename>) -> (Self, HashMap<String, Vec<usize>>) {
        let (mut pieces, mut shapes) = (HashMap::new(), HashMap::new());
        for name in inner.names() {
            for rule in &rules {
                let Some(rest) = name.strip_prefix(&rule.from) else {
                    continue;
                };
                let Some(shape) = inner.shape(name).and_then(|shape| rule.take.shape(shape)) else {
                    continue;
                };
                let renamed = format!("{}{rest}", rule.to);
                shapes.insert(renamed.clone(), shape);
                pieces.insert(renamed, (name.to_owned(), rule.take));
            }
        }
        (Self { inner, rules, pieces }, shapes)
    }

    /// The names in the file of what no rule names.
    pub(super) fn left_out(&self) -> Vec<&str> {
        let taken: HashSet<&str> = self.pieces.values().map(|(original, _)| original.as_str()).collect();
        self.inner.names().filter(|name| !taken.contains(name)).collect()
    }

    /// The tensors under the names they have in the file.
    pub(super) fn inner(&self) -> &Store {
        &self.inner
    }

    pub(super) fn raw(&self, name: &str) -> Result<Tensor> {
        match self.pieces.get(name) {
            Some((original, take)) => match self.inner.shape(original).and_then(|shape| take.rows(shape)) {
                Some(rows) => self.inner.raw_rows(original, &rows),
                None => take.of(&self.inner.raw(original)?),
            },
            None => bail!("{} lacks the tensor {}", self.inner.label(), self.in_file(name)),
        }
    }

    /// The type of a tensor's numbers in the file.
    pub(super) fn dtype(&self, name: &str) -> Option<Dtype> {
        self.pieces
            .get(name)
            .and_then(|(original, _)| self.inner.dtype(original))
    }

    /// A new name and the one in the file, also of a tensor that is not there.
    pub(super) fn in_file(&self, name: &str) -> String {
        let original = self
            .rules
            .iter()
            .find_map(|rule| Some(format!("{}{}", rule.from, name.strip_prefix(&rule.to)?)));
        match original {
            Some(original) => format!("{original} ({name})"),
            None => name.to_owned(),
        }
    }
}
