//! The questions of `kvmdesk setup`, and what it shows before and after them.

use std::io::{self, BufRead as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::agent::store::Store;
use crate::agent::{password, terminal};
use crate::config::edit::Changes;
use crate::config::server_string::ServerString;
use crate::config::settings::Settings;

use super::super::args::{Place, Setup};
use super::super::doctor::{self, Roots};
use super::super::{Failure, USAGE, password as passwords, status};
use super::takeover::{self, System, TakeOver};
use super::{Outcome, Plan, carry_out, codes, overlays, take_exported};

/// What the first look shows of what the doctor finds.
const HARDWARE: [&str; 8] = ["board", "picture", "edid", "encoders", "sound", "hands", "usb port", "in use"];
/// How often, and how many times, the daemon is asked whether it is registered after its start.
const REGISTRATION: (Duration, u32) = (Duration::from_millis(500), 40);
/// The word for having no server.
const NONE: &str = "none";

/// Asks for everything that `changes` leaves open, sets it, and shows how to get in.
pub(super) fn hold(
    place: &Place,
    args: &Setup,
    mut changes: Changes,
    mut secret: Option<String>,
) -> Result<(), Failure> {
    let now = Plan::new(place, &changes, secret.clone())?.settings;
    // Who may not write there is told before any question.
    Store::open(&now.state_dir)?;
    println!(
        "A few questions. Enter takes what is in [brackets]; Ctrl+C ends, and nothing is changed before the last \
         answer.\n\nLooking at this board, some seconds ..."
    );
    print!("{}", doctor::to_lines(&doctor::examine_hardware(place, &Roots::default()), &HARDWARE));
    println!();
    let root = Path::new("/");
    let boot = match args.boot.as_slice() {
        [] => overlays::ask(&now, root)?,
        parts => overlays::by_names(parts, &now.board.profile.boot, root)?,
    };
    let system = System::default();
    let taking = TakeOver::find(&now, &system).ask(place, &mut changes)?;
    ask_server(place, &mut changes, &now)?;
    let target = &now.target;
    if changes.name.is_none() {
        ask(place, &mut changes, "Name of the computer in the app", &target.name, |c| &mut c.name)?;
    }
    if changes.os.is_none() {
        let question = "What it runs (windows, linux or macos)";
        let os = shown(&now, "target.os");
        ask(place, &mut changes, question, &os, |c| &mut c.os)?;
    }
    if changes.layout.is_none() {
        let question = "Keyboard layout set on it (us, gb, de, fr ...)";
        ask(place, &mut changes, question, &target.keyboard_layout, |c| &mut c.layout)?;
    }
    if secret.is_none() {
        secret = ask_password(&now)?;
    }

    let outcome = carry_out(Plan::new(place, &changes, secret)?, taking, boot, &system)?;
    println!();
    tell_written(&outcome);
    outcome.take_over.iter().for_each(takeover::Taken::tell);
    outcome.boot.iter().for_each(overlays::tell);
    let is_up = start(&outcome)?;
    let settings = Plan::new(place, &Changes::default(), None)?.settings;
    if let (true, Some(server)) = (is_up, &settings.server) {
        wait_for_registration(&Store::at(&settings.state_dir), &server.host.to_string());
    }
    println!("\nHow it stands now:");
    print!("{}", doctor::to_text(&doctor::examine(place, &Roots::default())));
    show_ways_in(&outcome, &settings);
    Ok(())
}

/// A value as `kvmdesk check --show` has it.
fn shown(settings: &Settings, key: &str) -> String {
    settings.shown.iter().find(|shown| shown.key == key).map_or_else(String::new, |shown| shown.value.clone())
}

/// One line of the user, trimmed; empty for Enter.
fn read(question: &str, proposal: &str) -> Result<String, Failure> {
    if proposal.is_empty() {
        print!("{question}: ");
    } else {
        print!("{question} [{proposal}]: ");
    }
    io::stdout().flush()?;
    let mut line = String::new();
    if io::stdin().lock().read_line(&mut line)? == 0 {
        println!();
        return Err(Failure::new(USAGE, "the input ended; nothing was changed"));
    }
    Ok(line.trim().to_owned())
}

/// A question that is answered with yes or no; Enter takes what is proposed.
pub(super) fn agrees(question: &str, is_proposed: bool) -> Result<bool, Failure> {
    let answer = read(question, if is_proposed { "y" } else { "n" })?;
    Ok(match answer.as_str() {
        "" => is_proposed,
        answer => matches!(answer, "y" | "Y" | "yes"),
    })
}

/// Asks until the answer can be used.
fn ask(
    place: &Place,
    changes: &mut Changes,
    question: &str,
    proposal: &str,
    field: impl Fn(&mut Changes) -> &mut Option<String>,
) -> Result<(), Failure> {
    loop {
        let answer = read(question, proposal)?;
        if answer.is_empty() {
            *field(changes) = None;
            return Ok(());
        }
        *field(changes) = Some(answer);
        match Plan::new(place, changes, None) {
            Ok(_) => return Ok(()),
            Err(failure) => tell(&failure),
        }
    }
}

pub(super) fn tell(failure: &Failure) {
    println!("  {}", failure.text.trim_end_matches("; nothing was changed"));
}

/// Server and key. An exported text of the app answers both.
fn ask_server(place: &Place, changes: &mut Changes, now: &Settings) -> Result<(), Failure> {
    let before = now.server.as_ref().map(|server| server.host.to_string());
    if changes.host.is_none() {
        println!(
            "The ID server that the RustDesk app uses: its name, or what the app copies under Settings, Network, \
             Export server config.\nkvmdesk never uses the public servers; \"{NONE}\" leaves it without."
        );
        loop {
            let answer = read("ID server", before.as_deref().unwrap_or(NONE))?;
            if answer.is_empty() || answer == NONE && before.is_none() {
                return Ok(());
            }
            let mut tried = changes.clone();
            let result = if ServerString::decode(&answer).is_ok() {
                take_exported(&mut tried, &answer)
            } else if answer == NONE {
                Err(Failure::new(USAGE, "to have no server any more, remove [server] from the file"))
            } else {
                tried.host = Some(answer);
                Ok(())
            };
            match result.and_then(|()| Plan::new(place, &tried, None)) {
                Ok(_) => break *changes = tried,
                Err(failure) => tell(&failure),
            }
        }
    }
    if changes.key.is_none() {
        println!("Its public key, the line in hbbs's file id_ed25519.pub; Enter leaves it as it is.");
        ask(place, changes, "Key", "", |c| &mut c.key)?;
    }
    Ok(())
}

/// A new password; `None` keeps things as they are.
fn ask_password(now: &Settings) -> Result<Option<String>, Failure> {
    let is_set = password::load(&Store::at(&now.state_dir))?.is_some();
    println!(
        "{}",
        if is_set {
            "A password is set; Enter keeps it."
        } else {
            "The password for the app. With Enter alone there is a one-time password, new after each session."
        }
    );
    println!("Take another one for each board: who learns one gets into all that share it.");
    loop {
        match passwords::prompt(true) {
            Ok(answer) => return Ok(answer),
            Err(failure) if failure.code == USAGE => tell(&failure),
            Err(failure) => return Err(failure),
        }
    }
}

fn tell_written(outcome: &Outcome) {
    let config = outcome.config.display();
    match (&outcome.backup, outcome.is_config_changed) {
        (_, false) => println!("{config} stays as it is."),
        (None, true) => println!("{config} is written."),
        (Some(backup), true) => println!("{config} is changed; as it was before: {}", backup.display()),
    }
}

/// Has the daemon take over what was written; whether it runs then.
fn start(outcome: &Outcome) -> Result<bool, Failure> {
    let (deed, question) = match (outcome.is_running, outcome.is_config_changed) {
        (true, false) => return Ok(true),
        (true, true) => ("reload", "Have kvmdesk take it over now (y/n)"),
        (false, _) => ("start", "Start kvmdesk now (y/n)"),
    };
    if !agrees(question, true)? {
        println!("Later: systemctl {deed} kvmdesk");
        return Ok(outcome.is_running);
    }
    match Command::new("systemctl").args([deed, "kvmdesk.service"]).status() {
        Ok(status) if status.success() => Ok(true),
        Ok(_) | Err(_) => {
            println!("That did not work. By hand: sudo systemctl {deed} kvmdesk, or kvmdesk run");
            Ok(outcome.is_running)
        }
    }
}

/// Until the daemon is registered at this server, not at the one from before.
fn wait_for_registration(store: &Store, host: &str) {
    let (pause, times) = REGISTRATION;
    println!("Waiting for the server to take the ID, at most {} seconds ...", (pause * times).as_secs());
    for _ in 0..times {
        let server = status::ask(store).ok().and_then(|status| status.target.server);
        if server.is_some_and(|server| server.is_online && server.host == host) {
            return;
        }
        thread::sleep(pause);
    }
}

/// ID, and codes for a phone.
fn show_ways_in(outcome: &Outcome, settings: &Settings) {
    let columns = terminal::size().map_or(80, |(columns, _)| columns);
    if let Some(server) = &settings.server {
        let all = ServerString {
            host: shown(settings, "server.host"),
            relay: server.relay.clone().unwrap_or_default(),
            api: String::new(),
            key: server.key.reveal().clone(),
        };
        println!(
            "\n1. The server, for a phone's app: Settings, ID/Relay server, the QR symbol. For a desktop app: Settings, \
                  Network, import"
        );
        show_code(&all.scanned(), columns);
        println!("{}", all.encode());
    }
    let link = format!("rustdesk://{}", outcome.id);
    println!("\n2. This device, for a phone that has the app:");
    show_code(&link, columns);
    println!("{link}\n\nID   {}\nKey  {}", outcome.id, outcome.key_fingerprint);
}

fn show_code(text: &str, columns: usize) {
    match codes::draw(text, columns) {
        Some(code) => print!("{code}"),
        None => println!("(This terminal is too narrow for the code: take the text.)"),
    }
}
