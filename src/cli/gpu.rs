//! Commands that are to run on a GPU, handed to the executable that can.

use std::process::ExitCode;

use super::{args::Command, terminal};
use crate::{
    device::DeviceChoice,
    engine::transport::{GPU_WORKER, Launcher},
    error::{Error, Result},
};

/// Runs a command in the GPU worker if it is to run there, and gives its exit status; none if it is to run here.
pub fn elsewhere(command: &Command) -> Result<Option<ExitCode>> {
    let device = match command {
        Command::Extract(arguments) => arguments.run.device,
        Command::Match(arguments) => arguments.run.device,
        Command::Page(arguments) => arguments.run.device,
        Command::Rank(arguments) => arguments.run.device,
        Command::Survey(arguments) => arguments.run.device,
        Command::Recommend(arguments) => arguments.run.device,
        _ => return Ok(None),
    };
    // An executable that can use a GPU itself needs no other.
    if cfg!(feature = "cuda") || matches!(device, DeviceChoice::Cpu | DeviceChoice::Metal(_)) {
        return Ok(None);
    }
    let asked = matches!(device, DeviceChoice::Cuda(_));
    let Some(launch) = Launcher::find() else {
        return match asked {
            true => Err(Error::failed(format!(
                "the device {device} cannot be used: {GPU_WORKER} is not beside this program; it is part of the download for \
                 GPUs; --device cpu works everywhere"
            ))),
            false => Ok(None),
        };
    };
    let why_not = match launch.probe(false) {
        Ok(probe) if probe.devices.gpus().next().is_some() => None,
        Ok(probe) => Some(probe.devices.trouble.unwrap_or_else(|| "it finds no GPU".to_owned())),
        Err(error) => Some(error.to_string()),
    };
    match why_not {
        Some(why) if asked => Err(Error::failed(format!(
            "the device {device} cannot be used: {why}; --device cpu works everywhere"
        ))),
        Some(why) => {
            if launch.is_missed() {
                terminal::note(&format!("computed on the CPU: {why}"));
            }
            Ok(None)
        }
        None => {
            let program = &launch.program;
            let status = launch
                .command()
                .args(std::env::args_os().skip(1))
                .status()
                .map_err(|error| Error::io("start", program, &error))?;
            let code = status.code().and_then(|code| u8::try_from(code).ok());
            match code {
                Some(code) => Ok(Some(ExitCode::from(code))),
                None => Err(Error::failed(format!("{} has ended: {status}", program.display()))),
            }
        }
    }
}
