//! The features of an extraction.

use std::{collections::BTreeMap, sync::OnceLock};

use crate::{
    activation::{FeatureMap, Id},
    error::{Error, Result},
    extract::{extracted::Extracted, request::Record},
    geometry::framing::Framing,
    io::array::Array,
    words::did_you_mean,
};

/// The features of one or several pictures, in memory.
pub struct Features {
    /// One for all pictures, or one for each.
    runs: Vec<Extracted>,
    /// Feature maps by picture and id, made when they are first asked for; attention maps are none.
    maps: BTreeMap<(usize, Id), OnceLock<FeatureMap>>,
}

impl Features {
    pub(super) fn new(runs: Vec<Extracted>) -> Self {
        let mut features = Self {
            runs,
            maps: BTreeMap::new(),
        };
        let ids: Vec<Id> = features.ids().filter(|id| !id.is_map()).collect();
        for picture in 0..features.pictures() {
            features
                .maps
                .extend(ids.iter().map(|id| ((picture, *id), OnceLock::new())));
        }
        features
    }

    /// The ids of the activations, in execution order.
    pub fn ids(&self) -> impl Iterator<Item = Id> + '_ {
        let first = self.runs.first().into_iter();
        first.flat_map(|run| run.activations.iter().map(|(id, _)| *id))
    }

    /// How many pictures there are.
    pub fn pictures(&self) -> usize {
        self.records().map(|record| record.ran.pictures.len()).sum()
    }

    /// The feature map (C, h, w) of an activation of the first picture.
    ///
    /// # Errors
    ///
    /// As [`map_of`](Self::map_of).
    pub fn map(&self, id: &str) -> Result<&FeatureMap> {
        self.map_of(0, id)
    }

    /// The feature map (C, h, w) of an activation of a picture, counted from 0.
    ///
    /// # Errors
    ///
    /// Where there is no such picture, or the activation was not recorded or is an attention map.
    pub fn map_of(&self, picture: usize, id: &str) -> Result<&FeatureMap> {
        let (array, row, id) = self.find(picture, id)?;
        // Every map that is no attention map has its cell.
        let no_features = || Error::usage(format!("{id} is an attention map, not features: `numbers` gives it"));
        let cell = self.maps.get(&(picture, id)).ok_or_else(no_features)?;
        if let Some(map) = cell.get() {
            return Ok(map);
        }
        let map = array.feature_map(row)?;
        Ok(cell.get_or_init(|| map))
    }

    /// The numbers of an activation of a picture as they were recorded, row-major: (C, h, w), or (heads, queries, keys) of an
    /// attention map, with this shape.
    ///
    /// # Errors
    ///
    /// Where there is no such picture, or the activation was not recorded.
    pub fn numbers(&self, picture: usize, id: &str) -> Result<(&[f32], [usize; 3])> {
        let (array, row, id) = self.find(picture, id)?;
        let [_, a, b, c] = array.shape[..] else {
            return Err(Error::failed(format!(
                "{id} has the shape {:?}, not four sides",
                array.shape
            )));
        };
        Ok((array.row(row)?, [a, b, c]))
    }

    /// Where the working picture of a picture lies in it: between pixels and cells, both ways.
    pub fn framing(&self, picture: usize) -> Option<&Framing> {
        let framed = self.records().flat_map(|record| &record.ran.pictures);
        framed.map(|framed| &framed.framing).nth(picture)
    }

    /// What was asked and what ran, of each pass.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.runs.iter().map(|run| &run.record)
    }

    /// The rows of an activation, and which of them is the picture's.
    fn find(&self, picture: usize, id: &str) -> Result<(&Array, usize, Id)> {
        let mut row = picture;
        for run in &self.runs {
            let pictures = run.record.ran.pictures.len();
            if row < pictures {
                let found = run.activations.iter().find(|(known, _)| known.as_str() == id);
                let (id, array) = found.ok_or_else(|| {
                    let known: Vec<String> = self.ids().map(|id| id.to_string()).collect();
                    let hint = did_you_mean(id, known.iter().map(String::as_str));
                    Error::usage(format!(
                        "the activation \"{id}\" was not recorded{hint}: recorded were {}",
                        known.join(", ")
                    ))
                })?;
                return Ok((array, row, *id));
            }
            row -= pictures;
        }
        Err(Error::usage(format!(
            "there is no picture {picture}: {} ran, counted from 0",
            self.pictures()
        )))
    }
}
