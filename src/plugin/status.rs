//! What plugins show on the status page: tables of their own, read when somebody looks.

use std::sync::{Arc, Mutex, PoisonError};

/// A table of a plugin, as it is now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The heads of the columns.
    pub columns: Vec<&'static str>,
    /// The rows, each with a cell a column. A page shows at most a hundred.
    pub rows: Vec<Vec<String>>,
    /// What an operator has to know; anything here makes the page say "degraded".
    pub trouble: Vec<String>,
}

/// The tables of all plugins of a plan. A plugin adds its own in `setup`, in one line:
/// `setup.process.sections.add("Objects held", move || table(&store));`
#[derive(Clone, Default)]
pub struct Sections(Arc<Mutex<Vec<Section>>>);

#[derive(Clone)]
struct Section {
    title: String,
    read: Arc<dyn Fn() -> Table + Send + Sync>,
}

impl Sections {
    /// Adds a table under a title. A title that is there already is not added again: blocks share what they show.
    /// `read` is called every two seconds while the page is configured, on the blocking pool; it must hold no lock that a
    /// query waits for.
    pub fn add(&self, title: impl Into<String>, read: impl Fn() -> Table + Send + Sync + 'static) {
        let title = title.into();
        let mut sections = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !sections.iter().any(|section| section.title == title) {
            sections.push(Section { title, read: Arc::new(read) });
        }
    }

    /// Every table with its title, in the order of set-up.
    pub fn read(&self) -> Vec<(String, Table)> {
        let sections = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        sections.into_iter().map(|section| (section.title, (section.read)())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_stands_once() {
        let sections = Sections::default();
        for text in ["first", "second"] {
            sections.add("Zones", move || Table {
                columns: vec!["zone"],
                rows: vec![vec![text.into()]],
                ..Table::default()
            });
        }
        let read = sections.read();
        assert_eq!((read.len(), read[0].1.rows[0][0].as_str()), (1, "first"));
    }
}
