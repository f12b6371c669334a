//! Supervision: tasks, limits, status, state directory.
