//! Licence expressions of SPDX: identifiers, `AND`, `OR` and brackets, and `/` as older packages have it.

/// Whether the licences that `is_allowed` knows are enough for what `expression` asks for.
pub(crate) fn is_satisfied(expression: &str, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    // A licence with an exception has another name than the one without.
    let spaced = spaced.replace(" WITH ", "+WITH+");
    let mut words = spaced.split_ascii_whitespace().peekable();
    let satisfied = any(&mut words, is_allowed);
    assert_eq!(words.next(), None, "{expression}");
    satisfied
}

type Words<'a> = std::iter::Peekable<std::str::SplitAsciiWhitespace<'a>>;

fn any(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut satisfied = all(words, is_allowed);
    while words.next_if_eq(&"OR").is_some() {
        satisfied |= all(words, is_allowed);
    }
    satisfied
}

fn all(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let mut satisfied = one(words, is_allowed);
    while words.next_if_eq(&"AND").is_some() {
        satisfied &= one(words, is_allowed);
    }
    satisfied
}

fn one(words: &mut Words<'_>, is_allowed: &dyn Fn(&str) -> bool) -> bool {
    let word = words.next().unwrap_or_default();
    if word != "(" {
        return is_allowed(word);
    }
    let satisfied = any(words, is_allowed);
    assert_eq!(words.next(), Some(")"), "a bracket is open");
    satisfied
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("", false),
        ("MIT OR GPL-3.0", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("GPL-3.0 AND MIT OR MIT", true),
        ("MIT AND (GPL-3.0 OR MIT)", true),
        ("(MIT OR GPL-3.0) AND GPL-3.0", false),
        ("MIT WITH LLVM-exception", false),
    ] {
        assert_eq!(
            is_satisfied(expression, &|id| id == "MIT"),
            expected,
            "{expression}"
        );
    }
}
