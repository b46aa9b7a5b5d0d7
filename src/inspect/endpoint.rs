//! The paths of the API, and the parameters of its queries.

use http::StatusCode;
use percent_encoding::percent_decode_str;

use super::answer::Problem;
use super::copy::CopyKind;
use super::filter::Filter;
use super::note::Side;

/// The prefix of the paths of the API.
pub(super) const API: &str = "/inspect/v1/";

/// The most requests that a list has unless it asks for fewer.
const MAX_LISTED: usize = 1000;

/// What a path of the API stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    State,
    Requests,
    Request(u128),
    Body(u128, Side),
    Copy(u128, CopyKind),
    Feed,
    Har,
    /// Send a request again; `None` for one of the reader's own.
    Replay(Option<u128>),
    Clear,
    Pause,
    Resume,
}

impl Endpoint {
    /// The endpoint of a path below [`API`].
    pub(super) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.split('/').collect();
        Some(match segments[..] {
            ["state"] => Self::State,
            ["requests"] => Self::Requests,
            ["feed"] => Self::Feed,
            ["har"] => Self::Har,
            ["send"] => Self::Replay(None),
            ["clear"] => Self::Clear,
            ["pause"] => Self::Pause,
            ["resume"] => Self::Resume,
            ["requests", id] => Self::Request(parse_id(id)?),
            ["requests", id, "body", "in"] => Self::Body(parse_id(id)?, Side::In),
            ["requests", id, "body", "out"] => Self::Body(parse_id(id)?, Side::Out),
            ["requests", id, "copy", "curl"] => Self::Copy(parse_id(id)?, CopyKind::Curl),
            ["requests", id, "copy", "python"] => Self::Copy(parse_id(id)?, CopyKind::Python),
            ["requests", id, "copy", "raw"] => Self::Copy(parse_id(id)?, CopyKind::Raw),
            ["requests", id, "replay"] => Self::Replay(Some(parse_id(id)?)),
            _ => return None,
        })
    }

    /// The methods that it takes, as `Allow` lists them. What changes something takes no GET, since
    /// browsers send one for a link.
    pub(super) fn methods(self) -> &'static str {
        match self {
            Self::Replay(_) | Self::Clear | Self::Pause | Self::Resume => "POST",
            _ => "GET, HEAD",
        }
    }
}

fn parse_id(text: &str) -> Option<u128> {
    let is_id = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then(|| u128::from_str_radix(text, 16).ok()).flatten()
}

/// The parameters of a query.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) filter: Filter,
    /// The sequence number that a reader knows; 0 for none.
    pub(super) after: u64,
    pub(super) limit: usize,
}

impl Parameters {
    /// Parses a query.
    ///
    /// # Errors
    ///
    /// A [`Problem`] with a parameter.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        const AFTER: &str = "`after` is no sequence number\nhint: use the last `seq` of a response";
        const LIMIT: &str = "`limit` is no number";
        let wrong = |text: &str| Problem::new(StatusCode::BAD_REQUEST, "bad_query", text);
        let mut parameters = Self {
            filter: Filter::default(),
            after: 0,
            limit: MAX_LISTED,
        };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value).decode_utf8_lossy();
            match name {
                "filter" => {
                    let filter = Filter::parse(&value).map_err(|error| error.to_string());
                    let wrong =
                        |text: String| Problem::new(StatusCode::BAD_REQUEST, "bad_filter", &text);
                    parameters.filter = filter.map_err(wrong)?;
                }
                "after" => parameters.after = value.parse().map_err(|_| wrong(AFTER))?,
                "limit" => parameters.limit = value.parse().map_err(|_| wrong(LIMIT))?,
                _ => {}
            }
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_requests_by_32_hexadecimal_digits() {
        let id = "0123456789abcdef0123456789ABCDEF";
        let number = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
        for (path, endpoint) in [
            ("state".to_owned(), Some(Endpoint::State)),
            (format!("requests/{id}"), Some(Endpoint::Request(number))),
            (
                format!("requests/{id}/body/out"),
                Some(Endpoint::Body(number, Side::Out)),
            ),
            (
                format!("requests/{id}/copy/raw"),
                Some(Endpoint::Copy(number, CopyKind::Raw)),
            ),
            (
                format!("requests/{id}/replay"),
                Some(Endpoint::Replay(Some(number))),
            ),
            (format!("requests/+{}", &id[1..]), None),
            (format!("requests/{}", &id[1..]), None),
            (format!("requests/{id}/"), None),
            (String::new(), None),
            ("state/".to_owned(), None),
        ] {
            assert_eq!(Endpoint::parse(&path), endpoint, "{path}");
        }
    }

    #[test]
    fn queries_are_decoded_and_wrong_parameters_named() {
        let query = "filter=status%3A4xx+method:GET&after=12&limit=5&other=%zz&x";
        let parameters = Parameters::parse(query).unwrap();
        assert_eq!((parameters.after, parameters.limit), (12, 5));
        for query in ["after=x", "after=-1", "limit=", "filter=statsu:4xx"] {
            let problem = Parameters::parse(query).unwrap_err();
            assert_eq!(problem.status, StatusCode::BAD_REQUEST, "{query}");
        }
    }
}
