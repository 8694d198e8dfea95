//! The figures as columns: of tables and files, to sort by, to filter by, and as axes of plots.

use serde::{Deserialize, Serialize};

use super::Measurement;
use crate::activation::Shape;

macro_rules! columns {
    ($($name:ident $key:literal $([$($old:literal)+])? $title:literal $about:literal $value:expr;)+) => {
        /// One figure of an activation. In every file and as an argument it has one name, [`Column::key`]; the names that
        /// older versions wrote are read on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Column {
            $(#[doc = $about] #[serde(rename = $key $($(, alias = $old)+)?)] $name,)+
        }

        impl Column {
            /// Every column, in the order of files.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in files and as an argument.
            pub const fn key(self) -> &'static str {
                match self { $(Self::$name => $key,)+ }
            }

            /// The names that older versions gave it.
            const fn old_keys(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($($old),+)?],)+ }
            }

            /// Its name on the screen.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)+ }
            }

            /// Description in one sentence.
            pub const fn about(self) -> &'static str {
                match self { $(Self::$name => $about,)+ }
            }

            /// Its value, where the activation has one.
            pub fn value(self, measurement: &Measurement) -> Option<f64> {
                if self.is_measured() && measurement.unmeasured.is_some() {
                    return None;
                }
                let of: fn(&Measurement) -> Option<f64> = match self { $(Self::$name => $value,)+ };
                of(measurement)
            }
        }
    };
}

impl Column {
    /// The column of a name: the one in files, one of an older version, or the one on the screen, whatever its case.
    pub fn named(name: &str) -> Option<Self> {
        let is = |column: &&Self| {
            let old = || column.old_keys().iter().any(|old| old.eq_ignore_ascii_case(name));
            column.key() == name || old() || column.title().eq_ignore_ascii_case(name)
        };
        Self::ALL.iter().find(is).copied()
    }

    /// What it is counted in, where that is no plain number.
    pub const fn unit(self) -> Option<&'static str> {
        match self {
            Self::Depth => Some("share of the network"),
            Self::Nsr | Self::NsrLowPassed => Some("noise to signal, energy"),
            Self::HalfWidth => Some("share of the short side"),
            Self::Nearest | Self::Baseline => Some("cosine"),
            Self::Semantics => Some("probability"),
            Self::SignalCentroid | Self::SignalRadius | Self::NoiseCentroid => Some("cycles per picture"),
            Self::Explained => Some("share of the variance"),
            _ => None,
        }
    }

    /// Whether its values span decades, so that a logarithmic axis tells more.
    pub const fn spans_decades(self) -> bool {
        matches!(self, Self::Nsr | Self::NsrLowPassed)
    }

    /// Whether it comes from the activation's numbers; the others are known before the pass.
    const fn is_measured(self) -> bool {
        !matches!(
            self,
            Self::Order | Self::Depth | Self::Block | Self::Channels | Self::Positions
        )
    }
}

