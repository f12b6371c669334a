//! A program that was installed in a root of its own, seen from outside (`tests/lab/long/packages.sh`).

use std::net::SocketAddr;

use crate::support::controller::{Controller, LONG, LoginOutcome, Options, write_png};
use crate::support::hidlog::HidLog;

/// Linux code 30, `KEY_A`.
const SCAN_A: u32 = 30;

fn given(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} has to be set: run tests/lab/long/packages.sh"))
}

#[test]
#[ignore = "needs a demo that runs; tests/lab/long/packages.sh"]
fn an_installed_demo_serves_a_controller() {
    let address: SocketAddr = given("KVMDESK_DEMO").parse().unwrap();
    let password = given("KVMDESK_DEMO_PASSWORD");
    let connect =
        |password: &str| Controller::connect_direct(address, Options::with_password(password)).unwrap();
    assert_eq!(connect("wrong horse").try_log_in().unwrap(), LoginOutcome::Refused("Wrong Password".into()));

    let mut controller = connect(&password);
    let info = controller.log_in().unwrap();
    let display = &info.displays[0];
    let first = controller.first_picture(LONG).unwrap();
    assert!(first.is_keyframe);
    let announced = (usize::try_from(display.width).unwrap(), usize::try_from(display.height).unwrap());
    assert_eq!((first.width, first.height), announced);
    let next = controller.next_picture(LONG).unwrap();
    assert_ne!(first.rgb, next.rgb, "the card moves");

    controller.map_key(SCAN_A, true).unwrap();
    controller.map_key(SCAN_A, false).unwrap();
    controller.move_to(display.width - 1, display.height - 1).unwrap();
    controller.wait_for_picture(LONG, |p| p.number > next.number).unwrap();
    // A demo that was started by hand has none.
    let mut count = 0;
    if let Ok(log) = std::env::var("KVMDESK_DEMO_HID_LOG") {
        let log = HidLog::new(std::path::Path::new(&log));
        let reports = log.wait_until(LONG, |r| r.iter().any(|r| r.device == "absolute"));
        let keys: Vec<&[u8]> =
            reports.iter().filter(|r| r.device == "keyboard").map(|r| &r.bytes[..]).collect();
        assert_eq!(keys[..2], [&[0u8, 0, 4, 0, 0, 0, 0, 0][..], &[0u8; 8][..]]);
        count = reports.len();
    }
    if let Ok(png) = std::env::var("KVMDESK_DEMO_PNG") {
        write_png(&next, std::path::Path::new(&png)).unwrap();
    }
    println!(
        "session: {} as {}, {}x{}, {count} reports",
        info.hostname, info.platform, display.width, display.height
    );
}
