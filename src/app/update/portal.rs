//! Whether the desktop can show a file dialog. Whoever asks for one is told nothing but that no path came, be it that the
//! user chose none or that nothing was shown: so it is asked before.

#[cfg(all(unix, not(target_os = "macos")))]
mod bus {
    use std::{env, path::Path, time::Duration};

    use zbus::connection::Builder;

    /// How long a portal may take to start.
    const PATIENCE: Duration = Duration::from_secs(5);
    const NAME: &str = "org.freedesktop.portal.Desktop";
    const PATH: &str = "/org/freedesktop/portal/desktop";
    const FILE_CHOOSER: &str = "org.freedesktop.portal.FileChooser";

    /// Whether there is a bus that a portal could answer on, as far as that is known at once.
    pub fn has_bus() -> bool {
        let runtime = env::var_os("XDG_RUNTIME_DIR");
        env::var_os("DBUS_SESSION_BUS_ADDRESS").is_some_and(|address| !address.is_empty())
            || runtime.is_some_and(|folder| Path::new(&folder).join("bus").exists())
    }

    /// Whether a portal with file dialogs answers on the session's bus. It is started if need be.
    pub fn has_file_dialogs() -> bool {
        Builder::session().and_then(answers).is_ok()
    }

    /// Asks for the version of the portal's file dialogs: one that has none has no such property.
    fn answers(bus: Builder<'_>) -> zbus::Result<()> {
        pollster::block_on(async {
            let bus = bus.method_timeout(PATIENCE).build().await?;
            let question = (FILE_CHOOSER, "version");
            let answer = bus.call_method(
                Some(NAME),
                PATH,
                Some("org.freedesktop.DBus.Properties"),
                "Get",
                &question,
            );
            answer.await.map(drop)
        })
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn without_a_bus_there_is_no_portal() -> zbus::Result<()> {
            assert!(answers(Builder::address("unix:path=/no/such/bus")?).is_err());
            Ok(())
        }
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
pub use bus::{has_bus, has_file_dialogs};

/// Windows and macOS need none.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub fn has_bus() -> bool {
    true
}

/// Windows and macOS have dialogs of their own.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub fn has_file_dialogs() -> bool {
    true
}
