//! Answers LAN discovery for one target; the port is tried again when it cannot be had.
#![allow(clippy::disallowed_methods, reason = "an edge: it reads the clock for the limit of answers")]

use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::net::lan::DiscoveryResponder;
use crate::wire::discovery::Pong;

use super::direct_task::{ListenStatus, RETRY};

/// Runs the responder on `address` (normally `0.0.0.0:21119`) until `shutdown` is true. `pong` is what is told: its
/// `mac` is filled in per asker, the rest may change at any time (a new ID).
pub async fn run(
    address: SocketAddr,
    pong: watch::Receiver<Pong>,
    status: watch::Sender<ListenStatus>,
    mut shutdown: watch::Receiver<bool>,
) {
    tokio::select! {
        () = keep_answering(address, &pong, &status) => {}
        _ = shutdown.wait_for(|s| *s) => {}
    }
}

async fn keep_answering(
    address: SocketAddr,
    pong: &watch::Receiver<Pong>,
    status: &watch::Sender<ListenStatus>,
) {
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
                            let answer = pong.borrow().clone();
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
        let task = tokio::spawn(run(any, told, status, shutdown));
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
}
