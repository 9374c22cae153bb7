//! Lists of ids or names.

use serde::{Serialize, Serializer};

/// A list packed into one text, without empty elements.
///
/// A `String` per element would take many times the memory of the list in its body. Postgres needs
/// one text anyway, because `unnest` flattens arrays of arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedList(String);

impl PackedList {
    /// Separates elements and is removed from them. Postgres splits the text here.
    const SEPARATOR: char = '\u{1f}';

    /// The packed text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its elements.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.split(Self::SEPARATOR).filter(|element| !element.is_empty())
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        if self.is_empty() { 0 } else { self.0.matches(Self::SEPARATOR).count() + 1 }
    }

    /// Whether there are no elements.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: AsRef<str>> FromIterator<T> for PackedList {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut list = String::new();
        for element in elements {
            let end = list.len();
            if end > 0 {
                list.push(Self::SEPARATOR);
            }
            let start = list.len();
            list.extend(element.as_ref().split(Self::SEPARATOR));
            if list.len() == start {
                list.truncate(end);
            }
        }
        list.shrink_to_fit();
        Self(list)
    }
}

impl Serialize for PackedList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::PackedList;

    #[test]
    fn list_has_no_empty_elements_and_no_separators() {
        let list = |elements: &[&str]| {
            let list: PackedList = elements.iter().collect();
            (list.len(), serde_json::to_string(&list).unwrap())
        };
        let expected = (3, r#"["a","b c","de"]"#.to_owned());
        assert_eq!(list(&["a", "", "b c", "\u{1f}", "d\u{1f}e", ""]), expected);
        assert_eq!(list(&["", ""]), (0, "[]".to_owned()));
        assert_eq!(list(&[]), (0, "[]".to_owned()));
    }
}
