//! Figures of every channel of a map, and which of them are massive.

use serde::{Deserialize, Serialize};

use crate::{
    activation::Id,
    analysis::massive::{ChannelFigures, channel_figures, massive_channels, mean_cosine},
    engine::{
        ids::PassId,
        map_store::Unavailable,
        queries::{Answering, Lane, Query},
    },
};

/// Figures of every channel of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelsQuery {
    /// The activation.
    pub id: Id,
    /// The pass.
    pub pass: PassId,
}

/// Figures of every channel of a map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChannelsView {
    /// What was asked.
    pub query: ChannelsQuery,
    /// Every channel.
    pub channels: Vec<ChannelFigures>,
    /// Those flagged as massive.
    pub massive: Vec<usize>,
    /// Mean cosine of all pairs of positions: with all channels, and without the massive ones.
    pub mean_cosine: [f64; 2],
}

impl Query for ChannelsQuery {
    type Answer = ChannelsView;
    const LANE: Lane = Lane::Instant;

    fn answer(&self, work: &mut Answering<'_, ChannelsView>) -> Result<(), Unavailable> {
        let map = work.maps.map(self.pass, self.id)?;
        let channels = channel_figures(&map);
        let massive = massive_channels(&channels);
        let whole = mean_cosine(&map);
        let without = if massive.is_empty() {
            whole
        } else {
            mean_cosine(&map.without_channels(&massive)?)
        };
        work.emit(ChannelsView {
            query: *self,
            channels,
            massive,
            mean_cosine: [whole, without],
        });
        Ok(())
    }
}
