//! The program's icon.

use egui::IconData;

/// The icon for title bars and task lists.
pub fn icon() -> Option<IconData> {
    None
}
