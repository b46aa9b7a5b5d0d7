//! The project of a cloud service's region, which IAM lists for the account of a credential.

use apig_proxy::emulator::{Accounts, Service};
use serde_json::Value;

use super::{Region, accepted};
use crate::support::wait_until;

const CLOUD: &str = "\n[cloud]\nservices = ['vpc.cn-north-4', 'ecs.cn-north-4']\n\
    endpoints = { 'vpc.cn-north-4' = 'UPSTREAM', 'ecs.cn-north-4' = 'UPSTREAM', iam = 'UPSTREAM' }\n";

/// The project that the emulated IAM has for the region.
const PROJECT: &str = "cab2add11c89461040c6d3a29fdef357";

fn project_in(said: &Value) -> &str {
    let headers = said["headers"].as_array().unwrap();
    let mut projects = headers.iter().filter(|header| header[0] == "x-project-id");
    projects.next().unwrap()[1].as_str().unwrap()
}

#[test]
fn a_new_key_asks_for_the_project_again_because_its_account_may_be_another() {
    let mut accounts = Accounts::throw_away();
    accounts.keys.extend(Accounts::throw_away().keys);
    let region = Region::new(accounts);
    region.own_key_file("key.csv", 0);
    let proxy = region.proxy(&format!("[credentials]\nfile = 'key.csv'{CLOUD}"));
    let said = || accepted(&proxy.get("/vpc.cn-north-4/v1/x"));
    assert_eq!(project_in(&said()), PROJECT);
    region.own_key_file("key.csv", 1);
    let other = region.accounts.keys[1].access_key.as_str();
    wait_until("the other key signs", || said()["access_key"] == other);
    assert_eq!(project_in(&said()), PROJECT);
    assert_eq!(region.cloud.calls(Service::Iam), 2);
}
