//! One channel of an activation.

use serde::{Deserialize, Serialize};

use crate::{
    activation::{FeatureMap, Id},
    engine::{
        ids::{ImageSlot, PassId},
        map_store::Unavailable,
        queries::{Answering, Lane, Query},
    },
    error::{Error, Result},
    geometry::Grid,
};

/// One channel of an activation of some pictures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelQuery {
    /// The activation.
    pub id: Id,
    /// The channel, counted from 0.
    pub channel: usize,
    /// The passes, with the slot each is shown in.
    pub passes: Vec<(ImageSlot, PassId)>,
}

/// One channel of one picture each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelView {
    /// What was asked.
    pub query: ChannelQuery,
    /// Rows, columns and values of each picture, in the order of the query's passes.
    pub maps: Vec<(ImageSlot, Grid, Vec<f32>)>,
}

impl Query for ChannelQuery {
    type Answer = ChannelView;
    const LANE: Lane = Lane::Instant;

    fn answer(&self, work: &mut Answering<'_, ChannelView>) -> Result<(), Unavailable> {
        let mut maps = Vec::with_capacity(self.passes.len());
        for (slot, pass) in &self.passes {
            let map = work.maps.map(*pass, self.id)?;
            maps.push((*slot, map.grid(), channel_values(&map, self)?));
        }
        work.emit(ChannelView {
            query: self.clone(),
            maps,
        });
        Ok(())
    }
}

fn channel_values(map: &FeatureMap, query: &ChannelQuery) -> Result<Vec<f32>> {
    map.channel(query.channel).ok_or_else(|| {
        Error::usage(format!(
            "{} has {} channels, counted from 0: there is no channel {}",
            query.id,
            map.channels(),
            query.channel
        ))
    })
}
