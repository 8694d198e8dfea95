//! What tells one set of coloured thumbnails from another.

use super::atlas::AtlasKey;
use crate::{activation::Id, app::document::sheet::SheetColours, render::ColourMap};

/// The thumbnails of a survey, and how they are coloured.
#[derive(Debug, Clone, PartialEq)]
pub struct SheetKey {
    pub(in crate::app) job: u64,
    pub(in crate::app) colours: SheetColours,
    /// Whose colours the others agree with.
    pub(in crate::app) reference: Option<Id>,
    /// Of how noisy cells are.
    pub(in crate::app) map: ColourMap,
}

impl AtlasKey for SheetKey {
    fn same_places(&self, other: &Self) -> bool {
        self.job == other.job
    }
}

/// The small pictures of a recommendation.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendKey {
    pub(in crate::app) job: u64,
}

impl AtlasKey for RecommendKey {
    fn same_places(&self, other: &Self) -> bool {
        self == other
    }
}

/// The marked thumbnails of a survey; the first gives the colours.
#[derive(Debug, Clone, PartialEq)]
pub struct MarkedKey {
    pub(in crate::app) job: u64,
    pub(in crate::app) marked: Vec<Id>,
    pub(in crate::app) there: usize,
}

impl AtlasKey for MarkedKey {
    fn same_places(&self, other: &Self) -> bool {
        self == other
    }
}
