//! Names of tensors without what training puts before them: `module.` of data parallelism, `_orig_mod.` of compilation.

use super::header::MOST_TENSORS;

/// The wrapper of a compiled module. No network has a part of this name, so it is left out wherever it stands.
const COMPILED: &str = "_orig_mod";
/// The wrapper of a module that was trained on several devices.
const PARALLEL: &str = "module.";
/// Wrappers around wrappers.
const MOST_WRAPPERS: usize = 4;
/// Prefixes of the names of one network in a file that holds several.
const NETWORKS: [&str; 12] = [
    "",
    "model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "first_stage_model.",
    "cond_stage_model.",
    "conditioner.embedders.0.",
    "conditioner.embedders.1.",
    "control_model.",
    "unet.",
    "vae.",
    "text_encoder.",
];

/// The plain name of each of these names, in their order. `module.` goes where all names have it, or all of one network.
pub(super) fn plain_names(names: &[&str]) -> Vec<String> {
    debug_assert!(names.len() <= MOST_TENSORS);
    let mut plain: Vec<String> = names.iter().map(|name| without_compiled(name)).collect();
    for _ in 0..MOST_WRAPPERS {
        let mut changed = false;
        for network in NETWORKS {
            changed |= unwrap_network(&mut plain, network);
        }
        if !changed {
            break;
        }
    }
    plain
}

fn without_compiled(name: &str) -> String {
    if !name.contains(COMPILED) {
        return name.to_owned();
    }
    let parts: Vec<&str> = name.split('.').filter(|part| *part != COMPILED).collect();
    parts.join(".")
}

/// Takes `module.` away behind what one network's names begin with, if all of them have it there.
fn unwrap_network(names: &mut [String], network: &str) -> bool {
    // Marks of a whole file stand beside the networks, without a dot.
    let belongs = |name: &String| name.contains('.') && name.starts_with(network);
    let is_wrapped = |name: &String| name[network.len()..].starts_with(PARALLEL);
    let mut own = names.iter().filter(|name| belongs(name)).peekable();
    if own.peek().is_none() || !own.all(is_wrapped) {
        return false;
    }
    for name in names.iter_mut().filter(|name| belongs(name)) {
        name.replace_range(network.len()..network.len() + PARALLEL.len(), "");
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrappers_go_where_all_have_them() {
        for (names, plain) in [
            (
                ["module.conv_in.weight", "module.conv_in.bias"],
                ["conv_in.weight", "conv_in.bias"],
            ),
            (
                ["_orig_mod.module.conv_in.weight", "_orig_mod.module.a.b"],
                ["conv_in.weight", "a.b"],
            ),
            (["module._orig_mod.module.a.b", "module.module.c.d"], ["a.b", "c.d"]),
            (
                ["module.conv_in.weight", "scaled_fp8"],
                ["conv_in.weight", "scaled_fp8"],
            ),
            (
                [
                    "model.diffusion_model.module.out.0.weight",
                    "first_stage_model.encoder.norm",
                ],
                ["model.diffusion_model.out.0.weight", "first_stage_model.encoder.norm"],
            ),
            (
                [
                    "model._orig_mod.diffusion_model.out.0.weight",
                    "model.diffusion_model.out.2.weight",
                ],
                [
                    "model.diffusion_model.out.0.weight",
                    "model.diffusion_model.out.2.weight",
                ],
            ),
            (
                ["down.0._orig_mod.weight", "up.0.weight"],
                ["down.0.weight", "up.0.weight"],
            ),
        ] {
            assert_eq!(plain_names(&names), plain);
        }
    }

    #[test]
    fn a_part_of_that_name_stays() {
        for names in [
            ["module.a.weight", "other.a.weight"],
            ["net.module.a.weight", "net.module.b.weight"],
            ["modules.a.weight", "modules.b.weight"],
            ["my_orig_mod.a", "my_orig_mod.b"],
        ] {
            assert_eq!(plain_names(&names), names);
        }
    }
}
