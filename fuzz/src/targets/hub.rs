//! What a hub answers.

use featscope::weights::hub::fuzzing;

use super::read;

/// The listing of a repository.
pub fn listing(bytes: &[u8]) {
    read(fuzzing::read_listing(bytes));
}

/// The status and the headers of an answer, a line each.
pub fn answers(bytes: &[u8]) {
    read(fuzzing::read_answer(bytes));
}
