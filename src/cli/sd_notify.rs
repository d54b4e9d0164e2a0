//! Notifies the service manager that the server is ready, and that it stops
//! (<https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html>).

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Sends `state` to the service manager if `NOTIFY_SOCKET` is set. A failure is only logged.
pub(super) fn notify(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send_state(&socket.to_string_lossy(), state) {
        tracing::warn!(%error, "cannot notify the service manager at NOTIFY_SOCKET");
    }
}

/// Sends `state` to `socket`. A leading `@` denotes the zero byte of an abstract socket's name.
fn send_state(socket: &str, state: &str) -> io::Result<()> {
    let address = match socket.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notification_reaches_a_path_and_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("callburner-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        for (manager, socket) in [
            (
                UnixDatagram::bind(&path).unwrap(),
                path.display().to_string(),
            ),
            (
                UnixDatagram::bind_addr(&address).unwrap(),
                format!("@{name}"),
            ),
        ] {
            send_state(&socket, "READY=1").unwrap();
            let mut heard = [0; 32];
            let length = manager.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1");
        }
        assert!(send_state("/nowhere/at/all", "READY=1").is_err());
    }
}
