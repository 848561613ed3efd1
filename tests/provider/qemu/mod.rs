//! What only QEMU has: a process that is our child, its monitor, its words, and the files that we keep for it.

mod process;
mod records;
mod save;
mod words;
