//! The configuration under test: a number that every change replaces, and what churns around it.
//!
//! The number is the address of an instance whose interface is nobody's, so that nothing of it is
//! ever bound. Every change writes one that no other has written.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use leasehold_lab::LabError;
use toml::{Table, Value};

/// The instance that holds the number.
const REGISTER: &str = "register";

/// Of the numbers, as addresses.
const BASE: u32 = 0x0a00_0000;

/// More changes than a run asks for at a time.
const ORDERS_MAX: usize = 16;

/// What the churn works on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub instances: Vec<String>,
    pub directors: Vec<String>,
    /// Goes from instance to instance.
    pub wanderer: String,
}

/// One change of the configuration, said as what is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Priority {
        instance: usize,
        director: usize,
        priority: u8,
    },
    /// Whose the wanderer is.
    Wander {
        to: Option<usize>,
    },
}

/// The configuration as far as the court looks at it.
#[derive(Clone, Debug)]
pub struct Document(Table);

impl Document {
    /// # Errors
    /// Where it is not TOML.
    pub fn parse(text: &str) -> Result<Document, LabError> {
        let table = text.parse::<Table>();
        table.map(Document).map_err(|error| LabError::Argument(format!("exported: {error}")))
    }

    /// The number in it; 0 where it has none.
    #[must_use]
    pub fn value(&self) -> u64 {
        let address = self.instance(REGISTER).and_then(|it| it.get("virtual_ipaddress"));
        let address = address.and_then(Value::as_array).and_then(|all| all.first());
        let address = address.and_then(|one| match one {
            Value::String(text) => text.split('/').next()?.parse::<Ipv4Addr>().ok(),
            Value::Table(table) => {
                table.get("address")?.as_str()?.split('/').next()?.parse::<Ipv4Addr>().ok()
            }
            Value::Integer(_)
            | Value::Float(_)
            | Value::Boolean(_)
            | Value::Datetime(_)
            | Value::Array(_) => None,
        });
        address.map_or(0, |address| u64::from(u32::from(address).wrapping_sub(BASE)))
    }

    /// Writes another number.
    #[must_use]
    pub fn with_value(mut self, value: u64) -> Document {
        let number = BASE.wrapping_add(u32::try_from(value & 0x00ff_ffff).unwrap_or(0));
        let mut register = Table::new();
        register.insert("virtual_router_id".to_owned(), Value::Integer(250));
        register.insert("interface".to_owned(), Value::String("none".to_owned()));
        let address = Value::String(Ipv4Addr::from(number).to_string());
        register.insert("virtual_ipaddress".to_owned(), Value::Array(vec![address]));
        self.instances_mut().insert(REGISTER.to_owned(), Value::Table(register));
        self
    }

    /// Makes it so.
    #[must_use]
    pub fn with(mut self, change: &Change, layout: &Layout) -> Document {
        match change {
            Change::Priority { instance, director, priority } => {
                let name = &layout.instances[*instance];
                let director = layout.directors[*director].clone();
                let own = Value::Table(Table::from_iter([(
                    "priority".to_owned(),
                    Value::Integer(i64::from(*priority)),
                )]));
                if let Some(Value::Table(one)) = self.instances_mut().get_mut(name) {
                    let all = one.entry("director").or_insert_with(|| Value::Table(Table::new()));
                    if let Value::Table(all) = all {
                        all.insert(director, own);
                    }
                }
            }
            Change::Wander { to } => {
                for (nth, name) in layout.instances.iter().enumerate() {
                    let Some(Value::Table(one)) = self.instances_mut().get_mut(name) else {
                        continue;
                    };
                    let Some(Value::Array(all)) = one.get_mut("virtual_ipaddress") else {
                        continue;
                    };
                    all.retain(|address| !names(address, layout));
                    if *to == Some(nth) {
                        all.push(Value::String(layout.wanderer.clone()));
                    }
                }
            }
        }
        self
    }

    /// Which instance has the wanderer.
    #[must_use]
    pub fn wanderer_is_in(&self, layout: &Layout) -> Option<usize> {
        layout.instances.iter().position(|name| {
            let all = self.instance(name).and_then(|one| one.get("virtual_ipaddress"));
            let mut all = all.and_then(Value::as_array).into_iter().flatten();
            all.any(|address| names(address, layout))
        })
    }

    #[must_use]
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    fn instance(&self, name: &str) -> Option<&Table> {
        self.0.get("instance")?.as_table()?.get(name)?.as_table()
    }

    fn instances_mut(&mut self) -> &mut Table {
        let all = self.0.entry("instance").or_insert_with(|| Value::Table(Table::new()));
        if !all.is_table() {
            *all = Value::Table(Table::new());
        }
        all.as_table_mut().expect("it was made a table where it was none")
    }
}

/// Whether this address is the wanderer, in any of the forms that a document may have.
fn names(address: &Value, layout: &Layout) -> bool {
    let bare = layout.wanderer.split('/').next().unwrap_or_default();
    address.to_string().split(['"', '/']).any(|part| part == bare)
}

/// Numbers that nobody else writes.
#[derive(Debug)]
pub struct Values(AtomicU64);

