//! The whole suite once more, under emulated AMD-V.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tests::harness::skiff_binary;
use tests::rig::{Input, Rig, guest_images};

use crate::ground::{is_rig, system_program};

#[test]
fn suite_in_the_rig_passes_under_amd_v() {
    if is_rig() {
        return; // one level is enough
    }
    let suite = std::env::current_exe().unwrap();
    let mut rig = Rig::new().input(skiff_binary().unwrap());
    for program in ["mke2fs", "e2fsck"] {
        rig = rig.input(system_program(program));
    }
    let outcome = rig
        .memory_mib(4096)
        .timeout(Duration::from_secs(45 * 60))
        .run(&[suite.to_str().unwrap(), "--test-threads=1", "--nocapture"])
        .unwrap();
    outcome.assert_success();
    println!("{}", outcome.text());
}

/// The recipe leaves an image alone that is there; one that an older recipe made goes.
fn remove_if_older(image: &Path, recipe: &Path) {
    let made = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified());
    if let (Ok(image_made), Ok(recipe_made)) = (made(image), made(recipe))
        && image_made < recipe_made
    {
        fs::remove_file(image).unwrap();
    }
}

#[test]
fn root_file_system_suite_in_the_rig_passes_under_amd_v() {
    if is_rig() {
        return;
    }
    let image = guest_images().unwrap().join("rootfs-test.img");
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../guest-images/linux/rootfs.sh");
    remove_if_older(&image, &recipe);
    let made = Command::new(recipe).arg(&image).arg("640M").status();
    assert!(made.unwrap().success(), "there is no root file system");
    let suite = std::env::current_exe().unwrap();
    let outcome = Rig::new()
        .input(skiff_binary().unwrap())
        .input(Input::named(&image, "rootfs.img"))
        .input(Input::named(
            image.with_extension("img.key"),
            "rootfs.img.key",
        ))
        .input(Path::new("/usr/bin/ssh"))
        .env("SKIFF_ROOTFS", "/in/rootfs.img")
        // The image lies in it twice: as it is handed in, and unpacked.
        .memory_mib(5120)
        .timeout(Duration::from_secs(20 * 60))
        .run(&[
            suite.to_str().unwrap(),
            "--test-threads=1",
            "--nocapture",
            "rootfs_linux",
        ])
        .unwrap();
    outcome.assert_success();
    println!("{}", outcome.text());
}
