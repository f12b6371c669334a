//! Changes values in the text of a configuration file and leaves everything else as the user wrote it.

use std::path::Path;

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::file::ConfigError;
use crate::rendezvous::client::RENDEZVOUS_PORT;
use crate::wire::endpoint::Endpoint;

/// The line of the file as it is shipped that begins the server's section.
const SERVER_COMMENT: &str = "#[server]";

/// What is changed; `None` stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// `server.host`. Another server than before: its key and relay go, unless they are given too.
    pub host: Option<String>,
    /// `server.key`
    pub key: Option<String>,
    /// `server.relay`
    pub relay: Option<String>,
    /// `target.name`
    pub name: Option<String>,
    /// `target.os`
    pub os: Option<String>,
    /// `target.keyboard-layout`
    pub layout: Option<String>,
}

impl Changes {
    /// The text with the changes; the very same text if there are none. `path` is for messages only.
    ///
    /// # Errors
    /// The text is no TOML, or has something else than a section where one belongs.
    pub fn apply(&self, path: &Path, text: &str) -> Result<String, ConfigError> {
        let fault = |key: &str, message: String| ConfigError {
            file: path.to_owned(),
            line: None,
            key: key.to_owned(),
            message,
        };
        let parse = |text: &str| text.parse::<DocumentMut>();
        let mut doc = parse(text).map_err(|e| fault("", e.message().to_owned()))?;
        let [host, key, relay] = [&self.host, &self.key, &self.relay];
        if host.is_some() || key.is_some() || relay.is_some() {
            if !doc.contains_key("server")
                && let Some(opened) = with_server_section(text).and_then(|text| parse(&text).ok())
                && opened.get("server").and_then(Item::as_table).is_some_and(Table::is_empty)
            {
                doc = opened;
            }
            let server =
                section(&mut doc, "server").ok_or_else(|| fault("server", "write [server]".into()))?;
            let before = server.get("host").and_then(Item::as_str);
            let is_another = host.as_deref().is_some_and(|host| !is_same_server(before, host));
            set(server, "host", host);
            for (name, value) in [("key", key), ("relay", relay)] {
                if is_another && value.is_none() {
                    server.remove(name);
                }
                set(server, name, value);
            }
            if !server.contains_key("host") {
                return Err(fault("server.host", "name the server that key and relay belong to".to_owned()));
            }
        }
        let target = [("name", &self.name), ("os", &self.os), ("keyboard-layout", &self.layout)];
        if target.iter().any(|(_, value)| value.is_some()) {
            let first =
                first_target(&mut doc).ok_or_else(|| fault("target", "write [[target]]".to_owned()))?;
            for (name, value) in target {
                set(first, name, value);
            }
        }
        Ok(doc.to_string())
    }
}

/// Whether two texts name one server: its usual port may be left out.
pub fn is_same_server(before: Option<&str>, host: &str) -> bool {
    let endpoint = |text| Endpoint::parse(text, RENDEZVOUS_PORT).ok();
    before.is_some_and(|before| {
        before == host || (endpoint(before).is_some() && endpoint(before) == endpoint(host))
    })
}

/// The text with the shipped file's comment turned into a section.
fn with_server_section(text: &str) -> Option<String> {
    let at = text.lines().position(|line| line.trim_end() == SERVER_COMMENT)?;
    let lines = text.lines().enumerate().map(|(n, line)| if n == at { "[server]" } else { line });
    Some(lines.fold(String::new(), |out, line| out + line + "\n"))
}

fn section<'a>(doc: &'a mut DocumentMut, name: &str) -> Option<&'a mut dyn TableLike> {
    if !doc.contains_key(name) {
        let table = new_table(doc);
        doc.insert(name, Item::Table(table));
    }
    doc.get_mut(name)?.as_table_like_mut()
}

fn first_target(doc: &mut DocumentMut) -> Option<&mut dyn TableLike> {
    if !doc.contains_key("target") {
        let mut targets = ArrayOfTables::new();
        targets.push(new_table(doc));
        doc.insert("target", Item::ArrayOfTables(targets));
    }
    match doc.get_mut("target")? {
        Item::ArrayOfTables(targets) => targets.get_mut(0).map(|table| table as &mut dyn TableLike),
        Item::Value(Value::Array(targets)) => {
            targets.get_mut(0)?.as_inline_table_mut().map(|table| table as &mut dyn TableLike)
        }
        Item::None | Item::Value(_) | Item::Table(_) => None,
    }
}

/// A table for the end of the file, behind the comments that stand there now: they belong to the section before.
fn new_table(doc: &mut DocumentMut) -> Table {
    let before = doc.trailing().as_str().unwrap_or_default().to_owned();
    doc.set_trailing("");
    let is_first = doc.is_empty() && before.is_empty();
    let mut table = Table::new();
    table.decor_mut().set_prefix(if is_first { before } else { format!("{before}\n") });
    table
}

