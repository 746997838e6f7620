//! The text of a tree, and which word of the command line stands where in it.

use super::tree::{Node, Value};
use crate::diagnostic::Place;
use crate::document::write::{key, string};

/// The text, and what came from which word.
pub(super) struct Rendered {
    pub(super) text: String,
    marks: Vec<Mark>,
}

struct Mark {
    from: Point,
    to: Point,
    word: usize,
}

/// Line and column, as in a [`Place`].
type Point = (u32, u32);

impl Rendered {
    /// `name = ` this, as a document.
    pub(super) fn of(name: &str, node: &Node) -> Self {
        let mut pen = Pen { text: String::new(), at: (1, 1), marks: Vec::new() };
        pen.entry(name, node);
        pen.put("\n");
        Self { text: pen.text, marks: pen.marks }
    }

    /// The word that what stands there came from: of the innermost value that came from any.
    pub(super) fn word_at(&self, place: &Place) -> Option<usize> {
        let at = (place.line, place.column);
        let around = self.marks.iter().filter(|mark| mark.from <= at && at < mark.to);
        around.max_by_key(|mark| mark.from).map(|mark| mark.word)
    }
}

/// A value of TOML on one line.
pub(super) fn inline(node: &Node) -> String {
    let mut pen = Pen { text: String::new(), at: (1, 1), marks: Vec::new() };
    pen.value(node, false);
    pen.text
}

struct Pen {
    text: String,
    at: Point,
    marks: Vec<Mark>,
}

impl Pen {
    fn put(&mut self, text: &str) {
        for one in text.chars() {
            self.at = if one == '\n' { (self.at.0 + 1, 1) } else { (self.at.0, self.at.1 + 1) };
        }
        self.text.push_str(text);
    }

    fn entry(&mut self, name: &str, node: &Node) {
        let mark = self.begin(node);
        self.put(&format!("{} = ", key(name)));
        self.value(node, true);
        self.end(mark);
    }

    /// What is around stands before what is in it.
    fn begin(&mut self, node: &Node) -> Option<usize> {
        let word = node.word?;
        self.marks.push(Mark { from: self.at, to: self.at, word });
        Some(self.marks.len() - 1)
    }

    fn end(&mut self, mark: Option<usize>) {
        if let Some(mark) = mark.and_then(|mark| self.marks.get_mut(mark)) {
            mark.to = self.at;
        }
    }

    fn value(&mut self, node: &Node, lines: bool) {
        match &node.value {
            Value::Text(text) => self.put(&string(text)),
            Value::Number(number) => self.put(&number.to_string()),
            Value::Truth(truth) => self.put(&truth.to_string()),
            Value::Other(text) => self.put(text),
            Value::List(items) => self.list(items, lines),
            Value::Table(table) => {
                self.put("{");
                for (nth, (name, node)) in table.iter().enumerate() {
                    self.put(if nth == 0 { " " } else { ", " });
                    if lines {
                        self.entry(name, node);
                    } else {
                        self.put(&format!("{} = ", key(name)));
                        self.value(node, lines);
                    }
                }
                self.put(if table.is_empty() { "}" } else { " }" });
            }
        }
    }

    /// A table in a list has a line of its own: the column of a place is counted from its start.
    fn list(&mut self, items: &[Node], lines: bool) {
        self.put("[");
        for (nth, item) in items.iter().enumerate() {
            if nth > 0 {
                self.put(", ");
            }
            if lines && matches!(item.value, Value::Table(_)) {
                self.put("\n");
            }
            let mark = self.begin(item);
            self.value(item, lines);
            self.end(mark);
        }
        self.put("]");
    }
}
