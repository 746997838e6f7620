//! PCRE2's patterns, as keepalived has them, to those that are matched in linear time. What they
//! share is written the same; where a letter means something else, the pattern is rewritten.

use crate::document::spelling;

/// What `regex_options` says, as far as it changes what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Options {
    caseless: bool,
    multiline: bool,
    dotall: bool,
    extended: bool,
    ungreedy: bool,
    dollar_endonly: bool,
    unicode: bool,
}

/// Why an option is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    Unknown,
    /// Without it the pattern would find something else.
    Unserved {
        why: &'static str,
        hint: &'static str,
    },
    /// Without it the same is found.
    Idle {
        why: &'static str,
    },
}

/// The table of check_http.c.
const NAMES: [&str; 24] = [
    "allow_empty_class",
    "alt_bsux",
    "auto_callout",
    "caseless",
    "dollar_endonly",
    "dotall",
    "dupnames",
    "extended",
    "firstline",
    "match_unset_backref",
    "multiline",
    "never_ucp",
    "never_utf",
    "no_auto_capture",
    "no_auto_possess",
    "no_dotstar_anchor",
    "no_start_optimize",
    "ucp",
    "ungreedy",
    "utf",
    "never_backslash_c",
    "alt_circumflex",
    "alt_verbnames",
    "use_offset_limit",
];

pub(super) fn nearest_option(name: &str) -> Option<&'static str> {
    spelling::nearest(name, &NAMES)
}

impl Options {
    pub(super) fn add(&mut self, name: &str) -> Result<(), Refused> {
        let slot = match name {
            "caseless" => &mut self.caseless,
            "multiline" => &mut self.multiline,
            "dotall" => &mut self.dotall,
            "extended" => &mut self.extended,
            "ungreedy" => &mut self.ungreedy,
            "dollar_endonly" => &mut self.dollar_endonly,
            "utf" | "ucp" => &mut self.unicode,
            "firstline" => {
                return Err(Refused::Unserved {
                    why: "a match may begin in any line",
                    hint: "regex_max_offset, or a pattern that begins with \\A and [^\\n]*",
                });
            }
            "allow_empty_class" | "alt_bsux" => {
                return Err(Refused::Unserved {
                    why: "patterns are not those of JavaScript",
                    hint: "write the pattern without it: \\x{2019} for a character by its number",
                });
            }
            "alt_circumflex" => {
                return Err(Refused::Idle { why: "with multiline, ^ matches after every newline" });
            }
            "match_unset_backref" | "dupnames" => {
                return Err(Refused::Idle { why: "a pattern can't refer back to a group" });
            }
            "auto_callout" | "never_ucp" | "never_utf" | "never_backslash_c"
            | "no_auto_capture" | "no_auto_possess" | "no_dotstar_anchor" | "no_start_optimize"
            | "alt_verbnames" | "use_offset_limit" => {
                return Err(Refused::Idle { why: "it does not change what is found" });
            }
            _ => return Err(Refused::Unknown),
        };
        *slot = true;
        Ok(())
    }

    /// The pattern with its options inside. Without utf PCRE2 compares bytes.
    pub(super) fn inline(self, pattern: &str) -> String {
        let on = [
            (self.caseless, 'i'),
            (self.multiline, 'm'),
            (self.dotall, 's'),
            (self.extended, 'x'),
            (self.ungreedy, 'U'),
        ];
        let mut flags: String = on.iter().filter(|(on, _)| *on).map(|(_, flag)| *flag).collect();
        let is_plain = !self.caseless && !pattern.contains(['.', '\\', '[']);
        if !self.unicode && !is_plain {
            flags.push_str("-u");
        }
        let body = match self.multiline || self.dollar_endonly {
            true => pattern.to_owned(),
            false => before_last_newline(pattern),
        };
        if flags.is_empty() { body } else { format!("(?{flags}){body}") }
    }
}

/// Of itself `$` matches before a newline that ends the page, too.
fn before_last_newline(pattern: &str) -> String {
    let mut out = String::new();
    let (mut escaped, mut class) = (false, false);
    for c in pattern.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '$' if !class => out.push_str("\\n?"),
            _ => {}
        }
        out.push(c);
    }
    out
}

/// Whether a quantifier keeps what it took (`a++`), which is read as any other.
pub(super) fn is_possessive(pattern: &str) -> bool {
    let (mut escaped, mut class, mut quantifier) = (false, false, false);
    for c in pattern.chars() {
        if escaped {
            (escaped, quantifier) = (false, false);
            continue;
        }
        match c {
            '\\' => escaped = true,
            '[' => class = true,
            ']' => class = false,
            '+' if quantifier => return true,
            _ => {}
        }
        quantifier = !class && "*+?}".contains(c);
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::pattern::check;

    fn options(names: &[&str]) -> Options {
        let mut options = Options::default();
        for name in names {
            options.add(name).unwrap();
        }
        options
    }

    fn finds(pattern: &str, page: &str) -> bool {
        regex::bytes::Regex::new(pattern).unwrap().is_match(page.as_bytes())
    }

    #[test]
    fn options_become_flags() {
        assert_eq!(options(&[]).inline("it works"), "it works");
        assert_eq!(options(&[]).inline("it w.rks"), "(?-u)it w.rks");
        assert_eq!(options(&["utf"]).inline("it w.rks"), "it w.rks");
        assert_eq!(options(&["caseless", "dotall"]).inline("a.b"), "(?is-u)a.b");
        assert_eq!(options(&["extended", "ungreedy", "ucp", "multiline"]).inline("a$"), "(?mxU)a$");
    }

    #[test]
    fn every_option_of_keepalived_is_known() {
        for name in NAMES {
            assert_ne!(Options::default().add(name), Err(Refused::Unknown), "{name}");
        }
        assert_eq!(Options::default().add("casless"), Err(Refused::Unknown));
        assert_eq!(nearest_option("casless"), Some("caseless"));
    }

    #[test]
    fn a_dollar_matches_before_the_last_newline_as_in_pcre2() {
        let pattern = options(&[]).inline("ok$");
        assert!(finds(&pattern, "ok") && finds(&pattern, "ok\n") && !finds(&pattern, "ok\nx"));
        let only = options(&["dollar_endonly"]).inline("ok$");
        assert!(finds(&only, "ok") && !finds(&only, "ok\n"));
        let kept = options(&[]).inline(r"[$]\$");
        assert!(finds(&kept, "$$") && check(&kept).is_ok(), "{kept}");
    }

    #[test]
    fn a_quantifier_that_keeps_what_it_took_is_seen() {
        for possessive in ["a++b", "(a|b)*+", "a?+", "a{2,3}+"] {
            assert!(is_possessive(possessive), "{possessive}");
        }
        for other in ["a+b+", r"a\++", "[*+]", "a+?", r"\*+"] {
            assert!(!is_possessive(other), "{other}");
        }
    }
}
