//! Progress, tables, messages: the only place that prints.
