//! The kernel's uinput: making an input device, and events as bytes (kernel: Documentation/input/uinput.rst).
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::events::{EV_ABS, EV_KEY, EV_LED, EV_REL, EV_REP, Event};
use crate::input::event::AbsolutePoint;

/// What a device can do.
pub(super) struct Abilities {
    pub(super) name: &'static str,
    pub(super) product: u16,
    pub(super) keys: Vec<u16>,
    /// Axes of 0..=32767.
    pub(super) absolute: &'static [u16],
    pub(super) relative: &'static [u16],
    pub(super) leds: &'static [u16],
}

const fn write_of(number: u8, size: usize) -> libc::Ioctl {
    ((1 << 30) | ((size as u32) << 16) | ((b'U' as u32) << 8) | number as u32) as libc::Ioctl
}

const UI_DEV_CREATE: libc::Ioctl = 0x5501;
const UI_DEV_SETUP: libc::Ioctl = write_of(3, size_of::<libc::uinput_setup>());
const UI_ABS_SETUP: libc::Ioctl = write_of(4, size_of::<libc::uinput_abs_setup>());
const UI_SET_EVBIT: libc::Ioctl = write_of(100, size_of::<libc::c_int>());
const UI_SET_KEYBIT: libc::Ioctl = write_of(101, size_of::<libc::c_int>());
const UI_SET_RELBIT: libc::Ioctl = write_of(102, size_of::<libc::c_int>());
const UI_SET_LEDBIT: libc::Ioctl = write_of(105, size_of::<libc::c_int>());
const BUS_VIRTUAL: u16 = 6;

/// Makes a device; it is there until the file is closed. Neither reading nor writing blocks.
pub(super) fn create(node: &Path, abilities: &Abilities) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(node)?;
    let mut types = vec![EV_KEY];
    types.extend((!abilities.absolute.is_empty()).then_some(EV_ABS));
    types.extend((!abilities.relative.is_empty()).then_some(EV_REL));
    if !abilities.leds.is_empty() {
        // What has LEDs is a keyboard: the kernel repeats its keys, as it does for every other one.
        types.extend([EV_LED, EV_REP]);
    }
    let sets = [
        (UI_SET_EVBIT, types.as_slice()),
        (UI_SET_KEYBIT, &abilities.keys),
        (UI_SET_RELBIT, abilities.relative),
        (UI_SET_LEDBIT, abilities.leds),
    ];
    for (request, bits) in sets {
        for bit in bits {
            number(&file, request, libc::c_int::from(*bit))?;
        }
    }
    for axis in abilities.absolute {
        // It sets the axis' bit as well.
        let absinfo = libc::input_absinfo {
            value: 0,
            minimum: 0,
            maximum: i32::from(AbsolutePoint::MAX),
            fuzz: 0,
            flat: 0,
            resolution: 0,
        };
        pointer(&file, UI_ABS_SETUP, &libc::uinput_abs_setup { code: *axis, absinfo })?;
    }
    let mut name = [0; libc::UINPUT_MAX_NAME_SIZE];
    for (to, from) in name.iter_mut().zip(abilities.name.bytes().take(libc::UINPUT_MAX_NAME_SIZE - 1)) {
        *to = from as libc::c_char;
    }
    let id = libc::input_id { bustype: BUS_VIRTUAL, vendor: 0, product: abilities.product, version: 1 };
    pointer(&file, UI_DEV_SETUP, &libc::uinput_setup { id, name, ff_effects_max: 0 })?;
    number(&file, UI_DEV_CREATE, 0)?;
    Ok(file)
}

fn number(file: &File, request: libc::Ioctl, value: libc::c_int) -> io::Result<()> {
    // SAFETY: these requests take a plain number (or nothing) and touch no memory of ours.
    match unsafe { libc::ioctl(file.as_raw_fd(), request, value) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn pointer<T>(file: &File, request: libc::Ioctl, value: &T) -> io::Result<()> {
    // SAFETY: both requests that come here read a `T`, whose size is part of their number, and keep no pointer.
    match unsafe { libc::ioctl(file.as_raw_fd(), request, std::ptr::from_ref(value)) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Bytes of a `struct input_event`; its type, code and value are the last eight, whatever the size of its time.
const EVENT: usize = size_of::<libc::input_event>();

/// Events as the kernel reads them; it puts in the time itself.
pub(super) fn to_bytes(events: &[Event]) -> Vec<u8> {
    let mut bytes = vec![0; events.len() * EVENT];
    for (to, event) in bytes.chunks_exact_mut(EVENT).zip(events) {
        let tail = &mut to[EVENT - 8..];
        tail[..2].copy_from_slice(&event.kind.to_ne_bytes());
        tail[2..4].copy_from_slice(&event.code.to_ne_bytes());
        tail[4..].copy_from_slice(&event.value.to_ne_bytes());
    }
    bytes
}

/// What the kernel tells a device; nothing if there is nothing now.
pub(super) fn read(mut file: &File) -> io::Result<Vec<Event>> {
    let mut bytes = [0; 16 * EVENT];
    let count = match file.read(&mut bytes) {
        Ok(count) => count,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
        Err(error) => return Err(error),
    };
    Ok(bytes[..count].chunks_exact(EVENT).filter_map(event).collect())
}

fn event(bytes: &[u8]) -> Option<Event> {
    let (_, tail) = bytes.split_last_chunk::<8>()?;
    let [k0, k1, c0, c1, value @ ..] = tail;
    Some(Event {
        kind: u16::from_ne_bytes([*k0, *k1]),
        code: u16::from_ne_bytes([*c0, *c1]),
        value: i32::from_ne_bytes(*value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_kernel() {
        // From <linux/uinput.h> on x86-64 and ARM, where the sizes are the same.
        assert_eq!((UI_DEV_SETUP, UI_ABS_SETUP), (0x405C_5503, 0x401C_5504));
        assert_eq!((UI_SET_EVBIT, UI_SET_LEDBIT), (0x4004_5564, 0x4004_5569));
    }

    #[test]
    fn events_keep_their_bytes() {
        let events = [Event { kind: 1, code: 30, value: -1 }, Event { kind: 0, code: 0, value: 0 }];
        let bytes = to_bytes(&events);
        assert_eq!(bytes.chunks_exact(EVENT).filter_map(event).collect::<Vec<_>>(), events);
    }

    #[test]
    fn what_is_no_uinput_is_an_error() {
        let abilities =
            Abilities { name: "x", product: 1, keys: vec![30], absolute: &[], relative: &[], leds: &[] };
        assert!(create(Path::new("/dev/null"), &abilities).is_err());
    }
}
