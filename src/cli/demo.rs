//! `kvmdesk demo`: the whole way without hardware, root or configuration.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::agent::agent::{Agent, AgentOptions};
use crate::agent::direct_task::ListenStatus;
use crate::agent::first_run::WellKnown;
use crate::agent::rendezvous_task::RegistrationStatus;
use crate::agent::store::{Store, StoreError};
use crate::config::file::{HidBackendName, ParsedFile, VideoSource};
use crate::config::settings::hid::HidChoice;
use crate::config::settings::{self, DIRECT_PORT, Settings};

use super::args::{Demo, Place};
use super::{Failure, UNAVAILABLE, USAGE, logging, place, serve};

pub(super) fn run(place: &Place, demo: &Demo) -> Result<(), Failure> {
    if place.config.is_some() {
        let text = "demo takes no configuration; use `kvmdesk run --config FILE`, or leave --config out";
        return Err(Failure::new(USAGE, text));
    }
    // A given password file is read before anything is opened.
    let password = demo
        .password_file
        .as_ref()
        .map(|path| {
            let text = std::fs::read_to_string(path).map_err(|e| place::unreadable(path, &e))?;
            crate::agent::password::check(&text)?;
            Ok::<_, Failure>(crate::agent::password::secret(text))
        })
        .transpose()?;
    let direct = match (demo.direct, &demo.server) {
        (None, None) => Some(SocketAddr::from(([0, 0, 0, 0], DIRECT_PORT))),
        (direct, _) => direct,
    };
    let (state_dir, _temporary) = state_dir(place)?;
    let mut flags = place::overrides(place);
    flags.state_dir = Some(state_dir);
    flags.server_host.clone_from(&demo.server);
    flags.server_key.clone_from(&demo.key);
    flags.direct_listen = direct;
    flags.direct_allow_plaintext = direct.map(|_| true);
    flags.video_source = Some(VideoSource::Pattern);
    flags.hid_backend = Some(HidBackendName::Recording);
    flags.hid_log.clone_from(&demo.hid_log);
    let settings = settings::resolve(&ParsedFile::default(), &place::boards(), log_level, &flags)?;
    logging::start(settings.log_level);
    let has_password = password.is_some();
    let problems = vec![];
    let shown = settings.clone();
    let options = AgentOptions {
        settings,
        password,
        problems,
        board_root: "/".into(),
        well_known: WellKnown::default(),
    };
    serve::serve(options, |agent| accompany(agent, shown, has_password))
}

/// Of the environment a demo reads how much it logs; servers and devices are its own.
fn log_level(name: &str) -> Option<String> {
    (name == "KVMDESK_LOG").then(|| place::environment(name)).flatten()
}

