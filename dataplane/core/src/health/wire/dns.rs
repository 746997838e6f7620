//! One question to a name server, and what in its message answers it (RFC 1035, 4.1).
//!
//! Only the header and the question are read: whether the server answers is asked, not what.
//!
//! ```text
//!  0       2       4         6         8         10        12
//! +-------+-------+---------+---------+---------+---------+--------------------------+
//! | id    | flags | QDCOUNT | ANCOUNT | NSCOUNT | ARCOUNT | name, type, class: ask   |
//! +-------+-------+---------+---------+---------+---------+--------------------------+
//! flags: QR 8000, opcode 7800, AA 0400, TC 0200, RD 0100, RA 0080, RCODE 000f
//! ```

use leasehold_model::RecordType;

const HEADER: usize = 12;
const RESPONSE: u16 = 0x8000;
const OPCODE: u16 = 0x7800;
const RECURSION_DESIRED: u16 = 0x0100;
const RCODE: u16 = 0x000f;
const CLASS_IN: u16 = 1;
/// With its lengths and the root (RFC 1035, 2.3.4).
const NAME_MAX: usize = 255;
const LABEL_MAX: usize = 63;

/// A name that can't be asked for, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("a part between two dots of `{0}` is empty: write the root as a single dot")]
    EmptyLabel(String),
    #[error("a part of `{0}` has more than {LABEL_MAX} bytes")]
    LongLabel(String),
    #[error("`{0}` takes more than {NAME_MAX} bytes")]
    Long(String),
}

/// What a message says to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It answers, with this code; 0 is no error.
    Answer(Code),
    /// It is about something else: the answer may still come.
    Unrelated,
}

/// A response code (RFC 1035, 4.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub u8);

impl Code {
    #[must_use]
    pub fn is_good(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN"];
        match names.get(usize::from(self.0)) {
            Some(name) => to.write_str(name),
            None => write!(to, "code {}", self.0),
        }
    }
}

/// What is asked, as it is on the wire behind the header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question(Vec<u8>);

impl Question {
    /// # Errors
    /// Where `name` is none that a name server can be asked for.
    pub fn new(name: &str, record: RecordType) -> Result<Self, NameError> {
        let mut bytes = Vec::new();
        let labels = name.strip_suffix('.').unwrap_or(name);
        // Nothing is left of the root.
        for label in labels.split('.').filter(|_| !labels.is_empty()) {
            match u8::try_from(label.len()) {
                Ok(0) => return Err(NameError::EmptyLabel(name.to_owned())),
                Ok(length) if usize::from(length) <= LABEL_MAX => bytes.push(length),
                Ok(_) | Err(_) => return Err(NameError::LongLabel(name.to_owned())),
            }
            bytes.extend(label.as_bytes());
        }
        bytes.push(0);
        if bytes.len() > NAME_MAX {
            return Err(NameError::Long(name.to_owned()));
        }
        bytes.extend(number(record).to_be_bytes());
        bytes.extend(CLASS_IN.to_be_bytes());
        Ok(Self(bytes))
    }

    /// The message that asks.
    #[must_use]
    pub fn message(&self, id: u16) -> Vec<u8> {
        let mut message = Vec::with_capacity(HEADER + self.0.len());
        for word in [id, RECURSION_DESIRED, 1, 0, 0, 0] {
            message.extend(word.to_be_bytes());
        }
        message.extend(&self.0);
        message
    }

    /// What `message` says to the question that was asked with `id`.
    ///
    /// An answer repeats the question, in any case of its letters. One that was not understood
    /// may come without.
    #[must_use]
    pub fn judge(&self, id: u16, message: &[u8]) -> Heard {
        let Some((header, rest)) = message.split_at_checked(HEADER) else {
            return Heard::Unrelated;
        };
        let (words, _) = header.as_chunks::<2>();
        let words: Vec<u16> = words.iter().map(|word| u16::from_be_bytes(*word)).collect();
        let &[its, flags, questions, ..] = words.as_slice() else { return Heard::Unrelated };
        if its != id || flags & RESPONSE == 0 || flags & OPCODE != 0 {
            return Heard::Unrelated;
        }
        let code = Code(u8::try_from(flags & RCODE).unwrap_or(u8::MAX));
        let asked = rest.get(..self.0.len());
        let ours = questions == 1 && asked.is_some_and(|asked| asked.eq_ignore_ascii_case(&self.0));
        if ours || (questions == 0 && !code.is_good()) {
            Heard::Answer(code)
        } else {
            Heard::Unrelated
        }
    }
}

