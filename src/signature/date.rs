//! The date of a signature, as `X-Sdk-Date` carries it.
//!
//! A type of its own, so that a date is checked once, and is written the same on every machine: an
//! SDK once wrote it in the machine's locale.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::SignatureError;

const FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// A date of the form `YYYYMMDDTHHMMSSZ`, in UTC, with a resolution of one second.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SigningDate {
    text: [u8; 16],
    seconds: i64,
}

impl SigningDate {
    /// The date of a time in seconds since 1970-01-01T00:00:00Z.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Date`] for a time outside the years 0 to 9999.
    pub fn from_unix_seconds(seconds: i64) -> Result<Self, SignatureError> {
        let time = Timestamp::from_second(seconds).map_err(|_| SignatureError::Date)?;
        let text = time.strftime(FORMAT).to_string();
        let text: [u8; 16] = text
            .as_bytes()
            .try_into()
            .map_err(|_| SignatureError::Date)?;
        // Years before 0 have a sign in the place of a digit.
        if text[0] == b'-' {
            return Err(SignatureError::Date);
        }
        Ok(Self { text, seconds })
    }

    /// Parses the date of a request.
    ///
    /// # Errors
    ///
    /// [`SignatureError::Date`] if it is not of the form `YYYYMMDDTHHMMSSZ`, or does not exist.
    pub fn parse(text: &str) -> Result<Self, SignatureError> {
        let time =
            DateTime::strptime(FORMAT, text).and_then(|time| TimeZone::UTC.to_timestamp(time));
        let date = Self::from_unix_seconds(time.map_err(|_| SignatureError::Date)?.as_second())?;
        // The parser is more lenient than the gateway, with blanks and leap seconds for example.
        if date.as_str() != text {
            return Err(SignatureError::Date);
        }
        Ok(date)
    }

    /// The date as a request carries it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.text).expect("a signing date is ASCII")
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn unix_seconds(&self) -> i64 {
        self.seconds
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_texts_and_years_are_refused() {
        for text in [
            "",
            "20191115",
            "20191115T033655",
            "20191115t033655Z",
            "20191315T033655Z",
            "20190230T000000Z",
            "20191115T033660Z",
            "2019-11-15T03:36Z",
            " 20191115T03365Z",
            "20191115T 33655Z",
            "+2019115T033655Z",
            "-0010101T000000Z",
            "２０191115T033Z",
        ] {
            assert_eq!(
                SigningDate::parse(text),
                Err(SignatureError::Date),
                "{text}"
            );
        }
        for seconds in [i64::MAX, -62_198_755_200] {
            let date = SigningDate::from_unix_seconds(seconds);
            assert_eq!(date, Err(SignatureError::Date));
        }
    }
}
