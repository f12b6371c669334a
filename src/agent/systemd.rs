//! sd_notify by a plain datagram (systemd: sd_notify(3)); silent where there is no `NOTIFY_SOCKET`.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service manager, if one listens.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// From `NOTIFY_SOCKET` and `WATCHDOG_USEC` of the environment.
    pub fn from_env() -> Self {
        let usec = std::env::var("WATCHDOG_USEC").ok().and_then(|v| v.parse::<u64>().ok()).filter(|v| *v > 0);
        Self::new(std::env::var("NOTIFY_SOCKET").ok().as_deref(), usec)
    }

    /// From their values; a socket name that begins with `@` is an abstract one.
    pub fn new(socket: Option<&str>, watchdog_usec: Option<u64>) -> Self {
        let address = socket.and_then(|name| match name.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name).ok(),
            None => SocketAddr::from_pathname(name).ok(),
        });
        Self {
            socket: address.and_then(|a| UnixDatagram::unbound().ok().map(|s| (s, a))),
            watchdog: watchdog_usec.map(Duration::from_micros),
        }
    }

    /// How often [`Notifier::alive`] is due: a quarter of what the manager waits for, so that one late answer is forgiven.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.watchdog).map(|w| w / 4)
    }

    /// Start-up is over; `status` is one line for `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", status.replace('\n', " ")));
    }

    /// The daemon ends.
    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// The watchdog's food.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, text: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(text.as_bytes(), address)
        {
            tracing::debug!(%error, "the service manager was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manager_hears() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(path.to_str(), Some(10_000_000));
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_millis(2500)));
        let mut buffer = [0; 128];
        let mut heard = || {
            let len = manager.recv(&mut buffer).unwrap();
            String::from_utf8_lossy(&buffer[..len]).into_owned()
        };
        notifier.ready("on\nair");
        assert_eq!(heard(), "READY=1\nSTATUS=on air");
        notifier.alive();
        assert_eq!(heard(), "WATCHDOG=1");
        notifier.stopping();
        assert_eq!(heard(), "STOPPING=1");
        let nobody = Notifier::new(None, Some(1));
        nobody.ready("x");
        assert_eq!(nobody.watchdog_interval(), None);
    }
}
