//! Routes and rules of an instance: each a line of words, or a table.

use leasehold_model::{Network, Route, RouteKind, Rule, Scope};
use toml::Spanned;
use toml::de::DeValue;

use super::{At, Reader};
use crate::document::canonical;
use crate::document::routing::{self, Problem};

const NETWORK: &str = "a network such as 10.0.0.0/8";

impl Reader<'_> {
    pub(super) fn routes(&mut self, at: &At<'_, '_>) -> Vec<Route> {
        self.lines(at, "virtual_routes", routing::route, Self::route)
    }

    pub(super) fn rules(&mut self, at: &At<'_, '_>) -> Vec<Rule> {
        self.lines(at, "virtual_rules", routing::rule, Self::rule)
    }

    fn lines<T>(
        &mut self,
        at: &At<'_, '_>,
        name: &str,
        line: impl Fn(&[&str]) -> (Option<T>, Vec<Problem>),
        table: impl Fn(&mut Self, &At<'_, '_>) -> Option<T>,
    ) -> Vec<T> {
        let mut all = Vec::new();
        for (index, value) in self.array(at, name).into_iter().flatten().enumerate() {
            let index = index.to_string();
            let mut path = at.path_to(name);
            path.push(&index);
            self.places.put(&path, self.lines.place(&value.span()));
            let one = match value.get_ref() {
                DeValue::String(text) => {
                    let words: Vec<&str> = text.split_whitespace().collect();
                    let (one, problems) = line(&words);
                    for problem in problems {
                        self.problem(&path, value, &words, problem);
                    }
                    one
                }
                DeValue::Table(inner) => {
                    let at = At { table: inner, span: value.span(), path };
                    table(self, &at)
                }
                DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_)
                | DeValue::Array(_) => {
                    self.mistyped(&path, value, "a string or a table");
                    None
                }
            };
            match one {
                Some(one) => all.push(one),
                // Indices after this one would be off by one.
                None => self.places.put_unread(&at.path_to(name)),
            }
        }
        all
    }

    fn problem(
        &mut self,
        path: &[&str],
        value: &Spanned<DeValue<'_>>,
        words: &[&str],
        problem: Problem,
    ) {
        let (message, hint) = match problem {
            Problem::Wrong { message, hint, .. } => (message, hint),
            Problem::Unserved { word, .. } => {
                let word = words.get(word).copied().unwrap_or_default();
                (format!("`{word}` is not served yet"), "remove it")
            }
        };
        self.unread(path, &value.span(), message, hint);
    }

    fn route(&mut self, at: &At<'_, '_>) -> Option<Route> {
        let known =
            ["to", "kind", "via", "dev", "src", "table", "metric", "scope", "mtu", "onlink"];
        self.known(at, "a route", &known);
        self.required(at, &["to"]);
        let kinds = [
            ("unicast", RouteKind::Unicast),
            ("blackhole", RouteKind::Blackhole),
            ("unreachable", RouteKind::Unreachable),
            ("prohibit", RouteKind::Prohibit),
        ];
        let scopes = [
            ("global", Scope::Global),
            ("site", Scope::Site),
            ("link", Scope::Link),
            ("host", Scope::Host),
        ];
        let mut route = Route {
            to: None,
            kind: self.choice(at, "kind", &kinds).unwrap_or_default(),
            via: self.parsed(at, "via", "an IP address"),
            dev: self.owned(at, "dev"),
            src: self.parsed(at, "src", "an IP address"),
            table: self.number(at, "table", 1),
            metric: self.number(at, "metric", 0),
            scope: self.choice(at, "scope", &scopes),
            mtu: self.number(at, "mtu", 1),
            onlink: self.boolean(at, "onlink").unwrap_or(false),
        };
        route.to = self.network(at, "to")?;
        canonical::route(&mut route);
        Some(route)
    }

    fn rule(&mut self, at: &At<'_, '_>) -> Option<Rule> {
        let known = ["from", "to", "iif", "oif", "fwmark", "priority", "table"];
        self.known(at, "a rule", &known);
        self.required(at, &["table"]);
        Some(Rule {
            from: self.network(at, "from").flatten(),
            to: self.network(at, "to").flatten(),
            iif: self.owned(at, "iif"),
            oif: self.owned(at, "oif"),
            fwmark: self.number(at, "fwmark", 0),
            priority: self.number(at, "priority", 0),
            table: self.number(at, "table", 1)?,
        })
    }

    fn number(&mut self, at: &At<'_, '_>, name: &str, least: i64) -> Option<u32> {
        self.integer(at, name, least..=i64::from(u32::MAX))
    }

    #[expect(clippy::option_option, reason = "no destination is a destination too: the default")]
    fn network(&mut self, at: &At<'_, '_>, name: &str) -> Option<Option<Network>> {
        let text = self.string(at, name)?;
        let network = routing::destination(text);
        if network.is_none() {
            let span = at.get(name).map_or(0..0, Spanned::span);
            self.unread(&at.path_to(name), &span, format!("{text:?} is not {NETWORK}"), "");
        }
        network
    }
}
