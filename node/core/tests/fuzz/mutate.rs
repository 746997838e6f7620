//! Texts that are nearly right: those of the tests' data with bytes, words and lines changed, and
//! what is known to multiply put among them.

use std::fs;
use std::path::Path;

use leasehold_node_core::keepalived;

/// A xorshift generator: the same seed, the same inputs.
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `most`; 0 where that is 0.
    pub(super) fn below(&mut self, most: usize) -> usize {
        let most = u64::try_from(most).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % most).unwrap_or(0)
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    fn text<'t>(&mut self, of: &'t [String]) -> &'t str {
        &of[self.below(of.len())]
    }
}

/// What multiplies, ends nothing, or means something to a parser.
const BOMBS: [&str; 24] = [
    "~SEQ(A, 1, 60000) ",
    "~SEQ(A, 1, 300) ~SEQ(B, 1, 300) ",
    "~SEQx(A, 0xffffffff) x\n",
    "~SEQ(A, -9223372036854775808, 9223372036854775807) x\n",
    "~LST({A, B}, {1, 2}, {3}) ${A}${B} ",
    "~LST(A, 1, 2, 3) ~LST(B, ${A}, ${A}) ",
    "$A=${A}${A}\n$A\n",
    "$A=$B $B\n$B=$C $C\n$C=$A\n$A\n",
    "$X= \\\n",
    "include x.conf\n",
    "include {a,b{c,d},}*.conf\n",
    "@ds1 ",
    "@^ds1 ",
    "${_RANDOM 1 9}",
    "${_INSTANCE}",
    "{ { { { { { { {\n",
    "} } }\n",
    "\"",
    "'",
    "\\",
    "\u{feff}",
    "\0",
    "virtual_server_group g {\n0.0.0.0-255.255.255.255 80\n}\n",
    "[[virtual_server]]\n[a.b]\nc.d = [[1, { e = [] }]]\n",
];

const VALUES: [&str; 16] = [
    "0",
    "1",
    "-1",
    "255",
    "256",
    "65536",
    "4294967296",
    "18446744073709551616",
    "0.0000001",
    "1e400",
    "fe80::1/129",
    "10.0.0.1/24",
    "::/0",
    "::ffff:10.0.0.1",
    "true",
    "eth0:label-that-is-too-long",
];

pub(super) struct Texts {
    pub(super) conf: Vec<String>,
    toml: Vec<String>,
    words: Vec<&'static str>,
}

impl Texts {
    pub(super) fn read(data: &Path) -> Self {
        let (mut conf, mut toml) = (Vec::new(), Vec::new());
        collect(data, &mut conf, &mut toml);
        assert!(conf.len() > 60 && toml.len() > 30, "{} and {}", conf.len(), toml.len());
        Self { conf, toml, words: keepalived::keywords().map(|one| one.name).collect() }
    }

    /// One of the texts, changed in a few places.
    pub(super) fn mutated(&self, chance: &mut Chance, toml: bool) -> String {
        let texts = if toml { &self.toml } else { &self.conf };
        let mut text = part(chance.text(texts), chance);
        for _ in 0..=chance.below(6) {
            text = self.change(text, texts, chance);
        }
        // A parser reads text; what a file has of other bytes is replaced before.
        String::from_utf8_lossy(&text).into_owned()
    }

    fn change(&self, mut text: Vec<u8>, texts: &[String], chance: &mut Chance) -> Vec<u8> {
        let at = chance.below(text.len());
        let end = (at + chance.below(40)).min(text.len());
        match chance.below(12) {
            0 if !text.is_empty() => {
                text[at] = u8::try_from(chance.below(256)).unwrap_or(b'{');
            }
            1 => drop(text.drain(at..end)),
            2 => {
                let copy = text[at..end].repeat(1 + chance.below(5));
                text.splice(at..at, copy);
            }
            3 => insert(&mut text, at, chance.one(&BOMBS)),
            4 => {
                let start = line(&text, at);
                insert(&mut text, start, chance.one(&BOMBS));
            }
            5 => {
                let word = format!("\n{} {} ", chance.one(&self.words), chance.one(&VALUES));
                let start = line(&text, at);
                insert(&mut text, start, &word);
            }
            6 => replace_word(&mut text, at, chance.one(&VALUES)),
            7 => replace_word(&mut text, at, chance.one(&self.words)),
            8 => {
                let other = part(chance.text(texts), chance);
                text.splice(at..end, other);
            }
            9 => swap_lines(&mut text, at, chance),
            10 => {
                let brace = [b'{', b'}', b'\n', b'[', b'=', b'"', b'#'];
                text.insert(at, brace[chance.below(brace.len())]);
            }
            _ => insert(&mut text, at, &"a {\n".repeat(1 << chance.below(12))),
        }
        text
    }
}

/// Of a long text, some lines that stand together: most rounds are to be short.
fn part(text: &str, chance: &mut Chance) -> Vec<u8> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    if lines.len() < 150 || chance.below(50) == 0 {
        return text.as_bytes().to_vec();
    }
    let start = chance.below(lines.len() - 100);
    lines[start..start + 100].concat().into_bytes()
}

fn collect(folder: &Path, conf: &mut Vec<String>, toml: &mut Vec<String>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, conf, toml);
            continue;
        }
        let text = || String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned();
        match path.extension().and_then(|own| own.to_str()) {
            Some("conf" | "inc") => conf.push(text()),
            Some("toml") => toml.push(text()),
            Some(_) | None => {}
        }
    }
}

fn insert(text: &mut Vec<u8>, at: usize, what: &str) {
    text.splice(at..at, what.bytes());
}

/// Where the line begins that `at` is in.
fn line(text: &[u8], at: usize) -> usize {
    text[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |index| index + 1)
}

fn replace_word(text: &mut Vec<u8>, at: usize, with: &str) {
    let space = |byte: &u8| byte.is_ascii_whitespace();
    let start = text[..at].iter().rposition(space).map_or(0, |index| index + 1);
    let end = text[at..].iter().position(space).map_or(text.len(), |index| at + index);
    text.splice(start..end, with.bytes());
}

fn swap_lines(text: &mut Vec<u8>, at: usize, chance: &mut Chance) {
    let other = line(text, chance.below(text.len()));
    let start = line(text, at);
    let end =
        text[start..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |i| start + i + 1);
    let moved: Vec<u8> = text.drain(start..end).collect();
    let other = other.min(text.len());
    text.splice(other..other, moved);
}
