//! Keeps the direct-access listener open: an address that cannot be had now is tried again, and said in words.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::net::lan;
use crate::net::listener::{DirectListener, HalfOpen};
use crate::net::stream::Arrival;

/// Time between attempts to open a listener.
pub(super) const RETRY: Duration = Duration::from_secs(5);

/// What direct access is run with.
#[derive(Debug, Clone)]
pub struct DirectSettings {
    /// Where to listen; `[::]` takes IPv4 too.
    pub address: SocketAddr,
    /// Whether connections from other than private networks are closed at once.
    pub is_private_only: bool,
    /// Limits connections without a login; share one with the registration task.
    pub half_open: HalfOpen,
}

impl DirectSettings {
    fn lets_in(&self, ip: IpAddr) -> bool {
        !self.is_private_only || lan::is_private(ip)
    }
}

/// The state of a listener (direct access, LAN discovery), for status pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListenStatus {
    /// Whether it is open.
    pub is_open: bool,
    /// The address it has, or should have.
    pub address: SocketAddr,
    /// A sentence for users.
    pub message: String,
}

impl ListenStatus {
    /// The state before the first attempt.
    pub fn starting(address: SocketAddr) -> Self {
        Self { is_open: false, address, message: format!("Opening {address}.") }
    }
}

/// Runs direct access until `shutdown` is true. Every connection becomes an [`Arrival`]; a full `arrivals` makes the
/// kernel's queue wait.
pub async fn run(
    settings: DirectSettings,
    arrivals: mpsc::Sender<Arrival>,
    status: watch::Sender<ListenStatus>,
    mut shutdown: watch::Receiver<bool>,
) {
    tokio::select! {
        () = keep_open(&settings, &arrivals, &status) => {}
        _ = shutdown.wait_for(|s| *s) => {}
    }
}

async fn keep_open(
    settings: &DirectSettings,
    arrivals: &mpsc::Sender<Arrival>,
    status: &watch::Sender<ListenStatus>,
) {
    loop {
        match DirectListener::bind(settings.address, settings.half_open.clone()) {
            Ok(listener) => {
                let address = listener.local_addr().unwrap_or(settings.address);
                tracing::info!(%address, "direct access is open");
                let message = format!("Direct access is open on {address}.");
                status.send_replace(ListenStatus { is_open: true, address, message });
                loop {
                    match listener.accept().await {
                        Ok(arrival) if !settings.lets_in(arrival.controller.ip()) => {
                            tracing::debug!(controller = %arrival.controller, "no private network: closed");
                        }
                        Ok(arrival) => {
                            if arrivals.send(arrival).await.is_err() {
                                return;
                            }
                        }
                        // Out of descriptors: the next session that ends frees some.
                        Err(e) => {
                            tracing::warn!("direct access cannot take a connection now: {e}");
                            sleep(Duration::from_millis(500)).await;
                        }
                    }
                }
            }
            Err(e) => {
                let address = settings.address;
                let message = format!(
                    "Direct access cannot listen on {address}: {e}. Choose another address or port in [direct], or \
                     stop the program that uses it; trying again every {} s.",
                    RETRY.as_secs()
                );
                if status.borrow().message != message {
                    tracing::warn!("{message}");
                }
                status.send_replace(ListenStatus { is_open: false, address, message });
                sleep(RETRY).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    #[tokio::test]
    async fn a_taken_address_is_a_sentence_and_is_tried_again() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = taken.local_addr().unwrap();
        let (arrivals, mut arrived) = mpsc::channel(1);
        let (status, mut seen) = watch::channel(ListenStatus::starting(address));
        let (stop, shutdown) = watch::channel(false);
        let settings = DirectSettings { address, is_private_only: true, half_open: HalfOpen::default() };
        assert!(settings.lets_in([192, 168, 0, 7].into()) && !settings.lets_in([8, 8, 8, 8].into()));
        assert!(DirectSettings { is_private_only: false, ..settings.clone() }.lets_in([8, 8, 8, 8].into()));
        let task = tokio::spawn(run(settings, arrivals, status, shutdown));
        let message = seen.wait_for(|s| s.message.contains("cannot listen")).await.unwrap().message.clone();
        assert!(message.contains("[direct]"), "{message}");
        drop(taken);
        seen.wait_for(|s| s.is_open).await.unwrap();
        let _socket = TcpStream::connect(address).await.unwrap();
        assert!(arrived.recv().await.is_some());
        stop.send_replace(true);
        task.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err(), "closed at shutdown");
    }
}
