//! Writes a page on which pictures light up where they are similar.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Lane, Memory, Save};
use crate::{
    activation::Id,
    engine::{
        ids::PassId,
        map_store::{MapStore, Unavailable},
    },
    error::Error,
    extract::{facts::facts, model::fingerprint},
    files::names,
    io::{
        output::{replace_file, write_error},
        writers::format_of,
    },
    page::{PageInput, PageLayer, PagePicture, page},
};

/// Writes activations of some pictures as one HTML file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SavePage {
    /// The activations, the first shown first.
    pub ids: Vec<Id>,
    /// The passes of the pictures, with what each is called.
    pub pictures: Vec<(String, PassId)>,
    /// The model's name.
    #[serde(with = "crate::files::names")]
    pub model: String,
    /// What stands above it.
    pub title: String,
    /// Whether massive channels of the first picture are left out.
    pub drop_massive: bool,
    /// A .html file.
    #[serde(with = "crate::files::names")]
    pub path: PathBuf,
}

impl Save for SavePage {
    const LANE: Lane = Lane::Long;

    fn path(&self) -> &Path {
        &self.path
    }

    fn save(&self, maps: &MapStore, _memory: &mut Memory) -> Result<(), Unavailable> {
        format_of(&self.path, &["html"])?;
        let first = self
            .ids
            .first()
            .ok_or_else(|| Error::usage("a page needs an activation"))?;
        if let Some(id) = self.ids.iter().find(|id| id.is_map()) {
            return Err(Error::usage(format!(
                "{id} is an attention map: a page compares feature maps, choose another layer"
            ))
            .into());
        }
        let mut pictures = Vec::with_capacity(self.pictures.len());
        let (mut ran, mut settings, mut fingerprints) = (Vec::new(), Vec::new(), Vec::new());
        for (name, pass) in &self.pictures {
            let info = maps.info(*pass, *first)?;
            fingerprints.push(format!("{:016x}", fingerprint(&info.picture)));
            pictures.push(PagePicture {
                name: name.clone(),
                picture: info.picture.clone(),
                framing: info.framing,
            });
            ran.push(info.ran.clone());
            settings.push(info.settings.clone());
        }
        let layers = self.ids.iter().map(|id| {
            let maps = self.pictures.iter().map(|(_, pass)| maps.map(*pass, *id));
            Ok(PageLayer {
                id: *id,
                maps: maps.collect::<Result<_, Unavailable>>()?,
            })
        });
        let layers = layers.collect::<Result<Vec<_>, Unavailable>>()?;
        let facts = match (settings.first(), ran.first()) {
            (Some(settings), Some(ran)) => facts(&self.model, settings, ran),
            _ => Vec::new(),
        };
        let input = PageInput {
            title: self.title.clone(),
            pictures,
            layers,
            drop_massive: self.drop_massive,
            facts,
            made_by: json!({
                "program": format!("featscope {}", env!("CARGO_PKG_VERSION")),
                "model": names::text_json(&self.model),
                "settings": settings,
                "ran": ran,
                "picture_fingerprints": fingerprints,
            }),
        };
        let html = page(&input, &mut |_| Ok(()))?;
        replace_file(&self.path, |file| file.write_all(html.as_bytes()).map_err(write_error))?;
        Ok(())
    }
}
