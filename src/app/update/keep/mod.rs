//! What outlasts the window: what it remembers from one start to the next, and the work that a crash would take. In:
//! preferences and documents, whenever they change. Out: two files, written whole by a thread of their own; a frame waits
//! for neither.

mod folder;
mod keeper;
mod place;
mod preferences_file;
mod unsaved;

pub use keeper::{Beginning, Keeper, hand_over};
pub use place::{NAME, data_folder};
pub use preferences_file::{MEMORY_KEY, OTHER_KEYS, Remembered};
pub use unsaved::UnsavedWork;
