//! The targets as libFuzzer calls them: within a bound of memory, and with mutations that keep checksums right.

pub mod mutation;
pub mod targets;

mod bounded;

/// The target of a name.
///
/// # Panics
///
/// Where there is none.
pub fn target(name: &str) -> targets::Target {
    let found = targets::TARGETS.iter().find(|(known, _)| *known == name);
    found.unwrap_or_else(|| panic!("there is no target {name}")).1
}

/// Reads an input by a target; ends the process where that takes more than `most_bytes` of memory at a time.
pub fn run(target: targets::Target, most_bytes: usize, bytes: &[u8]) {
    bounded::within(most_bytes, || target(bytes));
}

/// The entry of a target, by name, with the most bytes that an input may take.
#[macro_export]
macro_rules! target {
    ($name:literal, $most_bytes:expr) => {
        libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
            static TARGET: std::sync::LazyLock<$crate::targets::Target> =
                std::sync::LazyLock::new(|| $crate::target($name));
            $crate::run(*TARGET, $most_bytes, bytes);
        });
    };
}
