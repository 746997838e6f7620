//! `HTTP_GET` and `SSL_GET`: pages, and how they are to be answered.

use leasehold_model::{Digest, HttpCheck, HttpVersion, Pattern, Sni, TlsCheck, Trust, Url};

use super::{UNSPEAKABLE, Writer, words};
use crate::document::hex;
use crate::keepalived::pattern::Options;

/// A pattern as keepalived is given it.
struct Spoken {
    regex: String,
    options: Vec<&'static str>,
}

impl Writer<'_> {
    pub(super) fn http(&mut self, http: &HttpCheck) {
        let HttpCheck { urls, version, tls } = http;
        match version {
            HttpVersion::Http10 => {}
            HttpVersion::Http10Close => self.line("http_protocol 1.0C"),
            HttpVersion::Http11 => self.line("http_protocol 1.1"),
            HttpVersion::Http2 => self.leave_out("version", "keepalived speaks HTTP 1 alone"),
        }
        if let Some(tls) = tls {
            self.at("tls", |writer| writer.tls(tls));
        }
        for (index, url) in urls.iter().enumerate() {
            self.at("url", |writer| {
                writer.at(&index.to_string(), |writer| {
                    writer.block("url", |writer| writer.url(url));
                });
            });
        }
    }

    fn tls(&mut self, tls: &TlsCheck) {
        let TlsCheck { sni, trust } = tls;
        match sni {
            Sni::Off => {}
            Sni::Virtualhost => self.line("enable_sni"),
            Sni::Name(_) => {
                self.leave_out("sni", "keepalived 2.4.3 can send a page's virtualhost alone");
            }
        }
        match trust {
            Trust::Any => {}
            Trust::System | Trust::File(_) => {
                self.leave_out("trust", "keepalived takes any certificate, also an expired one");
            }
        }
    }

    fn url(&mut self, url: &Url) {
        let Url { path, status_code, virtualhost, digest, regex } = url;
        match words::word(path).filter(|path| self.fits(path)) {
            Some(path) => self.line(&format!("path {path}")),
            // A url without a path is none, and the page would not be asked for.
            None => self.unwritable.push(format!("{path:?}")),
        }
        let codes = status_code.iter().map(|(first, last)| match first == last {
            true => format!(" {first}"),
            false => format!(" {first}-{last}"),
        });
        let codes: Vec<String> = codes.collect();
        // keepalived adds up what several lines say.
        for some in codes.chunks(64) {
            self.line(&format!("status_code{}", some.concat()));
        }
        self.text_of("virtualhost", "virtualhost", virtualhost.as_deref());
        match digest {
            Some(Digest::Md5(bytes)) => self.line(&format!("digest {}", hex::write_bytes(bytes))),
            Some(Digest::Sha256(_)) => self.leave_out("digest", "keepalived has MD5 alone"),
            None => {}
        }
        if let Some(pattern) = regex {
            self.pattern(pattern);
        }
    }

    fn pattern(&mut self, pattern: &Pattern) {
        let Pattern { regex, no_match, min_offset, max_offset } = pattern;
        let spoken =
            spoken(regex).and_then(|spoken| Some((words::escaped(&spoken.regex)?, spoken)));
        let line = spoken.map(|(text, spoken)| (format!("regex {text}"), spoken.options));
        let Some((line, options)) = line.filter(|(line, _)| self.fits(line)) else {
            return self.leave_out("regex", UNSPEAKABLE);
        };
        self.line(&line);
        if !options.is_empty() {
            self.line(&format!("regex_options {}", options.join(" ")));
        }
        self.flag("regex_no_match", *no_match);
        self.number("regex_min_offset", (*min_offset != 0).then_some(min_offset));
        // There it is the last byte that a match may begin at.
        self.number("regex_max_offset", max_offset.checked_sub(1));
    }
}

/// The options that the importer puts inside a pattern, taken out again. Of what reads the same,
/// the shortest.
fn spoken(regex: &str) -> Option<Spoken> {
    let flags = regex.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
    let known = |flags: &str| flags.chars().all(|c| "imsxU-u".contains(c));
    let stripped = flags.filter(|(flags, _)| known(flags));
    let candidates = stripped.into_iter().chain([("", regex)]);
    for (flags, body) in candidates {
        let words = [
            ('i', "caseless"),
            ('m', "multiline"),
            ('s', "dotall"),
            ('x', "extended"),
            ('U', "ungreedy"),
        ];
        let given: Vec<&str> =
            words.iter().filter(|(flag, _)| flags.contains(*flag)).map(|(_, word)| *word).collect();
        let plain = body.replace("\\n?$", "$");
        let endings: [(&str, &[&str]); 3] =
            [(&plain, &[]), (body, &[]), (body, &["dollar_endonly"])];
        for (text, ending) in endings {
            for utf in [&[][..], &["utf"][..]] {
                let options: Vec<&'static str> =
                    given.iter().chain(ending).chain(utf).copied().collect();
                if reads_as(&options, text, regex) && is_pcre(text) {
                    return Some(Spoken { regex: text.to_owned(), options });
                }
            }
        }
    }
    None
}

fn reads_as(options: &[&str], text: &str, regex: &str) -> bool {
    let mut read = Options::default();
    options.iter().all(|one| read.add(one).is_ok()) && read.inline(text) == regex
}

/// What PCRE2 has otherwise, or not at all: switching Unicode inside, and sets in brackets.
fn is_pcre(text: &str) -> bool {
    let flags = text.split("(?").skip(1).map(|rest| rest.split([':', ')']).next().unwrap_or(""));
    let switches = flags.into_iter().any(|flags| {
        flags.contains('u') && flags.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
    });
    !switches && !["&&", "--", "~~"].iter().any(|set| text.contains(set))
}
