//! `featscope worker`: the other end of [`crate::engine::transport`].

use std::{io, process};

use clap::Args;

use super::terminal;
use crate::{
    device::{Compute, Devices, Precision},
    engine::transport::{Probe, serve},
    error::{Error, Result},
    files::clear_up_and,
    sources::self_check,
};

/// `featscope worker`.
#[derive(Debug, Args)]
pub struct WorkerArguments {
    /// Print what devices it has, as JSON, and end
    #[arg(long)]
    pub probe: bool,
    /// With --probe: check every GPU in every format
    #[arg(long, requires = "probe")]
    pub self_check: bool,
}

/// Exit status of a worker whose engine has gone while it did something that does not end.
const LEFT_BEHIND: i32 = 3;

/// Works for the engine that started it, or says what it could work on.
pub fn worker(arguments: &WorkerArguments) -> Result<()> {
    if arguments.probe {
        let probe = probe(arguments.self_check);
        let text = serde_json::to_string(&probe)
            .map_err(|error| Error::failed(format!("what was found cannot be written: {error}")))?;
        return terminal::print(&text);
    }
    serve(io::stdin(), io::stdout(), || {
        clear_up_and(|| process::exit(LEFT_BEHIND));
    })
}

/// What this executable can compute on, and whether it does so rightly.
pub fn probe(checked: bool) -> Probe {
    let devices = Devices::look();
    let check = |choice, precision| {
        let place = Compute::open(choice, precision)?;
        self_check(&place, precision)
    };
    let checks = match checked {
        false => Vec::new(),
        true => devices
            .gpus()
            .flat_map(|gpu| Precision::ALL.map(|precision| (gpu.choice, precision)))
            .map(|(choice, precision)| {
                check(choice, precision).map_err(|error| format!("{choice} in {}: {error}", precision.name()))
            })
            .collect(),
    };
    Probe {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        devices,
        checks,
    }
}
