//! Before setup: the one time in which a board lets apps in that nobody configured. Whoever searches for it from a private
//! network is answered with its address in place of the ID, dials that in clear, and has the one-time password from the
//! board's console. It ends with the first way in or password that is set, or with `kvmdesk setup`, and never comes back.
//! That the apps dial what they are answered is read from their source, and was not tried with one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crate::config::settings::{DIRECT_PORT, Settings};
use crate::net::lan::DISCOVERY_PORT;

use super::store::{Store, StoreError};

/// What `status` says meanwhile.
pub(super) const NOTICE: &str = "This board is not set up. Until it is, RustDesk apps on its local network find it under \
    \"Discovered\" and get in, not encrypted, with the one-time password on its console. `kvmdesk setup` ends that, and so does \
    `discovery = false` in [lan]";

/// Where apps look for a board that they know nothing of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WellKnown {
    /// Where they dial an IP address.
    pub direct: SocketAddr,
    /// Where they search the LAN.
    pub discovery: SocketAddr,
}

impl Default for WellKnown {
    /// The ports that the apps know; IPv4, as the LAN search.
    fn default() -> Self {
        let at = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        Self { direct: at(DIRECT_PORT), discovery: at(DISCOVERY_PORT) }
    }
}

/// Whether nobody has set this board up yet: no password is set, no ID server, no direct access, the LAN search is not
/// refused, and nothing of this ever was so before.
pub fn is_before_setup(store: &Store, settings: &Settings, has_password: bool) -> bool {
    let is_untouched =
        settings.server.is_none() && settings.direct.is_none() && !settings.is_lan_discovery_refused;
    is_untouched && !has_password && !mark(store).exists()
}

/// Keeps that this board was set up; whether that is news.
///
/// # Errors
/// [`StoreError`] if it cannot be kept.
pub fn keep_set_up(store: &Store) -> Result<bool, StoreError> {
    let mark = mark(store);
    if mark.exists() {
        return Ok(false);
    }
    store.write(&mark, b"This board was set up.\n").map(|()| true)
}

fn mark(store: &Store) -> PathBuf {
    store.target_dir().join("set-up")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::board::Boards;
    use crate::config::file;
    use crate::config::settings::{self, Overrides};

    fn configured(text: &str) -> Settings {
        let parsed = file::parse(Path::new("x"), text.to_owned()).unwrap();
        settings::resolve(&parsed, &Boards::default(), |_| None, &Overrides::default()).unwrap()
    }

    #[test]
    fn a_way_in_a_password_a_refusal_or_an_earlier_setup_end_it() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let untouched = "[[target]]\nname = \"office\"\nos = \"linux\"\n[video]\nsource = \"pattern\"\n";
        for (text, want) in [
            (untouched, true),
            ("[lan]\ndiscovery = true\n", true),
            ("[lan]\ndiscovery = false\n", false),
            ("[server]\nhost = \"a.example\"\n", false),
            ("[direct]\nlisten = \"127.0.0.1:0\"\n", false),
        ] {
            assert_eq!(is_before_setup(&store, &configured(text), false), want, "{text}");
            assert!(!is_before_setup(&store, &configured(text), true), "{text}, and a password");
        }
        assert!(keep_set_up(&store).unwrap());
        assert!(!keep_set_up(&store).unwrap(), "no news");
        assert!(!is_before_setup(&store, &configured(untouched), false), "not by taking all back");
    }
}
