//! Accessible names of lists.

use egui::{Response, WidgetInfo, accesskit::Role};

/// What a list that stands beside its words is called.
pub fn name_combo(response: &Response, label: &str, chosen: &str) {
    response.widget_info(|| {
        let mut info = WidgetInfo::labeled(Role::ComboBox, true, label);
        info.current_text_value = Some(chosen.to_owned());
        info
    });
}
