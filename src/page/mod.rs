//! One HTML file that stays alive without a server. In: pictures, their maps of some activations, what made them. Out: a page
//! on which a cell that is pointed at lights up what is similar in all pictures. Vectors are stored as principal components in
//! 16 bits, with what that costs measured and said. Called by the command line and a lane of the engine; the survey's page is
//! filled by the same function.

mod report;
mod standalone;
mod vectors;

pub use report::{MOST_BYTES, PageInput, PageLayer, PagePicture, check_size, page};
pub(crate) use standalone::filled;
pub use vectors::{Loss, MOST_COMPONENTS};
