//! Whether a guest can move to another host: the features it was started with, compared with those
//! of the host it goes to.

use std::fmt;

use kvm_bindings::{CpuId, kvm_cpuid_entry2};

use super::flags::{FEATURE_WORDS, FeatureWord, flag_name};

/// A register in which CPUID answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuRegister {
    /// EAX.
    Eax,
    /// EBX.
    Ebx,
    /// ECX.
    Ecx,
    /// EDX.
    Edx,
}

impl CpuRegister {
    fn of(self, leaf: &kvm_cpuid_entry2) -> u32 {
        match self {
            Self::Eax => leaf.eax,
            Self::Ebx => leaf.ebx,
            Self::Ecx => leaf.ecx,
            Self::Edx => leaf.edx,
        }
    }
}

impl fmt::Display for CpuRegister {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Eax => "eax",
            Self::Ebx => "ebx",
            Self::Ecx => "ecx",
            Self::Edx => "edx",
        })
    }
}

/// A feature flag of CPUID; displays as its usual name, or as its place if it has none here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFeature {
    /// The leaf.
    pub leaf: u32,
    /// The subleaf.
    pub subleaf: u32,
    /// The register.
    pub register: CpuRegister,
    /// The bit, 0 to 31.
    pub bit: u8,
}

impl fmt::Display for CpuFeature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            leaf,
            subleaf,
            register,
            bit,
        } = *self;
        match flag_name(self) {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "{leaf:#x}.{subleaf}.{register}.bit {bit}"),
        }
    }
}

/// Lists the features that `guest` has and `host` lacks; a guest can move only where there are
/// none. `guest` is what [`guest_cpuid`](super::guest_cpuid) made, `host` what
/// KVM_GET_SUPPORTED_CPUID says at the destination. Flags that the monitor itself decides (the
/// deadline timer, topology) do not count.
pub fn superset_missing(host: &CpuId, guest: &CpuId) -> Vec<CpuFeature> {
    FEATURE_WORDS
        .iter()
        .flat_map(|word| missing_in_word(word, host, guest))
        .collect()
}

fn missing_in_word(
    word: &FeatureWord,
    host: &CpuId,
    guest: &CpuId,
) -> impl Iterator<Item = CpuFeature> {
    let FeatureWord {
        leaf,
        subleaf,
        register,
        ignored,
    } = *word;
    let missing = value(guest, word) & !value(host, word) & !ignored;
    (0_u8..32)
        .filter(move |bit| missing >> bit & 1 == 1)
        .map(move |bit| CpuFeature {
            leaf,
            subleaf,
            register,
            bit,
        })
}

fn value(cpuid: &CpuId, word: &FeatureWord) -> u32 {
    cpuid
        .as_slice()
        .iter()
        .find(|entry| entry.function == word.leaf && entry.index == word.subleaf)
        .map_or(0, |entry| word.register.of(entry))
}

/// The name of the processor's maker in leaf 0, such as "GenuineIntel"; a guest moves only between
/// hosts of the same one.
pub fn vendor(cpuid: &CpuId) -> Option<[u8; 12]> {
    vendor_of(cpuid.as_slice())
}

/// The same of entries that are not yet a whole.
pub(super) fn vendor_of(entries: &[kvm_cpuid_entry2]) -> Option<[u8; 12]> {
    let leaf = entries.iter().find(|entry| entry.function == 0)?;
    let mut name = [0; 12];
    for (part, register) in name
        .as_chunks_mut()
        .0
        .iter_mut()
        .zip([leaf.ebx, leaf.edx, leaf.ecx])
    {
        *part = register.to_le_bytes();
    }
    Some(name)
}
