//! The owner's side of a vCPU thread.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use super::kick::{self, ImmediateExit};
use super::thread::{Command, FatalSink, VcpuThread};
use super::{Vcpu, VcpuContext};
use crate::kvm::{self, VcpuState};

/// A vCPU could not be started or did not do as told.
#[derive(Debug, thiserror::Error)]
pub enum VcpuError {
    /// The operating system has no thread left.
    #[error("cannot start the thread of vcpu {vcpu}")]
    Spawn {
        /// Index of the vCPU.
        vcpu: u32,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The thread is gone, after a fatal exit or a stop.
    #[error("vcpu {vcpu} has ended")]
    Ended {
        /// Index of the vCPU.
        vcpu: u32,
    },
    /// The state could not be read.
    #[error("cannot save vcpu {vcpu}")]
    Save {
        /// Index of the vCPU.
        vcpu: u32,
        /// The failed operation.
        #[source]
        source: kvm::KvmError,
    },
}

/// A running or paused vCPU thread; dropping it stops the thread and waits for it.
#[derive(Debug)]
pub struct VcpuHandle {
    index: u32,
    commands: Sender<Command>,
    immediate_exit: ImmediateExit,
    thread: Option<JoinHandle<Vcpu>>,
}

/// The answer of a vCPU that was asked and not yet waited for, so that many vCPUs can be asked
/// at once and obey in parallel.
#[derive(Debug)]
pub struct Pending<T> {
    vcpu: u32,
    answer: Receiver<T>,
}

impl<T> Pending<T> {
    /// Blocks until the vCPU has obeyed.
    ///
    /// # Errors
    /// The vCPU's thread has ended.
    pub fn wait(self) -> Result<T, VcpuError> {
        self.answer
            .recv()
            .map_err(|_| VcpuError::Ended { vcpu: self.vcpu })
    }
}

impl VcpuHandle {
    /// Starts the thread of `vcpu`, paused.
    ///
    /// # Errors
    /// The operating system refuses the thread.
    pub fn spawn(
        mut vcpu: Vcpu,
        context: Arc<VcpuContext>,
        fatal: FatalSink,
    ) -> Result<Self, VcpuError> {
        kick::install_handler();
        let index = vcpu.index;
        let immediate_exit = ImmediateExit::of(&mut vcpu.fd);
        let (commands, inbox) = mpsc::channel();
        let body = VcpuThread::new(vcpu, immediate_exit, context, inbox, fatal);
        let thread = thread::Builder::new()
            .name(format!("vcpu-{index}"))
            .spawn(move || body.run())
            .map_err(|source| VcpuError::Spawn {
                vcpu: index,
                source,
            })?;
        Ok(Self {
            index,
            commands,
            immediate_exit,
            thread: Some(thread),
        })
    }

    /// Asks the vCPU to leave the guest; when the answer is there, it has, with no port or MMIO
    /// access half done.
    pub fn pause(&self) -> Pending<()> {
        self.ask(|answer| Command::Pause { answer })
    }

    /// Lets a paused vCPU run the guest.
    pub fn resume(&self) -> Pending<()> {
        self.ask(|answer| Command::Resume { answer })
    }

    /// Asks a paused vCPU for its state.
    pub fn save(&self) -> Pending<Result<VcpuState, VcpuError>> {
        self.ask(|answer| Command::Save { answer })
    }

    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> Pending<T> {
        let (sender, answer) = mpsc::channel();
        // A thread that has ended drops the sender, which the waiter sees.
        if self.commands.send(command(sender)).is_ok() {
            self.kick();
        }
        Pending {
            vcpu: self.index,
            answer,
        }
    }

    /// The command is in the inbox before the kick: whenever the thread looks, it finds it.
    fn kick(&self) {
        if let Some(thread) = &self.thread
            && !thread.is_finished()
        {
            self.immediate_exit.set();
            kick::interrupt(thread);
        }
    }
}

impl Drop for VcpuHandle {
    fn drop(&mut self) {
        if self.commands.send(Command::Stop).is_ok() {
            self.kick();
        }
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already aborted the process or been printed.
            let _ = thread.join();
        }
    }
}
