//! How a VM is to be moved, as asked of its monitor.

use migration::{Growth, Order, Pivots, Prepaging, Streams, Verify};
use serde::{Deserialize, Serialize};

use super::{BitRate, HostPort, MigrationMode, TimeSpan, TrustConfig};

/// A migration that is asked for; only the destination has no default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct MigrateConfig {
    /// Where a monitor waits for the VM.
    pub to: HostPort,
    /// How it moves.
    #[serde(default)]
    pub mode: MigrationMode,
    /// For how long the guest may stand still, if that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_downtime: Option<TimeSpan>,
    /// How pages are chosen that nobody waits for.
    #[serde(default)]
    pub prepaging: Prepaging,
    /// Most faults around which pages are sent first, if that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pivots: Option<Pivots>,
    /// How far bubbles around faults grow.
    #[serde(default)]
    pub growth: Growth,
    /// Which page is next to another.
    #[serde(default)]
    pub order: Order,
    /// Connections for those pages, if their number was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<Streams>,
    /// The rate that those pages keep to, if there is a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<BitRate>,
    /// How long to call a destination again to which connections were lost, if that was chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reconnect_for: Option<TimeSpan>,
    /// Whether the source reads all memory once more at the end.
    #[serde(default)]
    pub verify: Verify,
    /// Whom it is given to.
    #[serde(default, skip_serializing_if = "TrustConfig::is_none")]
    pub trust: TrustConfig,
}

impl MigrateConfig {
    /// A migration to this destination with everything else at its default.
    pub fn new(to: HostPort) -> Self {
        Self {
            to,
            mode: MigrationMode::default(),
            max_downtime: None,
            prepaging: Prepaging::default(),
            pivots: None,
            growth: Growth::default(),
            order: Order::default(),
            streams: None,
            bandwidth: None,
            reconnect_for: None,
            verify: Verify::default(),
            trust: TrustConfig::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destination_alone_is_a_migration_with_defaults() {
        let config: MigrateConfig = serde_json::from_str(r#"{"to":"node2:7000"}"#).unwrap();
        assert_eq!(config, MigrateConfig::new("node2:7000".parse().unwrap()));
        assert_eq!(config.prepaging, Prepaging::Bubble);
    }

    #[test]
    fn values_out_of_bounds_are_refused() {
        for field in [
            r#""pivots":0"#,
            r#""streams":0"#,
            r#""prepaging":"lru""#,
            r#""growth":"no""#,
            r#""order":"""#,
        ] {
            let text = format!(r#"{{"to":"node2:7000",{field}}}"#);
            assert!(
                serde_json::from_str::<MigrateConfig>(&text).is_err(),
                "{text}"
            );
        }
    }
}
