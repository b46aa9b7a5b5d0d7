//! `[cloud]`: services of Huawei Cloud that need no `[[route]]`. Each service in each region becomes
//! a route of its own, with a prefix like `/vpc.cn-north-4`, so that limits, retries, clocks and
//! metrics work as for every route.
//!
//! With other services there is always IAM, since SDKs ask it for the ids of projects. Callers with
//! access to all of IAM can create access keys, so they reach only those parts of it, unless it is
//! configured as a service itself.

use std::collections::BTreeMap;

use http::{HeaderValue, Method};

use super::address::{self, Listen};
use super::environment::Environment;
use super::problem::{Place, Problem};
use super::reader::Reader;
use super::routes::{MODES, elsewhere};
use super::services::{is_label, service_name};
use super::value::{list, project_id, text, word};
use super::{Auth, AuthMode, CredentialsConfig, LargeBody, Methods, PathPattern, Route};
use super::{ReadOnly, RouteSigning, UpstreamUrl, upstream_url};
use crate::signature::Algorithm;

pub(crate) const IAM: &str = "iam";

/// The paths of IAM that callers reach by default.
const IAM_PATHS: [&str; 2] = ["/iam/v3/projects", "/iam/v3/auth/domains"];

/// The methods of services, if `methods` is not set: gateways document fewer.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// A cloud service in one region, to which a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudService {
    /// Its region; `None` for a service without regions.
    pub region: Option<String>,
    /// The project in the region (`cloud.projects`); `None` if IAM is asked for it.
    pub project_id: Option<HeaderValue>,
}

/// The services of `cloud.signs_otherwise`, and a route for each service of `cloud.services`.
pub(super) fn cloud(
    reader: &mut Reader,
    environment: &Environment,
    listen: &[Listen],
    sets: &[CredentialsConfig],
) -> (Vec<String>, Vec<Route>) {
    const OTHERWISE: &str = "a service of `cloud.signs_otherwise` does not accept the signatures that the proxy makes\n\
        hint: remove it from `cloud.services`, and call it directly";
    const ISSUES: &str = "callers who may use all of IAM or STS can create access keys that work without the proxy\n\
        hint: remove `iam` unless callers manage users; SDKs reach what they need of it anyway";
    let signs_otherwise: Vec<String> = reader.get("cloud.signs_otherwise", list(label));
    let mut cloud = Cloud::read(reader, listen);
    let names = cloud.names(reader);
    for name in &names {
        let service = name.split('.').next().unwrap_or_default();
        if signs_otherwise.iter().any(|known| known == service) {
            reader.report("cloud.services", OTHERWISE);
        }
        if [IAM, "sts"].contains(&service) {
            reader.warn("cloud.services", ISSUES);
        }
    }
    let routes = names.iter().filter_map(|name| cloud.route(reader, name));
    let mut routes: Vec<Route> = routes.collect();
    if !names.is_empty() && !names.iter().any(|name| name == IAM) {
        if !cloud.endpoints.contains_key(IAM) {
            let iam = sets[0].iam.clone();
            let iam = iam.or_else(|| iam_of(environment, reader, listen));
            cloud.endpoints.extend(iam.map(|iam| (IAM.to_owned(), iam)));
        }
        let paths = IAM_PATHS.iter().filter_map(|path| PathPattern::new(path));
        routes.extend(cloud.route(reader, IAM).map(|route| Route {
            methods: Some(Methods::Only(vec![Method::GET])),
            paths: Some(paths.collect()),
            ..route
        }));
    }
    (signs_otherwise, routes)
}

/// The IAM that the environment names, as for the SDKs.
fn iam_of(
    environment: &Environment,
    reader: &mut Reader,
    listen: &[Listen],
) -> Option<UpstreamUrl> {
    const VARIABLE: &str = "HUAWEICLOUD_SDK_IAM_ENDPOINT";
    let url = elsewhere(environment.text(VARIABLE)?, listen);
    url.map_err(|expected| {
        let place = Place::Variable(VARIABLE.to_owned());
        reader.problems.push(Problem::new(place, "", expected));
    })
    .ok()
}

/// The values of `[cloud]`, from which routes are made.
struct Cloud {
    domain: String,
    pattern: String,
    /// The names that keys are derived for, by service.
    derived: BTreeMap<String, String>,
    endpoints: BTreeMap<String, UpstreamUrl>,
    projects: BTreeMap<String, HeaderValue>,
    methods: Option<Methods>,
    signing: RouteSigning,
    mode: AuthMode,
}

