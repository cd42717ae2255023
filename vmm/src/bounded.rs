//! Sequences in what may come from anywhere: no more elements are decoded than make sense.
//!
//! An element can take hundreds of times the bytes it came in: without a bound, a state of 16 MiB
//! that is full of empty vCPUs would become gigabytes.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

/// Decodes at most `MAX` elements, for `#[serde(deserialize_with)]`.
///
/// # Errors
/// If there are more, or one does not decode.
pub(crate) fn at_most<'de, const MAX: usize, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct Elements<const MAX: usize, T>(PhantomData<T>);

    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for Elements<MAX, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {MAX} elements")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Vec<T>, A::Error> {
            let mut elements = Vec::new();
            while let Some(element) = sequence.next_element()? {
                if elements.len() == MAX {
                    return Err(A::Error::invalid_length(MAX + 1, &self));
                }
                elements.push(element);
            }
            Ok(elements)
        }
    }

    deserializer.deserialize_seq(Elements::<MAX, T>(PhantomData))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Three(#[serde(deserialize_with = "super::at_most::<3, _, _>")] Vec<u8>);

    #[test]
    fn sequence_at_its_bound_decodes_and_beyond_it_is_refused() {
        let decode = |bytes: &[u8]| postcard::from_bytes::<Three>(bytes).map(|three| three.0);
        assert!(decode(&[0]).unwrap().is_empty());
        assert_eq!(decode(&[3, 7, 8, 9]).unwrap(), [7, 8, 9]);
        assert!(decode(&[4, 7, 8, 9, 10]).is_err());
    }
}
