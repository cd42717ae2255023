//! Signals to a thread that has blocked them arrive as values.

use std::thread;

use super::*;

/// Runs in a thread of its own, so that the mask of the other tests stays as it is.
fn with_blocked_signals(test: impl FnOnce(&Signals) + Send + 'static) {
    thread::spawn(move || test(&Signals::block().unwrap()))
        .join()
        .unwrap();
}

fn raise(signal: StopSignal) {
    // SAFETY: raise has no preconditions; the signal is blocked in this thread, which is the one it goes to.
    assert_eq!(unsafe { libc::raise(signal.number()) }, 0);
}

#[test]
fn signal_raised_arrives_as_a_value_once() {
    with_blocked_signals(|signals| {
        assert_eq!(signals.next(), None);
        for signal in [StopSignal::Terminate, StopSignal::HangUp] {
            raise(signal);
            // Who starts the tests by nohup has them ignore one.
            let heeded = !is_ignored(signal.number()).unwrap();
            assert_eq!(signals.next(), heeded.then_some(signal));
            assert_eq!(signals.next(), None);
        }
    });
}

#[test]
fn signal_subscriber_calls_its_function_for_each_signal() {
    with_blocked_signals(|_| {
        let seen = std::cell::RefCell::new(Vec::new());
        let mut manager =
            event_manager::EventManager::<Box<dyn MutEventSubscriber>>::new().unwrap();
        let seen = std::rc::Rc::new(seen);
        let sink = std::rc::Rc::clone(&seen);
        let subscriber = SignalSubscriber::new(Signals::block().unwrap(), move |signal| {
            sink.borrow_mut().push(signal)
        });
        event_manager::SubscriberOps::add_subscriber(&mut manager, Box::new(subscriber));
        raise(StopSignal::Terminate);
        manager.run_with_timeout(1000).unwrap();
        assert_eq!(*seen.borrow(), [StopSignal::Terminate]);
    });
}
