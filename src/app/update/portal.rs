//! Whether the desktop can show a file dialog. Whoever asks for one is told nothing but that no path came, be it that the
//! user chose none or that nothing was shown: so it is asked before.

#[cfg(all(unix, not(target_os = "macos")))]
mod bus {
    use std::time::Duration;

    use zbus::{Connection, connection::Builder};

    /// How long a portal may take to start.
    const PATIENCE: Duration = Duration::from_secs(10);
    const NAME: &str = "org.freedesktop.portal.Desktop";
    const PATH: &str = "/org/freedesktop/portal/desktop";
    const FILE_CHOOSER: &str = "org.freedesktop.portal.FileChooser";

    /// Whether a portal with file dialogs answers on the session's bus. It is started if need be.
    pub fn has_file_dialogs() -> bool {
        pollster::block_on(async {
            let bus = Builder::session()?.method_timeout(PATIENCE).build().await?;
            answers(&bus).await
        })
        .is_ok()
    }

    /// Asks for the version of the portal's file dialogs: one that has none has no such property.
    pub(super) async fn answers(bus: &Connection) -> zbus::Result<()> {
        let question = (FILE_CHOOSER, "version");
        bus.call_method(Some(NAME), PATH, Some("org.freedesktop.DBus.Properties"), "Get", &question)
            .await
            .map(drop)
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
pub use bus::has_file_dialogs;

/// Windows and macOS have dialogs of their own.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub fn has_file_dialogs() -> bool {
    true
}
