//! A PCA basis in a file: fitted once, and other maps shown in it.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::ids::ImageSlot;
use crate::{
    activation::{FeatureMap, Id},
    analysis::{
        colour::RangeRule,
        pca::{COLOUR_COMPONENTS, PcaBasis, PcaOptions, Scores},
    },
    error::{Error, Result},
    io::output::{replace_file, write_error},
    weights::{TextKind, read_text},
};

/// How PCA colours come about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PcaSettings {
    /// What the basis is fitted on.
    pub basis: BasisChoice,
    /// How it is fitted, with as many components as are shown, at least; a saved basis brings its own.
    pub options: PcaOptions,
    /// Which scores become black and which full intensity: over all maps that share a basis.
    pub clip: RangeRule,
    /// The components, counted from 0, that become red, green and blue.
    pub shown: [usize; COLOUR_COMPONENTS],
    /// Whether the massive channels of the first map that a basis is fitted on are left out of all; not with a saved
    /// basis, which knows its channels.
    pub drop_massive: bool,
}

impl Default for PcaSettings {
    fn default() -> Self {
        Self {
            basis: BasisChoice::default(),
            options: PcaOptions::default(),
            clip: RangeRule::default(),
            shown: [0, 1, 2],
            drop_massive: false,
        }
    }
}

/// What a PCA basis is fitted on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BasisChoice {
    /// All pictures together: the same colour means the same.
    #[default]
    Together,
    /// Each picture alone.
    Each,
    /// One picture, for all.
    Of(ImageSlot),
    /// A basis in a file.
    Saved(#[serde(with = "crate::files::names")] PathBuf),
}

/// A basis with the channels it knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavedBasis {
    /// The activation it was fitted on.
    pub id: Id,
    /// Channels, counted from 0, that are left out of a map before it is projected.
    pub left_out: Vec<usize>,
    /// The basis of the remaining channels.
    pub basis: PcaBasis,
    /// The settings it was fitted with.
    pub settings: PcaSettings,
}

impl SavedBasis {
    /// Reads what [`Self::write`] wrote.
    ///
    /// # Errors
    ///
    /// Where it cannot be read or holds no PCA basis.
    pub fn read(path: &Path) -> Result<Self> {
        let advice = "choose a file that was saved as a PCA basis, or fit a basis on the pictures";
        let found = |what: String| Error::failed(format!("{} is no PCA basis: {what}; {advice}", path.display()));
        let text = read_text(path, TextKind::Basis).map_err(|error| error.followed_by(format_args!("; {advice}")))?;
        let saved: Self = serde_json::from_str(&text).map_err(|error| found(error.to_string()))?;
        saved.check().map_err(|what| found(what.to_owned()))?;
        Ok(saved)
    }

    /// Writes it as JSON.
    ///
    /// # Errors
    ///
    /// Where it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = serde_json::to_vec(self)
            .map_err(|error| Error::failed(format!("the PCA basis cannot be written down: {error}")))?;
        replace_file(path, |file: &mut dyn Write| file.write_all(&json).map_err(write_error))
    }

    /// Channels of the maps it can be applied to.
    pub fn map_channels(&self) -> usize {
        self.basis.channels + self.left_out.len()
    }

    /// Scores of a map of all channels.
    ///
    /// # Errors
    ///
    /// Where the map has another number of channels than the basis.
    pub fn project(&self, map: &FeatureMap) -> Result<Scores> {
        if map.channels() != self.map_channels() {
            return Err(Error::usage(format!(
                "the PCA basis was fitted on {} with {} channels, this activation has {}: choose an activation of as \
                 many channels, or fit a basis on these pictures",
                self.id,
                self.map_channels(),
                map.channels()
            )));
        }
        if self.left_out.is_empty() {
            self.basis.project(map)
        } else {
            self.basis.project(&map.without_channels(&self.left_out)?)
        }
    }

    /// Whether the numbers of a file go together.
    fn check(&self) -> Result<(), &'static str> {
        let (k, basis) = (self.basis.options.components, &self.basis);
        let sound = k > 0
            && basis.channels > 0
            && k.checked_mul(basis.channels) == Some(basis.components.len())
            && basis.mean.len() == basis.channels
            && [
                basis.explained_variance.len(),
                basis.explained_variance_ratio.len(),
                basis.dropped.len(),
            ] == [k; 3];
        if !sound {
            return Err("its numbers do not make the components that it names");
        }
        if !basis.mean.iter().chain(&basis.components).all(|x| x.is_finite()) {
            return Err("it holds numbers that are too large");
        }
        let ascending = self.left_out.windows(2).all(|pair| pair[0] < pair[1]);
        let named = self.left_out.last().is_none_or(|last| *last < self.map_channels());
        if !(ascending && named) {
            return Err("it leaves out channels that its maps do not have");
        }
        Ok(())
    }
}
