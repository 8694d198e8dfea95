//! What is written of a recommendation: a table, everything as JSON, and a page that needs no other file.

use std::fmt::Write;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    PROXY, PROXY_OF_ENCODER, Recommendation, Recommended,
    words::{criteria, decided_by_pairs, figures_in_words, number},
};
use crate::{
    analysis::{
        agreement::{self, Movement},
        choice::{Criterion, FEW_DIRECTIONS, LOCALITY_BAND, NEGLIGIBLE_NSR, NOISE_LIKE_SHARE},
        noise::LOW_PASS_SIGMA,
    },
    error::{Error, Result},
    files::RECOMMEND_FILE,
    io::output::{UnfinishedFolder, write_png},
    page::filled,
    survey::write_text,
};

impl Recommendation {
    /// Which of its figures are a proxy, in a sentence or two.
    pub fn proxy_in_words(&self) -> String {
        match decided_by_pairs(self) {
            Some(words) => words,
            None if self.plan.is_encoder => PROXY_OF_ENCODER.to_owned(),
            None => PROXY.to_owned(),
        }
    }

    /// One line of what was compared.
    pub fn in_words(&self) -> String {
        let mut words = format!(
            "{} activations compared; {}",
            self.activations,
            self.plan.cost_in_words()
        );
        if self.plan.filtered {
            words.push_str("; only what the GDF filter keeps");
        }
        if let Some((t, id, why)) = self.unmeasured.first() {
            let _ = write!(
                words,
                "; {} have no figures, the first of them {id} at t {t}: {why}",
                self.unmeasured.len()
            );
        }
        words
    }
}

/// The table as a person reads it; `commands` are the lines that extract each.
pub(crate) fn table(recommendation: &Recommendation, commands: &[String]) -> String {
    let best = &recommendation.best;
    let has_t = !recommendation.plan.is_encoder;
    let has_noise = criteria(recommendation).contains(&Criterion::Noise);
    let has_pairs = recommendation.pairs.is_some();
    let names: Vec<String> = best.iter().map(|best| best.id.to_string()).collect();
    let width = names.iter().map(String::len).max().unwrap_or(0).max("activation".len());
    let mut text = format!("{}\n{}\n\n", recommendation.in_words(), recommendation.proxy_in_words());
    let columns = |t: &str, name: &str, figures: [&str; 8]| {
        let [pck, score, agreement, noise, rank, locality, cell, filter] = figures;
        let mut line = String::new();
        // Writing into a string cannot fail.
        let _ = write!(line, "{name:width$}");
        if has_t {
            let _ = write!(line, "  {t:>6}");
        }
        if has_pairs {
            let _ = write!(line, "  {pck:>6}");
        }
        let _ = write!(line, "  {score:>6}  {agreement:>9}");
        if has_noise {
            let _ = write!(line, "  {noise:>14}");
        }
        let _ = write!(line, "  {rank:>14}  {locality:>10}  {cell:>7}  {filter}");
        line
    };
    let titles = [
        "pck_10",
        "score",
        "agreement",
        "nsr_low_passed",
        "effective_rank",
        "half_width",
        "cell",
        "gdf_filter",
    ];
    let _ = writeln!(text, "    {}", columns("t", "activation", titles));
    for (place, (recommended, name)) in best.iter().zip(&names).enumerate() {
        let figures = &recommended.figures;
        let line = columns(
            &recommended.t.to_string(),
            name,
            [
                &number(recommended.pairs.map(|pairs| pairs.figures.pck_10)),
                &format!("{:.3}", recommended.score.score),
                &number(figures.agreement),
                &number(figures.nsr_low_passed),
                &number(Some(figures.effective_rank)),
                &number(figures.locality_half_width),
                &number(Some(figures.cell)),
                if recommended.kept_by_filter { "keeps" } else { "drops" },
            ],
        );
        let _ = writeln!(text, "{:2}  {line}", place + 1);
        let _ = writeln!(text, "      against it: {}", recommended.against.join("; "));
        if !recommended.same_as.is_empty() {
            let _ = writeln!(text, "      the same numbers: {}", names_of(recommended));
        }
    }
    if let Some(first) = commands.first() {
        let _ = writeln!(text, "\n{first}");
    }
    text
}