impl Cloud {
    fn read(reader: &mut Reader, listen: &[Listen]) -> Self {
        let derived = reader.get("cloud.derived", list(derived));
        let has_services = reader.is_set("cloud.services");
        Self {
            domain: reader.get("cloud.domain", text(address::host)),
            pattern: reader.get("cloud.pattern", text(pattern)),
            derived: derived.into_iter().collect(),
            endpoints: reader.entries("cloud.endpoints", |url| elsewhere(url, listen)),
            projects: reader.entries("cloud.projects", project_id),
            methods: (!reader.is_set("methods")).then(|| Methods::Only(METHODS.to_vec())),
            signing: RouteSigning::read(reader, "", has_services),
            // An app or an API key has no access to services.
            mode: match reader.get("auth.mode", word(MODES)) {
                AuthMode::Token => AuthMode::Token,
                AuthMode::AkSk | AuthMode::AppCode | AuthMode::ApiKey => AuthMode::AkSk,
            },
        }
    }

    /// The names of all services: a service with an endpoint of its own name has no regions.
    fn names(&self, reader: &mut Reader) -> Vec<String> {
        const NO_REGION: &str = "a service needs a region\n\
            hint: set `cloud.regions`, or write it like \"vpc.cn-north-4\"";
        let regions: Vec<String> = reader.get("cloud.regions", list(label));
        let services: Vec<String> = reader.get("cloud.services", list(service_name));
        let mut names = Vec::new();
        for service in services {
            if service.contains('.') || self.endpoints.contains_key(&service) {
                names.push(service);
            } else if regions.is_empty() {
                reader.report("cloud.services", NO_REGION);
            } else {
                names.extend(regions.iter().map(|region| format!("{service}.{region}")));
            }
        }
        names.sort_unstable();
        names.dedup();
        names
    }

    fn route(&self, reader: &mut Reader, name: &str) -> Option<Route> {
        let mut labels = name.split('.');
        let (service, region) = (labels.next()?, labels.next());
        let upstream = match self.endpoints.get(name) {
            Some(endpoint) => endpoint.clone(),
            None => self.standard_endpoint(reader, service, region)?,
        };
        Some(Route {
            prefix: format!("/{name}"),
            upstream,
            stage: HeaderValue::from_static("RELEASE"),
            methods: self.methods.clone(),
            paths: None,
            auth: Auth {
                mode: self.mode,
                credentials: 0,
            },
            large_body: LargeBody::Reject,
            headers: Vec::new(),
            forward_authorization_as: None,
            response_timeout: None,
            idle_timeout: None,
            keeps_origin: false,
            signing: self.signing(name),
            service: Some(CloudService {
                project_id: region.and_then(|region| self.projects.get(region).cloned()),
                region: region.map(str::to_owned),
            }),
            read_only: ReadOnly::default(),
        })
    }

    /// How requests to a service are signed. As in the SDKs, keys are derived only for endpoints of
    /// `cloud.endpoints`.
    fn signing(&self, name: &str) -> RouteSigning {
        let own_endpoint = self.endpoints.contains_key(name);
        match name.split_once('.').filter(|_| own_endpoint) {
            Some((service, region)) if self.derived.contains_key(service) => RouteSigning {
                algorithm: Algorithm::NAMES[2],
                region: region.to_owned(),
                service: self.derived[service].clone(),
            },
            _ => self.signing.clone(),
        }
    }

    fn standard_endpoint(
        &self,
        reader: &mut Reader,
        service: &str,
        region: Option<&str>,
    ) -> Option<UpstreamUrl> {
        let without_region = region.is_none().then_some("{service}.{domain}");
        let pattern = without_region.unwrap_or(&self.pattern);
        let host = filled(pattern, service, region.unwrap_or_default(), &self.domain);
        let url = upstream_url::upstream(&format!("https://{host}"));
        let url = url.map_err(|expected| reader.report("cloud.domain", expected));
        url.ok()
    }
}

fn label(text: &str) -> Result<String, &'static str> {
    let label = is_label(text).then(|| text.to_owned());
    label.ok_or("expected names in lower case, like \"vpc\" or \"cn-north-4\"")
}

/// Parses a service, and the name that keys are derived for, which is the same by default.
fn derived(text: &str) -> Result<(String, String), &'static str> {
    const EXPECTED: &str = "expected services, like \"iotdm\", or \"iotda:iotdm\" if keys are derived for another name";
    let (service, name) = text.split_once(':').unwrap_or((text, text));
    let is_pair = is_label(service) && is_label(name);
    let pair = is_pair.then(|| (service.to_owned(), name.to_owned()));
    pair.ok_or(EXPECTED)
}

fn pattern(text: &str) -> Result<String, &'static str> {
    const EXPECTED: &str =
        "expected a host name with {service} and {region}, like \"{service}.{region}.{domain}\"";
    let filled = filled(text, "x", "x", "x");
    let is_complete = text.contains("{service}") && text.contains("{region}");
    let is_host = address::host(&filled).is_ok() && filled.split('.').all(is_label);
    let pattern = (is_complete && is_host).then(|| text.to_owned());
    pattern.ok_or(EXPECTED)
}

fn filled(pattern: &str, service: &str, region: &str, domain: &str) -> String {
    let host = pattern.replace("{service}", service);
    let host = host.replace("{region}", region);
    host.replace("{domain}", domain)
}
