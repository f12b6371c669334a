//! Upgrades that work, upgrades that do not, the change to the other build, and the removal.

use super::*;

/// What an upgrade has to keep.
const KEPT: &str = "kvmdesk id; kvmdesk id --export /dev/stdout | sha256sum; cat /etc/kvmdesk/kvmdesk.toml \
                    /var/lib/kvmdesk/targets/*/password.json | sha256sum";
/// The drop-in by which the previous program runs.
const WENT_BACK: &str = "cat /etc/systemd/system/kvmdesk.service.d/previous.conf";

impl Walk {
    pub(super) fn upgrades_and_goes_back(&self, machine: &Machine) {
        let before = machine.run(KEPT);
        machine.run("dpkg -i /host/KVMDESK_DEB.deb 2>&1");
        self.trial_ends(machine, "the upgraded kvmdesk is ready");
        assert_eq!(machine.run(KEPT), before);
        assert_ne!(machine.try_run(WENT_BACK).1, 0);
        self.ok("upgraded to the same version: ID, key, password and configuration are the same, the trial passed");
        self.serves(machine, "after an upgrade");

        let begun = Instant::now();
        // It takes its minute, and more of it in emulation than an answer is waited for.
        machine.run(
            "(dpkg -i /host/KVMDESK_DEB_BROKEN.deb; echo \"dpkg ended: $?\") >/tmp/dpkg 2>&1 </dev/null &",
        );
        machine.wait_for("cat /tmp/dpkg", |said| said.contains("Setting up"));
        machine.wait_for("systemctl show -P ActiveState kvmdesk-trial", |said| said == "activating\n");
        let said = machine.wait_for("cat /tmp/dpkg", |said| said.contains("dpkg ended: 0"));
        self.ok(format!(
            "an upgrade that does not get ready, {:.0} s: {}",
            begun.elapsed().as_secs_f64(),
            said.lines().find(|line| line.starts_with("kvmdesk: version")).unwrap_or_default()
        ));
        self.trial_ends(machine, "the previous kvmdesk runs");
        assert!(machine.run(WENT_BACK).contains("/usr/lib/kvmdesk/previous run"));
        assert!(said.contains("the previous binary runs instead"), "{said}");
        self.serves(machine, "by the previous program");
        let words = machine.run("journalctl -b -t trial -o cat --no-pager -n 2");
        self.ok(format!("its journal: {}", words.trim().replace('\n', "; ")));

        machine.run("dpkg -i /host/KVMDESK_DEB.deb 2>&1");
        self.trial_ends(machine, "the upgraded kvmdesk is ready");
        assert_ne!(machine.try_run(WENT_BACK).1, 0);
        assert_eq!(machine.run(KEPT), before);
        self.ok("a good upgrade after it runs by itself; ID, key, password and configuration are the same");
        self.serves(machine, "after a good upgrade");
    }

    /// The trial is over, and its last words hold these.
    fn trial_ends(&self, machine: &Machine, words: &str) {
        machine.wait_for("systemctl show -P ActiveState kvmdesk-trial", |said| {
            said == "inactive\n" || said == "failed\n"
        });
        let said = machine.run("journalctl -b -t trial -o cat --no-pager -n 1");
        assert!(said.contains(words), "{said}");
        self.ready(machine);
    }

    /// kvmdesk-lite takes the place of kvmdesk and keeps everything.
    pub(super) fn changes_to_the_small_build(&self, machine: &Machine) {
        let before = machine.run(KEPT);
        let said = machine.run("dpkg -i /host/KVMDESK_DEB_LITE.deb 2>&1");
        self.ok(format!("changed to kvmdesk-lite: {}", said.trim().replace('\n', "; ")));
        self.ready(machine);
        assert_eq!(machine.run(KEPT), before);
        self.serves(machine, "by kvmdesk-lite");
        self.judge_idle(machine, "kvmdesk-lite", 12);
    }

    pub(super) fn is_purged(&self, machine: &Machine) {
        // What is left of the build that was replaced is its settings' name in dpkg's list.
        let said = machine.run("dpkg --purge kvmdesk-lite 2>&1; dpkg --purge kvmdesk 2>&1");
        assert!(
            said.contains("ID, key, password, log-ins, settings and the user kvmdesk are removed"),
            "{said}"
        );
        let left = "ls -d /etc/kvmdesk /var/lib/kvmdesk /var/cache/kvmdesk /usr/lib/kvmdesk /usr/bin/kvmdesk /dev/hidg* \
                    /etc/systemd/system/kvmdesk* /etc/systemd/system/*/kvmdesk* 2>/dev/null; getent passwd kvmdesk; \
                    dpkg-query -W 'kvmdesk*' 2>/dev/null; systemctl list-units --all --plain --no-legend 'kvmdesk*'; true";
        assert_eq!(machine.run(left), "");
        self.ok(format!(
            "purged: {}",
            said.lines().filter(|line| line.contains("kvmdesk:")).collect::<Vec<_>>().join("; ")
        ));
    }
}
