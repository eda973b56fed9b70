//! Log format, span and metric names, and the list of what is never logged.
