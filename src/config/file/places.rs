//! Where in a file's text a key stands, so that faults name their line.

use toml::de::{DeTable, DeValue};

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes().iter().take(at).filter(|b| **b == b'\n').count() + 1
}

/// The first section that is written `[[…]]` where it should be `[…]`, or the other way round: offset, key, sentence.
pub(super) fn wrong_brackets(text: &str) -> Option<(usize, String, String)> {
    /// Sections that can be repeated.
    const LISTS: [&str; 2] = ["target", "display"];
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut sections: Vec<_> = document.get_ref().iter().filter(|_| errors.is_empty()).collect();
    sections.sort_by_key(|(key, _)| key.span().start);
    sections.into_iter().find_map(|(key, value)| {
        let is_list = LISTS.contains(&key.get_ref().as_ref());
        let message = match value.get_ref() {
            DeValue::Table(_) if is_list => {
                format!("write [[{key}]], with two brackets", key = key.get_ref())
            }
            DeValue::Array(items) if !is_list => {
                let second = items.get(1).or(items.first())?;
                let DeValue::Table(_) = second.get_ref() else { return None };
                let more = if key.get_ref() == "video" { "; further displays are [[display]]" } else { "" };
                let message = format!("write [{key}], with one bracket, and once{more}", key = key.get_ref());
                return Some((second.span().start, key.get_ref().to_string(), message));
            }
            DeValue::Table(_)
            | DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => return None,
        };
        Some((key.span().start, key.get_ref().to_string(), message))
    })
}

/// The dotted key whose key or value covers byte `at`, the innermost one.
pub(super) fn key_at(text: &str, at: usize) -> String {
    fn in_table(table: &DeTable<'_>, at: usize, found: &mut Vec<String>) {
        for (key, value) in table {
            let is_on_key = key.span().contains(&at);
            let before = found.len();
            found.push(key.get_ref().to_string());
            if is_on_key || in_value(value.get_ref(), at, found) || value.span().contains(&at) {
                return;
            }
            found.truncate(before);
        }
    }
    fn in_value(value: &DeValue<'_>, at: usize, found: &mut Vec<String>) -> bool {
        let before = found.len();
        match value {
            DeValue::Table(table) => in_table(table, at, found),
            DeValue::Array(items) => {
                for item in items.iter() {
                    if in_value(item.get_ref(), at, found) {
                        return true;
                    }
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
        found.len() > before
    }
    let mut found = vec![];
    let (document, _) = DeTable::parse_recoverable(text);
    in_table(document.get_ref(), at, &mut found);
    found.join(".")
}

/// Byte offset of a dotted key, as [`super::ParsedFile::error`] spells it.
pub(super) fn offset_of(text: &str, key: &str) -> Option<usize> {
    let (document, _) = DeTable::parse_recoverable(text);
    let mut table = document.get_ref();
    let mut at = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, rest)) => (name, rest.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let (spanned, value) = table.iter().find(|(k, _)| k.get_ref() == name)?;
        at = Some(spanned.span().start);
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            DeValue::Array(items) => {
                let Some(index) = index else { return at };
                let item = items.get(index)?;
                at = Some(item.span().start);
                match item.get_ref() {
                    DeValue::Table(inner) => table = inner,
                    DeValue::String(_)
                    | DeValue::Integer(_)
                    | DeValue::Float(_)
                    | DeValue::Boolean(_)
                    | DeValue::Datetime(_)
                    | DeValue::Array(_) => return at,
                }
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => return at,
        }
    }
    at
}
