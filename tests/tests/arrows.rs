//! Fails on any dependency between our crates that the architecture does not know.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// Each crate with those of ours it may depend on.
const ALLOWED: [(&str, &[&str]); 7] = [
    ("devices", &[]),
    ("guest-images", &[]),
    ("migration", &[]),
    ("balloon", &["devices"]),
    ("vmm", &["balloon", "devices", "guest-images", "migration"]),
    (
        "tests",
        &["balloon", "devices", "guest-images", "migration", "vmm"],
    ),
    ("skiff-fuzz", &["migration", "vmm"]),
];

/// The workspaces: that of the program, and that of the fuzz targets.
const MANIFESTS: [&str; 2] = ["../Cargo.toml", "../fuzz/Cargo.toml"];

/// Crates that know KVM; the others must not, so that devices and migration stay testable without.
const KVM_CRATES: [&str; 2] = ["kvm-bindings", "kvm-ioctls"];
const MAY_KNOW_KVM: [&str; 2] = ["vmm", "tests"];

/// The part of `cargo metadata` that matters here.
#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
}

/// The dependencies of each crate of ours, of every kind.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    MANIFESTS.into_iter().flat_map(dependencies_in).collect()
}

/// Asks cargo for the dependencies of each crate of a workspace.
fn dependencies_in(manifest: &str) -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version=1",
            "--manifest-path",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(manifest))
        .output()
        .expect("cargo runs this test");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Metadata = serde_json::from_slice(&output.stdout).expect("the documented form");
    let names = |list: Vec<Dependency>| list.into_iter().map(|one| one.name).collect();
    metadata
        .packages
        .into_iter()
        .map(|one| (one.name, names(one.dependencies)))
        .collect()
}

#[test]
fn arrow_between_crates_that_is_not_in_the_architecture_fails() {
    let allowed = BTreeMap::from(ALLOWED);
    for (name, dependencies) in dependencies() {
        let arrows = allowed.get(name.as_str());
        let arrows = arrows.unwrap_or_else(|| panic!("the architecture has no crate {name}"));
        for target in dependencies
            .iter()
            .filter(|target| allowed.contains_key(target.as_str()))
        {
            assert!(
                arrows.contains(&target.as_str()),
                "{name} must not depend on {target}"
            );
        }
    }
}

#[test]
fn crate_that_must_not_know_kvm_does_not_depend_on_it() {
    for (name, dependencies) in dependencies() {
        let kvm = KVM_CRATES.iter().find(|kvm| dependencies.contains(**kvm));
        if let Some(kvm) = kvm {
            assert!(
                MAY_KNOW_KVM.contains(&name.as_str()),
                "{name} must not depend on {kvm}"
            );
        }
    }
}