columns! {
    Order "order" "Order" "Place in execution order, counted from 0."
        |measurement| Some(measurement.order as f64);
    Depth "depth" "Depth" "Share of the way through the network."
        |measurement| Some(measurement.depth);
    Block "block" "Block in its level" "Which of the activations of its kind on its grid and in its stage, counted from 0."
        |measurement| Some(measurement.block as f64);
    Channels "channels" "Channels" "Channels; of an attention map its keys."
        |measurement| Some(match measurement.shape {
            Shape::Features { channels, .. } => channels,
            Shape::Attention { keys, .. } => keys,
        } as f64);
    Positions "positions" "Positions" "Positions of the grid."
        |measurement| Some(match measurement.shape {
            Shape::Features { grid, .. } => grid.positions(),
            Shape::Attention { queries, .. } => queries,
        } as f64);
    Nsr "nsr" "Noise" "Noise-to-signal ratio: energy of what passes with different noise differ by, over that of their mean."
        |measurement| measurement.figures.nsr;
    NsrLowPassed "nsr_low_passed" ["nsr-low-passed"] "Noise, low-passed" "Noise-to-signal ratio after a Gaussian of 2 positions: noise that no blurring takes away."
        |measurement| measurement.figures.nsr_low_passed;
    HalfWidth "locality_half_width" ["locality-half-width" "half-width" "Locality"] "Locality half-width" "Distance at which similarity has fallen half-way to that of all pairs, as a share of the short side; small: only near positions are alike."
        |measurement| measurement.figures.locality.half_width;
    Nearest "locality_nearest" ["locality-nearest" "nearest"] "Similarity of neighbours" "Mean cosine of positions next to each other, S(1)."
        |measurement| measurement.figures.locality.curve.first().copied();
    Baseline "locality_baseline" ["locality-baseline" "baseline"] "Similarity of all pairs" "Mean cosine of all pairs of positions."
        |measurement| (!measurement.figures.locality.curve.is_empty()).then_some(measurement.figures.locality.baseline);
    Semantics "locality_semantics" ["locality-semantics" "semantics"] "Locality over meaning" "Probability that a near position of another marked region is more similar than a far one of the same region; 0.5: neither wins."
        |measurement| measurement.figures.semantics;
    SignalCentroid "granularity" ["signal-centroid"] "Granularity" "Spectral centroid of the mean over the noises, in cycles per picture; large: fine structure."
        |measurement| measurement.figures.signal.as_ref().map(|signal| signal.centroid);
    SignalRadius "granularity_radius" ["granularity-radius" "signal-radius"] "Granularity, 90 %" "Cycles per picture below which 90 % of the power of the mean lies."
        |measurement| measurement.figures.signal.as_ref().map(|signal| signal.radius as f64);
    SignalSlope "granularity_slope" ["granularity-slope" "signal-slope"] "Granularity, slope" "Slope of log power over log frequency of the mean."
        |measurement| measurement.figures.signal.as_ref().and_then(|signal| signal.slope);
    NoiseCentroid "noise_granularity" ["noise-granularity" "noise-centroid"] "Granularity of the noise" "Spectral centroid of what single passes have beyond the mean, in cycles per picture."
        |measurement| measurement.figures.residual.as_ref().map(|residual| residual.centroid);
    Explained "explained" "Three components" "Share of the variance that the first three principal components hold."
        |measurement| Some(measurement.figures.explained.iter().sum());
    EffectiveRank "effective_rank" ["effective-rank"] "Effective rank" "(Σλ)²/Σλ² of the covariance of the positions: how many directions the variance is spread over."
        |measurement| Some(measurement.figures.effective_rank);
    Massive "massive_channels" ["massive-channels" "massive" "Massive channels"] "Outlier channels" "Outlier channels (massive activations): those whose mean magnitude is over 100 times the median."
        |measurement| Some(measurement.figures.massive.len() as f64);
    Norm "norm" "Norm" "Mean length of the vector of a position."
        |measurement| Some(measurement.figures.norm);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_is_of_one_column_and_in_snake_case() {
        let mut taken = HashSet::new();
        for column in Column::ALL {
            let key = column.key();
            assert!(
                key.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'),
                "{key}"
            );
            for name in column.old_keys().iter().chain([&key]) {
                assert!(taken.insert(*name), "{name} twice");
                assert_eq!(Column::named(name), Some(*column), "{name}");
            }
        }
        assert_eq!(Column::named("noise"), Some(Column::Nsr), "as the screen says");
        assert_eq!(Column::named("beauty"), None);
    }

    #[test]
    fn files_have_the_same_name_and_old_ones_are_read() -> Result<(), serde_json::Error> {
        for column in Column::ALL {
            assert_eq!(serde_json::to_value(column)?, column.key());
            for old in column.old_keys() {
                assert_eq!(serde_json::from_value::<Column>((*old).into())?, *column, "{old}");
            }
        }
        Ok(())
    }
}
