//! Whole migrations between two fake VMs over loopback TCP, in one process.

#[cfg(test)]
mod bandwidth;
#[cfg(test)]
mod cutter;
#[cfg(test)]
mod destination_failures;
#[cfg(test)]
mod difference_failures;
#[cfg(test)]
mod differences;
#[cfg(test)]
mod directory;
#[cfg(test)]
mod giving_up;
#[cfg(test)]
mod hints;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod machine;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod moves;
#[cfg(test)]
mod peer;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod resumes;
#[cfg(test)]
mod rounds;
#[cfg(test)]
mod snapshots;
#[cfg(test)]
mod source_failures;
#[cfg(test)]
mod stress;
#[cfg(test)]
mod tls;
