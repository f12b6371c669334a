//! `host:port` as users write it and servers pass it on (reference: network 1.6): names, IPv4, IPv6 with or
//! without brackets, default ports, neighbouring ports.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A host name or address literal and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
}

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no server address: write `host`, `host:port` or `[IPv6 address]:port`, with a port from 1 to 65535"
)]
pub struct BadEndpoint(String);

impl Endpoint {
    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` or a bare IPv6 literal; `default_port` where none is given.
    ///
    /// # Errors
    /// [`BadEndpoint`] for an empty host, a port that is none, white space, or more than 253 characters.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, BadEndpoint> {
        let bad = || BadEndpoint(text.chars().take(80).filter(|c| !c.is_control()).collect());
        let trimmed = text.trim();
        let (host, port) = if let Some(rest) = trimmed.strip_prefix('[') {
            let (host, after) = rest.split_once(']').ok_or_else(bad)?;
            host.parse::<Ipv6Addr>().map_err(|_| bad())?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':').ok_or_else(bad)?) };
            (host, port)
        } else if trimmed.parse::<Ipv6Addr>().is_ok() {
            (trimmed, None)
        } else {
            match trimmed.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (trimmed, None),
            }
        };
        let port = match port {
            None => default_port,
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
                digits.parse().ok().filter(|p| *p > 0).ok_or_else(bad)?
            }
            Some(_) => return Err(bad()),
        };
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || "/@?#[]\"<>\\".contains(c);
        if host.is_empty() || host.len() > 253 || host.chars().any(is_odd) {
            return Err(bad());
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host, `by` ports further (rendezvous to relay is +1, to the NAT test -1). `None` outside 1 to 65535.
    pub fn shifted(&self, by: i32) -> Option<Self> {
        let port = u16::try_from(i32::from(self.port) + by).ok().filter(|p| *p > 0)?;
        Some(Self { host: self.host.clone(), port })
    }

    /// The socket address, if the host is an address literal and needs no resolving.
    pub fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shapes_users_write() {
        for (text, want) in [
            ("rd.example.org", "rd.example.org:21116"),
            ("rd.example.org:500", "rd.example.org:500"),
            (" 192.0.2.7 ", "192.0.2.7:21116"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("2001:db8::1", "[2001:db8::1]:21116"),
            ("[2001:db8::1]", "[2001:db8::1]:21116"),
            ("[2001:db8::1]:9", "[2001:db8::1]:9"),
        ] {
            assert_eq!(Endpoint::parse(text, 21116).unwrap().to_string(), want);
        }
        assert!(Endpoint::parse("[::1]:9", 1).unwrap().literal().is_some());
        assert!(Endpoint::parse("rd.example.org", 1).unwrap().literal().is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "", ":21116", "a:b", "a:0", "a:65536", "a:1:2", "[::1", "[::1]9", "[abc]:1", "a b", "a\n:1",
            "a:+1", &long,
        ] {
            assert!(Endpoint::parse(text, 21116).is_err(), "{text:?}");
        }
    }

    #[test]
    fn neighbours() {
        let e = Endpoint::parse("[::1]:21116", 1).unwrap();
        assert_eq!(e.shifted(1).unwrap().to_string(), "[::1]:21117");
        assert_eq!(e.shifted(-21116), None);
        assert_eq!(e.shifted(50_000), None);
    }
}
