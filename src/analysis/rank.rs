//! How well an activation finds marked points again: every source point's nearest neighbour in the target picture, and
//! how far it is from where it should be. The ranking shows which layer is right for these pictures.

use std::{cmp::Ordering, fmt::Write};

use serde::{Deserialize, Serialize};

use super::{
    correspondence::{DiftTarget, Method, dift_query},
    massive::{channel_figures, massive_channels},
    pairs::{PointPair, check_pairs},
    similarity::{arg_max, cosine_to_all},
};
use crate::{
    activation::{FeatureMap, Id},
    components::schedule::Timestep,
    error::{Error, Result},
    geometry::{Grid, framing::Framing},
    io::output::csv_field,
};

/// Shares of the target's longer side within which a prediction counts as correct.
pub const PCK_SHARES: [f64; 2] = [0.05, 0.1];

/// How points are found again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RankOptions {
    /// On the grid, a prediction is the centre of the cell with the highest cosine; DIFT's are pixels.
    pub method: Method,
    /// Whether the massive channels of the source (see [`super::massive`]) are left out of source and target.
    pub drop_massive: bool,
}

/// Distances of predictions from where they should be.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PairFigures {
    /// Mean distance, in pixels of the original target picture.
    pub mean_distance_px: f64,
    /// Share of pairs within 0.05 of the target's longer side (PCK@.05, img).
    pub pck_05: f64,
    /// Share of pairs within 0.1 of the target's longer side (PCK@.1, img).
    pub pck_10: f64,
}

/// Score of one activation on the pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PairScore {
    /// Channels compared, massive ones that were left out not counted.
    pub channels: usize,
    /// Rows and columns of the target's map.
    pub grid: Grid,
    /// How well it did.
    pub figures: PairFigures,
    /// Expected figures of a prediction drawn uniformly from the target's cells (of DIFT: pixels).
    pub chance: PairFigures,
    /// (x, y) in pixels of the original target picture, one per pair that the model sees.
    pub predicted: Vec<[f64; 2]>,
}

/// An activation at a timestep, and what it made of the pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankRow {
    /// The timestep that ran.
    pub t: Timestep,
    /// The activation.
    pub id: Id,
    /// Its score.
    #[serde(flatten)]
    pub score: PairScore,
}

impl RankRow {
    /// The order from the best on: more points within 0.1, else a smaller mean distance.
    pub fn best_first(&self, other: &Self) -> Ordering {
        let (a, b) = (&self.score.figures, &other.score.figures);
        let by_share = b.pck_10.total_cmp(&a.pck_10);
        by_share.then(a.mean_distance_px.total_cmp(&b.mean_distance_px))
    }
}

/// Pairs of points of two framed pictures, to be found again in one activation after the other.
pub struct Ranking {
    /// Those that the model sees both points of.
    pairs: Vec<PointPair>,
    /// How many it does not see.
    unseen: usize,
    framings: [Framing; 2],
    options: RankOptions,
    /// Chance depends on the grid alone.
    chances: Vec<(Grid, PairFigures)>,
}

impl Ranking {
    /// Pairs of a source and a target picture with these framings. Points outside of their pictures are refused; pairs of
    /// which a crop leaves a point out are not counted, and no pair that is seen is an error.
    ///
    /// # Errors
    ///
    /// Where a point is outside of its picture, and where there is no pair of which the model sees both points.
    pub fn new(pairs: &[PointPair], framings: [Framing; 2], options: RankOptions) -> Result<Self> {
        check_pairs(pairs, framings.map(|framing| framing.original))?;
        let one = Grid::new(1, 1);
        let sees = |framing: &Framing, at: [f64; 2]| framing.cell_from_original(at, one).is_some();
        let seen: Vec<PointPair> = pairs
            .iter()
            .filter(|pair| sees(&framings[0], pair.source) && sees(&framings[1], pair.target))
            .copied()
            .collect();
        if seen.is_empty() {
            return Err(Error::usage(match pairs.len() {
                0 => "there is no pair of points: mark the same place in both pictures".to_owned(),
                count => format!(
                    "of {count} pair(s) of points the model sees none: it sees a square in the middle of each picture"
                ),
            }));
        }
        Ok(Self {
            unseen: pairs.len() - seen.len(),
            pairs: seen,
            framings,
            options,
            chances: Vec::new(),
        })
    }

    /// How many pairs count.
    pub fn pairs(&self) -> usize {
        self.pairs.len()
    }

    /// How many pairs have a point that the model does not see.
    pub fn unseen(&self) -> usize {
        self.unseen
    }

    /// The longer side of the original target picture, in pixels: what PCK's shares are of.
    pub fn longer_side(&self) -> usize {
        let size = self.framings[1].original;
        size.width.max(size.height)
    }

