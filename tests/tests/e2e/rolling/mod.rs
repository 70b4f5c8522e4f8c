//! What Kubernetes does to the workers while they have work: rolling updates, scaling down, losing a node, a node that is
//! cut off and comes back. Real processes, SIGTERM, time to stop, SIGKILL; in the end nothing is lost, nothing invented.

mod consoles;
mod deployment;
mod load;
mod requests;
mod syncs;
