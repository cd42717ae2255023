//! A failure as the user is told about it: once, with its causes and what to do.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use devices::blk::DiskError;
use devices::net::TapError;
use devices::vsock::VsockError;
use migration::snapshot::SnapshotError;
use serde::{Deserialize, Serialize};

use super::ControlError;
use crate::config::ConfigError;
use crate::console::ConsoleError;
use crate::host::HostError;
use crate::monitor::MonitorError;

/// A failed operation in words, fit to be printed here or sent to a client that prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What failed.
    pub message: String,
    /// Why, from the nearest cause to the first one.
    #[serde(default)]
    pub causes: Vec<String>,
    /// What to do about it, where something can be done.
    #[serde(default)]
    pub remedy: Option<String>,
}

impl Failure {
    /// Puts an error with its whole chain of causes into words; the nearest remedy wins.
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        let mut words = Vec::new();
        let mut remedy = None;
        let mut link = Some(error);
        while let Some(error) = link {
            words.push(error.to_string());
            remedy = remedy.or_else(|| remedy_of(error));
            if let Some(failure) = error.downcast_ref::<Self>() {
                words.extend_from_slice(&failure.causes);
            }
            link = error.source();
        }
        let causes = words.split_off(1);
        Self {
            message: words.remove(0),
            causes,
            remedy: remedy.map(Cow::into_owned),
        }
    }
}

/// Asks the error types of this crate that know a remedy.
fn remedy_of(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    None.or_else(|| error.downcast_ref::<ConfigError>()?.remedy())
        .or_else(|| error.downcast_ref::<ControlError>()?.remedy())
        .or_else(|| error.downcast_ref::<HostError>()?.remedy())
        .or_else(|| Some(error.downcast_ref::<DiskError>()?.remedy()?.into()))
        .or_else(|| Some(error.downcast_ref::<TapError>()?.remedy().into()))
        .or_else(|| Some(error.downcast_ref::<VsockError>()?.remedy().into()))
        .or_else(|| error.downcast_ref::<ConsoleError>()?.remedy())
        .or_else(|| {
            error
                .downcast_ref::<MonitorError>()?
                .remedy()
                .map(Cow::Borrowed)
        })
        .or_else(|| {
            error
                .downcast_ref::<migration::MigrationError>()?
                .remedy()
                .map(Cow::Owned)
        })
        .or_else(|| {
            error
                .downcast_ref::<SnapshotError>()?
                .remedy()
                .map(Cow::Owned)
        })
        .or_else(|| {
            error
                .downcast_ref::<Failure>()?
                .remedy
                .clone()
                .map(Cow::Owned)
        })
}

impl Error for Failure {}

impl fmt::Display for Failure {
    /// Writes the message alone, or with `{:#}` the causes and the remedy too, a line for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() {
            for cause in &self.causes {
                write!(f, "\n  caused by: {cause}")?;
            }
            if let Some(remedy) = &self.remedy {
                write!(f, "\n  try: {remedy}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
