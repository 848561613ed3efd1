//! Synced folders.
