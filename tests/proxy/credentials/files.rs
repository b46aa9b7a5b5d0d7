//! Fault 67: a file with a key is replaced while requests run.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use apig_proxy::emulator::Accounts;
use secrecy::ExposeSecret;

use super::region::accepted;
use super::{Load, Region, key, log, put};
use crate::support::{Proxy, pause, wait_until};

const KEYS: [&str; 2] = ["AKTEST00000000000ONE", "AKTEST00000000000TWO"];

const HEAD: &str = "User Name,Access Key Id,Secret Access Key\n";

/// The number of callers in each test, and the least number of requests of each.
const CALLERS: usize = 8;
const REQUESTS: usize = 420;

/// A `credentials.csv` with a key.
fn csv(access_key: &str) -> String {
    let secret = key(access_key).secret_key;
    format!("{HEAD}\"me\",{access_key},{}\n", secret.expose_secret())
}

/// A region that knows both keys, and a proxy that reads its key from `path`, which `first` writes.
fn scene(set: &str, path: &str, first: impl FnOnce(&Region)) -> (Region, Proxy) {
    log::listen();
    let region = Region::new(Accounts {
        keys: KEYS.map(key).into(),
        ..Accounts::default()
    });
    first(&region);
    let proxy = region.proxy(&format!(
        "[credentials.{set}]\nfile = \"{path}\"\n{}",
        region.route("/v1", &format!("credentials = \"{set}\""))
    ));
    (region, proxy)
}

/// The same with the first key in `key.csv`.
fn with_key_file(set: &str) -> (Region, Proxy) {
    scene(set, "key.csv", |region| {
        region.file("key.csv", &csv(KEYS[0]));
    })
}

/// The access key that signs now.
fn signs(proxy: &Proxy) -> String {
    let said = accepted(&proxy.get("/v1"));
    said["access_key"].as_str().unwrap().to_owned()
}

fn wait_for(proxy: &Proxy, access_key: &str) {
    wait_until("the new key signs", || signs(proxy) == access_key);
}

/// The counts of successful and failed refreshes of the key, and the result of the last one.
fn refreshes(proxy: &Proxy, set: &str) -> (f64, f64, f64) {
    let metrics = proxy.metrics();
    let count = |result: &str| {
        let labels = format!("credentials={set} kind=key result={result}");
        metrics.value("apig_proxy_credentials_refresh_total", &labels)
    };
    let labels = format!("credentials={set} kind=key");
    let last = metrics.value("apig_proxy_credentials_last_refresh_successful", &labels);
    (count("ok"), count("failed"), last)
}

fn errors(set: &str) -> Vec<String> {
    let mut lines = log::about(set);
    lines.retain(|line| line.starts_with("ERROR"));
    lines
}

/// Replaces the key several times under load. No request may fail.
fn replaced_again_and_again(set: &str, proxy: &Proxy, replace: impl Fn(usize, &str)) {
    let load = Load::on(proxy, &["/v1"], CALLERS, REQUESTS);
    for turn in 1..=6 {
        let access_key = KEYS[turn % 2];
        replace(turn, access_key);
        wait_for(proxy, access_key);
    }
    let served = load.end();
    served.all(CALLERS * REQUESTS);
    assert_eq!(served.keys.into_iter().collect::<Vec<_>>(), KEYS);
    let (read, failed, last) = refreshes(proxy, set);
    assert_eq!((read, failed, last), (7.0, 0.0, 1.0));
    assert_eq!(errors(set), [""; 0]);
}

#[test]
fn fault_67_no_request_fails_while_a_key_is_replaced_by_rename() {
    let (region, proxy) = with_key_file("renamed");
    replaced_again_and_again("renamed", &proxy, |_, access_key| {
        let new = region.file("new.csv", &csv(access_key));
        fs::rename(new, region.path("key.csv")).unwrap();
    });
}

/// Writes a folder as Kubernetes does, and points `..data` to it.
fn swap(region: &Region, turn: usize, access_key: &str) {
    let old = fs::read_link(region.path("..data"));
    let folder = format!("..{turn}");
    fs::create_dir(region.path(&folder)).unwrap();
    let file = region.path(&folder).join("credentials.csv");
    put(&file, &csv(access_key));
    symlink(&folder, region.path("..data_tmp")).unwrap();
    fs::rename(region.path("..data_tmp"), region.path("..data")).unwrap();
    if let Ok(old) = old {
        fs::remove_dir_all(region.path(old.to_str().unwrap())).unwrap();
    }
}