    /// Finds the points again in one activation of both pictures.
    ///
    /// # Errors
    ///
    /// Where the two maps differ in their number of channels, and where their grids do not go with the framings.
    pub fn score(&mut self, source: &FeatureMap, target: &FeatureMap) -> Result<PairScore> {
        if self.options.drop_massive {
            let left_out = massive_channels(&channel_figures(source));
            // A map has more channels than massive ones: these stand out from the median.
            if !left_out.is_empty() {
                let (source, target) = (source.without_channels(&left_out)?, target.without_channels(&left_out)?);
                return self.score_whole(&source, &target);
            }
        }
        self.score_whole(source, target)
    }

    fn score_whole(&mut self, source: &FeatureMap, target: &FeatureMap) -> Result<PairScore> {
        let (predicted, places) = match self.options.method {
            Method::Grid => self.on_grid(source, target)?,
            Method::Dift => self.enlarged(source, target)?,
        };
        Ok(self.scored(target, predicted, &places))
    }

    fn scored(&mut self, target: &FeatureMap, predicted: Vec<[f64; 2]>, places: &Places) -> PairScore {
        PairScore {
            channels: target.channels(),
            grid: target.grid(),
            figures: self.figures(&predicted),
            chance: self.chance(places),
            predicted,
        }
    }

    /// The vectors of the cells of all source points, one after the other: all that [`Self::score_points`] needs of the source.
    ///
    /// # Errors
    ///
    /// Where the grid does not go with the framing.
    pub(crate) fn points_of(&self, source: &FeatureMap) -> Result<Vec<f32>> {
        let mut vectors = Vec::with_capacity(self.pairs.len() * source.channels());
        for pair in &self.pairs {
            let cell = self.framings[0].cell_from_original(pair.source, source.grid());
            let cell = cell.ok_or_else(|| {
                Error::failed(format!(
                    "the point {:?} is seen, and yet on no cell of {:?}",
                    pair.source,
                    source.grid()
                ))
            })?;
            vectors.extend_from_slice(source.vector(source.grid().index(cell.0, cell.1)));
        }
        Ok(vectors)
    }

    /// Finds points again on the target's grid by their vectors alone, no channel left out.
    ///
    /// # Errors
    ///
    /// Where the vectors have another number of channels than the target, or its grid does not go with the framing.
    pub(crate) fn score_points(&mut self, points: &[f32], target: &FeatureMap) -> Result<PairScore> {
        let (predicted, places) = self.find_points(points, target)?;
        Ok(self.scored(target, predicted, &places))
    }

    /// The centre of the cell that is most similar to the cell of each source point.
    fn on_grid(&self, source: &FeatureMap, target: &FeatureMap) -> Result<(Vec<[f64; 2]>, Places)> {
        self.find_points(&self.points_of(source)?, target)
    }

    /// The centre of the cell that is most similar to each vector.
    fn find_points(&self, points: &[f32], target: &FeatureMap) -> Result<(Vec<[f64; 2]>, Places)> {
        let to = &self.framings[1];
        let places = Places {
            grid: target.grid(),
            first: to.original_from_cell((0, 0), target.grid()),
            next: to.original_from_cell((1, 1), target.grid()),
        };
        let channels = points.len() / self.pairs.len().max(1);
        let mut predicted = Vec::with_capacity(self.pairs.len());
        for query in points.chunks_exact(channels.max(1)) {
            let best = arg_max(&cosine_to_all(query, target)?).ok_or_else(no_number)?;
            predicted.push(places.at(best.position));
        }
        Ok((predicted, places))
    }

    /// The pixel that is most similar to the pixel of each source point, where the features are enlarged to the pixels of
    /// the originals (the parts of them that the model sees).
    fn enlarged(&self, source: &FeatureMap, target: &FeatureMap) -> Result<(Vec<[f64; 2]>, Places)> {
        let [(corner, size), (to_corner, to_size)] = self.framings.map(|framing| framing.seen_pixels());
        let places = Places {
            grid: to_size,
            first: to_corner,
            next: to_corner.map(|x| x + 1.0),
        };
        let pixel = |x: f64, corner: f64, side: usize| {
            let last = side.saturating_sub(1) as f64;
            (x - corner).round_ties_even().clamp(0.0, last) as usize
        };
        let enlarged = DiftTarget::new(target);
        let mut predicted = Vec::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            let [x, y] = pair.source;
            let (x, y) = (pixel(x, corner[0], size.width), pixel(y, corner[1], size.height));
            let query = dift_query(source, y, x, size.height, size.width)?;
            let best = arg_max(&enlarged.heat(&query, to_size.height, to_size.width)?).ok_or_else(no_number)?;
            predicted.push(places.at(best.position));
        }
        Ok((predicted, places))
    }

    fn figures(&self, predicted: &[[f64; 2]]) -> PairFigures {
        let mut sums = Sums::default();
        for (pair, at) in self.pairs.iter().zip(predicted) {
            sums.add(distance(*at, pair.target), self.longer_side());
        }
        sums.mean()
    }

    fn chance(&mut self, places: &Places) -> PairFigures {
        if let Some((_, known)) = self.chances.iter().find(|(grid, _)| *grid == places.grid) {
            return *known;
        }
        let longer_side = self.longer_side();
        let mut sums = Sums::default();
        for pair in &self.pairs {
            for position in 0..places.grid.positions() {
                sums.add(distance(places.at(position), pair.target), longer_side);
            }
        }
        let chance = sums.mean();
        self.chances.push((places.grid, chance));
        chance
    }
}

