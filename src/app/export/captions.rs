//! Captions: what made a view, a matrix or a strip, in one line for panes and files.

use crate::{
    analysis::{
        cka::{Form, GridRule},
        gram::RowRule,
        shift::{ANCHOR_T, LAPLACIAN},
    },
    app::state::{
        comparing::{Matrix, Shifts, Strip},
        root::State,
    },
    engine::{BasisChoice, ImageSlot, NotFiniteMap, PcaView},
    extract::request::Provenance,
};

/// In words, for screens and files.
pub fn form_text(form: Form) -> &'static str {
    match form {
        Form::Biased => "linear CKA",
        Form::Unbiased => "unbiased linear CKA",
    }
}

/// In words, for screens and files.
pub fn grids_text(grids: GridRule) -> &'static str {
    match grids {
        GridRule::EnlargeNearest => "nearest neighbour",
        GridRule::PoolAverage => "adaptive averages",
    }
}

/// Which maps have no figures because they are not finite; the first ones by name.
pub fn not_finite_words(found: &[NotFiniteMap]) -> Option<String> {
    const NAMED: usize = 3;
    if found.is_empty() {
        return None;
    }
    let mut words: Vec<String> = found
        .iter()
        .take(NAMED)
        .map(|map| format!("{} ({})", map.id, map.numbers))
        .collect();
    if found.len() > NAMED {
        words.push(format!("{} more", found.len() - NAMED));
    }
    Some(format!("without figures, as they are not finite: {}", words.join(", ")))
}

/// What made the matrix: rows, rule, model and settings.
pub fn matrix_caption(state: &State, matrix: &Matrix) -> String {
    let query = &matrix.query;
    let names: Vec<&str> = matrix.slots.iter().map(|slot| slot.name()).collect();
    let pictures = names.join(", ");
    let mut text = format!(
        "{} of {} × {}",
        form_text(query.form),
        matrix.names[0].len(),
        matrix.names[1].len()
    );
    if let (Form::Biased, RowRule::Pictures) = (query.form, query.over) {
        text += " (high by chance over few pictures)";
    }
    text += &match &matrix.done {
        None => String::new(),
        Some(done) => match query.over {
            RowRule::Pictures => format!(
                " · rows: {} pictures ({pictures}), each the mean of its positions",
                done.rows
            ),
            RowRule::Positions => {
                let grids: Vec<String> = done
                    .grids
                    .iter()
                    .map(|grid| format!("{} × {}", grid.height, grid.width))
                    .collect();
                format!(
                    " · rows: {} positions of {pictures}, all maps brought to {} by {}",
                    done.rows,
                    grids.join(" and "),
                    grids_text(query.grids)
                )
            }
        },
    };
    if let Some(ran) = matrix.ran[0].first() {
        let model = state.model.info.as_ref().map_or("", |info| info.name.as_str());
        text += &format!(" · {model}, {}", ran.ran.dtype);
        if let Some(other) = &matrix.other_model {
            let of_columns = matrix.ran[1].first().map_or(String::new(), |ran| t_text(&ran.ran));
            text += &format!("{} (rows), {other}{of_columns} (columns)", t_text(&ran.ran));
        } else if matrix.ran[0].iter().all(|other| other.ran.t_ran() == ran.ran.t_ran()) {
            text += &t_text(&ran.ran).replacen(' ', ", ", 1);
        } else if let Some(item) = query.rows.first() {
            text += &format!(", {}", item.id);
        }
    }
    if let Some(words) = matrix.done.as_ref().and_then(|done| not_finite_words(&done.not_finite)) {
        text += &format!(" · {words}");
    }
    if let Some(done) = matrix.done.as_ref().filter(|_| !state.timeless) {
        text += &format!(" · {:.1} s", done.seconds);
    }
    text
}

/// The timestep that ran, behind a blank; nothing of an image encoder.
fn t_text(ran: &Provenance) -> String {
    ran.t_ran().map_or(String::new(), |t| format!(" t {t}"))
}

/// What made the figures, with every constant.
pub fn shift_caption(state: &State, shifts: &Shifts) -> String {
    let (reference, reference_ran) = &shifts.ruler[0];
    let (anchor, _) = &shifts.ruler[1];
    let model = state.model.info.as_ref().map_or("", |info| info.name.as_str());
    let left_out = match shifts.view.left_out {
        0 => String::new(),
        count => format!(" · {count} constant channels left out"),
    };
    format!(
        "{} of {} · {model}, {} · 1: t {} without noise · 0: t {} with an empty prompt{} · Laplacian {LAPLACIAN}, \
         channels standardised by the reference{left_out}",
        shifts.view.query.id,
        reference.slot.name(),
        reference_ran.ran.dtype,
        reference.settings.t,
        anchor.settings.t,
        if anchor.settings.t == ANCHOR_T {
            ""
        } else {
            " (the last)"
        },
    )
}

/// What made the strip.
pub fn strip_caption(state: &State, strip: &Strip) -> String {
    let view = &strip.view;
    let (grid, first) = (view.cka_grid, strip.members.first());
    let slot = first.map_or("", |(member, _)| member.slot.name());
    let dtype = first.map_or("", |(_, kept)| kept.ran.dtype.as_str());
    let explained: f64 = view.explained.iter().take(3).sum();
    let model = state.model.info.as_ref().map_or("", |info| info.name.as_str());
    format!(
        "{} of {slot} · {model}, {dtype} · one basis of {} positions, three components explain {:.1} % · CKA on {} × {} \
         positions",
        view.query.id,
        view.fitted_on,
        100.0 * explained,
        grid.height,
        grid.width
    )
}

/// What is said where an activation of a picture is not finite.
pub fn not_finite_text(state: &State, slot: ImageSlot) -> Option<String> {
    let (id, numbers) = (state.layer()?, state.not_finite(slot)?);
    Some(format!("{id} of {} is not finite: {numbers}", slot.name()))
}

/// A line that says how PCA colours were made: enough to make them again.
pub fn provenance_caption(view: &PcaView, several: bool) -> String {
    let settings = &view.query.settings;
    let percents = settings.shown.iter().map(|index| match view.explained.get(*index) {
        Some(share) => format!("{:.1}", 100.0 * share),
        None => "0".to_owned(),
    });
    let shown = settings.shown.map(|index| (index + 1).to_string()).join(",");
    let basis = match &settings.basis {
        BasisChoice::Together if several => "basis of all pictures".to_owned(),
        BasisChoice::Together | BasisChoice::Each => "basis of this map".to_owned(),
        BasisChoice::Of(slot) => format!("basis of {}", slot.name()),
        BasisChoice::Saved(path) => format!("basis {}", crate::app::state::shown::file_name(path)),
    };
    let options = &settings.options;
    let mut words = vec![basis];
    words.push(if options.centre { "centred" } else { "not centred" }.to_owned());
    if options.l2_normalise_positions {
        words.push("L2".to_owned());
    }
    if options.whiten {
        words.push("whitened".to_owned());
    }
    words.push(match settings.clip {
        crate::analysis::colour::RangeRule::MinMax => "lowest to highest".to_owned(),
        crate::analysis::colour::RangeRule::Percentile { low, high } => format!("percentiles {low}–{high}"),
    });
    if !view.left_out.is_empty() {
        words.push(format!("{} channels left out", view.left_out.len()));
    }
    if !view.dropped.is_empty() {
        words.push(format!("{} components without variance", view.dropped.len()));
    }
    format!(
        "components {shown}: {} % of the variance, {}",
        percents.collect::<Vec<_>>().join(" + "),
        words.join(", ")
    )
}
