//! The options that describe a request: `-X`, `-H`, `-d` and `--data-file`.
//!
//! One piece for `sign` and `verify`, so that what the one signs is what the other verifies. Which
//! message a malformed header gets is up to the command.

use std::path::PathBuf;

use clap::{ArgGroup, Args};

/// A request that is described by options; its URL is an argument of the command.
#[derive(Clone, Debug, Default, Args)]
#[command(group(ArgGroup::new("body").args(["data", "data_file"])))]
pub struct Described {
    /// Method [default: GET, or POST with a body].
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// Header; may be given several times.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Body, as it is: "@" has no meaning here.
    #[arg(short = 'd', long, value_name = "DATA")]
    pub data: Option<String>,
    /// File with the body, or "-" for standard input.
    #[arg(long, value_name = "FILE")]
    pub data_file: Option<PathBuf>,
}

impl Described {
    /// Whether no option was given.
    pub(super) fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && !self.has_body()
    }

    /// The method, which the body decides unless it was given.
    pub(super) fn method(&self) -> &str {
        let default = if self.has_body() { "POST" } else { "GET" };
        self.method.as_deref().unwrap_or(default)
    }

    /// Name and value of every header, the value with the blanks around it; `None` for a line that is
    /// not one.
    pub(super) fn headers(&self) -> impl Iterator<Item = Option<(&str, &str)>> {
        self.headers.iter().map(|line| {
            let (name, value) = line.split_once(':')?;
            let name = name.trim();
            (!name.is_empty()).then_some((name, value))
        })
    }

    /// Whether the body comes from standard input.
    pub(super) fn reads_standard_input(&self) -> bool {
        let path = self.data_file.as_deref();
        path.is_some_and(|path| path.as_os_str() == "-")
    }

    fn has_body(&self) -> bool {
        self.data.is_some() || self.data_file.is_some()
    }
}
