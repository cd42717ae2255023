//! Device models that know neither KVM nor migration: buses, serial, reset, virtio-mmio.
