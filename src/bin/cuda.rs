//! The program without a window, with the operators of NVIDIA's GPUs: `featscope` starts it as its worker, and hands it
//! commands that are to run on a GPU.

use std::process::ExitCode;

fn main() -> ExitCode {
    featscope::cli::main_without_window()
}
