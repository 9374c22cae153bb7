//! The README names existing tests.

use std::fs::read_to_string;
use std::path::Path;

/// Concatenated source of all tests below `folder`.
fn sources(folder: &Path) -> String {
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let source = |path: std::path::PathBuf| match path.extension() {
        _ if path.is_dir() => sources(&path),
        Some(extension) if extension == "rs" => read_to_string(path).unwrap(),
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