/// Where the predictions of a grid lie in the original picture: (x, y) of the first and of its diagonal neighbour.
struct Places {
    grid: Grid,
    first: [f64; 2],
    next: [f64; 2],
}

impl Places {
    fn at(&self, position: usize) -> [f64; 2] {
        let (row, column) = self.grid.row_column(position);
        let along = |axis: usize, steps: usize| self.first[axis] + steps as f64 * (self.next[axis] - self.first[axis]);
        [along(0, column), along(1, row)]
    }
}

/// Sums over distances.
#[derive(Default)]
struct Sums {
    count: usize,
    distance_px: f64,
    within: [usize; PCK_SHARES.len()],
}

impl Sums {
    fn add(&mut self, distance_px: f64, longer_side: usize) {
        self.count += 1;
        self.distance_px += distance_px;
        for (within, share) in self.within.iter_mut().zip(PCK_SHARES) {
            *within += usize::from(distance_px <= share * longer_side as f64);
        }
    }

    fn mean(&self) -> PairFigures {
        let count = self.count.max(1) as f64;
        let [pck_05, pck_10] = self.within.map(|within| within as f64 / count);
        PairFigures {
            mean_distance_px: self.distance_px / count,
            pck_05,
            pck_10,
        }
    }
}

fn distance([x, y]: [f64; 2], [to_x, to_y]: [f64; 2]) -> f64 {
    (x - to_x).hypot(y - to_y)
}

fn no_number() -> Error {
    Error::failed("no position of the target has a score: the activations are not finite")
}

/// Provenance that the rows of a table share.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankMade {
    /// The model, as it was named.
    #[serde(with = "crate::files::names")]
    pub model: String,
    /// Source and target picture.
    #[serde(with = "crate::files::names")]
    pub pictures: [String; 2],
    /// Width and height of the original target picture.
    pub target_size: [usize; 2],
    /// The longer side of it: what PCK's shares are of.
    pub longer_side_px: usize,
    /// Pairs that count, and pairs that the model does not see.
    pub pairs: [usize; 2],
    /// How points were found again.
    pub options: RankOptions,
    /// Seed of the noise.
    pub seed: u64,
    /// Noises whose features are averaged.
    pub ensemble: usize,
    /// Width and height of the working picture of the target.
    pub working_size: [usize; 2],
    /// Format computed in.
    pub dtype: String,
}

/// The rows as a table with a line of titles, in the order given; every row has its provenance.
pub(crate) fn rank_csv(rows: &[RankRow], made: &RankMade) -> String {
    let titles = "rank,t,activation,channels,rows,columns,mean_distance_px,pck_05,pck_10,chance_mean_distance_px,\
                  chance_pck_05,chance_pck_10,pairs,pairs_unseen,longer_side_px,method,drop_massive,model,seed,ensemble,\
                  working_width,working_height,dtype,source,target";
    let mut table = format!("{titles}\n");
    let method = made.options.method.name();
    for (index, row) in rows.iter().enumerate() {
        let score = &row.score;
        let figures = [score.figures, score.chance].map(|figures| {
            format!(
                "{:.3},{:.4},{:.4}",
                figures.mean_distance_px, figures.pck_05, figures.pck_10
            )
        });
        // Writing into a string cannot fail.
        let _ = writeln!(
            table,
            "{},{},{},{},{},{},{},{},{},{},{},{method},{},{},{},{},{},{},{},{},{}",
            index + 1,
            row.t,
            row.id,
            score.channels,
            score.grid.height,
            score.grid.width,
            figures[0],
            figures[1],
            made.pairs[0],
            made.pairs[1],
            made.longer_side_px,
            made.options.drop_massive,
            csv_field(&made.model),
            made.seed,
            made.ensemble,
            made.working_size[0],
            made.working_size[1],
            made.dtype,
            csv_field(&made.pictures[0]),
            csv_field(&made.pictures[1]),
        );
    }
    table
}

/// How the figures came about, in a sentence.
pub fn protocol(made: &RankMade) -> String {
    let [count, unseen] = made.pairs;
    let method = match made.options.method {
        Method::Grid => "nearest neighbour by cosine on the grid, predictions at cell centres",
        Method::Dift => {
            "features enlarged bilinearly to the originals' pixels, then nearest neighbour by cosine (DIFT)"
        }
    };
    let massive = if made.options.drop_massive {
        ", massive channels of the source left out"
    } else {
        ""
    };
    let not_seen = match unseen {
        0 => String::new(),
        some => format!(" ({some} more have a point that the model does not see)"),
    };
    format!(
        "{count} pair(s){not_seen}; {method}{massive}; distances in pixels of the original target, PCK within shares of its \
         longer side, {} px",
        made.longer_side_px
    )
}
