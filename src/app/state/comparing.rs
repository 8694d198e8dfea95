//! Film strip, CKA matrix and content shifts, as far as they have come.

use super::series::AllSeries;
use crate::{
    activation::Id,
    app::document::choices::CkaBetween,
    engine::{
        CkaDone, CkaQuery, CkaRow, ComparisonKind, ImageSlot, Layer, MemberKept, SeriesMember, ShiftView, StripView,
        ViewRequest,
    },
    geometry::Grid,
    render::ScoreMap,
};

/// Everything that compares many maps.
#[derive(Debug, Default)]
pub struct Comparing {
    /// The passes they are computed from.
    pub series: AllSeries,
    /// The strip that came last.
    pub strip: Option<Strip>,
    /// The CKA matrix that is shown, as far as it has come.
    pub matrix: Option<Matrix>,
    /// The content shifts that came last.
    pub shift: Option<Shifts>,
    /// What was asked of each kind and has not come.
    pub(in crate::app) open: Vec<Open>,
    /// How many CKA matrices were asked for.
    pub(in crate::app) matrices: u64,
    /// The model before this one, as far as its maps may still be kept.
    pub before: Option<ModelBefore>,
}

/// Members with what came of them.
pub type Members = Vec<(SeriesMember, MemberKept)>;

/// A strip, and what its frames are.
#[derive(Debug, Clone)]
pub struct Strip {
    /// A pass for every frame.
    pub members: Members,
    /// Frames and figures.
    pub view: StripView,
    /// Its figures as they are painted: cosine and CKA.
    pub figures: [Option<ScoreMap>; 2],
}

/// A CKA matrix, and what its rows and columns are.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// What was asked.
    pub query: CkaQuery,
    /// What its rows and columns are.
    pub between: CkaBetween,
    /// Names of the rows, and of the columns.
    pub names: [Vec<String>; 2],
    /// The pictures that are compared.
    pub slots: Vec<ImageSlot>,
    /// What ran for the rows, and for the columns.
    pub ran: [Vec<MemberKept>; 2],
    /// The model of the columns, where it is the one before.
    pub other_model: Option<String>,
    /// (rows, columns), row-major; NaN where a value is not there or not defined.
    pub values: Vec<f32>,
    /// Rows that have come.
    pub rows_done: usize,
    /// How it was computed, once it is complete.
    pub done: Option<CkaDone>,
    /// The values as they are painted.
    pub scores: Option<ScoreMap>,
}

/// Content shifts, and what was measured.
#[derive(Debug, Clone)]
pub struct Shifts {
    /// Reference and anchor.
    pub ruler: [(SeriesMember, MemberKept); 2],
    /// Name and pass of every point, in the order of the view's shifts.
    pub points: Vec<(&'static str, SeriesMember, MemberKept)>,
    /// The figures.
    pub view: ShiftView,
}

/// A comparison that was asked for.
#[derive(Debug, Clone)]
pub(in crate::app) struct Open {
    pub(in crate::app) kind: ComparisonKind,
    pub(in crate::app) query: ViewRequest,
    pub(in crate::app) members: Members,
    pub(in crate::app) ruler: Option<[(SeriesMember, MemberKept); 2]>,
    pub(in crate::app) points: Vec<&'static str>,
    pub(in crate::app) answered: bool,
}

/// What is remembered of the model before this one.
#[derive(Debug, Clone)]
pub struct ModelBefore {
    /// Its name.
    pub name: String,
    /// Its activations.
    pub layers: Vec<Layer>,
    /// The picture, its fingerprint, its pass, and what is kept of it.
    pub passes: Vec<(ImageSlot, u64, MemberKept, Vec<Id>)>,
}

impl Matrix {
    /// The value of a cell; none where it is not there or not defined.
    pub fn value(&self, row: usize, column: usize) -> Option<f32> {
        let columns = self.names[1].len();
        let value = *self.values.get(row * columns + column)?;
        value.is_finite().then_some(value)
    }

    pub(in crate::app) fn on_row(&mut self, row: CkaRow) {
        let columns = self.names[1].len();
        for (column, value) in row.values.iter().enumerate().take(columns) {
            let value = value.map_or(f32::NAN, |value| value as f32);
            let mut set = |row: usize, column: usize| {
                if let Some(cell) = self.values.get_mut(row * columns + column) {
                    *cell = value;
                }
            };
            set(row.row, column);
            if self.query.columns.is_none() {
                set(column, row.row);
            }
        }
        self.rows_done = self.rows_done.max(row.row + 1);
        self.scores = ScoreMap::new(Grid::new(self.names[0].len(), columns), self.values.clone()).ok();
    }
}
