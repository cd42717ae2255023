//! Where a number is in a file of results.
//!
//! ```text
//! spread.total_ms.median            a key in a key in a key; of a list of objects, that of each
//! cells[suite=sizes&link=1G].runs   only of objects in which these keys have these values
//! rows[what=*: faults].values       a value of this form, in which `*` stands for any text
//! rounds.skiff / rounds.qemu        each by its counterpart, or by a number: `total_ms / 1000`
//! ```
//!
//! A list of numbers is one: its median.

use serde_json::Value;

use crate::bench::Spread;

/// The numbers that `field` names; none if it names nothing.
pub fn find(field: &str, results: &Value) -> Vec<f64> {
    let Some((numerator, denominator)) = field.split_once(" / ") else {
        return walk(field, results);
    };
    let numerators = walk(numerator, results);
    let denominators = match denominator.parse() {
        Ok(number) => vec![number; numerators.len()],
        Err(_) => walk(denominator, results),
    };
    if numerators.len() != denominators.len() {
        return Vec::new();
    }
    let pairs = numerators.into_iter().zip(denominators);
    pairs.map(|(one, other)| one / other).collect()
}

/// One number, or from the smallest to the largest; `None` if there is none.
pub fn shown(numbers: &[f64]) -> Option<String> {
    let spread = Spread::of(numbers.iter().copied())?;
    let [min, max] = [spread.min, spread.max].map(number);
    Some(if min == max {
        min
    } else {
        format!("{min} to {max}")
    })
}

/// With two digits or all before the point.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 9.95 => format!("{value:.0}"),
        size if size >= 0.995 => format!("{value:.1}"),
        size if size > 0.0 => format!("{value:.2}"),
        _ => "0".to_owned(),
    }
}

fn walk(path: &str, results: &Value) -> Vec<f64> {
    let mut here = vec![results];
    for step in steps(path) {
        let (key, wanted) = match step.split_once('[') {
            Some((key, rest)) => (key, rest.strip_suffix(']').unwrap_or(rest)),
            None => (step, ""),
        };
        let next = here.into_iter().map(|value| &value[key]);
        let each = next.flat_map(|value| match value {
            Value::Array(list) if list.iter().all(Value::is_object) => list.iter().collect(),
            value => vec![value],
        });
        here = each.filter(|value| is_wanted(value, wanted)).collect();
    }
    here.into_iter().filter_map(numeric).collect()
}

/// The path, cut at points that are outside of brackets.
fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    path.split(move |letter| {
        is_inside = match letter {
            '[' => true,
            ']' => false,
            _ => is_inside,
        };
        letter == '.' && !is_inside
    })
}

fn is_wanted(value: &Value, wanted: &str) -> bool {
    let mut conditions = wanted.split('&').filter_map(|word| word.split_once('='));
    conditions.all(|(key, wanted)| {
        let found = match &value[key] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        has_form(&found, wanted)
    })
}

/// Whether the text has this form, in which `*` stands for any text.
fn has_form(text: &str, form: &str) -> bool {
    let mut parts = form.split('*');
    let rest = parts.next().and_then(|begin| text.strip_prefix(begin));
    let Some(mut rest) = rest else {
        return false;
    };
    let Some(end) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(end)
}

fn numeric(value: &Value) -> Option<f64> {
    match value {
        Value::Array(list) => Some(Spread::of(list.iter().filter_map(Value::as_f64))?.median),
        value => value.as_f64(),
    }
}
