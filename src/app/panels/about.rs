//! What this program is.

use egui::Ui;

/// Version, licence, sources of ideas.
pub fn about_ui(ui: &mut Ui) {
    ui.heading(format!("featscope {}", env!("CARGO_PKG_VERSION")));
    ui.label("Shows what a diffusion model sees: any inner activation, live, on your own picture.");
    ui.add_space(crate::app::theme::SPACE_M);
    ui.label("The ideas come from three papers:");
    for title in [
        "Not All Diffusion Model Activations Have Been Evaluated as Discriminative Features",
        "Suppress Content Shift",
        "Do text-free diffusion models learn discriminative visual representations?",
    ] {
        ui.label(format!("•  {title}"));
    }
    ui.add_space(crate::app::theme::SPACE_M);
    ui.weak("MIT or Apache-2.0, at your choice. The sources of all assets are named in assets/README.md.");
}
