//! The virtio balloon: what the guest gives back, and the policy that asks for it.
