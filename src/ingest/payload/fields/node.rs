//! Objects of a body that were read, each with its path.

use std::cell::RefCell;
use std::rc::Rc;

use crate::ingest::json::{Object, Value};

/// A JSON object and its path in the body.
///
/// Keeps the objects in it that were read: many fields of one object are read, from several places,
/// and each object is indexed once.
pub struct Node<'a> {
    object: Object<'a>,
    /// Empty, or ends with a dot.
    path: String,
    children: RefCell<Vec<Rc<Self>>>,
}

impl<'a> Node<'a> {
    /// An object at a path.
    pub const fn new(object: Object<'a>, path: String) -> Self {
        Self { object, path, children: RefCell::new(Vec::new()) }
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.object.get(key)
    }

    /// Path in the body of a key, perhaps with an index.
    pub fn path_of(&self, key: &str) -> String {
        format!("{}{key}", self.path)
    }

    /// The object at the start of `text`, a value of this object under the key, perhaps with an
    /// index.
    pub fn child(&self, text: &'a str, key: &str) -> Option<Rc<Self>> {
        let mut children = self.children.borrow_mut();
        if let Some(child) = children.iter().find(|child| child.object.is_at(text)) {
            return Some(child.clone());
        }
        let path = format!("{}{key}.", self.path);
        let child = Rc::new(Self::new(Object::new(text)?, path));
        children.push(child.clone());
        Some(child)
    }
}