fn names_of(recommended: &Recommended) -> String {
    let names: Vec<String> = recommended.same_as.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Everything but small pictures, with what made it (`made_by`) and the constants of the formulas.
pub(crate) fn as_json(recommendation: &Recommendation, commands: &[String], made_by: &Value) -> Result<Value> {
    let not_written = |error| Error::failed(format!("the recommendation cannot be written down: {error}"));
    let mut written = serde_json::to_value(recommendation).map_err(not_written)?;
    let best = written["best"].as_array_mut().into_iter().flatten();
    for ((entry, recommended), command) in best.zip(&recommendation.best).zip(commands) {
        if let Some(entry) = entry.as_object_mut() {
            entry.remove("pictures");
            entry.insert("command".to_owned(), json!(command));
            let ranks = Criterion::ALL.iter().zip(recommended.score.ranks);
            let ranks = ranks.map(|(criterion, rank)| Ok((serde_json::to_value(criterion)?, rank)));
            let ranks: serde_json::Result<Vec<(Value, Option<f64>)>> = ranks.collect();
            let ranks = ranks.map_err(not_written)?.into_iter();
            let ranks = ranks.filter_map(|(key, rank)| Some((key.as_str()?.to_owned(), json!(rank))));
            entry.insert("ranks".to_owned(), Value::Object(ranks.collect()));
            entry.insert("score".to_owned(), json!(recommended.score.score));
        }
    }
    let ids = |(t, id, why): &(_, _, String)| json!({ "t": t, "id": id, "why": why });
    written["unmeasured"] = recommendation.unmeasured.iter().map(ids).collect();
    written["decided_by"] = json!(if recommendation.pairs.is_some() {
        "pairs"
    } else {
        "proxy"
    });
    written["what_is_a_proxy"] = json!(recommendation.proxy_in_words());
    written["constants"] = json!({
        "found_within_share_of_longer_side": agreement::WITHIN,
        "moved": {
            "scale": Movement::SMALL.scale,
            "degrees": Movement::SMALL.degrees,
            "shift_as_share_of_longer_side": Movement::SMALL.shift,
        },
        "few_directions": FEW_DIRECTIONS,
        "low_pass_sigma_positions": LOW_PASS_SIGMA,
        "negligible_nsr": NEGLIGIBLE_NSR,
        "noise_like_share_of_rank": NOISE_LIKE_SHARE,
        "locality_band": LOCALITY_BAND,
        "score": "mean over the criteria of the share of the other candidates that one is better than, equal ones counted half",
    });
    written["made_by"] = made_by.clone();
    Ok(written)
}

/// Writes a folder: `recommend.html` (stands alone) and `recommend.json`.
pub(crate) fn write_page(
    folder: &UnfinishedFolder,
    recommendation: &Recommendation,
    commands: &[String],
    made_by: &Value,
) -> Result<()> {
    folder.record(RECOMMEND_FILE, "recommend", as_json(recommendation, commands, made_by)?);
    folder.file("recommend.html", |file| {
        write_text(file, &page(recommendation, commands, made_by)?)
    })
}

/// An HTML page with the cards, which needs no other file and no network.
pub(crate) fn page(recommendation: &Recommendation, commands: &[String], made_by: &Value) -> Result<String> {
    let mut cards = Vec::new();
    for (recommended, command) in recommendation.best.iter().zip(commands) {
        let mut pictures = Vec::new();
        for picture in &recommended.pictures {
            let mut png = Vec::new();
            write_png(&mut png, [picture.width, picture.height], &picture.rgb)?;
            pictures.push(STANDARD.encode(&png));
        }
        cards.push(json!({
            "id": recommended.id,
            "t": (!recommendation.plan.is_encoder).then(|| recommended.t.to_string()),
            "score": format!("{:.3}", recommended.score.score),
            "figures": figures_in_words(recommended),
            "against": recommended.against,
            "same_as": names_of(recommended),
            "kept": recommended.kept_by_filter,
            "command": command,
            "pictures": pictures,
        }));
    }
    let data = json!({
        "cards": cards,
        "about": recommendation.in_words(),
        "proxy": recommendation.proxy_in_words(),
        "made_by": made_by,
    });
    filled(include_str!("page.html"), "__DATA__", &data)
}
