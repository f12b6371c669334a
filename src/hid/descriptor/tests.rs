//! The descriptors as an independent parser (hidreport) reads them, with the names that the HID Usage Tables (hut) give
//! to what it finds.
use hidreport::{Field, FieldAttributes as _, Report as _, ReportDescriptor};

use super::*;

fn parse(function: HidFunction) -> ReportDescriptor {
    ReportDescriptor::try_from(function.report_descriptor)
        .unwrap_or_else(|e| panic!("{}: {e}", function.name))
}

fn name(usage: u32) -> String {
    hut::Usage::try_from(usage).unwrap_or_else(|e| panic!("usage {usage:#x}: {e}")).to_string()
}

/// One line a field: first bit, bits, name, logical range, and whether it is relative; padding is left out. The report
/// ID is the first byte of a report that has one.
fn fields(report: &impl hidreport::Report) -> Vec<String> {
    let all = report.fields().iter().filter_map(|field| {
        let Field::Variable(field) = field else { return None };
        let (min, max) = (i32::from(field.logical_minimum), i32::from(field.logical_maximum));
        let kind = if field.is_relative() { " relative" } else { "" };
        let usage = name(u32::from(field.usage));
        Some(format!("{}+{} {usage} {min}..={max}{kind}", field.bits.start, field.bits.len()))
    });
    all.collect()
}

fn input(function: HidFunction) -> Vec<String> {
    parse(function).input_reports().iter().flat_map(fields).collect()
}

#[test]
fn sizes_are_the_promised_report_sizes() {
    let sizes = |function| -> Vec<usize> {
        parse(function).input_reports().iter().map(|report| report.size_in_bits()).collect()
    };
    assert_eq!(sizes(KEYBOARD), [64]);
    assert_eq!(sizes(ABSOLUTE), [56]);
    assert_eq!(sizes(RELATIVE), [40]);
    assert_eq!(sizes(CONTROL), [24, 16], "with the report ID");
    for function in FUNCTIONS {
        let longest = sizes(function).into_iter().max().unwrap();
        assert_eq!(longest, usize::from(function.report_length) * 8, "{}", function.name);
        let outputs = parse(function).output_reports().iter().map(|r| r.size_in_bits()).collect::<Vec<_>>();
        let leds: &[usize] = if function == KEYBOARD { &[8] } else { &[] };
        assert_eq!(outputs, leds, "{}", function.name);
        assert!(parse(function).feature_reports().is_empty(), "{}", function.name);
    }
}

#[test]
fn every_device_is_what_it_says() {
    let kinds = |function| {
        let descriptor = parse(function);
        let reports = descriptor.input_reports().iter();
        let outermost = reports.map(|report| {
            let field = report.fields().iter().find(|field| !field.collections().is_empty()).unwrap();
            let usage = field.collections()[0].usages()[0];
            name(u32::from(usage))
        });
        outermost.collect::<Vec<_>>()
    };
    assert_eq!(kinds(KEYBOARD), ["Keyboard"]);
    assert_eq!(kinds(ABSOLUTE), ["Mouse"]);
    assert_eq!(kinds(RELATIVE), ["Mouse"]);
    assert_eq!(kinds(CONTROL), ["Consumer Control", "System Control"]);
}

#[test]
fn a_keyboard_report_is_the_boot_report() {
    // HID 1.11 appendix B.1: modifiers, a byte of nothing, six keys; the LEDs.
    let descriptor = parse(KEYBOARD);
    let report = &descriptor.input_reports()[0];
    let modifiers: Vec<String> = (0..8).map(|n| format!("{n}+1 {} 0..=1", name(0x0007_00E0 + n))).collect();
    assert_eq!(fields(report), modifiers);
    assert!(modifiers[0].contains("LeftControl") && modifiers[7].contains("Right GUI"), "{modifiers:?}");
    let Some(Field::Constant(reserved)) = report.fields().get(8) else { panic!("no reserved byte") };
    assert_eq!(reserved.bits, 8..16);
    let Some(Field::Array(keys)) = report.fields().last() else { panic!("no keys") };
    assert_eq!((keys.bits.clone(), keys.usages().len()), (16..64, 0xDE));
    let range = (i32::from(keys.logical_minimum), i32::from(keys.logical_maximum));
    assert_eq!(range, (0, 0xDD));
    let last = keys.usages().last().map(|usage| name(u32::from(*usage)));
    assert_eq!(last.as_deref(), Some("Keypad Hexadecimal"));
    let leds = ["Num Lock", "Caps Lock", "Scroll Lock", "Compose", "Kana"];
    let leds = leds.iter().enumerate().map(|(n, led)| format!("{n}+1 {led} 0..=1")).collect::<Vec<_>>();
    assert_eq!(fields(&descriptor.output_reports()[0]), leds);
}

#[test]
fn pointer_fields_lie_where_reports_put_them() {
    let buttons = (0..5).map(|n| format!("{n}+1 {} 0..=1", name(0x0009_0001 + n)));
    let absolute = [
        "8+16 X 0..=32767",
        "24+16 Y 0..=32767",
        "40+8 Wheel -127..=127 relative",
        "48+8 AC Pan -127..=127 relative",
    ];
    let absolute = buttons.clone().chain(absolute.map(str::to_owned)).collect::<Vec<_>>();
    assert_eq!(input(ABSOLUTE), absolute);
    // HID 1.11 appendix B.2: a boot mouse is buttons, X, Y, and then what a BIOS does not read.
    let relative = [
        "8+8 X -127..=127 relative",
        "16+8 Y -127..=127 relative",
        "24+8 Wheel -127..=127 relative",
        "32+8 AC Pan -127..=127 relative",
    ];
    assert_eq!(input(RELATIVE), buttons.chain(relative.map(str::to_owned)).collect::<Vec<_>>());
}

#[test]
fn media_and_power_keys_lie_where_reports_put_them() {
    let descriptor = parse(CONTROL);
    let [media, power] = descriptor.input_reports() else { panic!("two reports") };
    let ids: Vec<u8> = [media, power].iter().map(|r| u8::from(r.report_id().unwrap())).collect();
    assert_eq!(ids, [1, 2]);
    let [Field::Array(usage)] = media.fields() else { panic!("one usage at a time: {:?}", media.fields()) };
    assert_eq!((usage.bits.clone(), i32::from(usage.logical_maximum)), (8..24, 0x3FF));
    let bits = ["8+1 System Power Down 0..=1", "9+1 System Sleep 0..=1", "10+1 System Wake Up 0..=1"];
    assert_eq!(fields(power), bits);
}

#[test]
fn the_keyboard_comes_first_and_is_a_boot_keyboard() {
    assert_eq!((FUNCTIONS[0].subclass, FUNCTIONS[0].protocol), (1, 1));
    assert_eq!(FUNCTIONS[2].protocol, 2);
}
