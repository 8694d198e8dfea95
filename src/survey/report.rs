//! What is written of a survey: a table, everything as JSON, and a page that needs no other file.

use std::fmt::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Value, json as value};

use super::{Column, Measurement, SheetEntry, sheet, thumbnail_picture};
use crate::{
    analysis::{granularity, locality, massive, noise},
    error::{Error, Result},
    files::{SURVEY_FILE, names},
    io::output::{UnfinishedFolder, csv_field, write_png},
    page::filled,
};

/// The survey of one picture.
#[derive(Debug, Clone, Serialize)]
pub struct PictureSurvey {
    /// What the picture is called.
    pub picture: String,
    /// Every activation, in execution order.
    #[serde(rename = "findings")]
    pub measurements: Vec<Measurement>,
}

/// A line for every picture and activation, a column for every figure; what an activation does not have is empty. The last
/// column says why an activation has no figures.
fn csv(surveys: &[PictureSurvey]) -> String {
    let mut out = "picture,id".to_owned();
    for column in Column::ALL {
        out.push(',');
        out.push_str(column.key());
    }
    out.push_str(",unmeasured\n");
    for survey in surveys {
        for measurement in &survey.measurements {
            out.push_str(&csv_field(&survey.picture));
            // Writing to a string cannot fail.
            let _ = write!(out, ",{}", measurement.id);
            for column in Column::ALL {
                let _ = match column.value(measurement) {
                    Some(number) => write!(out, ",{number}"),
                    None => write!(out, ","),
                };
            }
            out.push(',');
            out.push_str(&csv_field(measurement.unmeasured.as_deref().unwrap_or_default()));
            out.push('\n');
        }
    }
    out
}

/// Everything, with what made it (`made_by`) and the constants of the formulas; of each activation the table's figures by
/// their names there (`columns`), beside all that was measured (`figures`). Thumbnails are left out: the page has them.
fn json(surveys: &[PictureSurvey], made_by: &Value) -> Result<Value> {
    let mut written = serde_json::to_value(surveys)
        .map_err(|error| Error::failed(format!("the survey cannot be written down: {error}")))?;
    for (survey, measured) in written.as_array_mut().into_iter().flatten().zip(surveys) {
        let findings = survey["findings"].as_array_mut().into_iter().flatten();
        for (measurement, measured) in findings.zip(&measured.measurements) {
            if let Some(measurement) = measurement.as_object_mut() {
                let columns = Column::ALL.iter();
                let columns = columns.map(|column| (column.key().to_owned(), value!(column.value(measured))));
                measurement.insert("columns".to_owned(), Value::Object(columns.collect()));
                measurement.remove("thumbnail");
                match measurement.get("unmeasured") {
                    Some(Value::String(_)) => measurement.insert("figures".to_owned(), Value::Null),
                    _ => measurement.remove("unmeasured"),
                };
            }
        }
    }
    Ok(value!({
        "surveys": written,
        "constants": constants(),
        "columns": Column::ALL.iter().map(|column| (column.key(), column.about())).collect::<Vec<_>>(),
        "made_by": made_by,
    }))
}

/// The numbers in the formulas.
fn constants() -> Value {
    value!({
        "low_pass_sigma_positions": noise::LOW_PASS_SIGMA,
        "near_share_of_short_side": locality::NEAR,
        "far_share_of_short_side": locality::FAR,
        "granularity_radius_share": granularity::RADIUS_SHARE,
        "granularity_preparation": "per channel: mean removed, unit variance, symmetric Hann window on both axes",
        "massive_ratio_to_median": massive::MASSIVE_RATIO,
        "locality_preparation": "L2 per position",
        "thumbnail": "PCA of this activation alone, centred, lowest to highest score per component",
    })
}

/// An HTML page with every thumbnail and figure that sorts and searches, and needs no other file and no network.
fn page(surveys: &[PictureSurvey], made_by: &Value) -> Result<String> {
    let mut entries = Vec::new();
    for survey in surveys {
        for measurement in &survey.measurements {
            let picture = thumbnail_picture(&measurement.thumbnail);
            let mut png = Vec::new();
            write_png(&mut png, [picture.width, picture.height], &picture.rgb)?;
            let figures: Vec<Option<f64>> = Column::ALL.iter().map(|column| column.value(measurement)).collect();
            entries.push(value!({
                "picture": survey.picture,
                "id": measurement.id,
                "png": STANDARD.encode(&png),
                "figures": figures,
                "unmeasured": measurement.unmeasured,
                "curve": measurement.figures.locality.curve,
                "short": measurement.figures.locality.short_side,
            }));
        }
    }
    let columns: Vec<Value> = Column::ALL
        .iter()
        .map(|column| value!({ "key": column.key(), "title": column.title(), "about": column.about() }))
        .collect();
    let data = value!({ "entries": entries, "columns": columns, "made_by": made_by, "constants": constants() });
    filled(include_str!("page.html"), "__SURVEY__", &data)
}

/// Writes everything into a folder: `survey.html` (stands alone), `survey.csv`, `survey.json`, and for each picture a sheet
/// of thumbnails sorted by one figure. `made_by` is what was asked (`request`) and what ran (`ran`).
pub(crate) fn write_survey(
    folder: &UnfinishedFolder,
    surveys: &[PictureSurvey],
    made_by: &Value,
    sort: Column,
) -> Result<()> {
    folder.file("survey.csv", |file| write_text(file, &csv(surveys)))?;
    folder.record(SURVEY_FILE, "survey", json(surveys, made_by)?);
    folder.file("survey.html", |file| write_text(file, &page(surveys, made_by)?))?;
    for (number, survey) in surveys.iter().enumerate() {
        let mut measurements: Vec<&Measurement> = survey.measurements.iter().collect();
        let value = |measurement: &Measurement| sort.value(measurement).unwrap_or(f64::INFINITY);
        measurements.sort_by(|a, b| value(a).total_cmp(&value(b)));
        let entries: Vec<SheetEntry<'_>> = measurements
            .into_iter()
            .map(|measurement| SheetEntry {
                measurement,
                picture: thumbnail_picture(&measurement.thumbnail),
            })
            .collect();
        let ran = &made_by["ran"];
        let title = [
            format!(
                "{}: {} activations, sorted by {}",
                survey.picture,
                entries.len(),
                sort.title()
            ),
            format!(
                "{}{}, {} on {}; each PCA of its own, lowest to highest",
                names::shown_json(&made_by["request"]["model"]),
                noises_text(made_by),
                ran["dtype"].as_str().unwrap_or_default(),
                ran["device"].as_str().unwrap_or_default(),
            ),
        ];
        let canvas = sheet(&title, &entries, sort);
        let name = match surveys.len() {
            1 => "sheet.png".to_owned(),
            _ => format!("sheet-{}.png", number + 1),
        };
        folder.file(&name, |file| {
            write_png(file, [canvas.width, canvas.height], &canvas.rgb)
        })?;
    }
    Ok(())
}

pub(crate) fn write_text(file: &mut dyn std::io::Write, text: &str) -> Result<()> {
    file.write_all(text.as_bytes())
        .map_err(|error| Error::failed(format!("it cannot be written: {error}")))
}

/// At which timestep and with which noises; nothing of an image encoder.
fn noises_text(made_by: &Value) -> String {
    match made_by["ran"].get("t_ran") {
        Some(t) => format!(
            " at t {t}, seed {}, {} noises",
            made_by["request"]["seed"], made_by["noises"]
        ),
        None => String::new(),
    }
}
