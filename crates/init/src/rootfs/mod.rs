//! The root file system of the container.
