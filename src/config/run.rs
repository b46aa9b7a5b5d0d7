//! `[run]`: what `apig-proxy run` adds to the environment of the program that it starts.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::services::service_name;
use super::value::{list, optional};

/// The configuration of `apig-proxy run` (`[run]`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunConfig {
    /// Services with a port of their own, as `service.region`.
    pub services: Vec<String>,
    /// Path of an API that OpenAI clients call: starts with `/` and does not end with it.
    pub openai: Option<String>,
    /// Further variables: name and template.
    pub variables: BTreeMap<String, String>,
}

pub(super) fn run(reader: &mut Reader) -> RunConfig {
    RunConfig {
        services: reader.get("run.services", list(service_name)),
        openai: reader.get("run.openai", optional(path)),
        variables: variables(reader),
    }
}

/// Parses a path that is the base of a URL.
fn path(text: &str) -> Result<String, &'static str> {
    let is_part = |byte: u8| byte.is_ascii_graphic() && !b"?#\"'\\{}<>".contains(&byte);
    let is_path = text.starts_with('/') && text.bytes().all(is_part);
    let path = is_path.then(|| text.trim_end_matches('/').to_owned());
    path.ok_or("expected the path of an API, like \"/v1/infers/1234/v1\"")
}

fn variables(reader: &mut Reader) -> BTreeMap<String, String> {
    const NAME: &str = "expected names of letters, digits and underscores";
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = |name: &String| {
        name.starts_with(|first: char| !first.is_ascii_digit()) && name.bytes().all(is_part)
    };
    let variables = reader.entries("run.env", |template| Ok(template.to_owned()));
    if !variables.keys().all(is_name) {
        reader.report("run.env", NAME);
    }
    variables
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::from_text;
    use super::*;

    fn run(text: &str) -> RunConfig {
        let text = format!("upstream = \"https://a.example\"\n{text}");
        from_text(Path::new("c.toml"), &text).unwrap().run
    }

    #[test]
    fn variables_are_a_table_or_a_list_and_keep_their_spelling() {
        let table = "[run.env]\nBASE_Url = \"{url}/flowers\"\n_x = \"\"\n";
        let expected = [("BASE_Url", "{url}/flowers"), ("_x", "")];
        let expected = expected.map(|(name, template)| (name.to_owned(), template.to_owned()));
        assert_eq!(run(table).variables, expected.clone().into());
        let list = "[run]\nenv = [\"BASE_Url={url}/flowers\", \"_x=\"]\n";
        assert_eq!(run(list).variables, expected.into());
        let openai = run("run.openai = \"/v1/\"").openai;
        assert_eq!(openai.as_deref(), Some("/v1"));
    }
}