/// Sets a value and keeps the comment behind it.
fn set(table: &mut dyn TableLike, name: &str, value: &Option<String>) {
    let Some(text) = value else { return };
    match table.get_mut(name) {
        Some(item) if item.as_str() == Some(text.as_str()) => {}
        Some(Item::Value(old)) => {
            let decor = old.decor().clone();
            *old = Value::from(text.as_str());
            *old.decor_mut() = decor;
        }
        Some(_) | None => {
            table.insert(name, toml_edit::value(text.as_str()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Changes {
        Changes {
            host: Some("a.example".into()),
            key: Some("KEY=".into()),
            relay: None,
            name: Some("Büro \"1\"".into()),
            os: Some("linux".into()),
            layout: Some("de".into()),
        }
    }

    fn applied(changes: &Changes, text: &str) -> String {
        let after = changes.apply(Path::new("c.toml"), text).unwrap();
        crate::config::file::parse(Path::new("c.toml"), after.clone()).unwrap();
        assert_eq!(changes.apply(Path::new("c.toml"), &after).unwrap(), after, "again changes nothing");
        after
    }

    #[test]
    fn an_empty_file_gets_two_sections() {
        let want = "[server]\nhost = \"a.example\"\nkey = \"KEY=\"\n\n[[target]]\nname = 'Büro \"1\"'\nos = \"linux\"\n\
                    keyboard-layout = \"de\"\n";
        assert_eq!(applied(&all(), ""), want);
        assert_eq!(applied(&Changes::default(), "# x\n\n[log] # y\n"), "# x\n\n[log] # y\n");
    }

    #[test]
    fn the_shipped_file_keeps_every_line_and_gets_the_values_where_they_are_explained() {
        let shipped = include_str!("../../config/kvmdesk.toml");
        let after = applied(&all(), shipped);
        let new: Vec<&str> = after.lines().collect();
        let mut rest = new.iter();
        for line in shipped.lines().filter(|line| *line != SERVER_COMMENT) {
            assert!(rest.any(|new| *new == line), "{line} is gone or moved");
        }
        let at = |line: &str| new.iter().position(|l| *l == line).unwrap();
        assert_eq!(at("host = \"a.example\""), at("[server]") + 1);
        assert_eq!(at("os = \"linux\""), at("[[target]]") + 2);
        assert_eq!(new.len(), shipped.lines().count() + 5);
    }

    #[test]
    fn what_the_user_wrote_stays() {
        let before = "# mine\nstate-dir = \"/x\" # there\n[[target]] # the big one\nname = 'old' # was it\n\n[server]\n\
                      # ours\nhost = \"old\"  # soon gone\nkey = \"old-key\"\nrelay = \"r\"\n[log]\nlevel = \"warn\"\n# end\n";
        let want = "# mine\nstate-dir = \"/x\" # there\n[[target]] # the big one\nname = 'Büro \"1\"' # was it\nos = \"linux\"\n\
                    keyboard-layout = \"de\"\n\n[server]\n# ours\nhost = \"a.example\"  # soon gone\nkey = \"KEY=\"\n[log]\n\
                    level = \"warn\"\n# end\n";
        assert_eq!(applied(&all(), before), want);
        let same = Changes { host: Some("old".into()), ..Changes::default() };
        assert_eq!(applied(&same, before), before, "the same server keeps key and relay");
        let with_port = Changes { host: Some("old:21116".into()), ..Changes::default() };
        assert_eq!(applied(&with_port, before), before.replace("\"old\"", "\"old:21116\""), "its usual port");
        let inline = "server = { host = \"old\" } # one line\n";
        let host = Changes { host: Some("new".into()), ..Changes::default() };
        assert_eq!(applied(&host, inline), "server = { host = \"new\" } # one line\n");
        let end = applied(&host, "[log]\n# \"info\" is default\n#level = \"info\"\n");
        assert_eq!(end, "[log]\n# \"info\" is default\n#level = \"info\"\n\n[server]\nhost = \"new\"\n");
    }

    #[test]
    fn what_is_no_section_is_told() {
        for bad in ["server = 1\n", "[server\n", "server = []"] {
            assert!(all().apply(Path::new("c.toml"), bad).is_err(), "{bad}");
        }
        assert!(all().apply(Path::new("c.toml"), "target = []\n").is_err());
        let key = Changes { key: Some("k".into()), ..Changes::default() };
        assert_eq!(key.apply(Path::new("c.toml"), "").unwrap_err().key, "server.host");
    }
}
