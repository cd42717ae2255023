//! What the user asked for, as values that can be trusted: every type here is made only by a parser
//! or a constructor that has checked it, so nothing after this module checks a size or a name again.

mod attachments;
mod balloon;
mod clones;
mod disk;
mod endpoint;
mod error;
mod file;
mod kernel;
mod list;
mod migrate;
mod mode;
mod name;
mod net;
mod quantity;
mod receive;
mod restore;
mod serial;
mod snapshot;
mod trust;
mod vcpus;
mod vm;
mod vsock;

pub use attachments::Attachments;
pub use balloon::BalloonMode;
pub use clones::CloneCount;
pub use disk::{DISKS_MAX, DiskConfig};
pub use endpoint::HostPort;
pub use error::ConfigError;
pub use file::VmSettings;
pub use kernel::{COMMAND_LINE_LIMIT_BYTES, KernelSource};
pub use migrate::MigrateConfig;
pub use mode::MigrationMode;
pub use name::VmName;
pub use net::{NETS_MAX, NetConfig, TapConfig};
pub use quantity::{BitRate, ByteSize, TimeSpan};
pub use receive::ReceiveConfig;
pub use restore::{MemoryMode, Prefetch, RestoreConfig};
pub use serial::SerialMode;
pub use snapshot::SnapshotConfig;
pub use trust::{Exposure, TrustConfig};
pub use vm::{DEFAULT_MEMORY, MIN_MEMORY, VmConfig};
pub use vsock::{SocketConfig, VsockConfig};
