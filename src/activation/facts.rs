//! Facts that a family's catalogue states of each activation: nothing is guessed from its id.

use serde::{Deserialize, Serialize};

use super::{Id, Name};

/// A part of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the first block.
    Input,
    /// Towards coarser grids.
    Down,
    /// On the coarsest grid, in between.
    Mid,
    /// Towards finer grids.
    Up,
    /// A plain stack of blocks on one grid.
    Stack,
    /// Behind the last block.
    Output,
}

impl Stage {
    /// Every part, in the order in which they run.
    pub const ALL: [Self; 6] = [Self::Input, Self::Down, Self::Mid, Self::Up, Self::Stack, Self::Output];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Down => "down",
            Self::Mid => "mid",
            Self::Up => "up",
            Self::Stack => "blocks",
            Self::Output => "output",
        }
    }
}

/// Role of an activation's tensor in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// Input of the network.
    Input,
    /// Output of the network.
    Output,
    /// Output of a block, a resnet, a transformer or a sampler.
    BlockOutput,
    /// Output of a block inside a transformer.
    LayerOutput,
    /// Residual branch: the increment of a block before it is added to the block's input.
    ResidualBranch,
    /// Query of attention among positions.
    Query,
    /// Key of attention among positions.
    Key,
    /// Value of attention among positions.
    Value,
    /// Query of attention to text.
    CrossQuery,
    /// Output of attention.
    AttentionOutput,
    /// Inside a feed-forward, behind its nonlinearity.
    MlpHidden,
    /// Behind a norm.
    Norm,
    /// Softmax of attention among positions.
    SelfMap,
    /// Softmax of attention to text.
    CrossMap,
}

impl Kind {
    /// Every kind, in the order of this list.
    pub const ALL: [Self; 14] = [
        Self::Input,
        Self::Output,
        Self::BlockOutput,
        Self::LayerOutput,
        Self::ResidualBranch,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::CrossQuery,
        Self::AttentionOutput,
        Self::MlpHidden,
        Self::Norm,
        Self::SelfMap,
        Self::CrossMap,
    ];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
            Self::BlockOutput => "block output",
            Self::LayerOutput => "layer output",
            Self::ResidualBranch => "residual branch",
            Self::Query => "q",
            Self::Key => "k",
            Self::Value => "v",
            Self::CrossQuery => "cross q",
            Self::AttentionOutput => "attention output",
            Self::MlpHidden => "feed-forward inner",
            Self::Norm => "norm",
            Self::SelfMap => "self-attention map",
            Self::CrossMap => "cross-attention map",
        }
    }

    /// Whether it only adds to something else: residual branches, the feed-forward's inner activation, values.
    pub fn is_increment(self) -> bool {
        matches!(self, Self::ResidualBranch | Self::MlpHidden | Self::Value)
    }

    /// Whether it is a query, a key or a value of attention among positions.
    pub fn is_of_self_attention(self) -> bool {
        matches!(self, Self::Query | Self::Key | Self::Value)
    }
}

/// The activations that an attention map is computed from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MapOf {
    /// Its queries: its rows are their positions.
    pub queries: Id,
    /// Its keys, where its rows are the softmax of the products of these two; none where the keys are a text's, or something comes
    /// between.
    pub keys: Option<Id>,
}

/// Facts of one activation, stated by its family.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Where in the network it is: what surveys and the paper's filter go by.
    pub stage: Stage,
    /// Block in execution order within its stage, and how many blocks the stage has.
    pub block: (u16, u16),
    /// Role of its tensor.
    pub kind: Kind,
    /// The part of its id that does not depend on its block, such as `res-out` or `self-q`.
    pub word: Name,
    /// Titles of the groups it lies in, outermost first, with `/` between them; empty for none.
    pub group: Name,
    /// Its name inside its group.
    pub label: Name,
    /// Multiply-adds since the activation before, in the unit of [`Cost`](super::Cost).
    pub cost: f64,
    /// Of an attention map, what it is made of.
    pub map_of: Option<MapOf>,
    /// Of the part of a joint attention's map whose keys are positions: the activation with the logarithm of the sum that its
    /// rows are divided by, over the text's keys too. (heads) at every position.
    #[serde(default)]
    pub row_sums: Option<Id>,
    /// Whether it is offered beside the list: selected by its name alone, never by "all".
    #[serde(default)]
    pub is_extra: bool,
}

impl Facts {
    /// Of an activation that lies in no group, in the one block of its stage, at no cost.
    pub fn new(id: Id, stage: Stage, kind: Kind) -> Self {
        let name = Name::of(id.as_str());
        Self {
            stage,
            block: (0, 1),
            kind,
            word: name,
            group: Name::default(),
            label: name,
            cost: 0.0,
            map_of: None,
            row_sums: None,
            is_extra: false,
        }
    }

    /// The queries and keys that an attention map's rows are made of, where they are all that these need.
    pub fn map_sources(&self) -> Option<[Id; 2]> {
        let map = self.map_of?;
        Some([map.queries, map.keys?])
    }

    /// Titles of the groups it lies in, outermost first.
    pub fn groups(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.group.as_str().split('/').filter(|title| !title.is_empty())
    }

    /// Whether it lies in the first ⌈n/2⌉ of the n blocks of its stage.
    pub(crate) fn is_in_first_half(&self) -> bool {
        let (index, count) = self.block;
        index < count.div_ceil(2)
    }
}
