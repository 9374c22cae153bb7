//! Lists of ids or words.

use serde::{Serialize, Serializer};

/// A list in one text. Blank elements are left out.
///
/// A `String` for each would take many times what the list weighs in its body, and Postgres is
/// given one text anyway, because `unnest` flattens arrays of arrays.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedList(String);

impl PackedList {
    /// What stands between the elements and in none of them; Postgres splits there.
    const SEPARATOR: char = '\u{1f}';

    /// The elements with separators between them.
    pub fn as_str(&self) -> &str {
        &self.0
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
        let elements = self.0.split(Self::SEPARATOR);
        serializer.collect_seq(elements.filter(|element| !element.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use super::PackedList;

    #[test]
    fn a_list_holds_its_elements_without_blank_ones_and_separators() {
        let list = |elements: &[&str]| {
            let list: PackedList = elements.iter().collect();
            serde_json::to_string(&list).unwrap()
        };
        assert_eq!(list(&["a", "", "b c", "\u{1f}", "d\u{1f}e", ""]), r#"["a","b c","de"]"#);
        assert_eq!(list(&["", ""]), "[]");
        assert_eq!(list(&[]), "[]");
    }
}
