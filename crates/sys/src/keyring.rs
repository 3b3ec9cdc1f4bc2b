//! The session keyring (keyrings(7)).

use std::ffi::CStr;

use rustix::io::Result;

use crate::fd::result;

const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
const KEYCTL_CHOWN: libc::c_long = 4;
const KEYCTL_SETPERM: libc::c_long = 5;
const KEYCTL_DESCRIBE: libc::c_long = 6;

/// A key's serial number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(i32);

/// Joins the session keyring with this name, made where there is none (keyctl_join_session_keyring(3)).
pub fn join_session(name: &CStr) -> Result<Key> {
    // SAFETY: the name is a live string; the other argument is a number.
    let key = result(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr()) })?;
    Ok(Key(key as i32))
}

/// The permissions of a key: four bytes for possessor, user, group and others (keyctl_describe(3)).
pub fn permissions(key: Key) -> Result<u32> {
    let mut text = [0_u8; 256];
    // SAFETY: the buffer is valid for its length.
    let length = result(unsafe {
        libc::syscall(libc::SYS_keyctl, KEYCTL_DESCRIBE, key.0, text.as_mut_ptr(), text.len())
    })?;
    let text = String::from_utf8_lossy(&text[..text.len().min(length as usize)]).into_owned();
    let field = text.split(';').nth(3).unwrap_or_default();
    u32::from_str_radix(field, 16).map_err(|_| rustix::io::Errno::INVAL)
}

/// Sets the permissions of a key (keyctl_setperm(3)).
pub fn set_permissions(key: Key, permissions: u32) -> Result<()> {
    // SAFETY: takes numbers only.
    result(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_SETPERM, key.0, permissions) }).map(drop)
}

/// Gives a key to a user and a group (keyctl_chown(3)).
pub fn set_owner(key: Key, uid: u32, gid: u32) -> Result<()> {
    // SAFETY: takes numbers only.
    result(unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_CHOWN, key.0, uid, gid) }).map(drop)
}
