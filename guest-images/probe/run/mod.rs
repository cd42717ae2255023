//! What the processors do in ring 3: the boot processor reads the monitor's tables, says that it is
//! ready, starts the others, and talks to the serial line; all of them work.

mod balloon;
mod board;
mod card;
mod console;
mod damage;
mod disk;
mod peripheral;
mod worker;

use crate::hw::clock::Clock;
use crate::hw::memory::{self, Monitors, WorkingSet};
use crate::hw::once::{Once, Shelf};
use crate::hw::{local_apic, paging, power, processor, serial, start};
use crate::pure::acpi::{MOST_PROCESSORS, Processors};
use crate::pure::balloon::order::Order;
use crate::pure::boot_info::{BootInfo, Protocol};
use crate::pure::job::arrays_of;
use crate::pure::options::{BalloonUse, MOST_PROCS, Options, PAGE_BYTES};
use crate::pure::sort::Sort;
use crate::pure::text::Line;
use balloon::{Balloon, Chores};
use board::BOARD;
use console::Console;
use peripheral::Peripheral;
use worker::Worker;

/// Our choice: because starting a processor takes milliseconds even under software emulation.
const START_DEADLINE_S: u64 = 2;

/// All that the processors have to know of the run; made before they start.
#[derive(Debug)]
pub struct Plan {
    options: Options,
    set: WorkingSet,
    clock: Clock,
    balloon: Option<Balloon>,
}

static PLAN: Once<Plan> = Once::new();

static SORTS: Shelf<Sort, MOST_PROCS> = Shelf::new([Sort::NOTHING; MOST_PROCS]);

/// The processor that the monitor started, given the address of its tables.
pub fn boot_processor(protocol: Protocol, parameters_gpa: u64) -> ! {
    serial::open();
    let usable = memory::image_end()..paging::END;
    let info = BootInfo::read(&Monitors, protocol, parameters_gpa, usable);
    let options = Options::parse(info.command_line()).unwrap_or_else(|bad| {
        let mut line = Line::record("error ");
        line.foreign(bad.word)
            .text(": the value has to be ")
            .text(bad.wanted);
        fail(line)
    });
    let most_pages = WorkingSet::most_pages(&info.memory);
    let pages = options.working_set_pages(most_pages);
    let set = WorkingSet::take(info.memory, pages).unwrap_or_else(|| {
        let mut line = Line::record("error ws=");
        line.decimal(pages.saturating_mul(PAGE_BYTES))
            .text(" does not fit: there is room for ");
        line.decimal(most_pages * PAGE_BYTES).text(" bytes");
        fail(line)
    });
    let processors = Processors::find(&Monitors, info.rsdp_gpa);
    let mut line = Line::record("ready workload=");
    line.text(options.workload.name())
        .text(" ws=")
        .decimal(pages * PAGE_BYTES);
    line.text(" cpus=")
        .decimal(processors.apic_ids().len().max(1) as u64);
    line.text(" seed=").decimal(options.seed);
    line.finish().iter().for_each(|&byte| serial::send(byte));

    let ready = processor::ticks();
    local_apic::enable();
    let clock = Clock::measure();
    let balloon = Balloon::open(&options, info.command_line(), &set);
    let all_pages = set.memory().pages();
    let order = Order::new(all_pages, pages, processors.apic_ids().len().max(1) as u64);
    PLAN.set(Plan {
        options,
        set,
        clock,
        balloon,
    });
    let plan = PLAN.get().expect("it was set one line above");
    BOARD.begin(start_others(plan, &processors));
    let follows = plan.options.balloon == BalloonUse::Follow;
    let mut console = Console::new(
        plan,
        ready,
        follows.then(|| Chores::new(order, &plan.clock)),
    );
    let mut worker = worker(plan, 0);
    let peripheral = Peripheral::open(plan, info.command_line(), worker.pages());
    let mut peripheral = peripheral.unwrap_or_else(|failure| fail(failure.line()));
    loop {
        worker.tick();
        let wake = console.attend(&mut worker);
        match &mut peripheral {
            Some(device) => {
                let turn = device.turn(worker.pages());
                turn.unwrap_or_else(|failure| fail(failure.line()));
            }
            None => worker.turn(wake),
        }
    }
}

/// Another processor.
pub fn application_processor(number: u64) -> ! {
    let number = usize::try_from(number).expect("the number of a processor is small");
    local_apic::enable();
    let desk = &BOARD.desks[number];
    let Some(plan) = PLAN.get().filter(|_| desk.come_online()) else {
        processor::halt_forever()
    };
    while !BOARD.has_begun() {
        core::hint::spin_loop();
    }
    let mut worker = worker(plan, number);
    loop {
        worker.tick();
        worker.follow_requests();
        worker.turn(worker.next_look());
    }
}

fn worker(plan: &'static Plan, number: usize) -> Worker {
    let share = BOARD.share(number);
    let arrays = arrays_of(&plan.options, plan.set.pages(), share);
    let place = |count: u64| usize::try_from(count).expect("at most as many as there are sorts");
    let sorts = SORTS.take(place(arrays.first), place(arrays.pages));
    Worker::new(plan, number, share, sorts)
}

/// Starts every processor but this one, and reports those that do not come. Returns how many it
/// tried to start, and this one.
fn start_others(plan: &Plan, processors: &Processors) -> usize {
    let own_id = local_apic::id();
    let mut others = [0; MOST_PROCESSORS];
    let mut count = 0;
    if processors.apic_ids().contains(&own_id) {
        for &id in processors.apic_ids().iter().filter(|&&id| id != own_id) {
            others[count] = id;
            count += 1;
        }
    }
    let others = &others[..count];
    if others.is_empty() {
        return 1;
    }
    start::start_all(&plan.clock, others);
    let deadline = processor::ticks() + plan.clock.ticks_of(START_DEADLINE_S, 1);
    for (desk, id) in BOARD.desks[1..].iter().zip(others) {
        while !desk.is_online() && processor::ticks() < deadline {
            core::hint::spin_loop();
        }
        if desk.give_up() {
            let mut line = Line::record("error the processor with the local APIC ");
            line.decimal(u64::from(*id)).text(" did not start");
            line.finish().iter().for_each(|&byte| serial::send(byte));
        }
    }
    count + 1
}

fn fail(line: Line) -> ! {
    serial::report(line);
    power::off()
}
