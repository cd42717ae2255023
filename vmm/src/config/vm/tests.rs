//! Settings that make a VM, and those that do not fit the host, a guest or one another.

use super::*;

const HOST: ByteSize = ByteSize::from_mib(4096);

fn probe() -> VmSettings {
    VmSettings {
        kernel: Some(KernelSource::Probe),
        ..VmSettings::default()
    }
}

#[test]
fn config_of_a_kernel_alone_takes_the_defaults() {
    let config = VmConfig::new(probe(), HOST).unwrap();
    assert_eq!(config.memory, DEFAULT_MEMORY);
    assert_eq!(config.cpus, VcpuCount::ONE);
    assert_eq!(config.serial, SerialMode::Stdio);
    assert_eq!(config.command_line, "");
    assert!(config.name.as_str().starts_with("skiff-"));

    let file = VmSettings {
        kernel: "vmlinuz".parse().ok(),
        ..VmSettings::default()
    };
    assert!(
        VmConfig::new(file, HOST)
            .unwrap()
            .command_line
            .contains("console=ttyS0")
    );
}

#[test]
fn config_without_kernel_is_refused() {
    let error = VmConfig::new(VmSettings::default(), HOST).unwrap_err();
    assert!(matches!(error, ConfigError::KernelMissing) && error.is_usage());
}

#[test]
fn config_of_probe_with_initrd_is_refused() {
    let settings = VmSettings {
        initrd: Some("initrd.img".into()),
        ..probe()
    };
    let error = VmConfig::new(settings, HOST).unwrap_err();
    assert!(error.to_string().contains("initrd.img"));
}

#[test]
fn config_memory_out_of_range_is_refused_with_both_values() {
    for (memory, words) in [
        ("15M", ["15M", "16M"]),
        ("16777217", ["16777217", "4K"]),
        ("8G", ["8G", "4G"]),
        ("4194308K", ["4194308K", "4G"]),
    ] {
        let settings = VmSettings {
            memory: memory.parse().ok(),
            ..probe()
        };
        let message = VmConfig::new(settings, HOST).unwrap_err().to_string();
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn config_memory_at_the_limits_is_taken() {
    for memory in [MIN_MEMORY, HOST] {
        let settings = VmSettings {
            memory: Some(memory),
            ..probe()
        };
        assert_eq!(VmConfig::new(settings, HOST).unwrap().memory, memory);
    }
}

#[test]
fn config_memory_beyond_the_host_is_a_failure_and_not_wrong_usage() {
    let settings = VmSettings {
        memory: "1T".parse().ok(),
        ..probe()
    };
    let error = VmConfig::new(settings, HOST).unwrap_err();
    assert!(!error.is_usage());
    assert!(error.remedy().unwrap().contains("4G"));
}

#[test]
fn config_with_as_many_disks_as_fit_is_taken_and_with_one_more_refused() {
    for (count, fits) in [(0, true), (8, true), (9, false)] {
        let disk = "disk.img".parse().unwrap();
        let settings = VmSettings {
            disk: vec![disk; count],
            ..probe()
        };
        assert_eq!(VmConfig::new(settings, HOST).is_ok(), fits, "{count}");
    }
}

#[test]
fn config_with_as_many_network_cards_as_fit_is_taken_and_with_one_more_refused() {
    for (count, fits) in [(4, true), (5, false)] {
        let net = "tap=tap0".parse().unwrap();
        let settings = VmSettings {
            net: vec![net; count],
            ..probe()
        };
        assert_eq!(VmConfig::new(settings, HOST).is_ok(), fits, "{count}");
    }
}

#[test]
fn config_command_line_that_would_not_arrive_is_refused() {
    for (cmdline, fits) in [
        ("a".repeat(2047), true),
        ("a".repeat(2048), false),
        ("a\0b".into(), false),
        ("ü".into(), false),
    ] {
        let settings = VmSettings {
            cmdline: Some(cmdline),
            ..probe()
        };
        assert_eq!(VmConfig::new(settings, HOST).is_ok(), fits);
    }
}
