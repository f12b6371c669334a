//! The answer to LAN discovery (reference: network 8.2): a `ping` broadcast gets one `pong` with the MAC address of
//! the interface that routes to the asker, so that the app can later wake it. IPv4 only, as in the apps.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;

use crate::wire::addr::to_plain_ip;
use crate::wire::discovery::{Pong, encode_pong, parse_ping};

/// Standard port of LAN discovery.
pub const DISCOVERY_PORT: u16 = 21119;
/// Answers that may go out in one burst, and how long one more takes: a forged sender gains nothing.
const BURST: u32 = 20;
const REFILL: Duration = Duration::from_millis(100);

/// Answers pings on one socket.
#[derive(Debug)]
pub struct DiscoveryResponder {
    socket: UdpSocket,
    allowance: u32,
    refilled_at: Option<Instant>,
}

impl DiscoveryResponder {
    /// Listens on `address` (normally `0.0.0.0:21119`).
    ///
    /// # Errors
    /// The port is taken or not permitted.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { socket: UdpSocket::bind(address).await?, allowance: BURST, refilled_at: None })
    }

    /// The address it listens on.
    ///
    /// # Errors
    /// The socket is gone.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The sender of the next ping that does not come from `our_id` itself. Cancellation-safe.
    ///
    /// # Errors
    /// The socket is unusable and must be replaced.
    pub async fn next_ping(&mut self, our_id: &str) -> io::Result<SocketAddr> {
        let mut buffer = [0; 1024];
        loop {
            let (len, from) = match self.socket.recv_from(&mut buffer).await {
                Ok(pair) => pair,
                Err(e) if super::listener::is_of_one_connection(&e) => continue,
                Err(e) => return Err(e),
            };
            if parse_ping(&buffer[..len]).is_some_and(|asker| asker != our_id) {
                return Ok(from);
            }
        }
    }

    /// Answers one ping; `pong.mac` is filled in here. More than ten a second stay unanswered.
    pub async fn answer(&mut self, to: SocketAddr, pong: &Pong, now: Instant) {
        let refilled_at = self.refilled_at.get_or_insert(now);
        while self.allowance < BURST && now >= *refilled_at + REFILL {
            self.allowance += 1;
            *refilled_at += REFILL;
        }
        if self.allowance == BURST {
            *refilled_at = now;
        }
        if self.allowance == 0 {
            return;
        }
        self.allowance -= 1;
        let mac = match to.ip() {
            IpAddr::V4(ip) => {
                mac_towards(ip, Path::new("/proc/thread-self/net/route"), Path::new("/sys/class/net"))
            }
            IpAddr::V6(_) => None,
        };
        let pong = Pong { mac: mac.unwrap_or_default(), ..pong.clone() };
        if let Err(e) = self.socket.send_to(&encode_pong(&pong), to).await {
            tracing::debug!(%to, "LAN discovery: pong not sent: {e}");
        }
    }
}

/// Whether an address belongs to a private network: RFC 1918, link-local (RFC 3927, RFC 4291) or unique local (RFC 4193).
/// This very machine counts too.
pub fn is_private(ip: IpAddr) -> bool {
    match to_plain_ip(ip) {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}

/// The address of ours that leads to `to`, for `to` to dial. Nothing is sent.
///
/// # Errors
/// No way leads there.
pub async fn address_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(to).await?;
    Ok(socket.local_addr()?.ip())
}

/// The MAC address of the interface that routes to `ip`, from the kernel's route table and interface folder.
fn mac_towards(ip: Ipv4Addr, routes: &Path, interfaces: &Path) -> Option<String> {
    let table = std::fs::read_to_string(routes).ok()?;
    let interface = interface_towards(ip, &table)?;
    let mac = std::fs::read_to_string(interfaces.join(interface).join("address")).ok()?;
    let mac = mac.trim().to_ascii_lowercase();
    let is_mac = mac.len() == 17 && mac.bytes().all(|b| b.is_ascii_hexdigit() || b == b':');
    (is_mac && mac != "00:00:00:00:00:00").then_some(mac)
}

