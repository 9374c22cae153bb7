//! The README names existing tests; the runbook has every alert and warning.

use std::fs::read_to_string;
use std::path::Path;

/// Concatenated source of all files below `folder`, without unit tests.
fn sources(folder: &Path) -> String {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let source = |path: std::path::PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => {
            let source = read_to_string(path).unwrap();
            source.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default().to_owned()
        }
        _ => String::new(),
    };
    entries.map(source).collect()
}

#[test]
fn every_test_named_in_the_readme_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = read_to_string(root.join("README.md")).unwrap();
    let sources = sources(&root.join("tests"));
    let guarantees = readme.split("## What it guarantees").nth(1).unwrap();
    let guarantees = guarantees.split("\n## ").next().unwrap();
    let is_test = |name: &&str| name.matches('_').count() > 2;
    let named: Vec<&str> = guarantees.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 15, "{named:?}");
    for name in named {
        assert!(sources.contains(&format!("fn {name}(")), "there is no test {name}");
    }
}

/// Messages of warnings and errors in the source: the last text of each such line.
fn log_messages(source: &str) -> Vec<&str> {
    let mut messages = Vec::new();
    for begin in [" error!(", " warn!(", "Fault::error(", "Fault::warn("] {
        for rest in source.split(begin).skip(1) {
            let arguments = rest.split(");").next().unwrap_or_default();
            let texts = arguments.split('"').skip(1).step_by(2);
            messages.extend(texts.filter(|text| text.contains(' ') && !text.contains('{')).last());
            messages.extend(arguments.contains("\"panicked\"").then_some("panicked"));
        }
    }
    messages
}

#[test]
fn runbook_has_every_alert_and_every_warning() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runbook = read_to_string(root.join("docs/operate.md")).unwrap();
    let alerts = read_to_string(root.join("monitoring/alerts.yml")).unwrap();
    let alerts: Vec<&str> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sources = sources(&root.join("src"));
    let messages = log_messages(&sources);
    assert!(alerts.len() > 15 && messages.len() > 30, "{alerts:?} {messages:?}");
    let is_missing = |word: &&&str| !runbook.contains(&format!("`{word}`"));
    let missing: Vec<_> = alerts.iter().chain(&messages).filter(is_missing).collect();
    assert_eq!(missing, Vec::<&&str>::new());
}
