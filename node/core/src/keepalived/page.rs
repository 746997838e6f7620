//! `HTTP_GET` and `SSL_GET`: pages, and how they are to be answered.

use leasehold_model::{Digest, HttpCheck, Pattern, Sni, TlsCheck, Trust, Url};

use super::checker::Lines;
use super::lex::Pos;
use super::lower::{At, Lower};
use super::parse::Statement;
use super::pattern::{self, Options};
use super::statement::number;
use crate::document::checks;
use crate::document::hex;

/// What is said of a pattern, before it is put together.
#[derive(Default)]
struct Draft {
    regex: Option<At<String>>,
    options: Options,
    no_match: bool,
    min_offset: Option<At<u32>>,
    max_offset: Option<At<u32>>,
}

impl Lower<'_> {
    pub(super) fn http(&mut self, lines: &mut Lines<'_>) -> Option<HttpCheck> {
        let name = lines.one.keyword.text.clone();
        let secure = name == "SSL_GET";
        let (mut http, mut host) = (HttpCheck::default(), None);
        let (mut sni, mut sni_name) = (None, None);
        for line in std::mem::take(&mut lines.own) {
            let word = line.keyword.text.as_str();
            match word {
                "url" => {
                    if let Some(url) = self.url(line, lines, http.urls.len()) {
                        http.urls.push(url);
                    }
                }
                "virtualhost" => host = self.argument(line).map(|word| word.text.clone()),
                "nb_get_retry" => self.retry(line, 0, &mut lines.times),
                "http_protocol" => {
                    // keepalived takes 1.0c too, and knows no HTTP/2.
                    let mut versions = checks::VERSIONS.iter();
                    let read = |text: &str| {
                        let found = versions.find(|(name, _)| name.eq_ignore_ascii_case(text));
                        found.map(|(_, version)| *version)
                    };
                    let names = checks::VERSIONS.map(|(name, _)| name).join(", ");
                    if let Some(read) = self.value(line, &format!("one of {names}"), read) {
                        http.version = read.value;
                    }
                }
                "enable_sni" | "sni_name" if !secure => {
                    let message = format!("`{word}` has no effect in HTTP_GET: there is no TLS");
                    self.report.warn(line.keyword.at, message, "SSL_GET, if that is meant");
                }
                "enable_sni" => sni = self.flag(line).map(|flag| flag.value),
                // Alone it says that the virtual host is the name.
                "sni_name" => {
                    sni = Some(true);
                    if !line.arguments.is_empty() {
                        sni_name = self.argument(line).map(|word| word.text.clone());
                        lines.place(&["tls", "sni"], line.keyword.at);
                    }
                }
                _ => {}
            }
        }
        if http.urls.is_empty() {
            let message = format!("{name} without a url is ignored, as in keepalived");
            self.report.warn(lines.one.keyword.at, message, "url { path / }");
            return None;
        }
        for url in &mut http.urls {
            url.virtualhost = url.virtualhost.take().or_else(|| host.clone());
        }
        let sni = match (sni, sni_name) {
            (None | Some(false), _) => Sni::Off,
            (Some(true), None) => Sni::Virtualhost,
            (Some(true), Some(name)) => Sni::Name(name),
        };
        http.tls = secure.then_some(TlsCheck { sni, trust: Trust::Any });
        Some(http)
    }

    /// `index` is its place among the pages of the check.
    fn url(&mut self, one: &Statement, lines: &mut Lines<'_>, index: usize) -> Option<Url> {
        let mut path = None;
        let mut url = Url::default();
        let mut draft = Draft::default();
        let block = self.block(one)?;
        let index = index.to_string();
        // The codes of several lines are added up.
        self.repeated(block, &["status_code", "regex_options"]);
        lines.place(&["url", &index], one.keyword.at);
        for line in block {
            if self.is_placeholder(line) {
                continue;
            }
            let at = line.keyword.at;
            match line.keyword.text.as_str() {
                "path" => path = self.argument(line).map(|word| word.text.clone()),
                "virtualhost" => {
                    url.virtualhost = self.argument(line).map(|word| word.text.clone());
                }
                "status_code" => self.status_code(line, &mut url),
                "digest" => url.digest = self.digest(line),
                _ => {
                    if let Some(setting) = self.regex_line(line, &mut draft) {
                        lines.place(&["url", &index, setting], at);
                    }
                    continue;
                }
            }
            lines.place(&["url", &index, &line.keyword.text], at);
        }
        url.regex = self.pattern(draft, one.keyword.at);
        let Some(path) = path else {
            let message = "a url without a path is ignored, as in keepalived";
            self.report.warn(one.keyword.at, message, "path /");
            return None;
        };
        Some(Url { path, ..url })
    }

    fn status_code(&mut self, line: &Statement, url: &mut Url) {
        for word in &line.arguments {
            match checks::status_codes(&word.text) {
                Some(range) => url.status_code.push(range),
                None => {
                    let message = format!("status_code {:?} is no code", word.text);
                    let hint = "100 to 999, or a range such as 200-299";
                    self.report.error(word.at, message, hint);
                }
            }
        }
    }

    fn digest(&mut self, line: &Statement) -> Option<Digest> {
        let read = |text: &str| hex::digest(&format!("md5:{text}"));
        let digest = self.value(line, "32 hexadecimal digits, as genhash prints them", read);
        digest.map(|digest| digest.value)
    }

    /// The setting that a line about the pattern is in the document.
    fn regex_line(&mut self, line: &Statement, draft: &mut Draft) -> Option<&'static str> {
        let any = || number(0, u32::MAX - 1);
        let setting = match line.keyword.text.as_str() {
            "regex" => {
                if let Some(word) = self.argument(line) {
                    draft.regex = Some(At { value: word.unescaped(), at: word.at });
                }
                "regex"
            }
            "regex_no_match" => {
                self.no_block(line);
                draft.no_match = true;
                "no_match"
            }
            "regex_options" => {
                self.regex_options(line, &mut draft.options);
                "regex"
            }
            "regex_min_offset" => {
                draft.min_offset = self.value(line, "a number", any());
                "min_offset"
            }
            "regex_max_offset" => {
                draft.max_offset = self.value(line, "a number", any());
                "max_offset"
            }
            _ => return None,
        };
        Some(setting)
    }

    fn regex_options(&mut self, line: &Statement, options: &mut Options) {
        self.no_block(line);
        for word in &line.arguments {
            match options.add(&word.text) {
                Ok(()) => {}
                Err(pattern::Refused::Unknown) => {
                    let message = format!("regex_options has no {}: it is ignored", word.text);
                    let near = pattern::nearest_option(&word.text);
                    let hint = near.map(|near| format!("did you mean {near}?"));
                    self.report.warn(word.at, message, hint.as_deref().unwrap_or_default());
                }
                Err(pattern::Refused::Unserved { why, hint }) => {
                    let message = format!("regex_options {} can't be served: {why}", word.text);
                    self.report.error(word.at, message, hint);
                }
                Err(pattern::Refused::Idle { why }) => {
                    let message = format!("regex_options {} has no effect: {why}", word.text);
                    self.report.warn(word.at, message, "remove it");
                }
            }
        }
    }

    fn pattern(&mut self, draft: Draft, at: Pos) -> Option<Pattern> {
        let Draft { regex, options, no_match, min_offset, max_offset } = draft;
        let Some(regex) = regex else {
            let idle = no_match || min_offset.is_some() || max_offset.is_some();
            if idle || options != Options::default() {
                let message = "settings of a pattern have no effect without regex";
                self.report.warn(at, message, "regex \"it works\"");
            }
            return None;
        };
        if pattern::is_possessive(&regex.value) {
            let message = "a possessive quantifier is matched as any other";
            let hint = "more is found where what follows needs what it took";
            self.report.warn(regex.at, message, hint);
        }
        let least = min_offset.as_ref().map_or(0, |offset| offset.value);
        // The last byte that a match may begin at; here it is the first that it may not.
        let most = max_offset.as_ref().map_or(0, |offset| offset.value + 1);
        let backwards = most != 0 && least >= most;
        if let (true, Some(offset)) = (backwards, &max_offset) {
            let message = format!(
                "regex_max_offset {} is below regex_min_offset {least}: both are ignored, as in \
                 keepalived",
                offset.value
            );
            self.report.warn(offset.at, message, "regex_max_offset above regex_min_offset");
        }
        let (min_offset, max_offset) = if backwards { (0, 0) } else { (least, most) };
        let regex = options.inline(&regex.value);
        Some(Pattern { regex, no_match, min_offset, max_offset })
    }
}
