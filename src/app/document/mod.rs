//! The document: what undo goes back to and a workspace file holds. In: settings of every view, layouts, files. Out: the
//! same, checked. It knows nothing of what the workers computed.

pub mod arrangement;
pub mod choices;
pub mod compare;
pub mod display;
pub mod figure;
pub mod kinds;
pub mod layout;
pub mod limits;
pub mod page;
pub mod pairs;
pub mod pane;
pub mod places;
pub mod ranking;
pub mod root;
pub mod sheet;
pub mod undo;
pub mod validate;
pub mod workspace;
