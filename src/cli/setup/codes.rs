//! QR codes for a terminal: black on white whatever its colours are, two modules a character.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

const BLACK_ON_WHITE: &str = "\x1b[30;47m";
const AS_BEFORE: &str = "\x1b[0m";

/// The code of a text with its quiet zone, each line ended; `None` if it is wider than `columns`.
pub(super) fn draw(text: &str, columns: usize) -> Option<String> {
    // What is on a screen is not torn: the lowest level gives the smallest code.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let picture = code.render::<Dense1x2>().build();
    let fits = picture.lines().all(|line| line.chars().count() <= columns);
    fits.then(|| picture.lines().map(|line| format!("{BLACK_ON_WHITE}{line}{AS_BEFORE}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_its_size_and_corners_or_is_left_out() {
        let drawn = draw("rustdesk://123456789", 80).unwrap();
        let lines: Vec<&str> = drawn
            .lines()
            .map(|line| line.strip_prefix(BLACK_ON_WHITE).unwrap().strip_suffix(AS_BEFORE).unwrap())
            .collect();
        // Version 1: 21 modules and 4 of quiet on each side (ISO/IEC 18004), an odd last row.
        assert!(lines.iter().all(|line| line.chars().count() == 29), "{drawn}");
        assert_eq!(lines.len(), 15);
        assert!(lines[0].trim().is_empty() && lines[1].trim().is_empty(), "quiet zone: {drawn}");
        assert!(lines[2].starts_with("    █▀▀▀▀▀█") && lines[2].ends_with("█▀▀▀▀▀█    "), "{drawn}");
        assert_eq!(draw("rustdesk://123456789", 28), None);
        assert_eq!(draw(&"x".repeat(5000), 1000), None, "more than a code holds");
    }
}
