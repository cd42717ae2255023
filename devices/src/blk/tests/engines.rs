//! Tests run where the kernel has io_uring, and where it has none.
#![expect(unsafe_code, reason = "`prctl` takes a raw pointer")]

use std::thread;

use io_uring::IoUring;

/// Runs a test with whatever the kernel has, and without io_uring.
pub(super) fn with_each_engine(test: impl Fn() + Sync) {
    test();
    without_io_uring(test);
}

/// Runs a test as if the kernel had no io_uring.
pub(super) fn without_io_uring(test: impl Fn() + Sync) {
    thread::scope(|scope| {
        scope.spawn(|| {
            forget_io_uring();
            assert!(IoUring::new(1).is_err());
            test();
        });
    });
}

/// Has the kernel know no io_uring for this thread and those that it will start (seccomp(2)).
fn forget_io_uring() {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: 0,
        k,
    };
    let set_up = u32::try_from(libc::SYS_io_uring_setup).unwrap();
    let not_there = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let mut filter = [
        // The number is the first thing in `struct seccomp_data`.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, set_up)
        },
        statement(libc::BPF_RET | libc::BPF_K, not_there),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: u16::try_from(filter.len()).unwrap(),
        filter: filter.as_mut_ptr(),
    };
    rustix::thread::set_no_new_privs(true).unwrap();
    // SAFETY: the kernel copies the program, which is as long as it says, before it returns.
    let done = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
}
