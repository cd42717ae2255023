//! What a machine asks of a host beyond RAM and vCPUs, and the machine that is built to that.

use kvm_bindings::CpuId;
use migration::{Offer, PeerText, Refusal};
use serde::{Deserialize, Serialize};

use crate::boot::{RamLayout, VcpuCount, cpuid};
use crate::bounded::at_most;
use crate::config::{Attachments, BalloonMode, DISKS_MAX, NETS_MAX, SocketConfig};
use crate::host::{HostKvm, HostMemory, KvmKind};
use crate::kvm::Hypervisor;
use crate::machine::{
    Assembly, Backends, Blueprint, CpuModel, DiskSpec, Disks, NetSpec, Nets, Passage, VsockPort,
    VsockSpec,
};
use crate::memory::{self, GuestRam, MemoryError, PAGE_BYTES};

/// Changes whenever [`Demands`] does.
const VERSION: u32 = 5;

/// What a machine asks of its destination beyond RAM and a number of vCPUs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Demands {
    version: u32,
    cpu: CpuModel,
    balloon: BalloonMode,
    #[serde(deserialize_with = "at_most::<DISKS_MAX, _, _>")]
    pub(super) disks: Vec<DiskSpec>,
    #[serde(deserialize_with = "at_most::<NETS_MAX, _, _>")]
    pub(super) nets: Vec<NetSpec>,
    pub(super) vsock: Option<VsockSpec>,
    kernel: String,
    pub(super) generation_id: [u8; 16],
}

impl Demands {
    pub(crate) fn new(cpu: CpuModel, blueprint: &Blueprint) -> Self {
        let Blueprint {
            vcpus: _, // these two stand in the offer
            memory: _,
            balloon,
            disks,
            nets,
            vsock,
            kernel,
            generation_id,
        } = blueprint;
        Self {
            version: VERSION,
            cpu,
            balloon: *balloon,
            disks: disks.clone(),
            nets: nets.clone(),
            vsock: vsock.clone(),
            kernel: kernel.clone(),
            generation_id: *generation_id,
        }
    }
}

