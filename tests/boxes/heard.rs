//! What a user would be told while it goes on.

use std::sync::{Arc, Mutex};

use vbox_rs::progress::{Cancel, Cx, Event, Sink};

/// Keeps notes, warnings and transfers.
#[derive(Default)]
pub struct Heard {
    lines: Mutex<Vec<String>>,
    transfers: Mutex<Vec<(String, u64, Option<u64>)>>,
}

impl Heard {
    pub fn cx() -> (Arc<Self>, Cx) {
        let heard = Arc::new(Self::default());
        let cx = Cx::new(Arc::clone(&heard) as Arc<dyn Sink>, Cancel::default());
        (heard, cx)
    }

    pub fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Label, bytes done, bytes in all.
    pub fn transfers(&self) -> Vec<(String, u64, Option<u64>)> {
        self.transfers.lock().unwrap().clone()
    }
}

impl Sink for Heard {
    fn emit(&self, _: Option<&str>, event: &Event) {
        match event {
            Event::Note(text) => self.lines.lock().unwrap().push(text.clone()),
            Event::Warning(text) => self.lines.lock().unwrap().push(format!("warning: {text}")),
            Event::Transfer { label, done, total, .. } => {
                self.transfers.lock().unwrap().push((label.clone(), *done, *total));
            }
            _ => {}
        }
    }
}
