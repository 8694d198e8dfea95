//! The provenance of everything that is shown, as JSON.

use serde_json::{Value, json};

use crate::{app::state::root::State, files::names};

/// What made everything that is shown.
pub fn record(state: &State) -> Value {
    let pictures: Vec<Value> = state
        .open_slots()
        .filter_map(|slot| {
            let open = state.slot(slot);
            let picture = open.picture.as_ref()?;
            Some(json!({
                "slot": slot,
                "source": picture.source,
                "width": picture.size.width,
                "height": picture.size.height,
                "fingerprint": format!("{:016x}", picture.fingerprint),
                "ran": open.capture.as_ref().map(|capture| &capture.ran),
                "settings": open.capture.as_ref().map(|capture| &capture.settings),
            }))
        })
        .collect();
    let document = &state.document;
    json!({
        "program": format!("featscope {}", env!("CARGO_PKG_VERSION")),
        "model": document.model.as_deref().map(names::text_json),
        "layer": state.layer(),
        "pictures": pictures,
        "pca": document.pca,
        "mask": document.mask,
        "display": document.display,
        "channel": document.channel,
        "attention": state.head_text(),
        "query": state.query_at().map(|(slot, at)| json!({ "slot": slot, "at": at })),
    })
}
