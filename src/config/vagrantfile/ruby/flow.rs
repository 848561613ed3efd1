//! Ways out of an expression besides its value.

use super::host::Stop;
use super::value::Value;

/// A way out.
pub enum Flow {
    /// An exception.
    Raise(Value),
    /// Out of the call that the block was given to.
    Break(u64, Value),
    /// Out of the block.
    Next(Value),
    /// Out of the method.
    Return(u64, Value),
    /// `throw`.
    Throw(Value, Value),
    Redo,
    Retry,
    Stop(Box<Stop>),
}

/// A value, or a way out.
pub type Result<T> = std::result::Result<T, Flow>;
