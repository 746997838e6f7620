//! Words and braces to statements. Knows no keyword, so that a block nobody knows ends where its
//! own brace does.

use super::lex::{Pos, Report, Token, Word};

/// A keyword with its arguments and, where braces follow, what is between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) keyword: Word,
    pub(super) arguments: Vec<Word>,
    pub(super) block: Option<Vec<Statement>>,
}

/// Far above any block of keepalived, far below what the stack holds.
const MAX_DEPTH: usize = 32;

pub(super) fn parse(tokens: Vec<Token>, report: &mut Report) -> Vec<Statement> {
    let mut parser = Parser { tokens, next: 0, report };
    let mut root = parser.statements(None, 0);
    // A brace too many: say so, and go on with what follows it.
    while parser.next < parser.tokens.len() {
        root.extend(parser.statements(None, 0));
    }
    root
}

struct Parser<'a> {
    /// Those before `next` were taken.
    tokens: Vec<Token>,
    next: usize,
    report: &'a mut Report,
}

impl Parser<'_> {
    /// Up to the brace that closes the block opened at `opened`, or to the end.
    fn statements(&mut self, opened: Option<(Pos, &str)>, depth: usize) -> Vec<Statement> {
        let mut statements = Vec::new();
        while let Some(token) = self.take() {
            match token {
                Token::Newline => {}
                Token::Close(at) => {
                    if opened.is_none() {
                        let hint = "remove it, or look above for the `{` that is missing";
                        self.report.error(at, "this `}` closes nothing", hint);
                    }
                    return statements;
                }
                Token::Open(at) => {
                    self.report.error(at, "this `{` follows no keyword", "");
                    self.block(at, "", depth);
                }
                Token::Word(keyword) => statements.push(self.statement(keyword, depth)),
            }
        }
        if let Some((at, keyword)) = opened {
            let message = format!("the block of `{keyword}` is not closed");
            self.report.error(at, message, "its `}` is missing");
        }
        statements
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.tokens.get_mut(self.next)?;
        self.next += 1;
        Some(std::mem::replace(token, Token::Newline))
    }

    fn statement(&mut self, keyword: Word, depth: usize) -> Statement {
        let mut arguments = Vec::new();
        while let Some(Token::Word(word)) = self.tokens.get_mut(self.next) {
            let empty = Word { text: String::new(), at: word.at, escaped: None, quoted: false };
            arguments.push(std::mem::replace(word, empty));
            self.next += 1;
        }
        // The brace may stand on a later line.
        let after = self.tokens[self.next..].iter().position(|one| *one != Token::Newline);
        let open = after.map(|skip| self.next + skip);
        let block = match open.map(|index| &self.tokens[index]) {
            Some(Token::Open(at)) => {
                let at = if keyword.text.is_empty() { *at } else { keyword.at };
                self.next = open.unwrap_or(self.next) + 1;
                Some(self.block(at, &keyword.text, depth))
            }
            Some(Token::Word(_) | Token::Close(_) | Token::Newline) | None => None,
        };
        Statement { keyword, arguments, block }
    }

    fn block(&mut self, at: Pos, keyword: &str, depth: usize) -> Vec<Statement> {
        if depth >= MAX_DEPTH {
            self.report.error(at, "blocks are nested too deep", "");
            self.next = self.tokens.len();
            return Vec::new();
        }
        self.statements(Some((at, keyword)), depth + 1)
    }
}
