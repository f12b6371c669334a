//! Takes changed settings over while the agent runs: what can hold at once does, what needs a restart is said.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use crate::config::settings::Settings;
use crate::input::layout::Layout;
use crate::input::typist::Typist;
use crate::session::driver::Display;

use super::agent::{card_title, until_true};
use super::answers::Answers;
use super::doors::{Doors, Way};

/// A configuration that was read anew.
#[derive(Debug)]
pub enum Reading {
    /// It is good.
    Good {
        /// What it says.
        settings: Box<Settings>,
        /// Sentences about it that `status` shows from now on, in place of those from before.
        problems: Vec<String>,
    },
    /// It is wrong, and why; everything stays as it is.
    Wrong(String),
}

/// Where configurations that were read anew go.
#[derive(Debug, Clone)]
pub struct Reloader(pub(super) mpsc::Sender<Reading>);

impl Reloader {
    /// Hands one over; it holds a moment later. Nothing happens once the agent stops.
    pub async fn take(&self, reading: Reading) {
        let _ = self.0.send(reading).await;
    }
}

/// Takes readings over until the stop, then closes the doors.
pub(super) async fn run(
    answers: Arc<Answers>,
    mut doors: Doors,
    displays: Vec<Display>,
    mut readings: mpsc::Receiver<Reading>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut set_up = answers.set_up.subscribe();
    loop {
        let reading = tokio::select! {
            () = until_true(&mut stopped) => break,
            Ok(()) = set_up.changed() => {
                for way in [Way::Direct, Way::Lan] {
                    doors.open_again(way).await;
                }
                continue;
            }
            reading = readings.recv() => reading,
        };
        match reading {
            Some(Reading::Good { settings, problems }) => {
                take_over(&answers, &mut doors, &displays, &settings, problems).await;
            }
            Some(Reading::Wrong(fault)) => {
                let text = format!(
                    "The configuration is wrong and was not taken over; the one before goes on: {fault}. Mend it, look \
                     with `kvmdesk check`, and reload"
                );
                tracing::error!("{text}");
                answers.problems().refusal = text;
            }
            None => {
                until_true(&mut stopped).await;
                break;
            }
        }
    }
    drop(displays);
    doors.close_all().await;
}

async fn take_over(
    answers: &Answers,
    doors: &mut Doors,
    displays: &[Display],
    wanted: &Settings,
    mut problems: Vec<String>,
) {
    let change = answers.settings().take_over(wanted);
    let settings = Arc::new(change.settings);
    answers.set_settings(Arc::clone(&settings));
    answers.look_whether_set_up();
    let has = |keys: &[&str]| change.at_once.iter().any(|changed| keys.contains(&changed.as_str()));

    if has(&["target.keyboard-layout", "target.unicode-entry"])
        && let Ok(layout) = Layout::by_name(&settings.target.keyboard_layout)
    {
        let typist = Typist::new(layout, settings.target.unicode_entry);
        answers.set_typist(typist.clone());
        // All displays have the same hands.
        if let Some(display) = displays.first() {
            display.hid.set_typist(typist);
        }
    }
    for (display, settings) in displays.iter().zip(&settings.displays) {
        display.video.set_max_fps(settings.max_fps);
    }
    if has(&["input.sharing"]) {
        answers.sessions.set_sharing(settings.sharing);
    }
    if has(&["target.name"]) {
        answers.sessions.set_card_title(card_title(&settings));
    }
    doors.rename();
    let ways: [(&[&str], Way); 4] = [
        (&["server.host", "server.key", "server.relay"], Way::Registration),
        (&["direct.listen"], Way::Direct),
        (&["lan.discovery"], Way::Lan),
        (&["metrics.listen"], Way::Metrics),
    ];
    for (keys, way) in ways {
        if has(keys) {
            doors.open_again(way).await;
        }
    }

    let parts = [
        (&change.at_once, "changed"),
        (&change.for_new_sessions, "changed for controllers that connect from now on"),
        (&change.after_restart, "NOT changed before a restart"),
    ];
    let told = parts.iter().filter(|(keys, _)| !keys.is_empty());
    let told: Vec<String> = told.map(|(keys, what)| format!("{what}: {}", keys.join(", "))).collect();
    let told = if told.is_empty() { "nothing is different".to_owned() } else { told.join("; ") };
    tracing::info!("the configuration was read anew; {told}");
    if has(&["target.keyboard-layout"]) {
        tracing::info!(
            "sessions that are open use the new layout for text; for shortcuts, when they connect again"
        );
    }
    settings.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !change.after_restart.is_empty() {
        let is_of_gadget =
            |key: &String| key.starts_with("gadget.") || key == "hid.backend" || key == "hid.gadget";
        let units =
            if change.after_restart.iter().any(is_of_gadget) { "kvmdesk-gadget kvmdesk" } else { "kvmdesk" };
        problems.push(format!(
            "This is different now from what kvmdesk was started with, and holds only after a restart: {}. Run \
             `systemctl restart {units}`",
            change.after_restart.join(", ")
        ));
    }
    let mut now = answers.problems();
    now.told = problems;
    now.refusal.clear();
}