/// The most specific, then cheapest, route of `/proc/net/route` (addresses are host-endian hexadecimal of the
/// network-order word; columns: interface, destination, gateway, flags, …, metric, mask).
fn interface_towards(ip: Ipv4Addr, table: &str) -> Option<&str> {
    let wanted = u32::from_ne_bytes(ip.octets());
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let hex = |n: usize| u32::from_str_radix(columns.get(n)?, 16).ok();
        let (destination, flags, mask) = (hex(1)?, hex(3)?, hex(7)?);
        let metric: u32 = columns.get(6)?.parse().ok()?;
        let is_up = flags & 1 == 1;
        let is_safe_name = columns[0].bytes().all(|b| b != b'/') && columns[0] != "..";
        (is_up && is_safe_name && wanted & mask == destination).then_some((
            mask.count_ones(),
            std::cmp::Reverse(metric),
            columns[0],
        ))
    });
    routes.max_by_key(|(len, metric, _)| (*len, *metric)).map(|(_, _, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0100A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
        wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
        eth0\t0000A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n\
        down0\t00004D0A\t00000000\t0000\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        usb0\t00004D0A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    #[test]
    #[cfg(target_endian = "little")]
    fn the_most_specific_route_that_is_up_wins() {
        for (ip, want) in [("192.168.0.7", "eth0"), ("10.77.0.3", "usb0"), ("8.8.8.8", "eth0")] {
            assert_eq!(interface_towards(ip.parse().unwrap(), TABLE), Some(want), "{ip}");
        }
        assert_eq!(interface_towards(Ipv4Addr::LOCALHOST, "Iface\n"), None);
        assert_eq!(interface_towards(Ipv4Addr::LOCALHOST, "Iface\nx y z\n\nq"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_mac_is_lower_case_with_colons_or_nothing() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("route"), TABLE).unwrap();
        let ask = || mac_towards(Ipv4Addr::new(10, 77, 0, 3), &dir.path().join("route"), dir.path());
        assert_eq!(ask(), None);
        std::fs::create_dir(dir.path().join("usb0")).unwrap();
        for (file, want) in
            [("02:AB:00:00:00:01\n", Some("02:ab:00:00:00:01")), ("00:00:00:00:00:00\n", None)]
        {
            std::fs::write(dir.path().join("usb0/address"), file).unwrap();
            assert_eq!(ask().as_deref(), want);
        }
    }

    #[test]
    fn private_networks_and_nothing_else() {
        for ip in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.254",
            "192.168.0.7",
            "169.254.1.1",
            "127.0.0.1",
            "::1",
            "fd00::1",
            "fc00::1",
            "fe80::1",
            "::ffff:192.168.0.7",
        ] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "192.169.0.1",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "11.0.0.1",
            "2001:db8::1",
            "fec0::1",
            "::",
            "ff02::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }

    fn pong() -> Pong {
        Pong {
            id: "234567891".into(),
            mac: String::new(),
            hostname: "desk".into(),
            username: String::new(),
            platform: "Windows".into(),
        }
    }

    #[tokio::test]
    async fn one_pong_for_a_ping_none_for_our_own_or_garbage() {
        let mut responder = DiscoveryResponder::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let at = responder.local_addr().unwrap();
        let asker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // A ping that carries our own id, garbage, then a real one.
        asker.send_to(b"\xb2\x01\x11\x0a\x04ping\x1a\x09234567891", at).await.unwrap();
        asker.send_to(&[0xff; 30], at).await.unwrap();
        asker.send_to(b"\xb2\x01\x06\x0a\x04ping", at).await.unwrap();
        let from = responder.next_ping("234567891").await.unwrap();
        assert_eq!(from, asker.local_addr().unwrap());
        #[allow(clippy::disallowed_methods, reason = "a test's clock")]
        let now = Instant::now();
        for _ in 0..100 {
            responder.answer(from, &pong(), now).await;
        }
        let marker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        marker.send_to(b"end", from).await.unwrap();
        let (mut buffer, mut answers) = ([0; 200], 0);
        loop {
            let (len, sender) = asker.recv_from(&mut buffer).await.unwrap();
            if sender != at {
                break;
            }
            assert!(buffer[..len].windows(4).any(|w| w == b"pong"));
            answers += 1;
        }
        assert_eq!(answers, BURST, "a flood is answered sparingly");
    }
}
