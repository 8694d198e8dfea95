//! A survey as a folder: page, table, sheet.

use std::path::Path;

use serde_json::json;

use crate::{
    app::state::root::State,
    error::{Error, Result},
    files::names,
    io::output::write_folder,
    survey::{Column, Measurement, PictureSurvey, write_survey},
};

/// Writes the survey into a folder: page, table, sheet.
pub fn save_survey(state: &State, out: &Path) -> impl FnOnce() -> Result<()> + Send + 'static {
    let survey = state.survey.clone();
    let sort = state.document.sheet.sort.unwrap_or(Column::Order);
    let out = out.to_owned();
    move || {
        let survey = survey.ok_or_else(|| Error::usage("nothing was surveyed yet: there is nothing to save"))?;
        let made_by = json!({
            "request": {
                "model": names::text_json(&survey.model),
                "seed": survey.query.settings.seed,
                "settings": survey.query.settings,
                "regions": survey.query.regions,
            },
            "noises": survey.about.as_ref().map(|about| about.noises),
            "ran": survey.about.as_ref().map(|about| &about.ran),
        });
        let mut measurements: Vec<Measurement> = survey
            .findings
            .iter()
            .map(|finding| Measurement::clone(finding))
            .collect();
        measurements.sort_by_key(|measurement| measurement.order);
        let surveys = [PictureSurvey {
            picture: survey.picture,
            measurements,
        }];
        write_folder(&out, |folder| write_survey(folder, &surveys, &made_by, sort))
    }
}
