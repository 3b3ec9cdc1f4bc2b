//! Hooks of the runtime's side.
