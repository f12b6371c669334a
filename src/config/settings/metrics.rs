//! `[metrics]`: where numbers for a monitoring system are served.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::Resolver;
use crate::config::file::{ConfigError, ParsedFile};

/// What the metrics are served on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetricsAddress {
    /// A TCP address.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for MetricsAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl MetricsAddress {
    /// Whether programs on other machines can read them.
    pub fn is_public(&self) -> bool {
        matches!(self, Self::Tcp(address) if !address.ip().is_loopback())
    }
}

/// The address; `None` if there is to be none.
pub(super) fn resolve(parsed: &ParsedFile, r: &mut Resolver) -> Result<Option<MetricsAddress>, ConfigError> {
    let said = parsed.file.metrics.listen.clone();
    let (listen, _) = r.pick("metrics.listen", [None, said, None, None], Clone::clone);
    let Some(listen) = listen else { return Ok(None) };
    if listen.starts_with('/') {
        return Ok(Some(MetricsAddress::Unix(listen.into())));
    }
    let message = format!(
        "`{listen}` is neither ADDRESS:PORT, for instance 127.0.0.1:9521, nor the path of a socket that begins with `/`"
    );
    listen
        .parse()
        .map(|address| Some(MetricsAddress::Tcp(address)))
        .map_err(|_| parsed.error("metrics.listen", message))
}
