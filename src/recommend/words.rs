//! A recommendation in words: what its figures are, what speaks against it, what is a proxy.

use std::fmt::Write;

use super::{Plan, Recommendation, Recommended};
use crate::{
    analysis::{
        agreement::WITHIN,
        choice::{ChoiceFigures, Criterion, FEW_DIRECTIONS, LOCALITY_BAND, NEGLIGIBLE_NSR, NOISE_LIKE_SHARE},
    },
    render::score_text,
};

/// Said where no pairs were given.
pub const PROXY: &str = "No pairs of points were given: score, agreement, noise, effective rank, locality and cell size are \
                         a proxy. They say which features are stable and rich, not which are right for a task.";
/// The same of an image encoder, which has neither timestep nor noise.
pub const PROXY_OF_ENCODER: &str = "An image encoder has neither timestep nor noise: agreement is under movement and light alone, and no noise is \
                         compared. No pairs of points were given: all figures are a proxy. They say which features are stable and \
                         rich, not which are right for a task.";

/// Fewer of its places found again than this speak against an activation.
const LITTLE_AGREEMENT: f64 = 0.6;
/// Better than fewer of the others than this is weak.
const WEAK_RANK: f64 = 0.4;
/// Fewer pairs than this say little: each moves PCK by a tenth or more.
const FEW_PAIRS: usize = 10;

/// What is said where pairs decide.
pub fn decided_by_pairs(recommendation: &Recommendation) -> Option<String> {
    let [count, unseen] = recommendation.pairs?;
    let mut words = format!(
        "{count} pair{} of points decide{}: PCK@.1 is no proxy; the other figures are.",
        if count == 1 { "" } else { "s" },
        if count == 1 { "s" } else { "" }
    );
    if unseen > 0 {
        // Writing into a string cannot fail.
        let _ = write!(words, " {unseen} more have a point that the model does not see.");
    }
    if count < FEW_PAIRS {
        let _ = write!(
            words,
            " So few say little: one more found or lost moves PCK by {}.",
            score_text(1.0 / count.max(1) as f32)
        );
    }
    Some(words)
}

/// A number, or a dash where there is none.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or("–".to_owned(), |value| score_text(value as f32))
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// The figures of one, each with its name, in the order of tables.
pub fn figures_in_words(recommended: &Recommended) -> Vec<(&'static str, String)> {
    let ChoiceFigures {
        agreement,
        nsr_low_passed,
        effective_rank,
        most_rank,
        locality_half_width,
        cell,
        increment: _,
    } = recommended.figures;
    let mut words = Vec::new();
    if let Some(pairs) = &recommended.pairs {
        let found = format!(
            "{} (by chance {}), {} px on average",
            number(Some(pairs.figures.pck_10)),
            number(Some(pairs.chance.pck_10)),
            number(Some(pairs.figures.mean_distance_px))
        );
        words.push(("PCK@.1", found));
    }
    words.push((
        "Agreement",
        agreement.map_or("–".to_owned(), |share| {
            format!("{} of its places found again when moved", percent(share))
        }),
    ));
    if let Some(nsr) = nsr_low_passed {
        words.push(("Noise, low-passed", number(Some(nsr))));
    }
    words.push((
        "Effective rank",
        format!("{} of at most {most_rank}", number(Some(effective_rank))),
    ));
    words.push((
        "Locality half-width",
        locality_half_width.map_or("never half-way".to_owned(), |width| {
            format!("{} of the short side", number(Some(width)))
        }),
    ));
    words.push(("Cell", format!("{} of the longer side", number(Some(cell)))));
    words
}

/// What speaks against one, most of it first; never nothing.
pub(super) fn against(recommended: &Recommended, plan: &Plan) -> Vec<String> {
    let figures = &recommended.figures;
    let mut words = Vec::new();
    if let Some(pairs) = recommended
        .pairs
        .filter(|pairs| pairs.figures.pck_10 <= pairs.chance.pck_10)
    {
        words.push(format!(
            "it finds the pairs no better than chance ({})",
            number(Some(pairs.chance.pck_10))
        ));
    }
    match figures.agreement {
        Some(share) if share < LITTLE_AGREEMENT => words.push(format!(
            "only {} of its places are found again when the picture is moved{}",
            percent(share),
            if plan.noises > 1 { " under other noise" } else { "" }
        )),
        Some(_) => {}
        None => words.push("its agreement is not known: it has a single position".to_owned()),
    }
    if let Some(nsr) = figures.nsr_low_passed.filter(|nsr| *nsr > NEGLIGIBLE_NSR) {
        words.push(format!(
            "noise that no blurring takes away: {} of its structure",
            number(Some(nsr))
        ));
    }
    if figures.effective_rank < FEW_DIRECTIONS {
        let rank = number(Some(figures.effective_rank));
        words.push(format!("little is told apart: its effective rank is {rank}"));
    } else if figures.effective_rank > NOISE_LIKE_SHARE * figures.most_rank as f64 {
        words.push("its variance is spread over more than half of all directions, as noise's is".to_owned());
    }
    match figures.locality_half_width {
        None => words.push("neighbours are hardly more alike than any two places".to_owned()),
        Some(width) if width < LOCALITY_BAND[0] => words.push(format!(
            "only neighbours are alike: its half-width is {} of the short side",
            number(Some(width))
        )),
        Some(width) if width > LOCALITY_BAND[1] => words.push(format!(
            "it is alike over wide parts: its half-width is {} of the short side",
            number(Some(width))
        )),
        Some(_) => {}
    }
    if figures.cell > WITHIN {
        words.push(format!(
            "its cells are large: {} of the longer side",
            number(Some(figures.cell))
        ));
    }
    if recommended.massive > 0 {
        let count = recommended.massive;
        let ending = if count == 1 { "" } else { "s" };
        words.push(format!(
            "{count} massive channel{ending}: look at it with and without them"
        ));
    }
    if figures.increment {
        words.push("it only adds to something else: an increment, which the GDF filter drops".to_owned());
    } else if !recommended.kept_by_filter {
        words.push("the GDF filter drops it, which is about the U-Nets of Stable Diffusion".to_owned());
    }
    if let Some((criterion, rank)) = recommended.score.weakest().filter(|(_, rank)| *rank < WEAK_RANK) {
        words.push(format!(
            "by {} it is better than only {} of the others",
            criterion.title(),
            percent(rank)
        ));
    }
    if words.is_empty() {
        words.push(match figures.agreement {
            Some(share) => format!(
                "little of what is measured: {} of its places are not found again",
                percent(1.0 - share)
            ),
            None => "nothing is known of it".to_owned(),
        });
    }
    words
}

/// The criteria that were compared at all.
pub(super) fn criteria(recommendation: &Recommendation) -> Vec<Criterion> {
    let known = |criterion: &Criterion| {
        let place = *criterion as usize;
        recommendation.best.iter().any(|best| best.score.ranks[place].is_some())
    };
    Criterion::ALL.into_iter().filter(known).collect()
}
