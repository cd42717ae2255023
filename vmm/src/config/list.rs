//! Settings that may be given several times, and that a file has as one string or a list of them.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};

use super::ConfigError;

/// A setting of which a VM has several.
pub(super) trait Listed: FromStr<Err = ConfigError> {
    /// How many it can have.
    const MAX: usize;
    /// What a file must have.
    const EXPECTED: &str;

    /// There are more.
    fn too_many() -> ConfigError;

    /// `list`, unless it is too long.
    fn check(list: Vec<Self>) -> Result<Vec<Self>, ConfigError> {
        if list.len() > Self::MAX {
            return Err(Self::too_many());
        }
        Ok(list)
    }
}

/// Reads one setting or a list of them, each as it would be typed.
pub(super) fn one_or_more<'de, D: Deserializer<'de>, T: Listed>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct OneOrMore<T>(PhantomData<T>);

    impl<'de, T: Listed> Visitor<'de> for OneOrMore<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(T::EXPECTED)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
            text.parse().map(|value| vec![value]).map_err(E::custom)
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(Typed(value)) = list.next_element()? {
                if values.len() == T::MAX {
                    return Err(A::Error::custom(T::too_many()));
                }
                values.push(value);
            }
            Ok(values)
        }
    }

    /// An element of the list.
    struct Typed<T>(T);

    impl<'de, T: Listed> Deserialize<'de> for Typed<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            text.parse().map(Self).map_err(D::Error::custom)
        }
    }

    deserializer.deserialize_any(OneOrMore(PhantomData))
}
