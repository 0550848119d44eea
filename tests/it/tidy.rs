//! Layout rules: who may depend on whom, who may touch what, how long a file may be.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::server::root;

/// Every file git tracks or would track, relative to the root.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .unwrap();
    let listed = String::from_utf8(output.stdout).unwrap();
    let files: Vec<_> = listed.lines().map(PathBuf::from).filter(|file| root().join(file).is_file()).collect();
    assert!(files.len() > 50, "the files were not listed");
    files
}

fn text(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(root().join(file)).unwrap()).into_owned()
}

fn is_code(file: &Path) -> bool {
    matches!(file.extension().and_then(|extension| extension.to_str()), Some("rs" | "ts" | "tsx"))
}

/// Unit tests that outgrew their module: `x/tests.rs` or `x_tests.rs` beside `x.rs`.
fn is_tests(file: &Path) -> bool {
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem == "tests" || stem.ends_with("_tests")
}

/// The production half of a Rust file: what stands before its unit tests.
fn production(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

#[test]
fn crates_depend_only_downwards() {
    let allowed = BTreeMap::from([
        ("store", vec![]),
        ("ingest", vec!["store"]),
        ("query", vec!["store"]),
        ("alerter", vec!["query", "store"]),
        ("dashboards", vec!["query"]),
        ("benches", vec![]),
    ]);
    for (name, expected) in &allowed {
        let manifest: toml::Table = text(&Path::new(name).join("Cargo.toml")).parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        let ours: Vec<_> = dependencies.keys().filter(|key| allowed.contains_key(key.as_str())).collect();
        assert!(
            ours.iter().all(|key| expected.contains(&key.as_str())),
            "{name} may depend on {expected:?}, found {ours:?}"
        );
    }
}

#[test]
fn files_are_short_enough_to_read() {
    const LINES_MAX: usize = 600;
    let long: Vec<_> = files()
        .into_iter()
        .filter(|file| is_code(file))
        .map(|file| (text(&file).lines().count(), file))
        .filter(|(lines, _)| *lines > LINES_MAX)
        .collect();
    assert!(long.is_empty(), "over {LINES_MAX} lines: {long:?}");
}

#[test]
fn modules_are_named_by_subject() {
    const EMPTY_WORDS: [&str; 8] = ["utils", "util", "common", "helpers", "helper", "types", "misc", "manager"];
    let named: Vec<_> = files()
        .into_iter()
        .filter(|file| is_code(file))
        .filter(|file| {
            file.components().any(|part| {
                let part = part.as_os_str().to_string_lossy();
                EMPTY_WORDS.contains(&part.split('.').next().unwrap_or_default())
            })
        })
        .collect();
    assert!(named.is_empty(), "say what is inside instead: {named:?}");
}

/// Checks that a word of production Rust stands only in files whose path starts with one of `homes`.
fn check_home(word: &str, homes: &[&str]) {
    let strays: Vec<_> = files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"))
        .filter(|file| file.components().any(|part| part.as_os_str() == "src"))
        .filter(|file| !is_tests(file) && !homes.iter().any(|home| file.starts_with(home)))
        .filter(|file| production(&text(file)).contains(word))
        .collect();
    assert!(strays.is_empty(), "`{word}` belongs to {homes:?}: {strays:?}");
}

#[test]
fn each_effect_has_one_home() {
    // Writes of the data folder go through the disk seam; the command line writes the cases it exports.
    for word in ["fs::write", "fs::rename", "fs::remove_file", "fs::create_dir", "File::create", "OpenOptions"] {
        check_home(word, &["store/src/disk", "src/keys.rs", "src/incident.rs", "src/demo", "src/demo.rs", "benches"]);
    }
    // Outbound HTTP: the alerter's delivery, and the command line as a client of our own API.
    check_home(
        "reqwest::",
        &[
            "alerter/src/notify",
            "src/client.rs",
            "src/import.rs",
            "src/incident.rs",
            "src/demo",
            "src/demo.rs",
            "benches",
        ],
    );
    check_home("Utc::now", &["src/serve.rs", "benches/src/machine.rs"]);
    check_home("SystemTime::now", &[]);
    check_home("serve_connection", &["src/listen.rs"]);
}

#[test]
fn the_repository_speaks_of_yellowline_alone() {
    // Written in two halves, so that this list does not find itself.
    let banned = [
        ["static.crates", ".io"],
        ["index.crates", ".io"],
        ["registry.npmjs", ".org"],
        ["files.pythonhosted", ".org"],
        ["deb.debian", ".org"],
        ["/root/", "."],
        ["/work", "/"],
        ["TO", "DO"],
        ["FIX", "ME"],
    ];
    for file in files().iter().filter(|file| !file.ends_with("Cargo.lock")) {
        let text = text(file);
        for [left, right] in &banned {
            assert!(!text.contains(&format!("{left}{right}")), "{} holds {left}{right}", file.display());
        }
    }
}

#[test]
fn every_metric_of_ours_is_documented() {
    let page = text(Path::new("docs/operations.md"));
    for file in files().iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let text = text(file);
        let names = production(&text).split("# TYPE ").skip(1).filter_map(|rest| rest.split_whitespace().next());
        for name in names.filter(|name| name.starts_with("yellowline_") && !name.contains('{')) {
            assert!(page.contains(name), "{name} of {} is not in docs/operations.md", file.display());
        }
    }
}
