//! The state: the document, and the results of the workers. In: events that `update` takes. Out: answers to questions
//! about both, which change nothing.

pub mod answers;
pub mod canvas_rects;
pub mod compare;
pub mod compare_questions;
pub mod comparing;
pub mod currency;
pub mod downloads;
pub mod estimate;
pub mod figures;
pub mod figures_wanted;
pub mod filmstrip;
pub mod frame_times;
pub mod layer_tree;
pub mod messages;
pub mod overlays;
pub mod pass_index;
pub mod passes;
pub mod path_box;
pub mod preferences;
pub mod queries;
pub mod ranking;
pub mod ranking_questions;
pub mod recovery;
pub mod root;
pub mod series;
pub mod series_questions;
pub mod shown;
pub mod slots;
pub mod survey;
pub mod survey_questions;
pub mod tour;
pub mod work;
