//! What of changed settings holds without a restart, and what does not.

use super::{Settings, Shown};

/// Keys whose values hold at once, for sessions that are open too (of the layout: for text; their shortcuts stay where they
/// were).
pub const AT_ONCE: [&str; 12] = [
    "server.host",
    "server.key",
    "server.relay",
    "direct.listen",
    "lan.discovery",
    "target.name",
    "target.keyboard-layout",
    "target.unicode-entry",
    "input.sharing",
    "metrics.listen",
    "log.level",
    "video.max-fps",
];
/// Keys whose values hold for controllers that connect from now on.
pub const FOR_NEW_SESSIONS: [&str; 6] = [
    "direct.allow-plaintext",
    "security.require-encryption",
    "app.announce",
    "target.os",
    "target.keyboard.bad-link",
    "target.pointer.local",
];

/// What becomes of changed settings.
#[derive(Debug, Clone)]
pub struct Change {
    /// What holds now: the running settings with everything taken over that can be.
    pub settings: Settings,
    /// Changed keys that hold, for open sessions too, but for what an app was told when it connected.
    pub at_once: Vec<String>,
    /// Changed keys that hold for controllers that connect from now on.
    pub for_new_sessions: Vec<String>,
    /// Changed keys that hold only after a restart.
    pub after_restart: Vec<String>,
}

impl Settings {
    /// What becomes of these running settings when `wanted` is to hold.
    pub fn take_over(&self, wanted: &Self) -> Change {
        let mut change = Change {
            settings: self.clone(),
            at_once: vec![],
            for_new_sessions: vec![],
            after_restart: vec![],
        };
        let line = |shown: &[Shown], key: &str| shown.iter().find(|line| line.key == key).cloned();
        let mut keys: Vec<&str> = self.shown.iter().map(|line| line.key.as_str()).collect();
        keys.extend(wanted.shown.iter().map(|line| line.key.as_str()));
        let mut seen = vec![];
        for key in keys {
            if seen.contains(&key) {
                continue;
            }
            seen.push(key);
            let (old, new) = (line(&self.shown, key), line(&wanted.shown, key));
            let is_same = match (&old, &new) {
                // It is never shown.
                (Some(_), Some(_)) if key == "server.key" => self.server_key() == wanted.server_key(),
                (Some(old), Some(new)) => old.value == new.value,
                _ => false,
            };
            // A display that is new or gone is another matter than its rate.
            let is_rate = key.ends_with(".max-fps") && old.is_some() && new.is_some();
            let (list, holds) = if AT_ONCE.contains(&key) || is_rate {
                (&mut change.at_once, true)
            } else if FOR_NEW_SESSIONS.contains(&key) {
                (&mut change.for_new_sessions, true)
            } else {
                (&mut change.after_restart, false)
            };
            if !is_same {
                list.push(key.to_owned());
            }
            if let (true, Some(new)) = (holds, new) {
                change
                    .settings
                    .shown
                    .iter_mut()
                    .filter(|line| line.key == key)
                    .for_each(|l| *l = new.clone());
            }
        }
        let target = super::TargetSettings { pointer: self.target.pointer, ..wanted.target.clone() };
        let merged = &mut change.settings;
        merged.server.clone_from(&wanted.server);
        merged.direct = wanted.direct;
        merged.is_lan_discovery_on = wanted.is_lan_discovery_on;
        merged.is_lan_discovery_refused = wanted.is_lan_discovery_refused;
        merged.is_encryption_required = wanted.is_encryption_required;
        merged.announce = wanted.announce;
        merged.target = target;
        merged.sharing = wanted.sharing;
        merged.metrics.clone_from(&wanted.metrics);
        merged.log_level = wanted.log_level;
        merged.warnings.clone_from(&wanted.warnings);
        for (display, wanted) in merged.displays.iter_mut().zip(&wanted.displays) {
            display.max_fps = wanted.max_fps;
        }
        change
    }

    fn server_key(&self) -> Option<&str> {
        self.server.as_ref().map(|server| server.key.reveal().as_str())
    }
}
