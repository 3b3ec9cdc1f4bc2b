//! Mounts: what rustix lacks of the new mount API.
