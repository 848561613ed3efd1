//! The lifecycle of a machine, its record, and the index of all machines.
