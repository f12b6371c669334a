//! Answers LAN discovery for one target; the port is tried again when it cannot be had.
#![allow(clippy::disallowed_methods, reason = "an edge: it reads the clock for the limit of answers")]

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::net::lan::{self, DiscoveryResponder};
use crate::wire::discovery::Pong;

use super::direct_task::{ListenStatus, RETRY};

/// What discovery is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LanSettings {
    /// Where to listen, normally `0.0.0.0:21119`.
    pub address: SocketAddr,
    /// Whether askers get our IP address in place of the ID, so that they dial it; then those of private networks alone are
    /// answered.
    pub is_by_address: bool,
}

/// Runs the responder until `shutdown` is true. `pong` is what is told: its `mac` is filled in per asker, the rest may
/// change at any time (a new ID).
pub async fn run(
    settings: LanSettings,
    pong: watch::Receiver<Pong>,
    status: watch::Sender<ListenStatus>,
    mut shutdown: watch::Receiver<bool>,
) {
    tokio::select! {
        () = keep_answering(settings, &pong, &status) => {}
        _ = shutdown.wait_for(|s| *s) => {}
    }
}

async fn keep_answering(
    settings: LanSettings,
    pong: &watch::Receiver<Pong>,
    status: &watch::Sender<ListenStatus>,
) {
    let address = settings.address;
    loop {
        let error = match DiscoveryResponder::bind(address).await {
            Ok(mut responder) => {
                let address = responder.local_addr().unwrap_or(address);
                let message = format!("LAN discovery is answered on UDP {address}.");
                status.send_replace(ListenStatus { is_open: true, address, message });
                loop {
                    let our_id = pong.borrow().id.clone();
                    match responder.next_ping(&our_id).await {
                        Ok(from) => {
                            let mut answer = pong.borrow().clone();
                            if settings.is_by_address {
                                let Some(ip) = address_for(from).await else { continue };
                                answer.id = ip.to_string();
                            }
                            responder.answer(from, &answer, Instant::now()).await;
                        }
                        Err(e) => break e,
                    }
                }
            }
            Err(e) => e,
        };
        let message = format!(
            "LAN discovery cannot use UDP {address}: {error}. Stop the program that uses it (RustDesk itself?) or \
             switch [lan] off; trying again every {} s.",
            RETRY.as_secs()
        );
        if status.borrow().message != message {
            tracing::warn!("{message}");
        }
        status.send_replace(ListenStatus { is_open: false, address, message });
        sleep(RETRY).await;
    }
}

/// What an asker of a private network dials to reach us.
async fn address_for(asker: SocketAddr) -> Option<IpAddr> {
    if !lan::is_private(asker.ip()) {
        return None;
    }
    lan::address_towards(asker).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UdpSocket;

    #[tokio::test]
    async fn the_pong_follows_a_new_id() {
        let pong = |id: &str| Pong {
            id: id.into(),
            mac: String::new(),
            hostname: "desk".into(),
            username: String::new(),
            platform: "Windows".into(),
        };
        let any = "127.0.0.1:0".parse().unwrap();
        let (tell, told) = watch::channel(pong("234567891"));
        let (status, mut seen) = watch::channel(ListenStatus::starting(any));
        let (stop, shutdown) = watch::channel(false);
        let settings = LanSettings { address: any, is_by_address: false };
        let task = tokio::spawn(run(settings, told, status, shutdown));
        let at = seen.wait_for(|s| s.is_open).await.unwrap().address;
        let asker = UdpSocket::bind(any).await.unwrap();
        for id in ["234567891", "345678912"] {
            tell.send_replace(pong(id));
            asker.send_to(b"\xb2\x01\x06\x0a\x04ping", at).await.unwrap();
            let mut buffer = [0; 200];
            let len = asker.recv(&mut buffer).await.unwrap();
            assert!(buffer[..len].windows(9).any(|w| w == id.as_bytes()), "{id}");
        }
        stop.send_replace(true);
        task.await.unwrap();
    }

    #[tokio::test]
    async fn an_address_is_told_to_private_networks_alone() {
        let of = |asker: &str| address_for(asker.parse().unwrap());
        assert_eq!(of("127.0.0.1:5").await, Some(IpAddr::from([127, 0, 0, 1])));
        assert_eq!((of("8.8.8.8:5").await, of("[2001:db8::1]:5").await), (None, None));
    }
}
