//! `kvmdesk status`: the running daemon on one screen.

use crate::agent::control::{self, Answer, Request};
use crate::agent::status::Status as Snapshot;

use super::args::{Place, Status};
use super::{Failure, IO, UNAVAILABLE, place, sessions};

pub(super) fn run(place: &Place, args: &Status) -> Result<(), Failure> {
    let store = place::store(place)?;
    let status = match control::ask(&store.socket(), &Request::Status)? {
        Answer::Status(status) => status,
        Answer::Failed { text } => return Err(Failure::new(UNAVAILABLE, text)),
        Answer::Done { .. } | Answer::Typing { .. } | Answer::OneTimePassword { .. } => {
            return Err(Failure::new(UNAVAILABLE, "the daemon answered something else"));
        }
    };
    if args.json {
        let json = serde_json::to_string_pretty(&status).map_err(|e| Failure::new(IO, e.to_string()))?;
        println!("{json}");
    } else {
        print!("{}", to_text(&status));
    }
    Ok(())
}

fn to_text(status: &Snapshot) -> String {
    let target = &status.target;
    let mut lines = vec![format!(
        "kvmdesk {}, up {}: {}",
        status.version,
        sessions::duration(status.uptime_seconds),
        if status.problems.is_empty() { "all is well" } else { "look at this" }
    )];
    lines.extend(status.problems.iter().map(|p| format!("  ! {p}")));
    let mut row = |head: &str, text: String| lines.push(format!("{head:<10} {text}"));
    row("Target", format!("{}, ID {}, {} password", target.name, target.id, target.password));
    row(
        "Server",
        match &target.server {
            None => "none: not registered anywhere".to_owned(),
            Some(s) => {
                format!("{} {}, NAT {}", s.host, if s.is_online { "online" } else { "NOT ONLINE" }, s.nat)
            }
        },
    );
    row(
        "Direct",
        match &target.direct {
            None => "off".to_owned(),
            Some(d) => format!(
                "{} {}, {}",
                d.listen,
                if d.is_open { "open" } else { "NOT OPEN" },
                if d.is_plaintext_allowed { "in clear" } else { "refused: direct.allow-plaintext is false" }
            ),
        },
    );
    row("Discovery", if target.is_lan_discovery_on { "on" } else { "off" }.to_owned());
    let video = &target.video;
    row(
        "Picture",
        format!("{}: {}, {} of {}", video.source, video.signal, video.resolution, video.original_resolution),
    );
    row(
        "",
        format!(
            "{} captured, {} unchanged, {} encoded ({} key frames)",
            video.captured, video.unchanged, video.encoded, video.keyframes
        ),
    );
    let hid = &target.hid;
    let leds = if hid.leds.is_empty() { String::new() } else { format!(", lit: {}", hid.leds.join(" ")) };
    row(
        "Hands",
        format!(
            "{}: {}, {} reports, {} events discarded{leds}",
            hid.backend,
            if hid.is_connected { "connected" } else { "NOT CONNECTED" },
            hid.reports_written,
            hid.events_discarded
        ),
    );
    if target.suspects > 0 {
        row("Locks", format!("{} addresses with wrong passwords (`kvmdesk unlock`)", target.suspects));
    }
    if target.sessions.is_empty() {
        row("Sessions", "none".to_owned());
    }
    for s in &target.sessions {
        row(
            "Session",
            format!(
                "{}: {} ({}) on {}, {} from {}, {}",
                s.session,
                s.my_name,
                s.my_id,
                s.platform,
                s.route,
                s.address,
                sessions::duration(s.seconds)
            ),
        );
    }
    lines.join("\n") + "\n"
}
