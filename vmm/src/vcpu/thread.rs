//! The vCPU's own thread: obeys commands between two runs of the guest.

use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};

use super::diagnosis::{Diagnosis, FatalExit};
use super::exits::{self, Handled};
use super::handle::VcpuError;
use super::kick::ImmediateExit;
use super::{Vcpu, VcpuContext};
use crate::kvm::VcpuState;

/// What the owner wants of the thread; each answer is sent when it is done.
#[derive(Debug)]
pub(super) enum Command {
    Pause {
        answer: Sender<()>,
    },
    Resume {
        answer: Sender<()>,
    },
    Save {
        answer: Sender<Result<VcpuState, VcpuError>>,
    },
    Stop,
}

/// Where a vCPU that cannot go on says so; called on the vCPU's thread, which then pauses.
#[derive(Clone)]
pub struct FatalSink(Arc<dyn Fn(Diagnosis) + Send + Sync>);

impl FatalSink {
    /// Diagnoses go to `sink`, which must not wait for the vCPU.
    pub fn new(sink: impl Fn(Diagnosis) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }
}

impl fmt::Debug for FatalSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FatalSink").finish_non_exhaustive()
    }
}

/// Whether the thread runs the guest between commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Paused,
    Running,
}

#[derive(Debug)]
pub(super) struct VcpuThread {
    vcpu: Vcpu,
    immediate_exit: ImmediateExit,
    context: Arc<VcpuContext>,
    inbox: Receiver<Command>,
    fatal: FatalSink,
    mode: Mode,
}

impl VcpuThread {
    pub(super) fn new(
        vcpu: Vcpu,
        immediate_exit: ImmediateExit,
        context: Arc<VcpuContext>,
        inbox: Receiver<Command>,
        fatal: FatalSink,
    ) -> Self {
        Self {
            vcpu,
            immediate_exit,
            context,
            inbox,
            fatal,
            mode: Mode::Paused,
        }
    }

    /// Until told to stop, or until the owner is gone. The vCPU is given back, so that its
    /// `kvm_run` page stays mapped until the owner has joined the thread.
    pub(super) fn run(mut self) -> Vcpu {
        loop {
            match self.next_command() {
                Ok(Some(Command::Stop)) | Err(()) => return self.vcpu,
                Ok(Some(command)) => self.obey(command),
                Ok(None) => self.run_guest(),
            }
        }
    }

    /// Waits for a command while paused; while running only looks whether one is there.
    fn next_command(&self) -> Result<Option<Command>, ()> {
        match self.mode {
            Mode::Paused => self.inbox.recv().map(Some).map_err(|_| ()),
            Mode::Running => match self.inbox.try_recv() {
                Ok(command) => Ok(Some(command)),
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => Err(()),
            },
        }
    }

    fn obey(&mut self, command: Command) {
        // An answer nobody waits for any more is no error of this thread.
        match command {
            Command::Pause { answer } => {
                if self.mode == Mode::Running {
                    self.finish_access();
                    self.mode = Mode::Paused;
                }
                let _ = answer.send(());
            }
            Command::Resume { answer } => {
                self.mode = Mode::Running;
                let _ = answer.send(());
            }
            Command::Save { answer } => {
                let index = self.vcpu.index;
                let state = self.context.vm.save_vcpu(index, &self.vcpu.fd);
                let _ = answer.send(state.map_err(|source| VcpuError::Save {
                    vcpu: index,
                    source,
                }));
            }
            Command::Stop => {}
        }
    }

    /// Enters KVM with `immediate_exit` set until it says that it did nothing: the kernel completes
    /// a port or MMIO access whose answer we gave, which for a wide access takes a few rounds, and
    /// returns before the guest's next instruction.
    fn finish_access(&mut self) {
        loop {
            self.immediate_exit.set();
            match exits::run_once(&mut self.vcpu, &self.context) {
                Handled::Continue => {}
                Handled::Interrupted => break,
                Handled::Fatal(exit) => {
                    self.give_up(exit);
                    break;
                }
            }
        }
        self.immediate_exit.clear();
    }

    fn run_guest(&mut self) {
        match exits::run_once(&mut self.vcpu, &self.context) {
            Handled::Continue => {}
            // The kick that set the flag came with a command; look for it.
            Handled::Interrupted => self.immediate_exit.clear(),
            Handled::Fatal(exit) => self.give_up(exit),
        }
    }

    fn give_up(&mut self, exit: FatalExit) {
        self.mode = Mode::Paused;
        (self.fatal.0)(Diagnosis::of(&self.vcpu, &self.context, exit));
    }
}