/// A demo's own state directory: the one named, else one under the user's home (so that its ID stays), else, if
/// another demo runs there, a temporary one that goes with it.
fn state_dir(place: &Place) -> Result<(PathBuf, Option<Temporary>), Failure> {
    let told = place.state_dir.clone().or_else(|| place::environment("KVMDESK_STATE_DIR").map(PathBuf::from));
    if let Some(dir) = told {
        return Ok((dir, None));
    }
    let home = place::environment("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| place::environment("HOME").map(|home| Path::new(&home).join(".local/state")));
    if let Some(home) = home {
        let dir = home.join("kvmdesk-demo");
        match Store::open(&dir).and_then(|store| store.lock()) {
            Ok(_lock) => return Ok((dir, None)),
            Err(StoreError::InUse(_)) => eprintln!("Another demo runs: this one has a temporary ID."),
            Err(error) => eprintln!("This demo has a temporary ID: {error}"),
        }
    }
    let dir = std::env::temp_dir().join(format!("kvmdesk-demo-{}", std::process::id()));
    Ok((dir.clone(), Some(Temporary(dir))))
}

/// Removed when the demo ends.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Says what is open and what to type, then each new one-time password and each change at the server. Never ends.
fn accompany(
    agent: &Agent,
    settings: Settings,
    has_password: bool,
) -> impl Future<Output = Result<(), Failure>> + use<> {
    let (direct, registration) = (agent.direct(), agent.registration());
    let mut one_time = agent.one_time_password();
    let id = agent.id().spaced();
    async move {
        println!("kvmdesk {} demo: a moving test card; no hardware is used.", env!("CARGO_PKG_VERSION"));
        match &settings.hid {
            HidChoice::Recording { log: Some(path) } => {
                println!("Keys and pointer are written to {} (it shows what is typed).", path.display());
            }
            HidChoice::Recording { log: None }
            | HidChoice::Gadget { .. }
            | HidChoice::Ch9329(_)
            | HidChoice::Uinput => {
                println!("Keys and pointer are only shown on the test card.");
            }
        }
        if let Some(mut status) = direct {
            let state = status
                .wait_for(|s| s.is_open || s.message.contains("cannot listen"))
                .await
                .map(|s| s.clone())
                .map_err(|_| Failure::new(UNAVAILABLE, "direct access ended at once"))?;
            if !state.is_open {
                let text = format!(
                    "{} is not to be had (does RustDesk or another demo run here?); choose another with \
                     --direct ADDR:PORT. In full: {}",
                    state.address, state.message
                );
                return Err(Failure::new(UNAVAILABLE, text));
            }
            show_direct(&state);
        }
        if let Some(server) = &settings.server {
            println!();
            println!("Through the ID server {}: encrypted; nothing else is open for it.", server.host);
            println!("In the RustDesk app (set to the same ID server and key), type the ID");
            println!("    {id}");
        }
        println!();
        if has_password {
            println!("Password: the one in the password file.");
        } else if one_time.borrow().is_none() {
            println!("Password: the one set with `kvmdesk password`.");
        }
        println!("Stop with Ctrl+C.");
        let passwords = async {
            loop {
                if let Some(password) = one_time.borrow_and_update().as_ref() {
                    println!("One-time password (a new one after each session): {}", password.reveal());
                }
                if one_time.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        tokio::join!(passwords, show_registration(registration));
        Ok(())
    }
}

fn show_direct(state: &ListenStatus) {
    println!();
    println!(
        "Open: direct access on {} (TCP), NOT encrypted: the RustDesk app cannot encrypt it.",
        state.address
    );
    if state.address.ip().is_unspecified() {
        println!("Everyone who reaches this machine and knows the password may see the card and type.");
    }
    println!("In the RustDesk app, type as the remote ID");
    for address in dialled_by(state.address) {
        println!("    {address}");
    }
}

async fn show_registration(registration: Option<tokio::sync::watch::Receiver<RegistrationStatus>>) {
    if let Some(mut status) = registration {
        let mut last = String::new();
        loop {
            let message = status.borrow_and_update().message.clone();
            if message != last {
                println!("{message}");
                last = message;
            }
            if status.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}

/// What others dial for a listener: its address, or every address of this machine.
fn dialled_by(listen: SocketAddr) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let table = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut ips = local_addresses(&table);
    if ips.is_empty() {
        ips.push(IpAddr::from([127, 0, 0, 1]));
    }
    ips.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect()
}

/// The machine's IPv4 addresses but loopback, from the kernel's routing table (`/proc/net/fib_trie`).
fn local_addresses(table: &str) -> Vec<IpAddr> {
    let mut found = vec![];
    let mut leaf = None;
    for line in table.lines() {
        if let Some((_, address)) = line.split_once("|-- ") {
            leaf = address.trim().parse::<IpAddr>().ok();
        } else if line.contains("/32 host LOCAL")
            && let Some(ip) = leaf
            && !ip.is_loopback()
            && !found.contains(&ip)
        {
            found.push(ip);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\n     +-- 10.77.0.0/24 2 0 2\n        |-- 10.77.0.0\n           /24 link UNICAST\n        |-- 10.77.0.2\n           /32 host LOCAL\n        |-- 10.77.0.255\n           /32 link BROADCAST\n     |-- 127.0.0.1\n        /32 host LOCAL\nLocal:\n        |-- 10.77.0.2\n           /32 host LOCAL\n";
        assert_eq!(local_addresses(table), [IpAddr::from([10, 77, 0, 2])]);
        assert!(local_addresses("garbage\n/32 host LOCAL\n").is_empty());
        let one = SocketAddr::from(([127, 0, 0, 1], 5));
        assert_eq!(dialled_by(one), [one]);
    }
}
