//! A CH9329's line under any bytes: what waits is bounded, replies do not depend on how the line was cut, and the
//! machine never spins, never sends without end, and still finds a chip that answers well afterwards.
#![no_main]

use std::time::{Duration, Instant};

use kvmdesk::hid::backend::HidDevice;
use kvmdesk::hid::backend::ch9329::chip::{Baud, Chip, Order};
use kvmdesk::hid::backend::ch9329::frame::{self, ReplyReader};
use kvmdesk::hid::backend::ch9329::reports;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut whole, mut cut) = (vec![], vec![]);
    let mut reader = ReplyReader::default();
    reader.read(bytes, |reply| whole.push(reply));
    assert!(reader.waiting() <= frame::MAX_DATA + 6, "what waits is bounded");
    let mut reader = ReplyReader::default();
    for piece in bytes.chunks(3) {
        reader.read(piece, |reply| cut.push(reply));
    }
    assert_eq!(whole, cut);

    let mut now = Instant::now();
    let mut chip = Chip::new(Baud::Fixed(115_200), now);
    for (n, piece) in bytes.chunks(7).enumerate() {
        let report = [0, 0, (n % 8) as u8, 0, 0, 0, 0, 0];
        if let Some(command) = reports::command(HidDevice::Keyboard, &report) {
            let _ = chip.offer(command, now);
        }
        chip.handle_bytes(piece, now);
        now += Duration::from_millis(u64::from(piece[0]));
        chip.handle_timeout(now);
        let mut orders = 0;
        while chip.poll_order().is_some() {
            orders += 1;
            assert!(orders <= 32, "a flood on the line");
        }
        assert!(chip.deadline().is_none_or(|at| at > now), "a busy loop");
    }
    // However it was led astray: a chip that answers is worked with again, or the machine says that it gave up.
    for _ in 0..200 {
        let Some(at) = chip.deadline() else { break };
        now = now.max(at);
        chip.handle_timeout(now);
        while let Some(order) = chip.poll_order() {
            if let Order::Send(sent) = order {
                let data: &[u8] =
                    if sent[3] == frame::GET_INFO { &[0x30, 1, 0, 0, 0, 0, 0, 0] } else { &[0] };
                chip.handle_bytes(&frame::command(sent[3] | 0x80, data), now);
            }
        }
    }
    assert!(chip.is_working() || chip.deadline().is_none());
});
