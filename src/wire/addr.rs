//! Socket addresses as the ID server passes them on (reference: network 5.1). IPv4 is mixed with a time value,
//! IPv6 is sixteen octets and a little-endian port.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Encodes `address`; `tick` is any 32-bit number (the official one is the Unix time in microseconds, cut).
pub fn mangle(address: SocketAddr, tick: u32) -> Vec<u8> {
    match (to_plain_ip(address.ip()), address.port()) {
        (IpAddr::V4(ip), port) => {
            let ip = u128::from(u32::from_le_bytes(ip.octets()));
            let tick = u128::from(tick);
            let value = ((ip + tick) << 49) | (tick << 17) | (u128::from(port) + (tick & 0xFFFF));
            let bytes = value.to_le_bytes();
            let len = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
            bytes[..len].to_vec()
        }
        (IpAddr::V6(ip), port) => {
            let mut bytes = ip.octets().to_vec();
            bytes.extend_from_slice(&port.to_le_bytes());
            bytes
        }
    }
}

/// Decodes a mangled address. Never fails: nothing becomes `0.0.0.0:0`, a wrong length `[::]:0`; port 0 means
/// "no address".
pub fn unmangle(bytes: &[u8]) -> SocketAddr {
    if bytes.len() > 16 {
        let (Ok(octets), Ok(port)) = (<[u8; 16]>::try_from(&bytes[..16]), <[u8; 2]>::try_from(&bytes[16..]))
        else {
            return SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);
        };
        return SocketAddr::new(IpAddr::V6(octets.into()), u16::from_le_bytes(port));
    }
    let mut padded = [0u8; 16];
    padded[..bytes.len()].copy_from_slice(bytes);
    let value = u128::from_le_bytes(padded);
    let tick = (value >> 17) as u32;
    let ip = ((value >> 49) as u32).wrapping_sub(tick);
    let port = (value as u16).wrapping_sub(tick as u16);
    // The port sum may carry into bit 16; only its low half counts.
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip.to_le_bytes())), port)
}

/// An IPv4 address in IPv6 clothes (`::ffff:a.b.c.d`, `::a.b.c.d`) as IPv4, everything else unchanged.
pub fn to_plain_ip(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unspecified() => v6.to_ipv4().map_or(ip, IpAddr::V4),
        IpAddr::V6(_) | IpAddr::V4(_) => ip,
    }
}

/// [`to_plain_ip`] for a whole socket address.
pub fn to_plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(to_plain_ip(address.ip()), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table_of_the_reference() {
        let cases: [(&str, u32, &[u8]); 5] = [
            ("203.0.113.7:54321", 0x1234_5678, &[0xa9, 0x2a, 0xf1, 0xac, 0x68, 0x24, 0x86, 0xae, 0x4a, 0x33]),
            (
                "192.168.1.10:21118",
                0xFFFF_FFFF,
                &[0x7d, 0x52, 0xff, 0xff, 0xff, 0xff, 0x7f, 0x51, 0x03, 0x14, 0x02],
            ),
            ("1.2.3.4:65535", 0xFFFF, &[0xfe, 0xff, 0xff, 0xff, 1, 0, 0, 4, 8, 8]),
            ("10.0.0.1:1", 0, &[1, 0, 0, 0, 0, 0, 0x14, 0, 0, 2]),
            (
                "[2001:db8::1]:21116",
                9,
                &[0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0x7c, 0x52],
            ),
        ];
        for (text, tick, want) in cases {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(mangle(address, tick), want, "{text}");
            assert_eq!(unmangle(want), address, "{text}");
        }
    }

    #[test]
    fn odd_lengths_have_port_zero() {
        assert_eq!(unmangle(&[]).port(), 0);
        assert_eq!(unmangle(&[1; 17]).port(), 0);
        assert_eq!(unmangle(&[1; 40]).port(), 0);
    }

    #[test]
    fn mapped_addresses_become_plain() {
        assert_eq!(to_plain("[::ffff:10.77.0.2]:5".parse().unwrap()), "10.77.0.2:5".parse().unwrap());
        assert_eq!(to_plain("[::1]:5".parse().unwrap()), "[::1]:5".parse().unwrap());
    }

    proptest! {
        #[test]
        fn round_trip(ip in any::<[u8; 4]>(), port in any::<u16>(), tick in any::<u32>()) {
            let address = SocketAddr::new(IpAddr::V4(ip.into()), port);
            prop_assert_eq!(unmangle(&mangle(address, tick)), address);
        }
        #[test]
        fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..40)) { let _ = unmangle(&bytes); }
    }
}
