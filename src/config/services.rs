//! The configured cloud services by name, like `vpc.cn-north-4`, for a path, a `Host` or an option. A
//! caller names a service, never a host.

use std::collections::HashMap;

use super::Config;

/// The longest name for which a similar one is looked for.
const MAX_NAME: usize = 100;

/// The largest edit distance of a suggested name; less for short names.
const MAX_DISTANCE: usize = 3;

/// Why there is no service of a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// It is not among the configured ones.
    #[error("this cloud service is not allowed here\nhint: {}", hint(.nearest.as_deref()))]
    NotAllowed {
        /// The most similar configured name.
        nearest: Option<String>,
    },
    /// It is one of `cloud.signs_otherwise`.
    #[error(
        "this cloud service does not accept the signatures that the proxy makes (`cloud.signs_otherwise`)\n\
         hint: call it directly, with its own SDK or tool and a temporary key"
    )]
    SignsOtherwise,
}

fn hint(nearest: Option<&str>) -> String {
    const ADD: &str = "add it to `cloud.services`, or name it with `--service` of `run`";
    let nearest = nearest.map(|name| format!("did you mean `{name}`? If not, {ADD}"));
    nearest.unwrap_or_else(|| ADD.to_owned())
}

/// The names of the configured services, and the indexes of their routes.
#[derive(Clone, Debug, Default)]
pub struct Services {
    routes: HashMap<String, usize>,
    signs_otherwise: Vec<String>,
}

impl Services {
    /// The services of a configuration.
    pub fn new(config: &Config) -> Self {
        let routes = config.routes.iter().enumerate();
        let routes = routes.filter(|(_, route)| route.service.is_some());
        let routes = routes.map(|(at, route)| (route.prefix[1..].to_owned(), at));
        Self {
            routes: routes.collect(),
            signs_otherwise: config.signs_otherwise.clone(),
        }
    }

    /// The index of the route of a service like `vpc.cn-north-4` in [`Config::routes`].
    ///
    /// # Errors
    ///
    /// A [`ServiceError`] if there is no service of this name.
    pub fn route(&self, name: &str) -> Result<usize, ServiceError> {
        let route = self.routes.get(name).copied();
        route.ok_or_else(|| self.missing(name))
    }

    /// The error about the service that a path names in its first segment; `None` if the segment is
    /// not written like a service.
    pub(crate) fn missing_in_path(&self, path: &str) -> Option<ServiceError> {
        if self.routes.is_empty() {
            return None;
        }
        let name = path.strip_prefix('/')?.split('/').next()?;
        let is_missing = !self.routes.contains_key(name);
        (is_missing && self.is_like_service(name)).then(|| self.missing(name))
    }

    /// The route of the service in a host name like `vpc.cn-north-4.localhost`, or the error about a
    /// service that is missing; `None` if it is no name of a service.
    pub(crate) fn of_host(&self, host: &str) -> Option<Result<usize, ServiceError>> {
        if self.routes.is_empty() {
            return None;
        }
        let host = host.to_ascii_lowercase();
        let name = host.strip_suffix(".localhost")?;
        let route = self.route(name);
        (route.is_ok() || name.split('.').count() == 2).then_some(route)
    }

    fn missing(&self, name: &str) -> ServiceError {
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let service = name.split('.').next().unwrap_or_default();
        if self.signs_otherwise.iter().any(|known| known == service) {
            return ServiceError::SignsOtherwise;
        }
        let most = MAX_DISTANCE.min(name.len() / 3);
        // There may be thousands, of which most are too short or too long.
        let names = self.routes.keys();
        let names = names.filter(|known| known.len().abs_diff(name.len()) <= most);
        let nearest = names.map(|known| (strsim::osa_distance(name, known), known));
        let nearest = nearest.min().filter(|(distance, _)| *distance <= most);
        ServiceError::NotAllowed {
            nearest: nearest.map(|(_, name)| name.clone()),
        }
    }

    /// True for two words with a dot between them, of which one is a known service or region, or the
    /// second is written like a region: other paths, like `/index.html`, name no service.
    fn is_like_service(&self, name: &str) -> bool {
        let Some((service, region)) = name.split_once('.').filter(|_| name.len() <= MAX_NAME)
        else {
            return false;
        };
        let is_digit = |last: char| last.is_ascii_digit();
        let is_region = region.split('-').count() == 3 && region.ends_with(is_digit);
        let mut known = self.routes.keys().filter_map(|name| name.split_once('.'));
        is_label(service)
            && is_label(region)
            && (is_region
                || self.signs_otherwise.iter().any(|known| known == service)
                || known.any(|known| known.0 == service || known.1 == region))
    }
}

/// True for a part of a host name, in lower case.
pub(super) fn is_label(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_part) && !text.starts_with('-')
}

/// Parses a service, or a service in one region.
pub(super) fn service_name(text: &str) -> Result<String, &'static str> {
    let mut labels = text.split('.');
    let is_name = labels.clone().count() <= 2 && labels.all(is_label);
    let name = is_name.then(|| text.to_owned());
    name.ok_or("expected services in lower case, like \"vpc\" or \"vpc.cn-north-4\"")
}