/// As IANA has them.
fn number(record: RecordType) -> u16 {
    match record {
        RecordType::A => 1,
        RecordType::Ns => 2,
        RecordType::Cname => 5,
        RecordType::Soa => 6,
        RecordType::Mx => 15,
        RecordType::Txt => 16,
        RecordType::Aaaa => 28,
        RecordType::Rrsig => 46,
        RecordType::Dnskey => 48,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: u16 = 0xbeef;

    fn question() -> Question {
        Question::new("www.example.com", RecordType::A).expect("a name")
    }

    /// The question, sent back with these flags.
    fn reply(flags: u16) -> Vec<u8> {
        let mut message = question().message(ID);
        message[2..4].copy_from_slice(&flags.to_be_bytes());
        message
    }

    #[test]
    fn a_question_on_the_wire() {
        let message = question().message(ID);
        let expected = b"\xbe\xef\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        assert_eq!(message, expected);
        let root = Question::new(".", RecordType::Soa).expect("the root").message(1);
        assert_eq!(root[HEADER..], *b"\0\0\x06\0\x01");
        let dotted = Question::new("www.example.com.", RecordType::A);
        assert_eq!(dotted, Ok(question()));
        for (record, number) in [
            (RecordType::Ns, 2),
            (RecordType::Cname, 5),
            (RecordType::Mx, 15),
            (RecordType::Txt, 16),
            (RecordType::Aaaa, 28),
            (RecordType::Rrsig, 46),
            (RecordType::Dnskey, 48),
        ] {
            let message = Question::new("a", record).expect("a name").message(1);
            assert_eq!(message[HEADER..], [1, b'a', 0, 0, number, 0, 1]);
        }
    }

    #[test]
    fn names_that_nobody_can_ask_for() {
        let error = |name: &str| Question::new(name, RecordType::A).err();
        for empty in ["a..b", ".a", "..", "a.."] {
            assert_eq!(error(empty), Some(NameError::EmptyLabel(empty.to_owned())));
        }
        let label = "x".repeat(LABEL_MAX);
        assert_eq!(error(&label), None);
        let long = format!("{label}x");
        assert_eq!(error(&long), Some(NameError::LongLabel(long.clone())));
        let long = "x".repeat(256);
        assert_eq!(error(&long), Some(NameError::LongLabel(long.clone())));
        // 4 * 64 bytes and the root are 257; with a shorter last part 255.
        let name = [label.as_str(); 3].join(".");
        assert_eq!(error(&format!("{name}.{}", "x".repeat(61))), None);
        let long = format!("{name}.{}", "x".repeat(62));
        assert_eq!(error(&long), Some(NameError::Long(long.clone())));
    }

    #[test]
    fn an_answer_is_told_from_what_is_none() {
        let judge = |message: &[u8]| question().judge(ID, message);
        let good = Heard::Answer(Code(0));
        for flags in [0x8180, 0x8580, 0x8000] {
            assert_eq!(judge(&reply(flags)), good, "{flags:x}");
        }
        assert_eq!(judge(&reply(0x8380)), good, "cut off (TC): it answers all the same");
        for code in 1..16 {
            let refused = reply(0x8180 | code);
            assert_eq!(judge(&refused), Heard::Answer(Code(u8::try_from(code).unwrap())));
        }
        assert_eq!(judge(&question().message(ID)), Heard::Unrelated, "our question itself");
        assert_eq!(judge(&reply(0xa180)), Heard::Unrelated, "another opcode");
        assert_eq!(question().judge(ID + 1, &reply(0x8180)), Heard::Unrelated, "another id");
        let other = Question::new("www.example.org", RecordType::A).expect("a name");
        assert_eq!(other.judge(ID, &reply(0x8180)), Heard::Unrelated, "another name");
        let other = Question::new("www.example.com", RecordType::Aaaa).expect("a name");
        assert_eq!(other.judge(ID, &reply(0x8180)), Heard::Unrelated, "another type");
        let mut upper = reply(0x8180);
        upper[HEADER + 1..HEADER + 4].copy_from_slice(b"WwW");
        assert_eq!(judge(&upper), good);
        let mut bare = reply(0x8181)[..HEADER].to_vec();
        bare[5] = 0;
        assert_eq!(judge(&bare), Heard::Answer(Code(1)), "not understood, so not repeated");
        bare[3] = 0x80;
        assert_eq!(judge(&bare), Heard::Unrelated, "well, but to which question?");
        for length in 0..reply(0x8180).len() {
            assert_eq!(judge(&reply(0x8180)[..length]), Heard::Unrelated, "cut at {length}");
        }
    }

    #[test]
    fn codes_have_names() {
        assert_eq!(Code(5).to_string(), "REFUSED");
        assert_eq!(Code(11).to_string(), "code 11");
    }

    proptest! {
        #[test]
        fn every_answer_to_every_name_is_known_again(
            labels in prop::collection::vec("[a-z0-9_-]{1,40}", 0..5),
            id: u16,
            code in 0u8..16,
            records in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let name = format!("{}.", labels.join("."));
            let question = Question::new(&name, RecordType::Soa).expect("a name");
            let mut answer = question.message(id);
            answer[2] |= 0x84;
            answer[3] |= code;
            answer.extend(&records);
            prop_assert_eq!(question.judge(id, &answer), Heard::Answer(Code(code)));
            prop_assert_eq!(question.judge(id.wrapping_add(1), &answer), Heard::Unrelated);
        }

        #[test]
        fn noise_is_no_answer(bytes in prop::collection::vec(any::<u8>(), 0..600), id: u16) {
            // An error without a question is one; noise of that shape is left out.
            prop_assume!(bytes.get(4..6) != Some(&[0, 0]));
            prop_assert_eq!(question().judge(id, &bytes), Heard::Unrelated);
        }
    }
}
