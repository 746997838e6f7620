//! Just enough of SVG: boxes, lines and words, with everything escaped.

/// A drawing, whose origin is its upper left corner; lengths in CSS pixels.
#[derive(Debug, Default)]
pub(super) struct Svg {
    body: String,
}

/// A box or a line's extent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Svg {
    /// A box of a class of the style sheet; its title shows when it is pointed at.
    pub(super) fn rect(&mut self, at: Place, class: &str, title: &str) {
        let Place { x, y, width, height } = at;
        self.body.push_str(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" \
             class=\"{}\">{}</rect>\n",
            escape(class),
            titled(title)
        ));
    }

    pub(super) fn vertical(&mut self, x: f64, (top, bottom): (f64, f64), class: &str, title: &str) {
        self.body.push_str(&format!(
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{top:.1}\" y2=\"{bottom:.1}\" \
             class=\"{}\">{}</line>\n",
            escape(class),
            titled(title)
        ));
    }

    pub(super) fn text(&mut self, x: f64, y: f64, class: &str, words: &str) {
        self.body.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{}\">{}</text>\n",
            escape(class),
            escape(words)
        ));
    }

    /// The whole drawing, as a file of its own or as part of a page.
    pub(super) fn finish(self, width: f64, height: f64, style: &str) -> String {
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\">\n<style>{style}</style>\n{}</svg>\n",
            self.body
        )
    }
}

/// Text as XML and HTML take it, also within quotes; without what XML 1.0 has no form for
/// (section 2.2).
pub(super) fn escape(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for one in plain.chars() {
        match one {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push(one),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            control if control.is_control() => out.push('\u{fffd}'),
            plain => out.push(plain),
        }
    }
    out
}

fn titled(title: &str) -> String {
    if title.is_empty() { String::new() } else { format!("<title>{}</title>", escape(title)) }
}