impl Values {
    #[must_use]
    pub fn after(last: u64) -> Values {
        Values(AtomicU64::new(last + 1))
    }

    pub fn fresh(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Changes that wait for somebody who changes the configuration anyway; one at a time, in their
/// order, so that none that was tried again undoes a later one.
#[derive(Clone, Debug, Default)]
pub struct Orders(Arc<Mutex<Queue>>);

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Order>,
    /// Somebody has taken the first.
    is_out: bool,
}

/// A change that was ordered.
#[derive(Clone, Debug)]
pub struct Order {
    pub change: Change,
    done: Arc<AtomicBool>,
}

impl Order {
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }
}

impl Orders {
    /// `None` where too many wait.
    #[must_use]
    pub fn place(&self, change: Change) -> Option<Order> {
        let order = Order { change, done: Arc::default() };
        let mut queue = self.queue();
        (queue.waiting.len() < ORDERS_MAX).then(|| {
            queue.waiting.push_back(order.clone());
            order
        })
    }

    /// The first, until it is [`done`](Self::done) or [`put_back`](Self::put_back).
    #[must_use]
    pub fn take(&self) -> Option<Order> {
        let mut queue = self.queue();
        if queue.is_out {
            return None;
        }
        let first = queue.waiting.pop_front();
        queue.is_out = first.is_some();
        first
    }

    pub fn done(&self, order: &Order) {
        order.done.store(true, Ordering::Relaxed);
        self.queue().is_out = false;
    }

    /// One that did not go through is the next again.
    pub fn put_back(&self, order: Order) {
        let mut queue = self.queue();
        queue.waiting.push_front(order);
        queue.is_out = false;
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout {
            instances: vec!["VI_1".to_owned(), "VI_2".to_owned()],
            directors: vec!["ds1".to_owned(), "ds2".to_owned()],
            wanderer: "192.168.1.102/24".to_owned(),
        }
    }

    fn document() -> Document {
        Document::parse(
            "[instance.VI_1]\nvirtual_ipaddress = [\"192.168.1.100/24\", \"192.168.1.102/24\"]\n\
             [instance.VI_2]\nvirtual_ipaddress = [\"192.168.1.101/24\"]\n",
        )
        .expect("the sample is TOML")
    }

    #[test]
    fn a_number_is_written_replaced_and_read_back_also_from_text() {
        assert_eq!(document().value(), 0);
        let one = document().with_value(70_000).with_value(70_001);
        assert_eq!(Document::parse(&one.text()).map(|it| it.value()).ok(), Some(70_001));
    }

    #[test]
    fn the_wanderer_is_in_one_instance_or_in_none() {
        let there = |to| document().with(&Change::Wander { to }, &layout());
        assert_eq!(document().wanderer_is_in(&layout()), Some(0));
        for to in [Some(0), Some(1), None] {
            assert_eq!(there(to).wanderer_is_in(&layout()), to);
            assert!(there(to).text().contains("192.168.1.100/24"));
        }
    }

    #[test]
    fn the_wanderer_is_known_in_every_form_and_nothing_else_is() {
        for form in [
            "\"192.168.1.102\"",
            "\"192.168.1.102/24\"",
            "{ address = \"192.168.1.102\", prefix = 24 }",
        ] {
            let text = format!("[instance.VI_1]\nvirtual_ipaddress = [{form}, \"1.2.3.4\"]\n");
            let document = Document::parse(&text).expect("the sample is TOML");
            let gone = document.clone().with(&Change::Wander { to: None }, &layout());
            assert_eq!(document.wanderer_is_in(&layout()), Some(0), "{form}");
            assert_eq!(gone.wanderer_is_in(&layout()), None, "{form}");
        }
        let other = "[instance.VI_1]\nvirtual_ipaddress = [\"192.168.1.10\"]\n";
        let other = Document::parse(other).expect("the sample is TOML");
        assert_eq!(other.wanderer_is_in(&layout()), None);
    }

    #[test]
    fn a_priority_is_one_directors_own() {
        let change = Change::Priority { instance: 1, director: 0, priority: 7 };
        let text = document().with(&change, &layout()).with(&change, &layout()).text();
        assert!(text.contains("[instance.VI_2.director.ds1]\npriority = 7"), "{text}");
    }

    #[test]
    fn orders_are_taken_one_at_a_time_and_one_put_back_is_the_next() {
        let orders = Orders::default();
        for to in [Some(0), Some(1)] {
            assert!(orders.place(Change::Wander { to }).is_some());
        }
        let first = orders.take().expect("one was placed");
        assert!(orders.take().is_none(), "another would overtake it");
        orders.put_back(first.clone());
        assert_eq!(orders.take().map(|it| it.change), Some(first.change.clone()));
        orders.done(&first);
        assert!(first.is_done());
        let second = orders.take().map(|it| it.change);
        assert_eq!(second, Some(Change::Wander { to: Some(1) }));
        for _ in 0..ORDERS_MAX {
            let _ = orders.place(Change::Wander { to: None });
        }
        assert!(orders.place(Change::Wander { to: None }).is_none());
    }
}
