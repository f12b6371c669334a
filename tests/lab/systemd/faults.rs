//! What can befall an installed board: its daemon dies or hangs, its disk is full, its clock is wrong, its network is away.

use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// Reads the seconds since boot.
const NOW: &str = "cut -d' ' -f1 /proc/uptime";
/// How long an idle daemon is looked at.
const IDLE: Duration = Duration::from_secs(120);
/// Most of a core that it may take then, in per mille; nothing is asserted in emulation but that it does not spin.
const SPINNING: f64 = 100.0;

impl Walk {
    /// A key is held when the daemon is killed: the new one begins by letting go of everything.
    pub(super) fn comes_back_without_a_key_down(&self, machine: &Machine) {
        let mut session = self.log_in(machine);
        let mut keyboard = Recording::start(machine, 0);
        session.app.map_key(key::LEFT_CTRL.into(), true).unwrap();
        hands::expect_keys(&mut session, &mut keyboard, "a key is held", &[(key::LEFT_CTRL, 1)]);
        let place = "usb-dummy_hcd.0-1/input0";
        let script = format!(
            "pid=$(systemctl show -P MainPID kvmdesk); killed=$({NOW}); held=$(labtool state {place}); kill -9 $pid; \
             until [ -z \"$(labtool state {place})\" ]; do usleep 20000; done; up=$({NOW}); \
             until systemctl -q is-active kvmdesk; do usleep 20000; done; echo $killed $up $({NOW}) $held"
        );
        // The app goes on answering meanwhile: the keys of a silent one are let go.
        let times = thread::scope(|scope| {
            let times = scope.spawn(|| machine.run(&script));
            while !times.is_finished() && !session.app.is_ended {
                let _ = session.app.pump(Duration::from_millis(50));
            }
            times.join().unwrap()
        });
        assert!(times.trim().ends_with("down 29"), "{times}");
        let seconds: Vec<f64> = times.split_whitespace().take(3).map(|n| n.parse().unwrap()).collect();
        let restarts = machine.run("systemctl show -P NRestarts kvmdesk");
        self.ok(format!(
            "killed with a key held: no key down after {:.1} s, ready after {:.1} s (emulated), restarts: {}",
            seconds[1] - seconds[0],
            seconds[2] - seconds[0],
            restarts.trim()
        ));
        self.serves(machine, "after kill -9");
    }

    /// A thread that hangs while the others go on, then the whole process.
    pub(super) fn watchdog_ends_what_hangs(&self, machine: &Machine) {
        let hangs: [(&str, &str); 2] = [
            (
                "the picture's thread hangs",
                "for t in /proc/$pid/task/*; do if [ $(cat $t/comm) = media-pipeline ]; then \
                 labtool freeze ${t##*/} >/tmp/frozen 2>&1 </dev/null & fi; done; \
                 until grep -q frozen /tmp/frozen; do usleep 100000; done",
            ),
            ("the process hangs", "kill -STOP $pid"),
        ];
        let ends = "journalctl -b -u kvmdesk -o cat --no-pager | grep -c \"result 'watchdog'\"";
        for (count, (what, hang)) in (1..).zip(hangs) {
            machine.run(&format!("pid=$(systemctl show -P MainPID kvmdesk); {hang}"));
            let begun = Instant::now();
            // 60 s of silence, and what the emulation adds.
            machine.wait_for(ends, |said| said.trim() == count.to_string());
            let seconds = begun.elapsed().as_secs_f64();
            let words =
                "journalctl -b -u kvmdesk -o cat --no-pager | grep -i -e watchdog -e 'no answer' | tail -n 3";
            let words = machine.run(words).trim().replace('\n', "; ");
            self.ok(format!("{what}: ended after {seconds:.0} s: {words}"));
            self.serves(machine, "after the watchdog");
        }
    }

    /// The state lies on a small disk without room.
    pub(super) fn works_on_a_full_disk(&self, machine: &Machine) {
        machine.run(
            "systemctl stop kvmdesk; truncate -s 2M /small; mke2fs -q -t ext4 -m 0 /small; mount -o loop /small /mnt; \
             cp -a /var/lib/kvmdesk/. /mnt/; umount /mnt; mount -o loop /small /var/lib/kvmdesk; \
             chown kvmdesk: /var/lib/kvmdesk; dd if=/dev/zero of=/var/lib/kvmdesk/full bs=1k 2>/dev/null; \
             journalctl --rotate; systemctl start kvmdesk; true",
        );
        self.serves(machine, "on a full disk");
        let said = self.doctor(machine, "on a full disk");
        assert!(said.lines().any(|line| line.starts_with("fail  disk")), "{said}");
        let journal = machine.run("journalctl -b -u kvmdesk -p warning -o cat --no-pager -n 8");
        self.ok(format!("the journal on a full disk: {}", journal.trim().replace('\n', "; ")));
        let id = machine.run("kvmdesk id");
        assert_eq!(id.trim(), self.id);
        machine.run("systemctl stop kvmdesk; umount /var/lib/kvmdesk; rm /small; systemctl start kvmdesk");
        self.serves(machine, "with room again");
    }

    /// systemd sets a clock forward that is older than itself, so it is set back here; Linux takes no time before its boot.
    pub(super) fn works_in_1970(&self, machine: &Machine) {
        machine.run("date -s '1970-01-01 12:00:00' && systemctl restart kvmdesk");
        self.serves(machine, "in 1970");
        let said = self.doctor(machine, "in 1970");
        assert!(said.contains("it was never set"), "{said}");
        // And while it runs, the clock jumps by half a century.
        machine.run("date -s '2026-06-01 12:00:00'");
        self.serves(machine, "when the clock was set while it ran");
    }

    pub(super) fn waits_for_the_network(&self, machine: &Machine) {
        let status = self.status(machine);
        let server = &status["target"]["server"];
        assert_eq!(server["is_online"], false, "{status:#}");
        self.ok(format!("without a network: ready; {}", server["state"]));
        self.doctor(machine, "without a network");
        machine.plug_network(true);
        let begun = Instant::now();
        self.registered(machine);
        self.ok(format!("registered {:.1} s after the cable came", begun.elapsed().as_secs_f64()));
        self.serves(machine, "after a boot without a network");
    }

    /// Memory and processor of the service while nobody watches.
    pub(super) fn judge_idle(&self, machine: &Machine, build: &str, most_mb: u64) {
        // A controller leaves things behind in memory: what counts is a service that was just started.
        machine.run("systemctl restart kvmdesk");
        self.registered(machine);
        std::thread::sleep(Duration::from_secs(20));
        let used = |machine: &Machine| -> (f64, f64) {
            let text = machine.run(&format!("systemctl show -P CPUUsageNSec kvmdesk; {NOW}"));
            let mut lines = text.lines().map(|line| line.parse::<f64>().unwrap());
            (lines.next().unwrap() / 1e9, lines.next().unwrap())
        };
        let before = used(machine);
        std::thread::sleep(IDLE);
        let after = used(machine);
        let share = (after.0 - before.0) / (after.1 - before.1) * 1000.0;
        let memory = machine.run("grep RssAnon /proc/$(systemctl show -P MainPID kvmdesk)/status");
        let kb: u64 = memory.split_whitespace().nth(1).unwrap().parse().unwrap();
        self.ok(format!(
            "{build}, idle: RssAnon {:.1} MB (goal {most_mb}), {:.2} % of an emulated core over {:.0} s",
            kb as f64 / 1000.0,
            share / 10.0,
            after.1 - before.1
        ));
        assert!(kb <= most_mb * 1000, "{memory}");
        assert!(share < SPINNING, "{share} per mille");
    }
}
