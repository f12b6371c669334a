//! The ID server: its name, its ports, what the daemon says of the registration, and whether an app would get in.

use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use crate::agent::identity;
use crate::agent::own_call::{self, Reach};
use crate::agent::status::Status as Snapshot;
use crate::agent::store::Store;
use crate::config::settings::{ServerSettings, Settings};

use super::Finding;

/// How long a port may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Addresses of a name that are tried.
const MOST_ADDRESSES: usize = 4;

/// The way to the configured server; nothing if there is none. A device that is registered is called through it.
pub(super) fn server(settings: &Settings, daemon: Option<&Snapshot>) -> Vec<Finding> {
    let Some(server) = &settings.server else { return vec![] };
    let (host, port) = (server.host.host(), server.host.port());
    let mut findings = vec![];
    match (host, port).to_socket_addrs().map(|found| found.take(MOST_ADDRESSES).collect::<Vec<_>>()) {
        Err(error) => findings.push(Finding::fail(
            "server",
            format!("its name {host} cannot be resolved: {error}"),
            "look at server.host, and at the board's network and DNS: `ip address`, `resolvectl status`",
        )),
        Ok(addresses) => {
            findings.push(port_of("hbbs", host, port, &addresses));
            // The NAT test needs it; without it, connections go through the relay more often than they have to.
            if let Some(below) = port.checked_sub(1).filter(|below| *below > 0) {
                let found = port_of("hbbs's NAT test", host, below, &addresses);
                findings.push(Finding { verdict: found.verdict.min(super::Verdict::Warn), ..found });
            }
        }
    }
    match daemon.and_then(|daemon| daemon.target.server.as_ref()) {
        Some(told) if told.is_online => {
            findings.push(Finding::ok("server", &told.state));
            findings.push(own_call(settings, server));
        }
        Some(told) => findings.push(Finding::fail(
            "server",
            &told.state,
            format!("besides TCP, UDP port {port} has to be open on the way to {host}"),
        )),
        None => {}
    }
    findings
}

/// What an app would find at this device's ID.
fn own_call(settings: &Settings, server: &ServerSettings) -> Finding {
    let identity = match identity::load(&Store::at(&settings.state_dir)) {
        Ok(Some(identity)) => identity,
        Ok(None) => {
            return Finding::warn("own call", "there is no identity to call", "start the daemon once");
        }
        Err(error) => return Finding::warn("own call", error.to_string(), "run this as root"),
    };
    match own_call::call(server, &identity, settings.is_encryption_required) {
        Ok(Reach::Reached(text)) => Finding::ok("own call", text),
        Ok(Reach::Doubtful { text, remedy }) => Finding::warn("own call", text, remedy),
        Ok(Reach::NotReached { text, remedy }) => Finding::fail("own call", text, remedy),
        Err(error) => Finding::warn("own call", error.to_string(), "try again"),
    }
}

/// Whether a port takes a TCP connection.
fn port_of(what: &str, host: &str, port: u16, addresses: &[SocketAddr]) -> Finding {
    let mut failure = "the name has no address".to_owned();
    for address in addresses {
        let address = SocketAddr::new(address.ip(), port);
        match TcpStream::connect_timeout(&address, PATIENCE) {
            Ok(_) => {
                return Finding::ok("server", format!("{what} at {host} takes connections on TCP {address}"));
            }
            Err(error) => failure = format!("{address}: {error}"),
        }
    }
    Finding::fail(
        "server",
        format!("{what} at {host} takes no connection on TCP port {port} ({failure})"),
        format!("look whether hbbs runs there and whether a firewall lets TCP {port} through"),
    )
}