/// The refusal that tells of a failure here.
fn machine(error: &(dyn std::error::Error + 'static)) -> Refusal {
    Refusal::Machine(PeerText::chain(error))
}

/// Builds the machine that `offer` asks for, around the RAM that `provide` maps, if this host
/// can.
pub(super) fn assemble(
    offer: &Offer,
    passage: Passage,
    attachments: &Attachments,
    provide: impl FnOnce(RamLayout) -> Result<GuestRam, MemoryError>,
) -> Result<(Assembly, CpuModel), Refusal> {
    check_memory(offer, passage)?;
    let (mut blueprint, cpu) = understand(offer)?;
    let disks = open_disks(&blueprint, passage)?;
    let Attachments { taps, socket } = attachments;
    let nets = Nets::of_known_vm(&blueprint.nets, taps).map_err(|error| machine(&error))?;
    blueprint.nets = nets.specs();
    let vsock = open_vsock(&blueprint, socket.as_ref(), passage)?;
    blueprint.vsock = vsock.as_ref().map(VsockPort::spec);
    let backends = Backends { disks, nets, vsock };
    let host = HostKvm::open().map_err(|error| machine(&error))?;
    let ram = provide(blueprint.memory).map_err(|error| machine(&error))?;
    let assembly = Assembly::with_ram(Hypervisor::new(host), blueprint, backends, ram)
        .map_err(|error| machine(&error))?;
    let here = assembly.host_cpu().map_err(|error| machine(&error))?;
    check_cpu(&here, &cpu)?;
    Ok((assembly, cpu))
}

/// Opens the disks of a VM. Those of one that is moved are its source's until it is handed over; a copy
/// is another VM, and has them for itself.
fn open_disks(blueprint: &Blueprint, passage: Passage) -> Result<Disks, Refusal> {
    let disks = Disks::of_known_vm(&blueprint.disks).map_err(|error| machine(&error))?;
    match passage {
        Passage::Moved => {}
        Passage::Copied { .. } => disks.claim().map_err(|error| machine(&error))?,
    }
    Ok(disks)
}

/// Opens the socket of a VM.
fn open_vsock(
    blueprint: &Blueprint,
    here: Option<&SocketConfig>,
    passage: Passage,
) -> Result<Option<VsockPort>, Refusal> {
    let Some(spec) = &blueprint.vsock else {
        return match here {
            None => Ok(None),
            Some(_) => Err(Refusal::Machine(PeerText::from(
                "--vsock names a socket, and the VM has no socket device",
            ))),
        };
    };
    let port = VsockPort::of_known_vm(spec, here, passage);
    port.map(Some).map_err(|error| machine(&error))
}

/// What `offer` asks for, if it makes sense.
pub(crate) fn understand(offer: &Offer) -> Result<(Blueprint, CpuModel), Refusal> {
    let demands: Demands = postcard::from_bytes(&offer.machine).map_err(|error| machine(&error))?;
    let Demands {
        version,
        cpu,
        balloon,
        disks,
        nets,
        vsock,
        kernel,
        generation_id,
    } = demands;
    if version != VERSION {
        return Err(Refusal::Machine(PeerText::from(format!(
            "it builds machines of version {VERSION}, the source has one of version {version}"
        ))));
    }
    let memory = RamLayout::new(offer.memory.pages().saturating_mul(PAGE_BYTES))
        .map_err(|error| machine(&error))?;
    let frames = memory::frames_of(memory).map_err(|error| machine(&error))?;
    if frames != offer.memory {
        return Err(Refusal::Machine(PeerText::from(
            "the VM's memory lies at addresses where it cannot lie there",
        )));
    }
    if let Some(disk) = disks.iter().find(|disk| !disk.has_plain_path()) {
        return Err(Refusal::Machine(PeerText::from(format!(
            "the path of the VM's disk `{}` is not absolute, or not printable",
            disk.path.display()
        ))));
    }
    if let Some(vsock) = vsock.as_ref().filter(|vsock| !vsock.has_plain_path()) {
        return Err(Refusal::Machine(PeerText::from(format!(
            "the path of the VM's socket `{}` is not absolute, or not printable",
            vsock.path.display()
        ))));
    }
    let vcpus = VcpuCount::new(offer.vcpus).map_err(|_| Refusal::Vcpus {
        needed: offer.vcpus,
        available: u32::from(crate::boot::VCPUS_MAX),
    })?;
    Ok((
        Blueprint {
            vcpus,
            memory,
            balloon,
            disks,
            nets,
            vsock,
            kernel,
            generation_id,
        },
        cpu,
    ))
}

/// RAM is not reserved, but a VM that is known not to fit is not taken. Of many copies none touches
/// all of its memory, or there would not be many.
fn check_memory(offer: &Offer, passage: Passage) -> Result<(), Refusal> {
    let needed_pages = match passage {
        Passage::Moved => offer.memory.pages(),
        Passage::Copied { stored_pages } => stored_pages,
    };
    let needed_bytes = needed_pages.saturating_mul(PAGE_BYTES);
    let available_bytes = HostMemory::now().available_bytes;
    if available_bytes < needed_bytes {
        return Err(Refusal::Memory {
            needed_bytes,
            available_bytes,
        });
    }
    Ok(())
}

/// Refuses a guest whose CPU has what `here` lacks.
pub(crate) fn check_cpu(here: &CpuModel, wanted: &CpuModel) -> Result<(), Refusal> {
    if here.kvm != wanted.kvm {
        return Err(kind_mismatch(here.kvm, wanted.kvm));
    }
    let leaves = |model: &CpuModel| {
        CpuId::from_entries(&model.cpuid).map_err(|_| too_many_leaves(model.cpuid.len()))
    };
    let missing = cpuid::superset_missing(&leaves(here)?, &leaves(wanted)?);
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = missing.iter().map(ToString::to_string).collect();
    Err(Refusal::Machine(PeerText::from(format!(
        "its CPU lacks what the guest was started with: {}",
        names.join(", ")
    ))))
}

fn too_many_leaves(count: usize) -> Refusal {
    Refusal::Machine(PeerText::from(format!(
        "the VM's CPU has {count} CPUID leaves"
    )))
}

fn kind_mismatch(here: KvmKind, wanted: KvmKind) -> Refusal {
    Refusal::Machine(PeerText::from(format!(
        "the VM was started on {wanted}, that host has {here}"
    )))
}
