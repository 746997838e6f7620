//! What an HTTP check asks for: pages, and how they are to be answered.

use leasehold_model::{HttpCheck, Pattern, Sni, TlsCheck, Trust, Url};

use super::{At, Reader};
use crate::document::checks;
use crate::document::hex;

const URL: [&str; 8] = [
    "path",
    "status_code",
    "virtualhost",
    "digest",
    "regex",
    "no_match",
    "min_offset",
    "max_offset",
];

impl Reader<'_> {
    pub(super) fn http(&mut self, at: &At<'_, '_>) -> HttpCheck {
        self.required(at, &["url"]);
        HttpCheck {
            urls: self.urls(at),
            version: self.choice(at, "version", &checks::VERSIONS).unwrap_or_default(),
            tls: self.tls(at),
        }
    }

    /// `true`, or a table.
    fn tls(&mut self, at: &At<'_, '_>) -> Option<TlsCheck> {
        let name = "tls";
        let value = at.get(name)?;
        if value.get_ref().as_bool().is_some() {
            return self.boolean(at, name)?.then(TlsCheck::default);
        }
        if value.get_ref().as_table().is_none() {
            self.mistyped(&at.path_to(name), value, "true, false, or a table of sni and trust");
            return None;
        }
        let table = self.table(at, name)?;
        self.known(&table, "tls", &["sni", "trust"]);
        let trust = match self.string(&table, "trust") {
            None | Some("any") => Trust::Any,
            Some("system") => Trust::System,
            Some(file) => Trust::File(file.to_owned()),
        };
        Some(TlsCheck { sni: self.sni(&table), trust })
    }

    /// A name, or `true` for that of the page.
    fn sni(&mut self, at: &At<'_, '_>) -> Sni {
        let Some(value) = self.value(at, "sni") else { return Sni::Off };
        if let Some(name) = value.get_ref().as_str() {
            return Sni::Name(name.to_owned());
        }
        match value.get_ref().as_bool() {
            Some(true) => Sni::Virtualhost,
            Some(false) => Sni::Off,
            None => {
                self.mistyped(&at.path_to("sni"), value, "a name, true or false");
                Sni::Off
            }
        }
    }

    fn urls(&mut self, check: &At<'_, '_>) -> Vec<Url> {
        let mut urls = Vec::new();
        for (index, span, table) in self.tables(check, "url") {
            let mut path = check.path_to("url");
            path.push(&index);
            let at = At { table, span, path };
            self.known(&at, "a url", &URL);
            self.required(&at, &["path"]);
            urls.push(Url {
                path: self.string(&at, "path").unwrap_or("/").to_owned(),
                status_code: self.status_codes(&at),
                virtualhost: self.owned(&at, "virtualhost"),
                digest: self.digest(&at),
                regex: self.pattern(&at),
            });
        }
        urls
    }

    fn digest(&mut self, at: &At<'_, '_>) -> Option<leasehold_model::Digest> {
        let text = self.string(at, "digest")?;
        let digest = hex::digest(text);
        if digest.is_none() {
            let message = format!("{text:?} is no digest");
            let hint = "\"md5:\" and 32 hexadecimal digits, as genhash prints them, or \"sha256:\" \
                        and 64";
            self.refused(at, "digest", message, hint);
        }
        digest
    }

    fn pattern(&mut self, at: &At<'_, '_>) -> Option<Pattern> {
        if at.get("regex").is_none() {
            for name in ["no_match", "min_offset", "max_offset"] {
                if at.get(name).is_some() {
                    let message = format!("{name} has no effect without regex");
                    self.warn(at, name, &message, "remove it");
                }
            }
            return None;
        }
        let any = 0..=u32::MAX;
        Some(Pattern {
            regex: self.owned(at, "regex").unwrap_or_default(),
            no_match: self.boolean(at, "no_match").unwrap_or(false),
            min_offset: self.limited(at, "min_offset", any.clone()).unwrap_or(0),
            max_offset: self.limited(at, "max_offset", any).unwrap_or(0),
        })
    }

    fn status_codes(&mut self, at: &At<'_, '_>) -> Vec<(u16, u16)> {
        let mut ranges = Vec::new();
        for (index, value) in self.array(at, "status_code").into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to("status_code");
            path.push(&index);
            let Some(text) = value.get_ref().as_str() else {
                self.mistyped(&path, value, "a string such as \"200\" or \"200-299\"");
                continue;
            };
            match checks::status_codes(text) {
                Some(range) => ranges.push(range),
                None => {
                    let message = format!("{text:?} is no status code");
                    let hint = "100 to 999, or a range such as \"200-299\"";
                    self.unread(&path, &value.span(), message, hint);
                }
            }
        }
        ranges
    }
}
