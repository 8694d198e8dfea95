//! What is asked about several passes or activations together: plain data, as all [messages](super::message).

use serde::{Deserialize, Serialize};

use super::{
    message::PassId,
    view::{NotFiniteMap, PcaSettings},
};
use crate::{
    activation::Id,
    analysis::{
        cka::{Form, GridRule},
        gram::RowRule,
        shift::Shift,
    },
    geometry::Grid,
};

/// Asked of the worker that compares many maps. The latest of each kind wins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Comparison {
    /// One activation of several passes of a picture.
    Strip(StripQuery),
    /// Linear CKA of every activation with every other.
    Cka(CkaQuery),
    /// How far an activation has moved from what it says without noise.
    Shift(ShiftQuery),
}

/// The kinds of comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ComparisonKind {
    /// One activation of several passes of a picture.
    Strip,
    /// CKA of many activations.
    Cka,
    /// Content shift.
    Shift,
}

impl Comparison {
    /// Its kind.
    pub fn kind(&self) -> ComparisonKind {
        match self {
            Self::Strip(_) => ComparisonKind::Strip,
            Self::Cka(_) => ComparisonKind::Cka,
            Self::Shift(_) => ComparisonKind::Shift,
        }
    }
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Compared {
    /// A strip.
    Strip(Box<StripView>),
    /// A row of a CKA matrix.
    CkaRow(CkaRow),
    /// Every row of a CKA matrix has been told.
    CkaDone(CkaDone),
    /// Content shifts.
    Shift(ShiftView),
}

/// One activation of several passes of a picture, in the colours of one basis, and how alike they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripQuery {
    /// The activation.
    pub id: Id,
    /// The passes, in the order of the strip.
    pub passes: Vec<PassId>,
    /// How the colours come about; the basis is fitted on all of them whatever is chosen here.
    pub settings: PcaSettings,
    /// The estimator of CKA.
    pub form: Form,
    /// Most positions that CKA is computed on.
    pub most_rows: usize,
}

/// A frame of a strip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripFrame {
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3), row-major; black where the map is not finite.
    pub rgb: Vec<u8>,
}

/// A strip.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StripView {
    /// What was asked.
    pub query: StripQuery,
    /// A picture for every pass.
    pub frames: Vec<StripFrame>,
    /// Explained-variance ratio of every component of the common basis.
    pub explained: Vec<f64>,
    /// Positions the basis was fitted on.
    pub fitted_on: usize,
    /// Mean over positions of the cosine of two frames' vectors, (n, n) row-major; NaN where one of them is not finite.
    pub cosine: Vec<f64>,
    /// Linear CKA of two frames, (n, n) row-major; none where it is not defined.
    pub cka: Vec<Option<f64>>,
    /// The grid that CKA was computed on.
    pub cka_grid: Grid,
    /// Frames that are not finite: they have neither colours nor figures.
    pub not_finite: Vec<NotFiniteMap>,
}

/// One activation of some pictures' passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CkaItem {
    /// The activation.
    pub id: Id,
    /// A pass of every picture, in the same order in all items.
    pub passes: Vec<PassId>,
}

/// Linear CKA of activations with each other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaQuery {
    /// Chosen by the sender; answers name it.
    pub number: u64,
    /// The rows of the matrix.
    pub rows: Vec<CkaItem>,
    /// Its columns; none: the rows again, and the matrix is symmetric.
    pub columns: Option<Vec<CkaItem>>,
    /// What the rows of the compared maps are.
    pub over: RowRule,
    /// How maps on other grids are brought to the common one.
    pub grids: GridRule,
    /// The estimator.
    pub form: Form,
    /// Most positions, of all pictures together, that are compared.
    pub most_rows: usize,
}

/// A row of a CKA matrix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaRow {
    /// The query's number.
    pub number: u64,
    /// Which row, counted from 0.
    pub row: usize,
    /// The values of its columns; of a symmetric matrix those up to the diagonal. None where CKA is not defined.
    pub values: Vec<Option<f64>>,
}

/// A CKA matrix is complete.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CkaDone {
    /// The query's number.
    pub number: u64,
    /// The common grid of each picture; empty where pictures are the rows.
    pub grids: Vec<Grid>,
    /// Rows that were compared: positions or pictures.
    pub rows: usize,
    /// Maps that are not finite: CKA with them is not defined.
    pub not_finite: Vec<NotFiniteMap>,
    /// Seconds it took.
    pub seconds: f64,
}

/// How far passes have moved from what an activation says without noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftQuery {
    /// The activation.
    pub id: Id,
    /// The pass without noise.
    pub reference: PassId,
    /// The pass whose score is 0.
    pub anchor: PassId,
    /// The passes that are measured.
    pub passes: Vec<PassId>,
}

/// Content shifts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShiftView {
    /// What was asked.
    pub query: ShiftQuery,
    /// diff(anchor): what scores are measured by.
    pub anchor_diff: f64,
    /// Channels of the reference that do not vary and are left out.
    pub left_out: usize,
    /// One for every pass; NaN where its map is not finite.
    pub shifts: Vec<Shift>,
    /// Maps that are not finite: they have no shift.
    pub not_finite: Vec<NotFiniteMap>,
}
