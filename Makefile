# Everything a developer or a CI machine runs. Each target works from a fresh clone.

.DEFAULT_GOAL := help

# Where /dev/kvm exists, a KVM test that cannot run is a failure, not a skip.
ifneq ($(wildcard /dev/kvm),)
export REQUIRE_KVM ?= 1
endif

step := @setup/step.sh

.PHONY: help setup build guest-images demo test fuzz fuzz-corpus bench bench-applications bench-balloon bench-boot bench-degradation bench-devices bench-full bench-migrate bench-page bench-peers bench-readme bench-regression bench-resume rootfs clean

help: ## prints this list
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

setup: ## installs missing packages, says what kind of host this is
	@setup/install.sh
	@setup/host.sh

build: setup ## builds the monitor: target/release/skiff
	$(step) "skiff" cargo build --release

guest-images: setup ## builds the guests and the rig's outer system: target/guest-images
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "probe guest" cargo run --release -q -p guest-images --bin probe-elf -- target/guest-images/probe.elf

rootfs: setup ## makes a Debian root file system with ssh: target/guest-images/rootfs.img
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "root file system" guest-images/linux/rootfs.sh

demo: setup ## moves a working guest live between two processes: the probe, then a Debian Linux
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "demo" target/release/demo

# The rig comes after all other tests: beside them, on two cores, its emulated guests go without time
# for so long that they have been seen to stand still.
test: setup ## formatting, lints, documentation and all tests, those in the nested rig included
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "formatting" cargo fmt --all --check
	$(step) "lints" cargo clippy --workspace --all-targets -- -D warnings
	$(step) "documentation" env RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
	$(step) "programs" cargo build --release --workspace --bins
	$(step) "tests" cargo test --release --workspace --no-fail-fast -- --skip suite_in_the_rig
	$(step) "tests in the rig" cargo test --release -p tests --test e2e suite_in_the_rig -- --test-threads=1
	$(step) "fuzzing" fuzz/run.sh

fuzz: setup ## runs every fuzz target over its corpus and a fixed number of fresh inputs
	$(step) "fuzzing" fuzz/run.sh

fuzz-corpus: setup ## writes the fuzz targets' corpora anew, after a change of frames
	$(step) "corpora" fuzz/corpus.sh

# Those that `make bench` runs: each takes some seconds to link.
bench_programs := skiff $(addprefix bench-,boot devices resume migrate degradation peers balloon page)

bench: setup ## measures the most telling part of everything and draws it: results/index.html; a quarter of an hour; needs root for slow links
	$(step) "programs" cargo build --release -p vmm -p tests $(addprefix --bin ,$(bench_programs))
	$(step) "start and size" target/release/bench-boot --runs 10 --out results/boot.json
	$(step) "devices" target/release/bench-devices --rounds 1 --out results/devices.json
	$(step) "resumes" target/release/bench-resume --runs 2 --out results/resume.json
	$(step) "moves" target/release/bench-migrate --suite stress --suite sorts --suite sizes --runs 1 --tries 1 --patience 5 --out results/migrate.json
	$(step) "applications that move" target/release/bench-degradation --out results/degradation.json
	$(step) "moves beside QEMU's" target/release/bench-peers --rounds 1 --out results/peers.json
	$(step) "balloon" target/release/bench-balloon --suite sweep --rounds 1 --breaths 1 --interval-ms 100 --interval-ms 1000 --out results/balloon.json
	$(step) "page" target/release/bench-page results

bench-full: setup ## measures every cell of everything, ten times and more, for many hours; needs root for slow links
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "start and size" target/release/bench-boot --runs 30 --out results/boot.json
	$(step) "devices" target/release/bench-devices --rounds 10 --out results/devices.json
	$(step) "resumes" target/release/bench-resume --runs 10 --out results/resume.json
	$(step) "applications that move" target/release/bench-degradation --full --out results/degradation.json
	$(step) "the disk with applications" guest-images/linux/applications.sh
	$(step) "Linux applications" target/release/bench-applications --out results/applications.json
	$(step) "moves" target/release/bench-migrate --full --out results/migrate.json
	$(step) "moves beside QEMU's" target/release/bench-peers --full --rounds 10 --out results/peers.json
	$(step) "balloon" target/release/bench-balloon --out results/balloon.json
	$(step) "page" target/release/bench-page results

bench-page: ## draws what the benchmarks wrote down: results/index.html
	$(step) "page" cargo run --release -q -p tests --bin bench-page -- results

bench-applications: setup ## measures what moves do to nginx, a kernel build, iperf3 and redis in a Linux guest, 40 minutes in the rig; needs root
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "the disk with applications" guest-images/linux/applications.sh
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "Linux applications" target/release/bench-applications --out results/applications.json

bench-balloon: setup ## measures what memory comes back from a guest, what that saves a move and costs the guest; an hour and a half in all
	$(step) "guest images" guest-images/linux/build.sh
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "balloon" target/release/bench-balloon --out results/balloon.json

bench-boot: setup ## measures the start of a VM and the memory of an idle one
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "start and size" target/release/bench-boot --out results/boot.json

bench-degradation: setup ## measures what moves do to an application, over time and again and again; needs root
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "applications that move" target/release/bench-degradation --out results/degradation.json

bench-devices: setup ## measures what a guest gets out of disk and network card, next to QEMU where there is one
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "devices" target/release/bench-devices --out results/devices.json

bench-migrate: setup ## measures what a move costs guest, network and user, half an hour; needs root for slow links
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "moves" target/release/bench-migrate --out results/migrate.json

bench-peers: setup ## measures moves on skiff and on QEMU, in turns, seven minutes; needs root for the slow link
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "moves beside QEMU's" target/release/bench-peers --out results/peers.json

bench-readme: ## keeps what `make bench` has measured, and makes the README's table of it
	$(step) "README" cargo run --release -q -p tests --bin bench-readme -- results

bench-regression: setup ## builds a skiff without pre-paging and shows that the benchmark finds it out; three minutes
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "skiff with a regression" cargo build --release -p vmm --features planted-regression --target-dir target/planted
	$(step) "regression" tests/planted-regression.sh

bench-resume: setup ## measures how soon a saved guest runs again at full speed, and what its snapshot and copies cost
	$(step) "programs" cargo build --release -p vmm -p tests --bins
	$(step) "resumes" target/release/bench-resume --out results/resume.json

clean: ## removes everything built or fetched
	rm -rf target results
