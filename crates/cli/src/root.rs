//! `--root`: the directory of the containers' state.

use std::fs::{DirBuilder, Permissions, set_permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use corten_sys::namespace::in_user_namespace;

use crate::error::{Doing, Result};
use crate::globals::Globals;

/// The directory that is asked for, or that of the user.
pub fn directory(globals: &Globals) -> Result<PathBuf> {
    if let Some(root) = &globals.root {
        return std::path::absolute(root).doing(|| format!("find the state directory {}", root.display()));
    }
    match std::env::var_os("XDG_RUNTIME_DIR").filter(|runtime| !runtime.is_empty() && of_a_user(globals)) {
        Some(runtime) => of(&PathBuf::from(runtime)),
        None => Ok(PathBuf::from("/run/corten")),
    }
}

/// Whether it is not the machine's root who calls: root of a user namespace is not either.
fn of_a_user(globals: &Globals) -> bool {
    let calls_itself_root = || std::env::var_os("USER").is_some_and(|user| user == "root");
    globals.ordinary_user() || (in_user_namespace() && !calls_itself_root())
}

const STICKY: u32 = 0o1000;

/// A directory in the user's runtime directory, with the sticky bit: then it is not cleaned up by age
/// (XDG base directory specification).
fn of(runtime: &Path) -> Result<PathBuf> {
    let path = runtime.join("corten");
    let doing = || format!("make the state directory {}", path.display());
    DirBuilder::new().mode(0o700).recursive(true).create(&path).doing(doing)?;
    let mode = path.metadata().doing(doing)?.permissions().mode();
    if mode & STICKY == 0 {
        set_permissions(&path, Permissions::from_mode(mode | STICKY)).doing(doing)?;
    }
    Ok(path)
}
