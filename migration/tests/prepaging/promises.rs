//! What must hold of the simulated costs.

use migration::{Growth, Pivots, Prepaging, SendPlan};

use crate::guest::Workload;
use crate::simulation::{Cost, GIGABIT, LOOPBACK, Link, simulate};

/// What is compared, by name.
fn columns() -> Vec<(&'static str, SendPlan)> {
    let fixed = |prepaging, pivots| SendPlan {
        pivots: Some(Pivots::new(pivots).expect("a number of pivots")),
        growth: Growth::Fixed,
        ..SendPlan::new(prepaging)
    };
    vec![
        ("none", SendPlan::new(Prepaging::None)),
        ("push", SendPlan::LINEAR),
        ("fixed forward", fixed(Prepaging::Forward, 1)),
        ("fixed forward 7", fixed(Prepaging::Forward, 7)),
        ("fixed bubble 1", fixed(Prepaging::Bubble, 1)),
        ("fixed bubble 7", fixed(Prepaging::Bubble, 7)),
        ("forward", SendPlan::new(Prepaging::Forward)),
        ("bubble", SendPlan::new(Prepaging::Bubble)),
    ]
}

fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}

fn print_table(link: Link) {
    println!(
        "\n{}: network faults / ms lost / longest stall in ms / ms in all",
        link.name
    );
    for workload in Workload::ALL {
        println!("{workload:?}");
        for (name, plan) in columns() {
            let Cost {
                faults,
                total_ns,
                longest_stall_ns,
                lost_ns,
            } = simulate(workload, link, plan);
            let (lost, stall, total) = (ms(lost_ns), ms(longest_stall_ns), ms(total_ns));
            println!("  {name:<16}{faults:>7}{lost:>7}{stall:>5}{total:>7}");
        }
    }
}

#[test]
fn table_of_all_strategies_is_printed() {
    for link in [GIGABIT, LOOPBACK] {
        print_table(link);
    }
}

/// The costs of bubble and of push.
fn bubble_and_push(workload: Workload, link: Link) -> (Cost, Cost) {
    let bubble = simulate(workload, link, SendPlan::new(Prepaging::Bubble));
    (bubble, simulate(workload, link, SendPlan::LINEAR))
}

#[test]
fn bubble_loses_no_more_work_than_push_in_any_cell() {
    for link in [GIGABIT, LOOPBACK] {
        for workload in Workload::ALL {
            let (bubble, push) = bubble_and_push(workload, link);
            // Two hundredths are what chance makes of the order of some hundred random faults.
            assert!(
                bubble.lost_ns * 100 <= push.lost_ns * 102,
                "{workload:?} on {}: {bubble:?} {push:?}",
                link.name
            );
        }
    }
}

#[test]
fn bubble_has_a_fifth_of_the_faults_of_push_where_a_guest_walks() {
    for link in [GIGABIT, LOOPBACK] {
        let (bubble, push) = bubble_and_push(Workload::Sequential, link);
        let name = link.name;
        assert!(
            bubble.faults * 5 <= push.faults,
            "{name}: {bubble:?} {push:?}"
        );
    }
}

#[test]
fn bubble_fills_the_link_as_well_as_push() {
    for link in [GIGABIT, LOOPBACK] {
        for workload in Workload::ALL {
            let (bubble, push) = bubble_and_push(workload, link);
            assert!(
                bubble.total_ns * 100 <= push.total_ns * 103,
                "{workload:?} on {}: {bubble:?} {push:?}",
                link.name
            );
        }
    }
}

#[test]
fn both_directions_serve_a_quicksort_better_than_one() {
    for processes in [1, 8] {
        let cost = |prepaging| {
            let workload = Workload::Quicksort(processes);
            simulate(workload, GIGABIT, SendPlan::new(prepaging))
        };
        let (bubble, forward) = (cost(Prepaging::Bubble), cost(Prepaging::Forward));
        assert!(bubble.faults < forward.faults, "{bubble:?} {forward:?}");
        assert!(bubble.lost_ns < forward.lost_ns, "{bubble:?} {forward:?}");
    }
}
