//! The date of a signature, as `X-Sdk-Date` carries it.
//!
//! Its own type, because the gateway refuses a date that is more than 15 minutes off, and because an
//! SDK once formatted it with the machine's locale.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::SignatureError;

/// A date of the form `YYYYMMDDTHHMMSSZ`, in UTC, with a resolution of one second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigningDate([u8; 16]);

impl SigningDate {
    /// The date of a time in seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Date`] for a time outside the years 0 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, SignatureError> {
        let time = Timestamp::from_second(seconds).map_err(|_| SignatureError::Date)?;
        let time = TimeZone::UTC.to_datetime(time);
        let year = u16::try_from(time.year()).map_err(|_| SignatureError::Date)?;
        let mut text = *b"00000000T000000Z";
        for (at, number) in [(0, year / 100), (2, year % 100)] {
            put_two_digits(&mut text[at..], number);
        }
        let fields = [
            (4, time.month()),
            (6, time.day()),
            (9, time.hour()),
            (11, time.minute()),
            (13, time.second()),
        ];
        for (at, number) in fields {
            put_two_digits(&mut text[at..], u16::from(number.unsigned_abs()));
        }
        Ok(Self(text))
    }

    /// Reads a date that a request carries.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Date`] if it is not of the form `YYYYMMDDTHHMMSSZ` or not a date that exists.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let bytes: [u8; 16] = text
            .as_bytes()
            .try_into()
            .map_err(|_| SignatureError::Date)?;
        let date = Self(bytes);
        date.checked_unix_seconds().map(|_| date)
    }

    /// The date as a request carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a signing date is ascii")
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.checked_unix_seconds()
            .expect("a signing date is checked when it is made")
    }

    fn checked_unix_seconds(self) -> Result<i64, SignatureError> {
        let (day, time) = (&self.0[..8], &self.0[9..15]);
        let framed = self.0[8] == b'T' && self.0[15] == b'Z';
        if !framed || !day.iter().chain(time).all(u8::is_ascii_digit) {
            return Err(SignatureError::Date);
        }
        let number = |at: usize| i8::try_from((self.0[at] - b'0') * 10 + (self.0[at + 1] - b'0'));
        let fields = || -> Result<_, std::num::TryFromIntError> {
            let year = i16::from(number(0)?) * 100 + i16::from(number(2)?);
            Ok((
                year,
                number(4)?,
                number(6)?,
                number(9)?,
                number(11)?,
                number(13)?,
            ))
        };
        let (year, month, day, hour, minute, second) =
            fields().map_err(|_| SignatureError::Date)?;
        DateTime::new(year, month, day, hour, minute, second, 0)
            .and_then(|time| TimeZone::UTC.to_timestamp(time))
            .map(|time| time.as_second())
            .map_err(|_| SignatureError::Date)
    }
}

impl fmt::Display for SigningDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SigningDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningDate({self})")
    }
}

fn put_two_digits(text: &mut [u8], number: u16) {
    for (at, digit) in [(0, number / 10 % 10), (1, number % 10)] {
        text[at] = b'0' + u8::try_from(digit).expect("a decimal digit fits a byte");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_text_are_two_views_of_one_date() {
        for (seconds, text) in [
            (0, "19700101T000000Z"),
            (1_573_788_960 + 55, "20191115T033655Z"),
            (1_709_164_799, "20240228T235959Z"),
        ] {
            let date = SigningDate::from_unix_seconds(seconds).unwrap();
            assert_eq!((date.as_str(), date.unix_seconds()), (text, seconds));
            assert_eq!(SigningDate::parse(text), Ok(date));
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "20191115",
            "20191115T033655",
            "20191115t033655Z",
            "20191315T033655Z",
            "20190230T000000Z",
            "2019-11-15T03:36Z",
            "２０191115T033Z",
        ] {
            assert_eq!(
                SigningDate::parse(text),
                Err(SignatureError::Date),
                "{text}"
            );
        }
    }

    #[test]
    fn years_past_four_digits_are_refused() {
        assert_eq!(
            SigningDate::from_unix_seconds(i64::MAX),
            Err(SignatureError::Date)
        );
    }
}
