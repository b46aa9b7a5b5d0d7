//! What is missing of a request, by name.

/// Something that is missing.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gap {
    Begun,
    Attempt,
    BodyIn,
    BodyOut,
    Bodies,
    Heads,
}

impl Gap {
    const ALL: [(Self, &'static str); 6] = [
        (Self::Begun, "the head of the request was not recorded"),
        (Self::Attempt, "an attempt was not recorded"),
        (
            Self::BodyIn,
            "a part of the request's body was not recorded",
        ),
        (
            Self::BodyOut,
            "a part of the response's body was not recorded",
        ),
        (
            Self::Bodies,
            "the bodies were dropped to make room (`inspect.memory`)",
        ),
        (
            Self::Heads,
            "the heads were dropped to make room (`inspect.memory`)",
        ),
    ];
}

/// A set of gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gaps(u8);

impl Gaps {
    pub(super) fn add(&mut self, gap: Gap) {
        self.0 |= 1 << gap as u8;
    }

    pub(super) fn has(self, gap: Gap) -> bool {
        self.0 & (1 << gap as u8) != 0
    }

    /// A sentence for each.
    pub(super) fn texts(self) -> Vec<&'static str> {
        let missing = Gap::ALL.iter().filter(|(gap, _)| self.has(*gap));
        missing.map(|(_, text)| *text).collect()
    }
}
