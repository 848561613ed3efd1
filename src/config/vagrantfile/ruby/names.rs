//! Names (identifiers and symbols) as small numbers: compared and copied without touching their text.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

/// An identifier or symbol.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(u32);

#[derive(Default)]
struct Table {
    texts: Vec<Rc<str>>,
    numbers: HashMap<Rc<str>, u32>,
}

thread_local! {
    static TABLE: RefCell<Table> = RefCell::default();
}

impl Name {
    /// The name with this text.
    pub fn of(text: &str) -> Self {
        TABLE.with_borrow_mut(|table| {
            if let Some(number) = table.numbers.get(text) {
                return Self(*number);
            }
            // Files are bounded, so there are never four thousand million names.
            let number = u32::try_from(table.texts.len()).unwrap_or(u32::MAX);
            let shared: Rc<str> = text.into();
            table.texts.push(Rc::clone(&shared));
            table.numbers.insert(shared, number);
            Self(number)
        })
    }

    /// Its text.
    pub fn text(self) -> Rc<str> {
        TABLE.with_borrow(|table| table.texts.get(self.0 as usize).map_or_else(|| "".into(), Rc::clone))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{}", self.text())
    }
}
