//! Physical names: what Parquet, Delta and other engines see.
//!
//! Delta forbids ` ,;{}()\n\t=` in column names and names that differ in case only. Those characters are percent-encoded,
//! and so are `%` itself, `#` (it joins a sibling's kind) and `~` (it joins a twin's number), hence no key can pose as
//! another one's sibling or twin.

use std::fmt::Write as _;

use hashbrown::HashSet;

use crate::schema::{Kind, SYSTEM_COLUMNS};

/// What stands for the empty key: `%` is followed by two hexadecimal digits in every encoded name.
const EMPTY: &str = "%empty";

/// A logical name with every character encoded that has a meaning in physical names.
pub(crate) fn encode(name: &str) -> String {
    if name.is_empty() {
        return EMPTY.to_owned();
    }
    let mut encoded = String::with_capacity(name.len());
    for character in name.chars() {
        let is_special = matches!(character, ' ' | ',' | ';' | '{' | '}' | '(' | ')' | '=' | '%' | '#' | '~');
        if is_special || character.is_ascii_control() {
            // writing to a String cannot fail
            let _written = write!(encoded, "%{:02X}", u32::from(character));
        } else {
            encoded.push(character);
        }
    }
    encoded
}

/// The name of a further kind of the same key.
pub(crate) fn sibling(base: &str, kind: Kind) -> String {
    format!("{base}#{}", kind.suffix())
}

/// Physical names in use, letters' case set aside; those of the system columns are from the start.
#[derive(Debug)]
pub(crate) struct Taken(HashSet<String>);

impl Taken {
    pub(crate) fn new() -> Self {
        Self(SYSTEM_COLUMNS.iter().map(|name| (*name).to_owned()).collect())
    }

    /// Marks a name as used.
    pub(crate) fn insert(&mut self, base: &str) {
        self.0.insert(base.to_lowercase());
    }

    /// A free physical name for a logical one: itself encoded, or with `~2`, `~3`, … behind it.
    pub(crate) fn claim(&mut self, name: &str) -> String {
        let encoded = encode(name);
        let folded = encoded.to_lowercase();
        if self.0.insert(folded.clone()) {
            return encoded;
        }
        for number in 2_u64.. {
            if self.0.insert(format!("{folded}~{number}")) {
                return format!("{encoded}~{number}");
            }
        }
        encoded
    }
}

/// A key of the event itself: one that is called like a system column, or feeds one, becomes `user:<key>`.
pub(crate) fn logical_top(key: &str) -> String {
    if key == "id" || SYSTEM_COLUMNS.contains(&key) { format!("user:{key}") } else { key.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[(&str, &str)]) {
        let mut taken = Taken::new();
        for (name, physical) in names {
            assert_eq!(taken.claim(name), *physical, "{name:?}");
        }
    }

    #[test]
    fn forbidden_characters_are_encoded() {
        check(&[
            ("cart.price", "cart.price"),
            ("a b,c;d{e}f(g)h\ni\tj=k", "a%20b%2Cc%3Bd%7Be%7Df%28g%29h%0Ai%09j%3Dk"),
            ("100%", "100%25"),
            ("price#int", "price%23int"),
            ("x~2", "x%7E2"),
            ("", "%empty"),
            ("größe", "größe"),
        ]);
    }

    #[test]
    fn twins_are_numbered() {
        check(&[
            ("price", "price"),
            ("Price", "Price~2"),
            ("PRICE", "PRICE~3"),
            ("Time", "Time~2"),
            ("user:time", "user:time"),
            ("Größe", "Größe"),
            ("GRÖSSE", "GRÖSSE"),
            ("gRÖße", "gRÖße~2"),
        ]);
    }
}