#[test]
fn fault_67_no_request_fails_while_kubernetes_swaps_the_folder_of_a_key() {
    let (region, proxy) = scene("swapped", "credentials.csv", |region| {
        swap(region, 0, KEYS[0]);
        symlink("..data/credentials.csv", region.path("credentials.csv")).unwrap();
    });
    replaced_again_and_again("swapped", &proxy, |turn, access_key| {
        swap(&region, turn, access_key);
    });
}

/// Truncates a file and writes it again, with a pause after `at` bytes.
fn rewrite(path: &Path, content: &str, at: usize, time: Duration) {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).truncate(true).open(path).unwrap();
    file.write_all(&content.as_bytes()[..at]).unwrap();
    pause(time);
    file.write_all(&content.as_bytes()[at..]).unwrap();
}

#[test]
fn fault_67_no_request_fails_while_a_key_is_written_over_piece_by_piece() {
    let (region, proxy) = with_key_file("rewritten");
    replaced_again_and_again("rewritten", &proxy, |turn, access_key| {
        let content = csv(access_key);
        // In the middle of the first line, of the access key, and of the secret, which then looks whole.
        let at = [10, HEAD.len() + 12, content.len() - 8][turn % 3];
        let path = region.path("key.csv");
        rewrite(&path, &content, at, Duration::from_millis(50));
    });
}

#[test]
fn fault_67_a_truncated_file_keeps_the_old_key_and_is_logged_once() {
    const SET: &str = "half";
    let (region, proxy) = with_key_file(SET);
    let load = Load::on(&proxy, &["/v1"], 2, 100);
    for (turn, at) in [(1, 0), (2, 10), (3, HEAD.len() + 12)] {
        let content = csv(KEYS[turn % 2]);
        let path = region.path("key.csv");
        let writing = std::thread::spawn(move || {
            // Longer than two checks of the file.
            rewrite(&path, &content, at, Duration::from_millis(3500));
        });
        let failed = turn as f64;
        wait_until("half a file is noticed", || {
            refreshes(&proxy, SET) == (failed, failed, 0.0)
        });
        // The old key stays.
        assert_eq!(signs(&proxy), KEYS[(turn - 1) % 2]);
        writing.join().unwrap();
        wait_for(&proxy, KEYS[turn % 2]);
        assert_eq!(refreshes(&proxy, SET), (failed + 1.0, failed, 1.0));
        let errors = errors(SET);
        assert_eq!(errors.len(), turn, "{errors:#?}");
        let last = &errors[turn - 1];
        assert!(last.contains("key.csv"), "{last}");
        assert!(last.contains("the old one stays"), "{last}");
    }
    load.end().all(200);
}

#[test]
fn fault_67_an_invalid_file_keeps_the_old_key_until_it_is_valid() {
    const SET: &str = "spoilt";
    let (region, proxy) = with_key_file(SET);
    let path = region.path("key.csv");
    let away = region.path("away.csv");
    fs::rename(&path, &away).unwrap();
    wait_until("the file is missed", || refreshes(&proxy, SET).1 == 1.0);
    assert_eq!(signs(&proxy), KEYS[0]);
    assert!(errors(SET)[0].contains("does not exist"));
    // The same content is no new key, but the file can be read again.
    fs::rename(&away, &path).unwrap();
    wait_until("the file is back", || refreshes(&proxy, SET).2 == 1.0);
    assert_eq!((signs(&proxy).as_str(), errors(SET).len()), (KEYS[0], 1));

    region.key_file("key.csv", "AKIA0000000000000000", "x");
    wait_until("it is noticed", || refreshes(&proxy, SET).1 == 2.0);
    assert!(errors(SET)[1].contains("another cloud"));
    fs::write(region.path("open.csv"), csv(KEYS[1])).unwrap();
    fs::rename(region.path("open.csv"), &path).unwrap();
    wait_until("it is noticed", || refreshes(&proxy, SET).1 == 3.0);
    assert!(errors(SET)[2].contains("chmod o-rwx"), "{:?}", errors(SET));
    assert_eq!(signs(&proxy), KEYS[0]);
    put(&path, &csv(KEYS[1]));
    wait_for(&proxy, KEYS[1]);
}
