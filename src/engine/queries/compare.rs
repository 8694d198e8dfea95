//! Two maps as A and B: colours that agree as far as they can, and where they differ.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        colour::{self, ColourRange},
        difference::{Difference, common_grid, cosine_difference, on_grid, score_difference},
        massive::{channel_figures, massive_channels},
        pca::{self, COLOUR_COMPONENTS, PcaBasis, PcaOptions, Scores},
        procrustes::{rotated, rotation_to},
    },
    engine::{
        basis::PcaSettings,
        ids::PassId,
        map_store::{MapStore, Unavailable},
        queries::{Answering, Lane, Query},
    },
    error::Result,
    extract::ram,
    geometry::Grid,
};

/// Two activations of any passes, compared as A and B.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareQuery {
    /// Pass and activation of A and of B.
    pub sides: [(PassId, Id); 2],
    /// How the colours come about; what the basis is fitted on is the comparison's own business.
    pub settings: PcaSettings,
}

/// How far the colours of two sides agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Agreement {
    /// One basis was fitted on both.
    OneBasis,
    /// The channel counts differ: each has its own basis, and the scores of B are rotated onto those of A (Procrustes).
    Rotated,
}

impl Agreement {
    /// What the colours of A and B are.
    pub const fn words(self) -> &'static str {
        match self {
            Self::OneBasis => "one PCA basis and one colour range for A and B",
            Self::Rotated => {
                "the channel counts differ: a PCA basis and a colour range for each, the scores of B rotated onto those of A \
                 (Procrustes)"
            }
        }
    }
}

/// The colours of one side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComparedMap {
    /// Rows and columns.
    pub grid: Grid,
    /// (rows, columns, 3).
    pub rgb: Vec<u8>,
    /// Share of the variance of each component of its basis.
    pub explained: Vec<f64>,
    /// Channels that were left out as massive.
    pub left_out: Vec<usize>,
}

/// Two sides and how much they differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompareView {
    /// What was asked.
    pub query: CompareQuery,
    /// The colours of A and B.
    pub sides: [ComparedMap; 2],
    /// What the colours have in common.
    pub agreement: Agreement,
    /// How much they differ at each position.
    pub difference: Difference,
}

impl Query for CompareQuery {
    type Answer = CompareView;
    const LANE: Lane = Lane::Colours;

    fn answer(&self, work: &mut Answering<'_, CompareView>) -> Result<(), Unavailable> {
        let view = compare(work.maps, self)?;
        work.emit(view);
        Ok(())
    }
}

/// Colours and differences of two maps.
fn compare(maps: &MapStore, query: &CompareQuery) -> Result<CompareView, Unavailable> {
    let [a, b] = query.sides;
    let (mut a, mut b) = (maps.map(a.0, a.1)?, maps.map(b.0, b.1)?);
    ram::check(
        a.bytes().saturating_add(b.bytes()),
        "the principal components of both sides",
        "compare smaller activations",
    )?;
    let same_channels = a.channels() == b.channels();
    let mut left_out = [Vec::new(), Vec::new()];
    if query.settings.drop_massive {
        let of_a = massive_channels(&channel_figures(&a));
        // Where channels are the same ones, the same ones are left out.
        let of_b = match same_channels {
            true => of_a.clone(),
            false => massive_channels(&channel_figures(&b)),
        };
        left_out = [of_a, of_b];
        a = without(a, &left_out[0])?;
        b = without(b, &left_out[1])?;
    }
    let shown = &query.settings.shown;
    let (difference, scores, bases, agreement) = if same_channels {
        let basis = fit(&[&a, &b], query)?;
        let scores = [basis.project(&a)?, basis.project(&b)?];
        (
            cosine_difference(&a, &b)?,
            scores.map(|scores| scores.of_components(shown)),
            vec![basis],
            Agreement::OneBasis,
        )
    } else {
        let bases = [fit(&[&a], query)?, fit(&[&b], query)?];
        let [a, b] = [bases[0].project(&a)?, bases[1].project(&b)?].map(|scores| scores.of_components(shown));
        let difference = score_difference(&a, &b)?;
        let b = turned(&b, &a)?;
        (difference, [a, b], bases.into(), Agreement::Rotated)
    };
    let ranges = match agreement {
        Agreement::OneBasis => {
            let common = ColourRange::of(&[&scores[0], &scores[1]], query.settings.clip)?;
            [common.clone(), common]
        }
        // Scores of different layers have different scales.
        Agreement::Rotated => [
            ColourRange::of(&[&scores[0]], query.settings.clip)?,
            ColourRange::of(&[&scores[1]], query.settings.clip)?,
        ],
    };
    let side = |index: usize| ComparedMap {
        grid: scores[index].grid,
        rgb: colour::colour(&scores[index], &ranges[index]).rgb,
        explained: bases
            .get(index)
            .or(bases.first())
            .map(|basis: &PcaBasis| basis.explained_variance_ratio.clone())
            .unwrap_or_default(),
        left_out: left_out[index].clone(),
    };
    Ok(CompareView {
        query: query.clone(),
        sides: [side(0), side(1)],
        agreement,
        difference,
    })
}

fn without(map: Arc<FeatureMap>, left_out: &[usize]) -> Result<Arc<FeatureMap>> {
    match left_out {
        [] => Ok(map),
        some => Ok(Arc::new(map.without_channels(some)?)),
    }
}

fn fit(maps: &[&FeatureMap], query: &CompareQuery) -> Result<PcaBasis> {
    let shown = query.settings.shown.iter().map(|index| index.saturating_add(1));
    let wanted = shown.fold(COLOUR_COMPONENTS, usize::max);
    let channels = maps.first().map_or(wanted, |map| map.channels());
    pca::fit(
        maps,
        &PcaOptions {
            components: wanted.min(channels),
            ..query.settings.options.clone()
        },
    )
}

/// Scores rotated onto others, with which they are compared on the larger grid.
fn turned(scores: &Scores, onto: &Scores) -> Result<Scores> {
    let k = scores.components;
    let grid = common_grid(scores.grid, onto.grid);
    let [from, to] = [scores, onto].map(|scores| on_grid(&scores.values, k, scores.grid, grid));
    let rotation = rotation_to(&from, &to, k)?;
    Ok(Scores {
        values: rotated(&scores.values, &rotation, k),
        ..scores.clone()
    })
}
