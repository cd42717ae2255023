//! State of the machine outside its vCPUs: interrupt controllers, timer, paravirtual clock.

use kvm_bindings::{
    KVM_IRQCHIP_IOAPIC, KVM_IRQCHIP_PIC_MASTER, KVM_IRQCHIP_PIC_SLAVE, kvm_clock_data, kvm_irqchip,
    kvm_pit_state2,
};
use serde::{Deserialize, Serialize};

use super::{KvmError, KvmVm};

/// What KVM keeps for the whole machine. Opaque to us; the kernel validates it on restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmState {
    pic_master: kvm_irqchip,
    pic_slave: kvm_irqchip,
    ioapic: kvm_irqchip,
    pit: kvm_pit_state2,
    clock: kvm_clock_data,
}

impl KvmVm {
    /// Reads the machine's state; every vCPU must be paused.
    ///
    /// # Errors
    /// An ioctl fails.
    pub fn save(&self) -> Result<VmState, KvmError> {
        Ok(VmState {
            pic_master: self.irqchip(KVM_IRQCHIP_PIC_MASTER)?,
            pic_slave: self.irqchip(KVM_IRQCHIP_PIC_SLAVE)?,
            ioapic: self.irqchip(KVM_IRQCHIP_IOAPIC)?,
            pit: self
                .fd()
                .get_pit2()
                .map_err(KvmError::ioctl("KVM_GET_PIT2"))?,
            clock: self
                .fd()
                .get_clock()
                .map_err(KvmError::ioctl("KVM_GET_CLOCK"))?,
        })
    }

    /// Writes `state`; after the vCPUs, before the devices.
    ///
    /// The clock is set with flags 0: guest time goes on where it stopped. With the saved flags
    /// the kernel would add the time since the save by the host's wall clock, which two hosts do
    /// not share.
    ///
    /// # Errors
    /// The kernel refuses a part of the state.
    pub fn restore(&self, state: &VmState) -> Result<(), KvmError> {
        let VmState {
            pic_master,
            pic_slave,
            ioapic,
            pit,
            clock,
        } = state;
        for (chip_id, chip) in [
            (KVM_IRQCHIP_PIC_MASTER, pic_master),
            (KVM_IRQCHIP_PIC_SLAVE, pic_slave),
            (KVM_IRQCHIP_IOAPIC, ioapic),
        ] {
            let chip = kvm_irqchip { chip_id, ..*chip };
            self.fd()
                .set_irqchip(&chip)
                .map_err(KvmError::ioctl("KVM_SET_IRQCHIP"))?;
        }
        self.fd()
            .set_pit2(pit)
            .map_err(KvmError::ioctl("KVM_SET_PIT2"))?;
        let clock = kvm_clock_data {
            clock: clock.clock,
            ..kvm_clock_data::default()
        };
        self.fd()
            .set_clock(&clock)
            .map_err(KvmError::ioctl("KVM_SET_CLOCK"))
    }

    fn irqchip(&self, chip_id: u32) -> Result<kvm_irqchip, KvmError> {
        let mut chip = kvm_irqchip {
            chip_id,
            ..kvm_irqchip::default()
        };
        self.fd()
            .get_irqchip(&mut chip)
            .map_err(KvmError::ioctl("KVM_GET_IRQCHIP"))?;
        Ok(chip)
    }
}
