//! The transport, driven through its registers with a device that keeps a diary.

use std::sync::{Arc, Mutex};

use crate::DeviceError;
use crate::virtio::fake_driver::FakeDriver;
use crate::virtio::{
    Activation, DeviceType, Progress, QueueIndex, Queues, Service, VirtioDevice, read_config_bytes,
};

mod hostile;
mod lifecycle;
mod registers;
mod state;

/// What happened to a [`Diarist`].
#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Started { features: u64, queues: Vec<u16> },
    Stopped,
    Reset,
}

type Diary = Arc<Mutex<Vec<Entry>>>;

/// A device of type 42 with two queues, one feature and eight bytes of configuration; it returns
/// each request as it is.
#[derive(Debug, Default)]
struct Diarist {
    diary: Diary,
    config: [u8; 8],
    activation: Option<Activation>,
}

impl Diarist {
    const FEATURE: u64 = 1 << 3;

    fn note(&self, entry: Entry) {
        self.diary.lock().unwrap().push(entry);
    }
}

impl VirtioDevice for Diarist {
    type State = [u8; 8];

    fn device_type(&self) -> DeviceType {
        DeviceType(42)
    }

    fn features(&self) -> u64 {
        Self::FEATURE
    }

    fn queue_max_sizes(&self) -> &[u16] {
        &[8, 64]
    }

    fn service(&self) -> Service {
        Service::EventLoop
    }

    fn read_config(&self, offset: u64, data: &mut [u8]) {
        read_config_bytes(&self.config, offset, data);
    }

    fn write_config(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).unwrap();
        for (byte, value) in self.config.iter_mut().skip(offset).zip(data) {
            *byte = *value;
        }
    }

    fn start(&mut self, mut activation: Activation) {
        let queues = (0..2)
            .filter(|index| activation.queues.get_mut(QueueIndex(*index)).is_some())
            .collect();
        self.note(Entry::Started {
            features: activation.features,
            queues,
        });
        self.activation = Some(activation);
    }

    fn stop(&mut self) -> Queues {
        self.note(Entry::Stopped);
        self.activation.take().unwrap().queues
    }

    fn process(&mut self, index: QueueIndex) -> Result<Progress, DeviceError> {
        match self.activation.as_mut().unwrap().queues.get_mut(index) {
            Some(queue) => queue.serve(4, |_| Ok(0)),
            None => Ok(Progress::Drained),
        }
    }

    fn reset(&mut self) {
        self.note(Entry::Reset);
        self.config = [0; 8];
    }

    fn save(&self) -> [u8; 8] {
        self.config
    }

    fn restore(&mut self, config: [u8; 8]) -> Result<(), DeviceError> {
        self.config = config;
        Ok(())
    }
}

fn driver() -> (FakeDriver<Diarist>, Diary) {
    let device = Diarist::default();
    let diary = device.diary.clone();
    (
        FakeDriver::new(device, FakeDriver::<Diarist>::small_memory()),
        diary,
    )
}

fn started() -> (FakeDriver<Diarist>, Diary) {
    let (mut driver, diary) = driver();
    driver.start(Diarist::FEATURE, 8);
    diary.lock().unwrap().clear();
    (driver, diary)
}
